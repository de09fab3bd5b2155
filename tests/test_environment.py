"""One set of versions: constraints.txt, pyproject.toml, environment.yml, the Makefile and what is installed agree."""

import re
import tomllib
from collections.abc import Iterable
from importlib.metadata import distribution, version
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONSTRAINTS = (ROOT / "constraints.txt").read_text()
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())


def pins(text: str) -> list[tuple[str, str]]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(canonicalize_name(line.partition("==")[0]), line.partition("==")[2]) for line in lines]


def needed(name: str, extras: Iterable[str]) -> set[str]:
    """Every package that one with these extras needs on this machine, directly or not."""
    queue, seen = [(name, extra) for extra in ("", *extras)], set()
    while queue:
        package, extra = queue.pop()
        if (package, extra) not in seen:
            seen.add((package, extra))
            for requirement in map(Requirement, distribution(package).requires or []):
                if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                    queue += [(canonicalize_name(requirement.name), e) for e in ("", *requirement.extras)]
    return {package for package, _ in seen} - {name}


NEEDED = needed("grokbook", PROJECT["project"]["optional-dependencies"])


def test_every_needed_package_is_pinned_to_the_version_that_is_installed():
    pinned = dict(pins(CONSTRAINTS))
    installed = {name: version(name).partition("+")[0] for name in NEEDED}  # "+cpu" is a build, not a version
    assert {name: pinned.get(name) for name in NEEDED} == installed


def test_nothing_is_pinned_that_nothing_needs():
    pinned = pins(CONSTRAINTS.partition("# On macOS")[0])
    assert {name for name, _ in pinned} == NEEDED


def test_pins_are_exact_single_and_free_of_builds_and_paths():
    everything = pins(CONSTRAINTS)
    assert len(dict(everything)) == len(everything)
    assert [(name, pin) for name, pin in everything if not re.fullmatch(r"\d+(\.\w+)+", pin)] == []


def test_the_build_uses_the_pinned_setuptools():
    assert PROJECT["build-system"]["requires"] == [f"setuptools=={dict(pins(CONSTRAINTS))['setuptools']}"]


def test_conda_installs_what_make_test_does():
    python, _, pip = CONDA["dependencies"]
    constraints, package = pip["pip"]
    assert python == "python" + PROJECT["project"]["requires-python"]
    assert f"$(INSTALL) -e '{package.removeprefix('-e ')}'" in (ROOT / "Makefile").read_text()
    assert f"pip install {constraints}" in (ROOT / "Makefile").read_text()


def test_extras_of_conda_and_make_hold_all_dependencies():
    extras = Requirement("grokbook" + CONDA["dependencies"][-1]["pip"][-1].removeprefix("-e .")).extras
    assert needed("grokbook", extras) == NEEDED


def test_the_grammar_that_slows_every_kernel_is_absent():
    assert "rfc3987-syntax" not in NEEDED

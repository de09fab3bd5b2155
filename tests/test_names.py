"""The public names: those that docs/names.md lists, all of which exist; readers need no others."""

import re
from functools import reduce
from pathlib import Path

import pytest

import grokbook as gb

ROOT = Path(gb.__file__).parents[1]
LISTED = re.findall(r"^\| `gb\.([\w.]+)` \|", (ROOT / "docs/names.md").read_text("utf-8"), re.MULTILINE)
PACKAGES = ("analysis", "claims", "plots", "widgets")


def test_every_listed_name_exists_and_is_listed_once():
    assert len(set(LISTED)) == len(LISTED) > 40
    for name in LISTED:
        reduce(getattr, name.split("."), gb)


@pytest.mark.parametrize("package", ["", *PACKAGES])
def test_a_package_offers_what_is_listed_and_nothing_else(package):
    listed = {name.removeprefix(f"{package}.") for name in LISTED if name.rpartition(".")[0] == package}
    assert set(reduce(getattr, filter(None, [package]), gb).__all__) == listed  # pyright: ignore


@pytest.mark.parametrize("page", [*sorted((ROOT / "notebooks").glob("*.py")), ROOT / "README.md"], ids=lambda p: p.name)
def test_chapters_use_listed_names_alone(page):
    used = set(re.findall(r"\bgb\.((?:(?:analysis|claims|plots|widgets)\.)?[A-Za-z_]\w*)", page.read_text("utf-8")))
    assert used and used <= set(LISTED)

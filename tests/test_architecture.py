"""The order of the modules, and what each of them may load."""

import subprocess
import sys
import tomllib
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LAYERS, NO_TORCH = PROJECT["tool"]["importlinter"]["contracts"]

BARE = ["torch", "numpy", "pandas", "pyarrow", "xarray", "click"]
"""All that a CUDA machine needs to train, with what these need themselves."""


def python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)


def test_modules_import_only_from_below():
    linted = subprocess.run([Path(sys.executable).with_name("lint-imports")], capture_output=True, text=True, cwd=ROOT)
    assert linted.returncode == 0, linted.stdout


def test_reading_the_book_loads_no_torch():
    run = python(f"import grokbook, {', '.join(NO_TORCH['source_modules'])}, sys; sys.exit('torch' in sys.modules)")
    assert run.returncode == 0, run.stderr


def test_help_loads_neither_torch_nor_jupyter():
    run = python("import grokbook.cli, sys; sys.exit(bool({'torch', 'papermill', 'nbconvert'} & {*sys.modules}))")
    assert run.returncode == 0, run.stderr


def test_a_sweep_trains_where_only_few_packages_are_installed(tmp_path: Path):
    needed = closure(BARE)
    others = {module for module, owners in packages_distributions().items()
              if needed.isdisjoint(map(canonicalize_name, owners))}
    assert {"numba", "scipy", "plotly", "IPython", "papermill", "safetensors"} <= others
    run = python(f"""
import sys
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder

class Bare(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {others - {"grokbook"}} else PathFinder.find_spec(name, path, target)

sys.meta_path[:] = [BuiltinImporter, FrozenImporter, Bare]
from grokbook import RunConfig, cli, studies
configs = tuple(RunConfig(p=7, d_h=8, D_train=20, n_steps=20, seed=seed) for seed in range(2))
studies.STUDIES["tiny"] = studies.Study("tiny", "ours", "", 20, configs, configs)
cli.main(["sweep", "tiny", "--store", {str(tmp_path)!r}])
""")
    assert run.returncode == 0 and run.stdout.startswith("2 runs trained"), run.stderr


def closure(names: list[str]) -> set[str]:
    """These distributions and all that they require here."""
    required, left = set(), {canonicalize_name(name) for name in names}
    while left:
        required.add(name := left.pop())
        wanted = [Requirement(text) for text in distribution(name).requires or []]
        left |= {canonicalize_name(r.name) for r in wanted if not r.marker or r.marker.evaluate({"extra": ""})}
        left -= required
    return required

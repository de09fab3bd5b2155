"""The order of the modules, and what each of them may load."""

import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LAYERS, NO_TORCH = PROJECT["tool"]["importlinter"]["contracts"]

BARE = ["models", "training", "store", "sweep", "cli"]
"""Modules that a CUDA machine trains with, where only torch, numpy, pandas, pyarrow, xarray and click are there."""


def python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)


def test_modules_import_only_from_below():
    linted = subprocess.run([Path(sys.executable).with_name("lint-imports")], capture_output=True, text=True, cwd=ROOT)
    assert linted.returncode == 0, linted.stdout


@pytest.mark.parametrize("module", ["grokbook", *NO_TORCH["source_modules"]])
def test_reading_the_book_loads_no_torch(module: str):
    run = python(f"import {module}, sys; sys.exit('torch' in sys.modules)")
    assert run.returncode == 0, run.stderr


def test_help_loads_neither_torch_nor_jupyter():
    run = python("import grokbook.cli, sys; sys.exit(bool({'torch', 'papermill', 'nbconvert'} & {*sys.modules}))")
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("module", [name for name in BARE if importlib.util.find_spec(f"grokbook.{name}")])
def test_training_needs_few_packages(module: str):
    others = {"numba", "scipy", "safetensors", "threadpoolctl", "plotly", "anywidget", "ipywidgets", "kaleido",
              "IPython", "papermill", "nbformat", "nbconvert", "jupytext", "triton"}
    run = python(f"import sys; sys.modules.update(dict.fromkeys({others!r})); import grokbook.{module}")
    assert run.returncode == 0, run.stderr

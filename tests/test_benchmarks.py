"""The benchmarks run, compare what they say they compare, and count the products that they say they count.

Nothing here looks at a time.
"""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from samples import finish, run_python

from grokbook import RunConfig

FOLDER = Path(__file__).parents[1] / "benchmarks"
benchmark = runpy.run_path(str(FOLDER / "training.py"))

SMALL = RunConfig(d_h=8, D_train=40)


def rows_of(script: str, *options: str, **environment: str) -> list[dict]:
    command = [sys.executable, str(FOLDER / script), "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("architecture, engines", [
    ("transformer", ["usual", "fused", "vmapped"]), ("lstm", ["usual", "vmapped"]), ("mlp", ["usual", "vmapped"])])
def test_every_engine_that_can_is_timed_beside_the_usual_loop(architecture, engines):
    machine, *rows = rows_of("training.py", "--architecture", architecture, "--d-h", "8", "--D-train", "40", "--models",
                             "2", "--repeats", "1", "--seconds", "0.001", "--no-compile")
    assert machine["torch"] == torch.__version__
    assert [(row["engine"], row["d_h"], row["n_models"]) for row in rows] == [(name, 8, 2) for name in engines]
    assert all(row["least_ms"] <= row["median_ms"] <= row["most_ms"] for row in rows)


@pytest.mark.parametrize("architecture", ["transformer", "lstm", "mlp"])
@pytest.mark.parametrize("n_layers", [1, 2])
def test_the_usual_networks_have_the_weights_of_ours(architecture, n_layers):
    config = SMALL.replace(architecture=architecture, n_layers=n_layers)
    usual = benchmark["USUAL"][architecture](config)
    assert sum(w.numel() for w in usual.parameters()) == config.n_params
    assert usual(torch.zeros(5, 3, dtype=torch.int64))[:, -1].shape == (5, config.d_vocab)


COUNT = """
import torch
from torch.utils.flop_counter import FlopCounterMode
from grokbook import RunConfig, models
for architecture in ("transformer", "lstm", "mlp"):
    for n_layers in (1, 2, 3):
        network = models.build(RunConfig(d_h=8, D_train=40, architecture=architecture, n_layers=n_layers))
        with FlopCounterMode(display=False) as counter:
            network(torch.zeros(7, 3, dtype=torch.int64))
        print(architecture, n_layers, counter.get_total_flops() // 2 // 7)
"""  # in a process of its own: the counter imports Triton, which must not happen before test_fused_cuda does


def test_products_are_the_multiplications_of_the_plain_network_but_those_that_can_be_avoided():
    d, n_ctx = SMALL.d_h, SMALL.n_ctx
    for architecture, n_layers, counted in map(str.split, finish(run_python(COUNT)).splitlines()):
        config = SMALL.replace(architecture=architecture, n_layers=int(n_layers))
        attention = 2 * n_ctx * d * (1 + (config.n_layers - 1) * n_ctx)  # scores and mixed values: no weights in them
        tabulated = (2 * n_ctx + 1) * d**2 if config.n_layers == 1 else 0  # once a step, not once an example
        avoided = {"transformer": attention + tabulated, "lstm": config.n_layers * 4 * d**2, "mlp": 0}[architecture]
        assert benchmark["products"](config) == int(counted) - avoided, (architecture, n_layers)


def test_kernels_are_timed_and_held_against_float64():
    pytest.importorskip("triton")
    _, *rows = rows_of("kernels.py", "--d-h", "4", "--D-train", "9", "--p", "5", "--models", "1", "--warps", "4",
                       TRITON_INTERPRET="1")
    names = [row["kernel"] for row in rows]
    assert names == ["query", "tabulate", "differentiate", "scatter", "reduce", "collect", "embed", "locate", "adamw",
                     "differentiate"]
    assert 0 < rows[-1]["error"] < 1e-5 and np.isfinite([row["ms"] for row in rows]).all()

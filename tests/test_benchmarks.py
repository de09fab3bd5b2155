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
from maps import cube, typical
from samples import finish, run_python

from grokbook import RunConfig, models, pages
from grokbook.training import engine_named
from grokbook.widgets.explorer_data import ExplorerData

FOLDER = Path(__file__).parents[1] / "benchmarks"
benchmark = runpy.run_path(str(FOLDER / "training.py"))

SMALL = RunConfig(d_h=8, D_train=40)


def rows_of(script: str, *options: str, **environment: str) -> list[dict]:
    command = [sys.executable, str(FOLDER / script), "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("architecture, engines", [
    ("transformer", ["usual", "fused", "autograd", "vmapped"]), ("lstm", ["usual", "autograd", "vmapped"]),
    ("mlp", ["usual", "autograd", "vmapped"])])
def test_every_engine_that_can_is_timed_beside_the_usual_loop(architecture, engines):
    machine, *rows = rows_of("training.py", "--architecture", architecture, "--d-h", "8", "--D-train", "40", "--models",
                             "2", "--repeats", "1", "--seconds", "0.001", "--no-compile")
    assert machine["torch"] == torch.__version__
    assert [(row["engine"], row["d_h"], row["n_models"]) for row in rows] == [(name, 8, 2) for name in engines]
    assert all(row["least_ms"] <= row["median_ms"] <= row["most_ms"] for row in rows)
    assert all((row["memorised_ms"] > 0) == (architecture == "transformer") for row in rows)


def test_networks_that_know_their_pairs_do_and_those_that_cannot_are_none():
    configs = [SMALL.replace(seed=seed) for seed in range(2)]
    engine = engine_named("fused")(configs, benchmark["memorised"](configs))
    assert engine.evaluate()["train_loss"].max() < 1e-6
    assert benchmark["memorised"]([RunConfig(d_h=4, p=31, D_train=900)]) is None


@pytest.mark.parametrize("architecture", ["transformer", "lstm", "mlp"])
@pytest.mark.parametrize("n_layers", [1, 2])
def test_the_usual_networks_compute_what_ours_do(architecture, n_layers):
    config = SMALL.replace(architecture=architecture, n_layers=n_layers, init_scale=2.0)
    usual, tokens = benchmark["USUAL"][architecture](config), torch.randint(0, 113, (9, 3))
    usual.double().load_state_dict(benchmark["usual_weights"](models.initial_weights(config), config))
    torch.testing.assert_close(usual(tokens)[:, -1], models.build(config, dtype=torch.float64)(tokens))


COUNT = """
import torch
from torch.utils.flop_counter import FlopCounterMode
from grokbook import RunConfig, models
from grokbook.training import engine_named
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


def test_kernels_are_timed_as_they_are_launched_and_held_against_float64():
    pytest.importorskip("triton")
    _, *rows = rows_of("kernels.py", "--d-h", "4", "--D-train", "40", "--p", "7", "--models", "1", "--warps", "2",
                       "--warps", "4", "--rows", "16", "--rows", "32", TRITON_INTERPRET="1")
    step, tried = rows[:9], rows[9:]
    assert [row["kernel"] for row in step] == ["query", "tabulate", "differentiate", "scatter", "reduce", "collect",
                                               "embed", "locate", "adamw"]
    assert [(row["kernel"], row["rows"], row["num_warps"]) for row in tried] == [
        ("differentiate", n_rows, n_warps) for n_rows in (16, 32) for n_warps in (2, 4)]
    errors = [row["error"] for row in tried]
    assert 0 < min(errors) and max(errors) < 1e-5 and errors[0] != errors[2], "other tiles round differently"
    assert np.isfinite([row["ms"] for row in rows]).all()


REFUSING = """
import sys
sys.path.insert(0, sys.argv[1])
import kernels
variant = kernels.variant
def refusing(configs, *others):
    if kernels.Shape.of(configs[0]).ROWS == 32:
        raise RuntimeError("at 20:8:\\nout of shared memory\\n")
    return variant(configs, *others)
kernels.variant = refusing
kernels.main(["--d-h", "4", "--D-train", "9", "--p", "3", "--models", "1", "--warps", "2", "--rows", "32", "--rows",
              "16", "--json"])
"""


def test_options_that_a_card_refuses_do_not_end_the_others():
    pytest.importorskip("triton")
    done = subprocess.run([sys.executable, "-c", REFUSING, str(FOLDER)], capture_output=True, text=True,
                          env=os.environ | {"TRITON_INTERPRET": "1"})
    assert done.returncode == 0, done.stderr
    refused, tried = map(json.loads, done.stdout.splitlines()[-2:])
    assert refused["rows"] == 32 and refused["refused"] == "RuntimeError: out of shared memory"
    assert tried["rows"] == 16 and tried["error"] < 1e-5


def test_the_explorers_page_is_timed_from_its_opening_and_at_every_move(tmp_path, chromium):
    runs = cube((8, 16), (2000, 3000), 2, lambda *_: typical("GROKKING"))
    pages.write([], tmp_path, "A book", [ExplorerData(runs)])
    rows = rows_of("explorer.py", str(tmp_path / "explorer.html"), "--openings", "2", "--moves", "3")
    assert [row["what"] for row in rows] == ["open", *(f"{name}, {part}" for name in ("d_h", "D_train", "budget")
                                                       for part in ("changed", "frame"))]
    assert all(0 < row["median"] <= row["max"] for row in rows)

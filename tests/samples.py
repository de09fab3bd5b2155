"""What several tests draw from: configs of every kind, runs that nobody had to train, other processes."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

import grokbook
from grokbook.config import ANCHORS, ARCHITECTURES, INITS, LOSSES, TASKS, RunConfig
from grokbook.run import ACCURACIES, METRICS, SETTLED, Run, evaluation_steps
from grokbook.store import Store
from grokbook.store.shards import COLUMNS, to_run

ROOT = Path(grokbook.__file__).parents[1]
SHORT = RunConfig(n_steps=100)
RATES = st.floats(0, 10, allow_nan=False)


@st.composite
def configs(draw) -> RunConfig:
    """Any valid config of a small prime."""
    task, p = draw(st.sampled_from(TASKS)), draw(st.sampled_from([2, 3, 7, 113]))
    architecture = draw(st.sampled_from(ARCHITECTURES))
    n_heads = draw(st.integers(1, 8)) if architecture == "transformer" else 4
    return RunConfig(
        architecture=architecture,
        task=task,
        p=p,
        D_train=draw(st.integers(1, p * (p - 1) if task == "divide" else p * p)),
        D_random=draw(st.integers(0, p * p)) if task == "add+random" else 0,
        d_h=n_heads * draw(st.integers(1, 64)),
        n_heads=n_heads,
        n_layers=draw(st.integers(1, 8)),
        split_mlp=architecture == "transformer" and task == "add+random" and draw(st.booleans()),
        seed=draw(st.integers(0, 2**63 - 1)),
        init=draw(st.sampled_from(INITS)),
        init_scale=draw(RATES),
        lr=draw(RATES),
        beta2=draw(st.floats(0, 0.9999)),
        weight_decay=draw(RATES),
        decay_towards=draw(st.sampled_from(ANCHORS)),
        gradient_noise=draw(RATES),
        update_noise=draw(RATES),
        weight_noise=draw(RATES),
        n_warmup=draw(st.integers(0, 100)),
        loss=draw(st.sampled_from(LOSSES)),
        parent=draw(st.sampled_from(["", "0123456789abcdef@0", "0123456789abcdef@20000"])),
        n_steps=draw(st.integers(0, 10**6)),
        stop_early=draw(st.booleans()),
    )


def train_all(configs: Sequence[RunConfig], **options) -> list[Run]:
    """Train configs of any shapes, cohort by cohort, and return the runs in the order given. Options as for `train`."""
    from grokbook import training  # which imports PyTorch

    runs: dict[RunConfig, Run] = {}
    for cohort in training.cohorts(configs):
        under_way = training.train(cohort, **options)
        for _ in under_way:
            pass
        runs |= {run.config: run for run in under_way.runs()}
    return [runs[c] for c in configs]


def fake_run(config: RunConfig, last_step: int | None = None, *, settled: bool = False, **more) -> Run:
    """A run whose curves follow from config and step alone, so that a longer one continues a shorter one.

    One that has settled has its last accuracies at 1.
    """
    step = evaluation_steps(config.n_steps if last_step is None else last_step)
    phase = int(config.run_id, 16) % 10_007
    curves = {name: np.sin(phase + k + step).astype(np.float32) for k, name in enumerate(METRICS)}
    for name in ACCURACIES if settled else ():
        curves[name][-SETTLED - 1 :] = 1  # the last step may lie off the grid of the budget
    return Run(config, {"step": step} | curves, **more)


def stored(store: Store, requests: Sequence[RunConfig]) -> list[Run]:
    """The stored runs that were requested, in that order, as they were trained: perhaps longer than requested."""
    longest, missing = store._longest(), store.missing(requests)
    ids = [request.run_id for request in requests if request not in missing]
    table = store._take([longest[run_id] for run_id in ids], COLUMNS.names)
    runs = {run.config.run_id: run for run in (to_run(table, row) for row in range(len(table)))}
    return [runs[run_id] for run_id in ids]


def assert_same_run(run: Run, other: Run):
    assert (run.config, run.settled) == (other.config, other.settled)
    assert list(run.curves) == list(other.curves) == ["step", *METRICS]
    for name in run.curves:
        assert run.curves[name].dtype == other.curves[name].dtype
        np.testing.assert_array_equal(run.curves[name], other.curves[name])


def run_python(code: str, *arguments, **environ: str) -> subprocess.Popen:
    """A process of its own, which finds this module as `samples`; named values are added to its environment."""
    path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, text=True,
                            stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": path} | environ)


def finish(process: subprocess.Popen) -> str:
    """What a process printed, once it has ended well."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def truncate(path: Path) -> None:
    """Leave half of a file, as a machine that lost its power might."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

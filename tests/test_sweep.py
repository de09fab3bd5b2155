"""Sweeps: only what is missing, nothing lost, here and on real executors."""

import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pyarrow.parquet as pq
import pytest

from grokbook import RunConfig, Store, studies
from grokbook.models import initial_weights
from grokbook.run import METRICS, evaluation_steps
from grokbook.sweep import keep_weights, sweep
from grokbook.training import train_all

QUICK = RunConfig(p=7, d_h=8, D_train=20, n_steps=40)
CONFIGS = tuple(QUICK.replace(d_h=d_h, seed=seed) for d_h in (4, 8) for seed in range(3))
STUDY = studies.Study("small", "laptop", "ours", CONFIGS)


def quiet(line: str) -> None:
    pass


def curves(store: Store) -> dict[str, np.ndarray]:
    return {run.config.run_id: np.stack([run.curves[name] for name in METRICS]) for run in store.runs(CONFIGS)}


def assert_as_trained_here(store: Store) -> None:
    """Every wanted run is there once, with the curves of a plain training."""
    stored, expected = curves(store), train_all(CONFIGS)
    assert len(stored) == len(store.frame()) == len(CONFIGS)
    for run in expected:
        np.testing.assert_array_equal(stored[run.config.run_id], np.stack([run.curves[name] for name in METRICS]))



def test_the_networks_that_chapters_open_keep_their_weights(tmp_path, monkeypatch):
    config = RunConfig(p=7, d_h=8, D_train=20, n_steps=60)
    monkeypatch.setitem(studies.NETWORKS, "small", studies.Network(config, (0, 10)))
    run, store = keep_weights("small", Store(tmp_path)), Store(tmp_path)
    (alone,) = train_all([config])
    for name, last in store.weights(config.run_id).items():
        np.testing.assert_array_equal(last, alone.weights[name])
        np.testing.assert_array_equal(store.weights(config.run_id, 0)[name],
                                      initial_weights(config)[name].astype(np.float32))
    assert run.last_step == 60 and len(list((tmp_path / "weights").iterdir())) == 3
    with pytest.raises(ValueError, match="network='grokkd' is unknown; valid: grokked, "):
        keep_weights("grokkd", store)


@pytest.mark.parametrize("name", studies.NETWORKS)
def test_kept_steps_are_steps_that_are_evaluated(name):
    network = studies.NETWORKS[name]
    assert set(network.steps) <= set(evaluation_steps(network.config.n_steps).tolist())


def test_a_sweep_trains_what_is_missing_and_a_second_one_nothing(tmp_path):
    store = Store(tmp_path)
    store.write(train_all(CONFIGS[1:3]), "elsewhere")
    first, second = (sweep(STUDY, store, say=quiet) for _ in range(2))
    assert (first.trained, first.present, first.left) == (4, 2, 0)
    assert (second.trained, second.present, second.model_steps) == (0, 6, 0)
    assert_as_trained_here(store)


def test_cohorts_are_no_larger_than_asked(tmp_path):
    written = []
    store = Store(tmp_path)
    write = store.write
    store.write = lambda runs, study: written.append(len(runs)) or write(runs, study)  # type: ignore[method-assign]
    sweep(STUDY, store, cohort=2, say=quiet)
    assert max(written) == 2 and sum(written) == 6


def test_progress_tells_runs_and_time(tmp_path):
    said = []
    sweep(STUDY, Store(tmp_path), cohort=3, say=said.append)
    assert said[-1].startswith("small: 6 of 6 runs") and "min left" in said[0]


def test_a_budget_ends_a_sweep_cleanly_and_keeps_what_was_followed(tmp_path):
    long = studies.Study("long", "laptop", "ours", (QUICK.replace(n_steps=10**7, stop_early=False),))
    start = time.monotonic()
    report = sweep(long, Store(tmp_path), budget=2, say=quiet)
    assert time.monotonic() - start < 60 and report.cut == 1 and report.left == 1
    assert Store(tmp_path).frame().last_step.item() == report.model_steps > 0


def test_five_kills_lose_no_finished_run_and_leave_no_duplicate(tmp_path):
    code = ("from tests.test_sweep import *\n"
            "print('ready', flush=True)\n"
            f"sweep(KILLED, Store({str(tmp_path)!r}), cohort=2)")
    finished: set[str] = set()
    for attempt in range(5):
        command = [sys.executable, "-c", code]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout and process.stdout.readline()
            time.sleep(random.Random(attempt).uniform(0.2, 2.5))
            process.send_signal(signal.SIGKILL)
        now = set(Store(tmp_path).frame().run_id) if any(tmp_path.glob("*/*.parquet")) else set()
        assert finished <= now
        finished = now
    report = sweep(KILLED, Store(tmp_path), say=quiet)
    assert report.present == len(finished) and report.trained == len(KILLED) - len(finished) and report.left == 0
    rows = [pq.read_metadata(shard).num_rows for shard in tmp_path.glob("*/*.parquet")]
    assert sum(rows) == len(Store(tmp_path).frame()) == len(KILLED)


KILLED = studies.Study("killed", "laptop", "ours",
                       tuple(QUICK.replace(seed=seed, n_steps=1000) for seed in range(12)))


def test_threads_train_the_same_rows(tmp_path):
    with ThreadPoolExecutor(2) as pool:
        report = sweep(STUDY, Store(tmp_path), pool, cohort=2, say=quiet)
    assert report.trained == 6
    assert_as_trained_here(Store(tmp_path))


class Unlucky:
    """An executor whose first tasks fail."""

    def __init__(self, n_failures: int):
        self.n_failures = n_failures

    def submit(self, function, /, *arguments):
        future: Future = Future()
        self.n_failures -= 1
        if self.n_failures >= 0:
            future.set_exception(RuntimeError("the node went away"))
        else:
            future.set_result(function(*arguments))
        return future


def test_a_cohort_that_fails_is_tried_again(tmp_path):
    report = sweep(STUDY, Store(tmp_path), Unlucky(1), say=quiet)
    assert report.trained == 6 and not report.errors


def test_the_error_of_a_cohort_that_always_fails_is_kept_and_the_others_are_trained(tmp_path):
    report = sweep(STUDY, Store(tmp_path), Unlucky(3), say=quiet)
    assert report.trained == 3 and report.left == 3
    (ids, error), = report.errors.items()
    assert len(ids) == 3 and "the node went away" in error and "the node went away" in str(report)


def test_a_store_that_cannot_be_written_stops_the_sweep_with_its_path(tmp_path):
    (tmp_path / "small").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="small"):
        sweep(STUDY, Store(tmp_path), say=quiet)


def test_a_dask_cluster_that_loses_a_worker_trains_the_same_rows(tmp_path):
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": 50}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        pids = list(client.run(os.getpid).values())
        killed = []

        def kill_one(line: str) -> None:
            if not killed:
                killed.append(pids[0])
                os.kill(pids[0], signal.SIGKILL)

        report = sweep(STUDY, Store(tmp_path), client, cohort=1, say=kill_one)
    assert killed and report.trained == 6 and not report.errors
    assert_as_trained_here(Store(tmp_path))


def test_submitits_local_executor_trains_the_same_rows(tmp_path):
    submitit = pytest.importorskip("submitit")
    executor = submitit.AutoExecutor(folder=tmp_path / "logs", cluster="local")
    executor.update_parameters(timeout_min=5)
    report = sweep(STUDY, Store(tmp_path / "data"), executor, say=quiet)
    assert report.trained == 6
    assert_as_trained_here(Store(tmp_path / "data"))

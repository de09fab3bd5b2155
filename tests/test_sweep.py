"""Sweeps: only what is missing, nothing lost, here and on real executors."""

import os
import random
import signal
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Timer

import numpy as np
import pyarrow.parquet as pq
import pytest
from samples import run_python, stored, train_all

from grokbook import RunConfig, Store, studies
from grokbook.models import initial_weights
from grokbook.networks import KEPT, NETWORKS, Network
from grokbook.run import METRICS, evaluation_steps
from grokbook.sweep import keep_weights, sweep
from grokbook.training import train

QUICK = RunConfig(p=7, d_h=8, D_train=20, n_steps=40)
CONFIGS = tuple(QUICK.replace(d_h=d_h, seed=seed) for d_h in (4, 8) for seed in range(3))


def study_of(name: str, configs: tuple[RunConfig, ...]) -> studies.Study:
    """A study of one size."""
    return studies.Study(name, "ours", "", 40, configs, configs)


STUDY = study_of("small", CONFIGS)


def quiet(line: str) -> None:
    pass


def curves(store: Store) -> dict[str, np.ndarray]:
    return {run.config.run_id: np.stack([run.curves[name] for name in METRICS]) for run in stored(store, CONFIGS)}


def assert_as_trained_here(store: Store) -> None:
    """Every wanted run is there once, with the curves of a plain training."""
    stored, expected = curves(store), train_all(CONFIGS)
    assert len(stored) == len(store.frame()) == len(CONFIGS)
    for run in expected:
        np.testing.assert_array_equal(stored[run.config.run_id], np.stack([run.curves[name] for name in METRICS]))


def test_the_networks_that_chapters_open_keep_their_weights(tmp_path, monkeypatch):
    config = RunConfig(p=7, d_h=8, D_train=20, n_steps=60)
    monkeypatch.setitem(KEPT, "small", Network(config, (0, 10)))
    run, store = keep_weights("small", Store(tmp_path)), Store(tmp_path)
    (alone,) = train_all([config])
    for name, last in store.weights(config.run_id).items():
        np.testing.assert_array_equal(last, alone.weights[name])
        np.testing.assert_array_equal(store.weights(config.run_id, 0)[name],
                                      initial_weights(config)[name].astype(np.float32))
    assert run.last_step == 60 and len(list((tmp_path / "weights").iterdir())) == 3
    with pytest.raises(ValueError, match="network='grokkd' is unknown; valid: grokked, "):
        keep_weights("grokkd", store)


@pytest.mark.parametrize("name", NETWORKS)
def test_kept_steps_are_steps_that_are_evaluated(name):
    network = NETWORKS[name]
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


@pytest.mark.parametrize("cohort", [0, -1])
def test_a_cohort_of_nobody_is_refused(cohort, tmp_path):
    with pytest.raises(ValueError, match=f"cohort={cohort} is too small; valid: 1 or more"):
        sweep(STUDY, Store(tmp_path), cohort=cohort, say=quiet)


def test_progress_tells_runs_and_time(tmp_path):
    lines = []
    sweep(STUDY, Store(tmp_path), cohort=3, say=lines.append)
    assert lines[-1].startswith("small: 6 of 6 runs") and "min left" in lines[0]


@pytest.fixture
def compiled() -> None:
    """What a first training compiles takes longer than the budgets of these tests."""
    train_all([QUICK])


def test_a_budget_ends_a_sweep_cleanly_and_keeps_what_was_followed(compiled, tmp_path):
    long = study_of("long", (QUICK.replace(n_steps=10**7, stop_early=False),))
    start = time.monotonic()
    report = sweep(long, Store(tmp_path), budget=2, say=quiet)
    assert time.monotonic() - start < 60 and report.cut == 1 and report.left == 1
    assert "Nothing was finished" in str(report) and "longer budget" in str(report)
    assert Store(tmp_path).frame().last_step.item() == report.model_steps > 0


def test_a_store_that_cannot_be_written_is_known_before_anything_trains(tmp_path, monkeypatch):
    monkeypatch.setattr("grokbook.sweep.train", lambda *_, **__: pytest.fail("trained for nothing"))
    (tmp_path / "file").touch()
    for work in (lambda store: sweep(STUDY, store, say=quiet), lambda store: keep_weights("grokked", store)):
        with pytest.raises(OSError, match="file"):
            work(Store(tmp_path / "file"))


KILLED = study_of("killed", tuple(QUICK.replace(seed=seed, n_steps=4000) for seed in range(32)))


def test_three_kills_lose_no_finished_run_and_leave_no_duplicate(tmp_path):
    """Each comes at a random moment after the process has stored something, so while it trains what follows."""
    code = ("from grokbook import RunConfig, Store, studies, sweep\n"
            f"configs = {KILLED.paper!r}\nstudy = studies.Study('killed', 'ours', '', 40, configs, configs)\n"
            f"sweep.sweep(study, Store({str(tmp_path)!r}), cohort=2)")
    finished: set[str] = set()
    for attempt in range(3):
        process, before = run_python(code), shards(tmp_path)
        while process.poll() is None and shards(tmp_path) == before:
            time.sleep(0.01)
        time.sleep(random.Random(attempt).uniform(0, 0.3))
        process.kill()
        _, stderr = process.communicate()
        assert process.returncode == -signal.SIGKILL, stderr
        now = set(Store(tmp_path).frame().run_id)
        assert finished < now and len(now) < len(KILLED.paper)
        finished = now
    report = sweep(KILLED, Store(tmp_path), say=quiet)
    assert report.present == len(finished) and report.trained == len(KILLED.paper) - len(finished) and report.left == 0
    rows = [pq.read_metadata(shard).num_rows for shard in shards(tmp_path)]
    assert sum(rows) == len(Store(tmp_path).frame()) == len(KILLED.paper)


def shards(folder: Path) -> set[Path]:
    return set(folder.glob("*/*.parquet"))


def test_threads_train_the_same_rows(tmp_path):
    with ThreadPoolExecutor(2) as pool:
        report = sweep(STUDY, Store(tmp_path), pool, cohort=2, say=quiet)
    assert report.trained == 6
    assert_as_trained_here(Store(tmp_path))


def test_a_budget_ends_an_executors_tasks_too(compiled, tmp_path):
    """One trains and is cut, five wait: they end as soon as they begin."""
    long = study_of("long", tuple(QUICK.replace(n_steps=10**7, stop_early=False, seed=seed) for seed in range(6)))
    with ThreadPoolExecutor(1) as pool:
        report = sweep(long, Store(tmp_path), pool, cohort=1, budget=2, say=quiet)
    assert (report.trained, report.cut, report.left) == (0, 1, 6) and not report.errors
    assert len(Store(tmp_path).frame()) == 1
    assert report.seconds < 60


class Job(Future):
    """What a batch system's queue holds."""

    state = "PENDING"


class Queue:
    """A batch system that begins its first job and no other."""

    def __init__(self):
        self.jobs: list[Job] = []

    def submit(self, function, /, *arguments):
        self.jobs.append(Job())
        if len(self.jobs) == 1:
            self.jobs[0].state = "RUNNING"
            Timer(1.0, lambda: self.jobs[0].set_result(function(*arguments[:2], None, 1))).start()
        return self.jobs[-1]


def test_at_the_end_of_a_budget_jobs_in_a_queue_are_cancelled_and_what_runs_is_kept(tmp_path):
    queue = Queue()
    report = sweep(STUDY, Store(tmp_path), queue, cohort=2, budget=0.5, say=quiet)
    assert [job.cancelled() for job in queue.jobs] == [False, True, True, True]
    assert (report.trained, report.left) == (2, 4) and not report.errors


@pytest.mark.parametrize("device, sizes", [("cpu", [8] * 4), ("cuda", [32])])
def test_a_cuda_device_is_given_all_of_a_shape_at_once(device, sizes, tmp_path):
    given = []

    class Nowhere:
        def submit(self, function, group, /, *arguments):
            given.append(len(group))
            nothing: Future = Future()
            nothing.set_result([])
            return nothing

    sweep(KILLED, Store(tmp_path), Nowhere(), device=device, say=quiet)
    assert given == sizes


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


@pytest.mark.parametrize("n_failures, trained", [(1, 6), (2, 3)])
def test_what_an_engine_cannot_do_here_stops_no_other_cohort(tmp_path, monkeypatch, n_failures, trained):
    class CompilerError(Exception):
        """As Triton's, which are no RuntimeError."""

    failures = iter([CompilerError("no ptxas")] * n_failures)

    def unlucky(*arguments, **options):
        for failure in failures:
            raise failure
        return train(*arguments, **options)
    monkeypatch.setattr("grokbook.sweep.train", unlucky)
    report = sweep(STUDY, Store(tmp_path), cohort=3, say=quiet)
    assert (report.trained, report.left) == (trained, 6 - trained)
    assert [error for error in report.errors.values() if "no ptxas" not in error] == []
    assert len(report.errors) == (trained < 6)


def test_a_device_that_is_not_there_ends_a_sweep_at_once(tmp_path):
    with pytest.raises(ValueError, match="device='cuda:77'"):
        sweep(STUDY, Store(tmp_path), device="cuda:77", say=quiet)


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


def test_a_cohort_that_fails_is_tried_again_on_dask_too(tmp_path, monkeypatch):
    """It takes equal calls for one, and would give the first one's error again."""
    distributed = pytest.importorskip("distributed")
    calls = []

    def fail_once(group, **options):
        calls.append(group)
        if len(calls) == 1:
            raise RuntimeError("the node went away")
        return train(group, **options)

    monkeypatch.setattr("grokbook.sweep.train", fail_once)
    with distributed.Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None) as client:
        report = sweep(STUDY, Store(tmp_path), client, say=quiet)
    assert (report.trained, len(calls)) == (6, 3) and not report.errors


def test_submitits_local_executor_trains_the_same_rows(tmp_path):
    submitit = pytest.importorskip("submitit")
    executor = submitit.AutoExecutor(folder=tmp_path / "logs", cluster="local")
    executor.update_parameters(timeout_min=5)
    report = sweep(STUDY, Store(tmp_path / "data"), executor, say=quiet)
    assert report.trained == 6
    assert_as_trained_here(Store(tmp_path / "data"))


@pytest.mark.parametrize("end", ["SIGTERM", "SIGHUP"])
def test_a_sweep_that_is_ended_from_outside_keeps_what_it_trained(end, tmp_path):
    """A real command, started with ^C ignored, is told to end once a cohort's second network is under way."""
    code = ("import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nfrom grokbook import cli, studies\n"
            f"from grokbook import RunConfig\nruns = {ENDED!r}\n"
            "studies.STUDIES['ended'] = studies.Study('ended', 'ours', '', 40, runs, runs)\n"
            f"cli.main(['sweep', 'ended', '--device', 'cpu', '--store', {str(tmp_path)!r}])")
    process = run_python(code)
    while process.poll() is None and not shards(tmp_path):
        time.sleep(0.01)
    time.sleep(0.5)
    process.send_signal(getattr(signal, end))
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 1 and "Error: interrupted; what was trained" in complaint
    frame = Store(tmp_path).frame().set_index("run_id")
    assert frame.last_step[ENDED[0].run_id] == 40 and 40 < frame.last_step[ENDED[1].run_id] < 10**7
    report = sweep(study_of("ended", ENDED), Store(tmp_path), budget=1, say=quiet)
    assert (report.present, report.left) == (1, 1)


def test_what_threads_train_is_gathered_when_the_sweep_is_ended(compiled, tmp_path):
    """^C comes once the first cohort is stored: one is under way, one waits and never begins."""
    lines = []

    def interrupt(line: str) -> None:
        lines.append(line)
        if len(lines) == 1:
            while "watching" not in {thread.name for thread in threading.enumerate()}:
                time.sleep(0.01)
            raise KeyboardInterrupt

    runs = (*ENDED, ENDED[1].replace(seed=2))
    with ThreadPoolExecutor(1) as pool, pytest.raises(KeyboardInterrupt):
        sweep(study_of("ended", runs), Store(tmp_path), pool, cohort=1, device="cpu", say=interrupt)
    assert Store(tmp_path).frame().seed.tolist() == [0, 1] and Store(tmp_path).check() == []


def test_what_processes_train_is_gathered_when_the_sweep_is_ended(tmp_path):
    """One cohort has finished, one is under way, one waits."""
    runs = (*ENDED, ENDED[1].replace(seed=2))
    code = ("from concurrent.futures import *\nfrom multiprocessing import get_context\n"
            "from grokbook import RunConfig, Store, studies, sweep\n"
            f"runs = {runs!r}\nstudy = studies.Study('ended', 'ours', '', 40, runs, runs)\n"
            "with ProcessPoolExecutor(1, get_context('spawn')) as pool: sweep.sweep("
            f"study, Store({str(tmp_path)!r}), pool, cohort=1, device='cpu')")
    process = run_python(code)
    while process.poll() is None and not shards(tmp_path):
        time.sleep(0.01)
    time.sleep(0.5)
    process.terminate()
    _, complaint = process.communicate(timeout=60)
    assert complaint.splitlines()[-1] == "KeyboardInterrupt"
    frame = Store(tmp_path).frame().set_index("run_id")
    assert len(frame) == 2 and 40 < frame.last_step[ENDED[1].run_id] < 10**7
    assert Store(tmp_path).check() == []


ENDED = (QUICK, QUICK.replace(seed=1, n_steps=10**7, stop_early=False))

"""Train what a study wants and the store lacks: study − store → cohorts → train → store.

Every run is written as soon as it has finished, so a sweep that is killed loses only what was under way, and the next
one trains only what is missing. ^C, SIGTERM and SIGHUP end it with what was under way stored as far as it came.

Without an executor the cohorts train in this process, one after another. With one, anything
that has `submit(function, *arguments)` and gives results with `done()` and `result()`, they are its tasks:
`concurrent.futures`, `dask.distributed.Client`, `submitit.AutoExecutor`. Only this process writes to the store.
`docs/clusters.md` shows each of them.
"""

import concurrent.futures
import contextlib
import multiprocessing
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch

from grokbook import interrupts
from grokbook.config import RunConfig
from grokbook.networks import named
from grokbook.run import Run, covers
from grokbook.store import Store
from grokbook.studies import Study
from grokbook.training import Training, cohorts, train

COHORT = 8
"""Runs of a cohort where the CPU trains: enough to keep its threads busy, few enough to lose little to a kill. A CUDA
device is given all of a shape, for it is the faster the more it has; the engines cut them to what its memory holds."""

TELL = 30
"""Seconds between lines of progress."""

POLL = 0.2
"""Seconds between looks at an executor's tasks."""

GRACE = 20
"""Seconds for which an interrupted sweep waits for what its executor's tasks have trained; SLURM kills after 30."""

TRIES = 2
"""How often a cohort is tried; its error is kept and reported if it fails each time."""


class Executor(Protocol):
    """Where cohorts train, if not here."""

    def submit(self, function: Callable, /, *arguments: Any) -> Any: ...


@dataclass
class Report:
    """What a sweep did. `errors` maps the run_ids of a cohort that failed to what it said; `left` runs are missing.

    `cut` runs were stored as far as they were followed when the sweep had to end.
    """

    trained: int = 0
    cut: int = 0
    present: int = 0
    left: int = 0
    model_steps: int = 0
    seconds: float = 0.0
    errors: dict[tuple[str, ...], str] = field(default_factory=dict)

    def __str__(self) -> str:
        rate = self.model_steps / self.seconds if self.seconds else 0
        cut = f", {self.cut} in part" if self.cut else ""
        text = (f"{self.trained} runs trained{cut}, {self.present} were there, {self.left} missing; "
                f"{self.model_steps:,} model-steps in {self.seconds:.0f} s, {rate:,.0f} a second")
        if self.cut and not self.trained:
            text += ("\nNothing was finished, and what was cut begins anew next time: give a longer budget, or in "
                     "Python a smaller cohort")
        return text + "".join(f"\nfailed: runs {', '.join(ids)}: {error}" for ids, error in self.errors.items())


def sweep(study: Study, store: Store | None = None, executor: Executor | None = None, *, size: str = "paper",
          device: str = "auto", cohort: int | None = None, budget: float | None = None,
          say: Callable[[str], None] | None = None) -> Report:
    """Train the study's missing runs into the store, the shipped one if none is given, and report.

    Args:
        executor: where cohorts train; None for here.
        size: `paper`, or `laptop` for the part of it that two CPU cores can train.
        device: as for `train`; `auto` is what this machine has, so name `cuda` for a cluster of GPUs.
        cohort: most runs that train together; without it `COHORT` on a CPU and all of a shape on a CUDA device.
        budget: seconds after which the sweep ends cleanly: what is under way, here or in an executor's tasks, ends
            and is stored as far as it was followed; what has not begun is left.
        say: is told a line of progress now and then; standard error if none is given.

    Raises:
        ValueError: a cohort of less than one, or no such size.
        OSError: the store cannot be written, which is tried first, or lacks weights that a run starts from; what was
            trained before is in it.
    """
    if cohort is not None and cohort < 1:
        raise ValueError(f"cohort={cohort} is too small; valid: 1 or more")
    store, start = store or Store(), time.monotonic()
    wanted, total = study.missing(size, store), len(study.runs(size))
    if wanted:
        store.try_writing()
    started = {config.parent: config.parent.split("@") for config in wanted if config.parent}
    parents = {parent: store.weights(run_id, int(step)) for parent, (run_id, step) in started.items()}
    options = {"device": device, "parents": parents}
    on_cuda = device.startswith("cuda") or device == "auto" and torch.cuda.is_available()
    most = cohort or (len(wanted) if on_cuda else COHORT)
    groups = [group[i : i + most] for group in cohorts(wanted) for i in range(0, len(group), most)]
    progress = _Progress(study.name, store, wanted, total, start, say or _say)
    deadline = None if budget is None else time.time() + budget
    with interrupts.heeded():
        if executor is None:
            _train_here(groups, options, progress, deadline)
        else:
            _train_there(groups, executor, options, progress, deadline)
    progress.report.seconds = time.monotonic() - start
    progress.report.left = len(study.missing(size, store))
    return progress.report


def keep_weights(name: str, store: Store | None = None, *, device: str = "auto",
                 say: Callable[[str], object] = lambda line: None) -> Run:
    """Train one of `networks.KEPT` and store its weights at the steps named there and at its end.

    Raises:
        ValueError: there is no such network.
        OSError: the store cannot be written.
    """
    store, network = store or Store(), named(name)
    store.try_writing()
    training, said = train([network.config], device=device), time.monotonic()
    for evaluation in training:
        if time.monotonic() - said > TELL:
            say(f"{name}: step {evaluation.step:,} of at most {network.config.n_steps:,}")
            said = time.monotonic()
        (run,) = evaluation.finished or training.runs()
        if evaluation.step in network.steps or evaluation.finished:
            kept = {array: run.weights[array] for array in network.arrays or run.weights}
            path = store.write_weights(replace(run, weights=kept), evaluation.step)
            say(f"{name}: wrote {path.name}")
    return run


class _Progress:
    """Stores runs and keeps count."""

    def __init__(self, study: str, store: Store, wanted: Sequence[RunConfig], total: int, start: float, say):
        self.study, self.store, self.start, self.say = study, store, start, say
        self.total, self.report = len(wanted), Report(present=total - len(wanted))
        self._said = start

    def add(self, runs: Sequence[Run]) -> None:
        """Store runs, finished or cut."""
        if runs:
            self.store.write(runs, self.study)
            done = sum(covers(run.last_step, run.settled, run.config) for run in runs)
            self.report.trained += done
            self.report.cut += len(runs) - done
            self.report.model_steps += sum(run.last_step for run in runs)
            self.tell()

    def failed(self, group: Sequence[RunConfig], error: Exception, attempt: int) -> list[tuple]:
        """Say so; the cohort and the number of its next try, or nothing after the last, whose error is kept."""
        self.say(f"{self.study}: a cohort failed ({error}), try {attempt} of {TRIES}")
        if attempt < TRIES:
            return [(group, attempt + 1)]
        self.report.errors[tuple(config.run_id for config in group)] = repr(error)
        return []

    def tell(self, under_way: str = "", every: float = 0.0) -> None:
        """A line of progress, unless the last one is more recent than `every` seconds."""
        now = time.monotonic()
        if now - self._said < every:
            return
        self._said, done, elapsed = now, self.report.trained, now - self.start
        rest = f", about {elapsed / done * (self.total - done) / 60:.0f} min left" if done else ""
        self.say(f"{self.study}: {done} of {self.total} runs, {elapsed / 60:.1f} min{rest}{under_way}")


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # a terminal that is gone; training needs none
        print(line, file=sys.stderr, flush=True)


def _late(deadline: float | None) -> bool:
    """Whether the deadline, seconds since 1970 on any machine's clock, has passed."""
    return deadline is not None and time.time() > deadline


def _train_here(groups, options: dict[str, Any], progress: _Progress, deadline: float | None) -> None:
    waiting = [(group, 1) for group in groups]
    while waiting and not _late(deadline):
        group, attempt = waiting.pop(0)
        try:
            _train_one(group, options, progress, deadline)
        except (OSError, ValueError):
            raise  # a store that cannot be written, or a device or engine that will refuse every cohort
        except Exception as error:  # whatever an engine, a compiler or a driver can say
            waiting[:0] = progress.failed(progress.store.missing(group), error, attempt)


def _train_one(group, options: dict[str, Any], progress: _Progress, deadline: float | None) -> None:
    """One cohort; at the deadline, or on an interrupt, its unfinished runs are stored as far as they were followed."""
    training = train(group, **options)
    finished: set[str] = set()
    try:
        with _ended(training, lambda: _late(deadline)):
            for evaluation in training:
                progress.add(evaluation.finished)
                finished |= {run.config.run_id for run in evaluation.finished}
                progress.tell(f"; step {evaluation.step:,}, {training.steps_per_second * len(group):,.0f} model-steps "
                              "a second", every=TELL)
    finally:
        with interrupts.kept():  # who is impatient and ends it twice loses nothing either
            progress.add([run for run in training.runs() if run.config.run_id not in finished and run.last_step])


@contextlib.contextmanager
def _ended(training: Training, due: Callable[[], bool]) -> Iterator[None]:
    """Stop the training soon after it is due to end; its evaluations may be minutes apart."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(POLL):
            if due():
                return training.stop()

    thread = threading.Thread(target=watch, name="watching", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _train_there(groups, executor: Executor, options: dict[str, Any], progress: _Progress,
                 deadline: float | None) -> None:
    waiting, running = [(group, 1) for group in groups], {}
    end = (progress.store.path / f".{uuid.uuid4().hex}.end").absolute()
    try:
        while waiting or running:
            if _late(deadline):
                waiting = []
                _withdraw(running)
            for group, attempt in waiting:
                task = executor.submit(train_group, list(group), options, deadline, attempt, str(end))
                running[task] = (group, attempt)
            waiting = _gather(running, progress)
            rate = progress.report.model_steps / (time.monotonic() - progress.start)
            progress.tell(f"; {len(running)} cohorts under way, {rate:,.0f} model-steps a second", every=TELL)
            time.sleep(POLL)
    except KeyboardInterrupt:
        _end(running, end, progress)
        raise


def _gather(running: dict, progress: _Progress) -> list[tuple]:
    """Store what tasks that are done have trained, and forget them; the cohorts that are to be tried again."""
    again = []
    for task in [task for task in running if task.done()]:
        with interrupts.kept() as interrupted:
            group, attempt = running.pop(task)
            try:
                runs = task.result()
            except Exception as error:  # whatever a cluster can say
                runs = []
                again += progress.failed(group, error, attempt)
            progress.add(runs)
        if interrupted:
            raise KeyboardInterrupt
    return again


def _withdraw(running: dict) -> None:
    """Cancel and forget what waits in a batch system's queue or a pool's; elsewhere what begins late ends at once."""
    for task in list(running):
        state = getattr(task, "state", "")  # as submitit's jobs have it; their cancel() would end a running one too
        if state == "PENDING" or (not state and isinstance(task, concurrent.futures.Future)):
            if task.cancel() or state:
                del running[task]


def _end(running: dict, end: Path, progress: _Progress) -> None:
    """Tell tasks under way to end, by a file that those see which share the store's folder; store what they give."""
    with contextlib.suppress(OSError):  # no room or right; then they are only waited for
        end.touch()
    _withdraw(running)
    until = time.monotonic() + GRACE
    while running and time.monotonic() < until:
        _gather(running, progress)
        time.sleep(POLL)
    if running:
        progress.say(f"{progress.study}: {len(running)} cohorts did not end in {GRACE} s; what they train is lost")
    else:
        end.unlink(missing_ok=True)


def train_group(group: list[RunConfig], options: dict[str, Any], deadline: float | None, attempt: int,
                end: str = "") -> list[Run]:
    """What a task of an executor does: train one cohort until it has ended, the deadline, or there is a file `end`.

    The runs travel without weights. `attempt` only makes the arguments of a second try differ: Dask takes equal calls
    for one, and gives its old error.
    """
    def due() -> bool:
        return _late(deadline) or bool(end) and Path(end).exists()

    if due():
        return []
    if multiprocessing.parent_process() and threading.current_thread() is threading.main_thread():
        # A terminal sends ^C to all, and a pool dies, with what it trained, of the first idle process that hears it.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    training = train(group, **options)
    with interrupts.heeded(), contextlib.suppress(KeyboardInterrupt), _ended(training, due):
        for _ in training:  # a node that is taken away gives what it has
            pass
    return [Run(run.config, run.curves, run.provenance) for run in training.runs()
            if run.last_step or not run.config.n_steps]

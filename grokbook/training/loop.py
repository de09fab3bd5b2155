"""The one training loop: an engine steps, the loop decides when to look, what to record and when a run has ended."""

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from grokbook import models
from grokbook.config import RunConfig
from grokbook.run import ACCURACIES, METRICS, Run, evaluation_steps, has_settled

CHUNK_SECONDS = 0.2
"""An engine is asked for about this much work at a time, so that ^C and `stop` act promptly."""


class Engine(Protocol):
    """Trains a cohort in place. Members are numbered in the order given, and renumbered by `keep`."""

    name: str

    def advance(self, n_steps: int) -> None: ...  # returns once the steps are taken, for the loop times it
    def evaluate(self) -> dict[str, np.ndarray]: ...
    def weights(self, member: int) -> np.ndarray: ...
    def keep(self, members: Sequence[int]) -> None: ...


@dataclass(frozen=True)
class Evaluation:
    """A look at the cohort: `metrics` maps each of `METRICS` to (run,), NaN for runs not evaluated at this step.

    `finished` are the runs that ended here, complete with curves and weights.
    """

    step: int
    metrics: dict[str, np.ndarray]
    finished: tuple[Run, ...] = ()


class Training:
    """A cohort in training; iterate over it to train.

    Each item is an `Evaluation`. Leaving the iteration early, by `break`, `stop()` or ^C, loses nothing: `runs()` gives
    every run as far as it was followed, and iterating again goes on, to the curves that it would have had without the
    pause. ^C takes effect between two chunks of steps, the first of which may compile the engine for half a minute, so
    it never tears a step.
    """

    def __init__(self, configs: Sequence[RunConfig], engine: Engine, provenance: dict[str, Any]):
        self.configs, self.provenance = list(configs), provenance
        self.step, self.seconds = 0, 0.0
        self._shares = [0.0 for _ in self.configs]
        self._engine = engine
        self._due = [set(evaluation_steps(c.n_steps).tolist()) for c in self.configs]
        self._members = list(range(len(self.configs)))
        self._curves: list[list[list[float]]] = [[] for _ in self.configs]
        self._finished: dict[int, Run] = {}
        self._stopping = False
        self._pace = 0.0

    def __iter__(self) -> Iterator[Evaluation]:
        return self

    def __next__(self) -> Evaluation:
        if not self._members or self._stopping:
            self._stopping = False
            raise StopIteration
        upcoming = [step for i in self._members for step in self._due[i] if step > self.step or not self._curves[i]]
        with _interrupts_kept() as interrupted:
            self._advance(min(upcoming), interrupted)
            evaluation = self._evaluate() if self.step == min(upcoming) or self._stopping else None
        if evaluation is None or interrupted:
            raise KeyboardInterrupt
        return evaluation

    def stop(self) -> None:
        """End the training soon, from any thread: one last evaluation where it stands, then the iteration ends."""
        self._stopping = True

    def runs(self) -> list[Run]:
        """Every run as far as it was followed, in the order of `configs`; runs without an evaluation are left out."""
        behind = [i for i in self._members if self._curves[i] and self._curves[i][-1][0] < self.step]
        if behind:  # curves and weights are of one step
            self._record(self._engine.evaluate(), behind)
        return [self._finished.get(i) or self._run(i) for i in range(len(self.configs)) if self._curves[i]]

    @property
    def steps_per_second(self) -> float:
        """Steps of the whole cohort a second, of late; 0 before the first."""
        return 1 / self._pace if self._pace else 0.0

    def _advance(self, target: int, interrupted: list) -> None:
        while self.step < target and not self._stopping and not interrupted:
            chunk = min(target - self.step, max(1, int(CHUNK_SECONDS / self._pace)) if self._pace else 1)
            start = time.perf_counter()
            self._engine.advance(chunk)
            elapsed = time.perf_counter() - start
            self.step, self._pace = self.step + chunk, elapsed / chunk
            self._spend(elapsed)

    def _evaluate(self) -> Evaluation:
        start = time.perf_counter()
        measured = self._engine.evaluate()
        self._spend(time.perf_counter() - start)
        metrics = {name: np.full(len(self.configs), np.nan) for name in METRICS}
        seen = [i for i in self._members if self.step in self._due[i] or self._stopping]
        for i in seen:
            for name in METRICS:
                metrics[name][i] = measured[name][self._members.index(i)]
        self._record(measured, seen)
        return Evaluation(self.step, metrics, self._drop_ended())

    def _spend(self, elapsed: float) -> None:
        self.seconds += elapsed
        for i in self._members:
            self._shares[i] += elapsed / len(self._members)

    def _record(self, measured: dict[str, np.ndarray], seen: Sequence[int]) -> None:
        """Note where runs stand. What was noted of a step that is not due, at a pause say, lasts until the next."""
        for i in seen:
            member, curve = self._members.index(i), self._curves[i]
            if curve and (curve[-1][0] == self.step or curve[-1][0] not in self._due[i]):
                curve.pop()
            curve.append([self.step, *(float(measured[name][member]) for name in METRICS)])

    def _drop_ended(self) -> tuple[Run, ...]:
        ended = [i for i in self._members if self.step >= self.configs[i].n_steps or self._settled(i)]
        for i in ended:
            self._finished[i] = self._run(i)
        if ended:
            staying = [member for member, i in enumerate(self._members) if i not in ended]
            self._members = [self._members[member] for member in staying]
            if staying:
                self._engine.keep(staying)
        return tuple(self._finished[i] for i in ended)

    def _settled(self, i: int) -> bool:
        """Whether the run may stop early. Only steps that are due decide, whatever pauses there were."""
        columns, due = [1 + METRICS.index(name) for name in ACCURACIES], self.step in self._due[i]
        return due and self.configs[i].stop_early and has_settled(np.array(self._curves[i])[:, columns])

    def _run(self, i: int) -> Run:
        columns = np.array(self._curves[i]).T
        curves = {"step": columns[0].astype(np.int64)}
        curves |= {name: columns[k + 1].astype(np.float32) for k, name in enumerate(METRICS)}
        provenance = {**self.provenance, "seconds": self._shares[i]}
        weights = {}
        if i in self._members:
            flat = self._engine.weights(self._members.index(i)).astype(np.float32)
            weights = models.unflatten(flat, self.configs[i])
        return Run(self.configs[i], curves, provenance, weights)


@contextmanager
def _interrupts_kept() -> Iterator[list]:
    """Note ^C instead of raising it in the middle of a step; the list that is given fills when it came.

    Only the main thread gets signals, and some programs ignore this one; then there is nothing to keep.
    """
    noted: list = []
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, None):
        yield noted
        return
    before = signal.signal(signal.SIGINT, lambda *_: noted.append(True))
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)

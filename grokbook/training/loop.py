"""The one training loop: an engine steps, the loop decides when to look, what to record and when a run has ended."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from grokbook import interrupts, models
from grokbook.config import RunConfig
from grokbook.run import ACCURACIES, METRICS, Run, evaluation_steps, has_settled

CHUNK_SECONDS = 0.2
"""An engine is asked for about this much work at a time, so that ^C and `stop` act promptly."""


class Engine(Protocol):
    """Trains a cohort in place. Members are numbered in the order given, and renumbered by `keep`.

    Made from the configs, which agree in the fields of `config.SHARED`, their flat starting weights (member, n_params),
    a torch device and the name of the dtype of all arithmetic, float32 or float64.
    """

    name: str

    @classmethod
    def cannot(cls, config: RunConfig, device: torch.device, dtype: str) -> str: ...  # why not, in words; "" if it can
    def advance(self, n_steps: int) -> None: ...  # returns once the steps are taken, for the loop times it
    def evaluate(self) -> dict[str, np.ndarray]: ...  # the six metrics now, each (member,) float64
    def weights(self, member: int) -> np.ndarray: ...  # flat, (n_params,)
    def keep(self, members: Sequence[int]) -> None: ...  # goes on with these only, in this order


class Evaluation(NamedTuple):
    """A look at the cohort: `metrics` maps each of `METRICS` to (run,), NaN for runs not evaluated at this step.

    `finished` are the runs that ended here, complete with curves and weights.
    """

    step: int
    metrics: dict[str, np.ndarray]
    finished: tuple[Run, ...] = ()


@dataclass
class _Track:
    """One run as far as it was followed: `rows` are [step, *the six metrics] of its evaluations."""

    number: int  # in the order of the configs
    config: RunConfig
    rows: list[list[float]] = field(default_factory=list)
    seconds: float = 0.0
    finished: Run | None = None

    def __post_init__(self):
        self.due = set(evaluation_steps(self.config.n_steps).tolist())

    def record(self, step: int, values: Sequence[float]) -> None:
        """Note where the run stands. What was noted of a step that is not due, at a pause say, lasts until the next."""
        if self.rows and (self.rows[-1][0] == step or self.rows[-1][0] not in self.due):
            self.rows.pop()
        self.rows.append([step, *map(float, values)])

    @property
    def settled(self) -> bool:
        """Whether the run may stop early. Only steps that are due decide, whatever pauses there were."""
        columns, rows = [1 + METRICS.index(name) for name in ACCURACIES], np.array(self.rows)
        return self.config.stop_early and int(rows[-1, 0]) in self.due and has_settled(rows[:, columns])

    def run(self, weights: np.ndarray, provenance: dict[str, Any]) -> Run:
        """The run as far as it was followed, with its flat weights now."""
        columns = np.array(self.rows).T
        curves = {"step": columns[0].astype(np.int64)}
        curves |= {name: column.astype(np.float32) for name, column in zip(METRICS, columns[1:], strict=True)}
        named = models.unflatten(weights.astype(np.float32), self.config)
        return Run(self.config, curves, {**provenance, "seconds": self.seconds}, named)


class Training:
    """A cohort in training; iterate over it to train.

    Each item is an `Evaluation`. Leaving the iteration early, by `break`, `stop()` or ^C, loses nothing: `runs()` gives
    every run as far as it was followed, and iterating again goes on, to the curves that it would have had without the
    pause. ^C takes effect between two chunks of steps, the first of which may compile the engine for half a minute, so
    it never tears a step. Other threads may call `stop` and read `step`; `runs` is for the one that iterates.
    """

    def __init__(self, configs: Sequence[RunConfig], engine: Engine, provenance: dict[str, Any]):
        self.configs, self.provenance = list(configs), provenance
        self.step, self.seconds = 0, 0.0
        self._engine = engine
        self._tracks = [_Track(number, config) for number, config in enumerate(self.configs)]
        self._alive = list(self._tracks)  # in the engine's order
        self._stopping = False
        self._pace = 0.0

    def __iter__(self) -> Iterator[Evaluation]:
        while self._alive and not self._stopping:
            with interrupts.kept() as interrupted:

                # -------------------------------------------------------------------------------------------------
                # take steps until a run is due, a chunk at a time, so that ^C and stop act promptly
                due = min(due for track in self._alive for due in track.due if due > self.step or not track.rows)
                while self.step < due and not self._stopping and not interrupted:
                    chunk = min(due - self.step, max(1, int(CHUNK_SECONDS * self.steps_per_second)))
                    before = self.seconds
                    with self._timed():
                        self._engine.advance(chunk)
                    self.step, self._pace = self.step + chunk, (self.seconds - before) / chunk
                if self.step < due and not self._stopping:
                    raise KeyboardInterrupt

                # -------------------------------------------------------------------------------------------------
                # look at every run that is due, and at a stop at all of them
                stopping = self._stopping
                with self._timed():
                    measured = self._engine.evaluate()
                metrics = {name: np.full(len(self.configs), np.nan) for name in METRICS}
                for member, track in enumerate(self._alive):
                    if self.step in track.due or stopping:
                        for name in METRICS:
                            metrics[name][track.number] = measured[name][member]
                        track.record(self.step, [measured[name][member] for name in METRICS])

                # -------------------------------------------------------------------------------------------------
                # who has ended, by budget or settled at 1? The engine goes on with the others
                ended = [track for track in self._alive if self.step >= track.config.n_steps or track.settled]
                for track in ended:
                    track.finished = self._run(track)
                if ended:
                    staying = [member for member, track in enumerate(self._alive) if not track.finished]
                    self._alive = [self._alive[member] for member in staying]
                    if staying:
                        self._engine.keep(staying)

            if interrupted:
                raise KeyboardInterrupt
            yield Evaluation(self.step, metrics, tuple(track.finished for track in ended if track.finished))
        self._stopping = False

    def stop(self) -> None:
        """End the training soon, from any thread: one last evaluation where it stands, then the iteration ends."""
        self._stopping = True

    def runs(self) -> list[Run]:
        """Every run as far as it was followed, in the order of `configs`; runs without an evaluation are left out."""
        behind = {member: track for member, track in enumerate(self._alive)
                  if track.rows and track.rows[-1][0] < self.step}
        if behind:  # curves and weights are of one step
            measured = self._engine.evaluate()
            for member, track in behind.items():
                track.record(self.step, [measured[name][member] for name in METRICS])
        return [track.finished or self._run(track) for track in self._tracks if track.rows]

    @property
    def steps_per_second(self) -> float:
        """Steps of the whole cohort a second, of late; 0 before the first."""
        return 1 / self._pace if self._pace else 0.0

    def _run(self, track: _Track) -> Run:
        return track.run(self._engine.weights(self._alive.index(track)), self.provenance)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """Count the seconds of the block as those of the runs in training, in equal shares."""
        start = time.perf_counter()
        yield
        elapsed = time.perf_counter() - start
        self.seconds += elapsed
        for track in self._alive:
            track.seconds += elapsed / len(self._alive)

"""What training gives: curves of six metrics on a fixed grid of steps, with their provenance.

The grid is logarithmic and the same for every run, whatever its budget, so runs of different lengths share their steps
and a shorter budget can be read off a longer run.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np

from grokbook.config import RunConfig

METRICS = ("train_loss", "train_acc", "val_loss", "val_acc", "twin_free_val_acc", "param_norm")
"""Losses in nats, means over pairs; accuracies as fractions; the norm is the Euclidean norm of all weights.

`val_acc` is over every pair that was not trained on, as in the papers. `twin_free_val_acc` leaves out those whose
mirror (b, a) was trained on, which a network that merely treats a and b alike would get right; for division, those with
a = 0. See `tasks.Split`."""

ACCURACIES = ("train_acc", "val_acc", "twin_free_val_acc")

PER_DECADE = 50  # evaluations in a factor of ten of steps: neighbours lie 4.7 % apart, 206 evaluations in 100,000 steps
SETTLED = 5  # a run stops early once all its accuracies were 1 at this many evaluations in a row, a fifth more steps


def evaluation_steps(n_steps: int) -> np.ndarray:
    """Steps at which a run of that budget is evaluated: 0, the logarithmic grid, and the last one. int64, ascending."""
    decades = math.log10(max(n_steps, 1))
    grid = np.round(10 ** (np.arange(int(decades * PER_DECADE) + 1) / PER_DECADE)).astype(np.int64)
    return np.unique(np.concatenate([[0, n_steps], grid[grid <= n_steps]]))


@dataclass(frozen=True)
class Run:
    """One trained run.

    `curves` maps `step` (int64) and each of `METRICS` (float32; NaN where a metric has no pairs to be measured on) to
    arrays of one length. `provenance` says what trained it: engine, device, versions, and `seconds`, this run's share
    of the cohort's time: each moment is divided evenly among the runs then in training. `weights` are the final ones
    by name.
    """

    config: RunConfig
    curves: dict[str, np.ndarray]
    provenance: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    @property
    def last_step(self) -> int:
        """The step to which the curves reach."""
        return int(self.curves["step"][-1])

    @property
    def settled(self) -> bool:
        """Whether the early-stop rule held somewhere along the curves; only steps of the grid decide, not a pause."""
        due = np.isin(self.curves["step"], evaluation_steps(self.config.n_steps))
        accuracies = np.stack([self.curves[name][due] for name in ACCURACIES], axis=1)
        return any(has_settled(accuracies[:n]) for n in range(SETTLED, len(accuracies) + 1))


def covers(last_step: int, settled: bool, request: RunConfig) -> bool:
    """Whether a run followed to `last_step` is followed as far as `request` asks."""
    return last_step >= request.n_steps or (settled and request.stop_early)


def has_settled(accuracies: np.ndarray) -> bool:
    """The early-stop rule: every accuracy that exists was exactly 1 at the last `SETTLED` evaluations.

    `accuracies`: (evaluation, accuracy), NaN where there is nothing to measure.
    """
    last = accuracies[-SETTLED:]
    return len(last) == SETTLED and bool(np.all((last == 1) | np.isnan(last))) and not np.isnan(last).all()


def hours(runs: Collection[RunConfig], stored: Iterable[Any]) -> dict[str, tuple[float, int]]:
    """For each device, as runs store its name: hours to the last step of these, and how many of them it cannot tell of.

    A run takes its steps, times its examples a step, times the median seconds a step and example of stored runs of that
    device, architecture and depth and of the nearest d_h; from there to its own the time grows with the square. It is
    what the engines and the load of those days made of it, and too long for runs that settle early.

    `stored` are rows of a `Store.frame`; those without a time, or without a step, do not count.
    """
    pace: dict[tuple, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in stored:
        if row.seconds > 0 and row.last_step:
            each = row.seconds / row.last_step / _examples(row)
            pace[row.device, row.architecture, row.n_layers][row.d_h].append(each)
    left = {}
    for device in {device for device, *_ in pace}:
        known = [(run, sizes) for run in runs if (sizes := pace.get((device, run.architecture, run.n_layers)))]
        left[device] = sum(_seconds(run, sizes) for run, sizes in known) / 3600, len(runs) - len(known)
    return left


def _seconds(run: RunConfig, sizes: dict[int, list[float]]) -> float:
    nearest = min(sizes, key=lambda d_h: max(d_h, run.d_h) / min(d_h, run.d_h))
    return median(sizes[nearest]) * (run.d_h / nearest) ** 2 * _examples(run) * run.n_steps


def _examples(run: RunConfig) -> int:
    """Examples of a step: a batch, or without batches all."""
    return run.batch_size or run.D_train + run.D_random

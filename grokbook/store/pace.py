"""How long runs will take, by the wall times of those that are stored."""

from collections import defaultdict
from collections.abc import Collection
from statistics import median
from typing import Any

import pandas as pd

from grokbook.config import RunConfig


def hours(runs: Collection[RunConfig], stored: pd.DataFrame) -> dict[str, tuple[float, int]]:
    """For each device, as runs store its name: hours to the last step of these, and how many of them it cannot tell of.

    A run takes its steps, times its examples a step, times the median seconds a step and example of stored runs of that
    device, architecture and depth and of the nearest d_h; from there to its own the time grows with the square. It is
    what the engines and the load of those days made of it, and too long for runs that settle early.

    `stored` is a `Store.frame`; runs without a time, or without a step, do not count.
    """
    rows: Any = stored[(stored["seconds"] > 0) & (stored["last_step"] > 0)].itertuples()
    pace: dict[tuple, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
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

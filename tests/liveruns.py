"""Live runs for tests without a browser: made and closed, waited for, and read."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import grokbook as gb
from grokbook import plots

CONFIG = gb.RunConfig(p=7, d_h=8, D_train=20, n_steps=60, stop_early=False)
ENDED = ("stopped", "finished", "failed")
PATIENCE = 120
"""Seconds after which a condition counts as failed: on a new machine the first training compiles."""


@contextmanager
def making(folder: Path) -> Iterator[Callable[..., gb.widgets.LiveRun]]:
    """A maker of live runs that write into this folder; they are closed in the end."""
    made = []

    def make(config: gb.RunConfig = CONFIG, **more) -> gb.widgets.LiveRun:
        made.append(gb.widgets.LiveRun(config, store=gb.Store(folder), **more))
        return made[-1]

    yield make
    for run in made:
        run.close()


def reach(run: gb.widgets.LiveRun, *phases: str) -> None:
    """Wait until the widget is in one of these phases."""
    reached = threading.Event()

    def look(_=None):
        if run.phase in phases:
            reached.set()

    run.observe(look, "phase")
    look()
    assert reached.wait(PATIENCE), run.phase
    run.unobserve(look, "phase")


def drawn(run: gb.widgets.LiveRun, metric: str = "val_acc") -> np.ndarray:
    """What the figure shows of a metric, of all seeds, without the gap behind each."""
    (trace,) = plots.find(run.plot.figure, metric=metric, role="line")
    return np.array(trace.y)[:-1]

"""Watch a training as it runs, in the cell that started it."""

import json
import time
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from IPython.display import clear_output, display

from grokbook.config import RunConfig
from grokbook.plots import learning_curves
from grokbook.plots.picture import mime_bundle
from grokbook.run import METRICS, Run

if TYPE_CHECKING:
    from grokbook.training import Training

EVERY = 0.5
"""Seconds between redraws: a page that redraws more often is slow to answer the mouse."""


def watch(training: "Training", *, metric: str = "accuracy") -> list[Run]:
    """Train to the end and redraw the curves meanwhile; returns the runs.

    ■ (interrupt the kernel) or ^C ends it early, draws what there is and returns it: nothing trained is lost. The cell
    is busy meanwhile. `training` is what `gb.train` gives, of runs that differ by seed alone; `metric` as in
    `plots.learning_curves`.

    Raises:
        ValueError: runs that cannot be drawn as one cell, or an unknown metric, before anything is trained.
    """
    learning_curves([at_start(config) for config in training.configs], metric=metric)  # refuses what cannot be drawn
    print("Training: the first steps … (on a new machine half a minute of compilation comes first)")
    drawn = time.monotonic()
    try:
        for _ in training:
            if time.monotonic() - drawn >= EVERY:
                _draw(learning_curves(training.runs(), metric=metric), training)
                drawn = time.monotonic()
    except KeyboardInterrupt:
        pass
    runs = training.runs()
    if runs:
        _show(mime_bundle(learning_curves(runs, metric=metric)))
    return runs


def at_start(config: RunConfig) -> Run:
    """A run of which nothing is known yet."""
    return Run(config, {"step": np.zeros(1, np.int64)} | {name: np.full(1, np.nan, np.float32) for name in METRICS})


def _draw(fig: go.Figure, training: "Training") -> None:
    title = fig.to_dict()["layout"]["title"]["text"]
    fig.update_layout(title_text=f"{title}: step {training.step:,}, {training.steps_per_second:.0f} a second")
    figure = json.loads(fig.to_json() or "{}")
    _show({"application/vnd.plotly.v1+json": figure, "text/plain": "training …"})


def _show(bundle: dict) -> None:
    """In place of what the cell shows. JupyterLab does not redraw a figure whose output is merely updated."""
    clear_output(wait=True)
    display(bundle, raw=True)

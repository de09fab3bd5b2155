"""What the store knows of a cell before it is trained again: its runs, drawn pale, and when such networks understood."""

from functools import lru_cache

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from grokbook.analysis import events
from grokbook.config import RunConfig
from grokbook.plots import grokking_panels
from grokbook.store import Store

PALE = 0.3
"""Opacity of what is stored, under what is trained."""


def stored_cell(config: RunConfig) -> xr.Dataset | None:
    """The stored runs of a config, of every seed, each as far as it was followed; None where there are none."""
    store = Store()
    wanted = [run for run in _followed(str(store.path)) if (run.d_h, run.D_train) == (config.d_h, config.D_train)
              and run.replace(seed=config.seed).run_id == config.run_id]
    return store.load(wanted) if wanted else None


@lru_cache(maxsize=4)
def _followed(path: str) -> list[RunConfig]:
    """The runs of a store when it was first asked; to list them takes a third of a second."""
    try:
        return Store(path).followed()
    except LookupError:
        return []


def usual_step(cell: xr.Dataset) -> int | None:
    """The step by which half of a cell's runs that ever generalised had; None where none did."""
    steps = events(cell)["t_gen"].values
    return int(np.nanmedian(steps)) if np.isfinite(steps).any() else None


def told(cell: xr.Dataset) -> str:
    """What became of a cell's stored runs, in a sentence."""
    n, steps = int(cell["trained"].sum()), events(cell)["t_gen"].values
    understood = int(np.isfinite(steps).sum())
    when = f", in the middle at step {usual_step(cell):,}" if understood else ""
    return f"Pale: {n} stored {'run' if n == 1 else 'runs'} of it; {understood} of {n} understood{when}."


def over_stored(fig: go.Figure, cell: xr.Dataset, seed: int) -> go.Figure:
    """A figure of accuracy, loss and norm with the stored runs of its cell drawn pale below it, `seed` the thickest."""
    place = (int(cell["d_h"].item()), int(cell["D_train"].item()))
    below = grokking_panels(cell, cells=[place], seed=seed if seed in cell["seed"].values else None)
    for trace in below.data:
        trace.update(opacity=PALE, showlegend=False, meta=trace.meta | {"role": f"stored {trace.meta['role']}"})
    axes, others = fig.to_dict()["layout"], below.to_dict()["layout"]
    known = any(np.isfinite(np.asarray(trace.y, float)).any() for trace in fig.data)
    ranges = {name: _both(axes[name]["range"], others[name]["range"], known) for name in ("yaxis2", "yaxis3")}
    return go.Figure([*below.data, *fig.data], fig.layout).update_layout(
        {f"{name}_range": ends for name, ends in ranges.items()})


def _both(ends: list[float], others: list[float], known: bool) -> list[float]:
    """The range that holds both; the second where nothing is known of the first yet."""
    return [min(ends[0], others[0]), max(ends[1], others[1])] if known else others

"""What the store knows of a cell before it is trained again: its runs, to be drawn pale, and when they understood."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from grokbook.analysis import events
from grokbook.config import RunConfig
from grokbook.plots import grokking_panels
from grokbook.store import Store

PALE = 0.3  # opacity of what is stored, under what is trained


@dataclass(frozen=True)
class Stored:
    """A cell's stored runs: a figure of accuracy, loss and norm, pale; the `usual_step`; a sentence on them."""

    figure: go.Figure
    usual: int | None
    told: str

    @classmethod
    def of(cls, config: RunConfig) -> "Stored | None":
        """The runs of a config, of every seed, its own the thickest, as far as followed; None where there are none."""
        store = Store()
        wanted = [run for run in _followed(str(store.path)) if (run.d_h, run.D_train) == (config.d_h, config.D_train)
                  and run.replace(seed=config.seed).run_id == config.run_id]
        if not wanted:
            return None
        cell, seed = store.load(wanted), config.seed if config.seed in {run.seed for run in wanted} else None
        fig = grokking_panels(cell, cells=[(config.d_h, config.D_train)], seed=seed)
        fig.for_each_trace(lambda trace: trace.update(
            opacity=PALE, showlegend=False, meta=trace.meta | {"role": f"stored {trace.meta['role']}"}))
        return cls(fig, usual_step(cell), _told(cell))

    def under(self, fig: go.Figure) -> go.Figure:
        """A figure of the same panels with the stored runs below it."""
        axes, others = fig.to_dict()["layout"], self.figure.to_dict()["layout"]
        heights: list[float] = []
        fig.for_each_trace(lambda trace: heights.extend(trace.y))
        known = bool(np.isfinite(np.asarray(heights, float)).any())
        ranges = {name: _both(axes[name]["range"], others[name]["range"], known) for name in ("yaxis2", "yaxis3")}
        return go.Figure([*self.figure.data, *fig.data], fig.layout).update_layout(
            {f"{name}_range": ends for name, ends in ranges.items()})


@lru_cache(maxsize=4)
def _followed(path: str) -> list[RunConfig]:
    """The runs of a store when it was first asked; to list them takes a third of a second."""
    try:
        return Store(path).followed()
    except LookupError:
        return []


def usual_step(cell: xr.Dataset) -> int | None:
    """The step by which half of those runs of a cell that ever understood had; None where none did."""
    steps = events(cell)["t_gen"].values
    return int(np.nanmedian(steps)) if np.isfinite(steps).any() else None


def _told(cell: xr.Dataset) -> str:
    n, understood, usual = int(cell["trained"].sum()), int(events(cell)["t_gen"].notnull().sum()), usual_step(cell)
    when = f", in the middle at step {usual:,}" if usual is not None else ""
    return f"Pale: {n} stored {'run' if n == 1 else 'runs'} of it, of which {understood} understood{when}."


def _both(ends: list[float], others: list[float], known: bool) -> list[float]:
    """The range that holds both; the second where nothing is known of the first yet."""
    return [min(ends[0], others[0]), max(ends[1], others[1])] if known else others

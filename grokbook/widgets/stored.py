"""What the store knows of a cell before it is trained again: its runs, to be drawn pale or played, and when they
understood."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from types import SimpleNamespace

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from grokbook.analysis import events
from grokbook.config import RunConfig
from grokbook.plots import grokking_panels
from grokbook.plots.cells import choose
from grokbook.run import METRICS, Run
from grokbook.store import Store

PALE = 0.3  # opacity of what is stored, under what is trained
REPLAY_SECONDS = 12.0


@dataclass(frozen=True)
class Stored:
    """A cell's stored runs: a figure of accuracy, loss and norm, pale; the `usual_step`; a sentence on them; they."""

    figure: go.Figure
    usual: int | None
    told: str
    runs: tuple[Run, ...]

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
        longest = sorted(wanted, key=lambda run: run.n_steps)
        by_seed = {run.seed: _run(run, cell) for run in longest}
        return cls(fig, usual_step(cell), _told(cell), tuple(by_seed[seed] for seed in sorted(by_seed)))

    def under(self, fig: go.Figure) -> go.Figure:
        """A figure of the same panels with the stored runs below it."""
        axes, others = fig.to_dict()["layout"], self.figure.to_dict()["layout"]
        known = any(np.isfinite(np.asarray(trace.y, float)).any() for trace in fig.data)  # pyright: ignore
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


def _run(config: RunConfig, cell: xr.Dataset) -> Run:
    """One run of a cell, as far as it was followed."""
    one = choose(cell).sel(seed=config.seed)
    one = one.isel(step=np.flatnonzero(one["param_norm"].notnull()))
    return Run(config, {"step": one["step"].values} | {name: one[name].values for name in METRICS})


class Replay:
    """Stored runs as a training that takes `REPLAY_SECONDS`: a `Trainer` cannot tell it from `training.Training`.

    The figure's axis is logarithmic as their steps are, so curves grow at an even pace.
    """

    steps_per_second = 0.0  # it takes none

    def __init__(self, runs: Sequence[Run]):
        self.configs, self.step = [run.config for run in runs], 0
        self._whole, self._halt = list(runs), threading.Event()
        self._left = sorted({int(step) for run in runs for step in run.curves["step"]})
        self._pause = REPLAY_SECONDS / len(self._left)

    def __iter__(self) -> Iterator[SimpleNamespace]:
        while self._left and not self._halt.wait(self._pause):
            self.step = self._left.pop(0)
            yield SimpleNamespace(finished=[run for run in self._whole if run.last_step == self.step])
        self._halt.clear()

    def stop(self) -> None:
        """End soon; iterating again goes on."""
        self._halt.set()

    def runs(self) -> list[Run]:
        """The runs as far as they were played."""
        return [replace(run, curves={name: values[run.curves["step"] <= self.step]
                                     for name, values in run.curves.items()}) for run in self._whole]

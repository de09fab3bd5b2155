"""The measured map as explorers need it: at any of several step budgets, each figure and table made once and kept."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import xarray as xr

from grokbook import studies
from grokbook.analysis import critical_size, double_descent, outcomes, runs_until
from grokbook.plots.cells import Runs
from grokbook.plots.maps import checked_map, edges, zone_map
from grokbook.plots.sizes import accuracy_by_size
from grokbook.plots.traces import find
from grokbook.run import PER_DECADE
from grokbook.store import Store

BUDGETS = (500, 1_000, 2_000, 5_000, 10_000, 20_000, 40_000, 60_000, 100_000)

MAP_HEIGHT = 440
"""Pixels of the figures beside each other: with the sliders above they fill the page of a small laptop."""

OUTLINE = ({"color": "white", "width": 6}, {"color": "black", "width": 3})
"""What is selected on a map is framed in black on white, to be seen on any colour."""


class Lookup:
    """Figures and numbers of a map, at step budgets up to the steps of its longest run.

    Every method looks up what it made before; `budget` is one of `budgets`, `D_train` one of the map's. Several threads
    may ask at once. `random`: runs on random labels, for D_mem.

    Raises:
        ValueError: runs that vary over more than d_h, D_train and seed.
    """

    def __init__(self, runs: Runs, random: xr.Dataset | None = None):
        self.runs, self.random = checked_map(runs), random
        self.budgets = _budgets(max(int(self.runs["last_step"].max()), 1))
        self._made: dict[tuple, Any] = {}

    @classmethod
    def stored(cls, store: Store | None = None, *, n_steps: int = studies.zone_map.shown) -> "Lookup":
        """The map of the store's runs that were followed for `n_steps`; LookupError where there are none."""
        store = store or Store()
        random = [run.replace(n_steps=n_steps // 2) for run in studies.capacity.paper]
        known = len(random) > len(store.missing(random))
        return cls(studies.zone_map.load(n_steps, store), store.load(random) if known else None)

    def include(self, budget: int | None) -> None:
        """Let this be one of the budgets too, where the runs were followed so far."""
        if isinstance(budget, int) and 0 < budget < self.budgets[-1]:
            self.budgets = sorted({*self.budgets, budget})

    def values(self) -> dict[str, list[int]]:
        """What there is to choose from: d_h, D_train, seed, budget."""
        return {name: self.runs[name].values.tolist() for name in ("d_h", "D_train", "seed")} | {"budget": self.budgets}

    def at(self, budget: int) -> xr.Dataset:
        """The runs as they stood at that step."""
        return self._once(("runs", budget), lambda: runs_until(self.runs, budget))

    def facts(self, budget: int) -> xr.Dataset:
        """What became of each run by that step, see `analysis.outcomes`."""
        return self._once(("facts", budget), lambda: outcomes(self.at(budget)).load())

    def critical(self, budget: int) -> pd.DataFrame:
        """D_crit as it would have been measured at that step."""
        return self._once(("critical", budget), lambda: critical_size(self.at(budget)))

    def descent(self, budget: int) -> dict[int, dict]:
        """Rows of the table of `analysis.double_descent`, by D_train."""
        return self._once(("descent", budget), lambda: {
            row["D_train"]: row for row in double_descent(self.at(budget)).to_dict("records")})

    def map(self, budget: int, show: str = "zone") -> go.Figure:
        """`plots.zone_map` for a place beside another figure; its last traces, with the role outline, are empty."""
        return self._once(("map", budget, show), lambda: self._map(budget, show))

    def row(self, budget: int, D_train: int) -> go.Figure:
        """`plots.accuracy_by_size` for a place beside another figure."""
        return self._once(("row", budget, D_train), lambda: self._row(budget, D_train))

    def outline(self, d_h: int | None, D_train: int) -> tuple[list[float], list[float]]:
        """x and y of the frame round a cell of the map, or round its whole row."""
        sizes, place = self.runs["d_h"].values.tolist(), edges(self.runs["D_train"].values)
        left, right = (0, len(sizes) - 1) if d_h is None else (sizes.index(d_h),) * 2
        i = self.runs["D_train"].values.tolist().index(D_train)
        low, high = float(place[i]), float(place[i + 1])
        return [left - 0.5, right + 0.5, right + 0.5, left - 0.5, left - 0.5], [low, low, high, high, low]

    def cell_at(self, x: float, y: float) -> tuple[int, int]:
        """The (d_h, D_train) of the cell in which a point of the map lies."""
        sizes, rows = self.runs["d_h"].values, self.runs["D_train"].values
        column = int(np.clip(round(x), 0, len(sizes) - 1))
        row = int(np.clip(np.searchsorted(edges(rows), y) - 1, 0, len(rows) - 1))
        return int(sizes[column]), int(rows[row])

    def _once(self, key: tuple, make: Callable[[], Any]) -> Any:
        if key not in self._made:
            self._made.setdefault(key, make())  # two threads may both make it; the first one's stays
        return self._made[key]

    def _map(self, budget: int, show: str) -> go.Figure:
        fig = zone_map(self.at(budget), self.random, show=show, critical=self.critical(budget))
        if not find(fig, role="star"):
            fig.add_trace(go.Scatter(x=[None], y=[None], showlegend=False, meta={"role": "star"}))
        fig.add_traces(outline_traces())
        for cells in find(fig, role="cells"):
            cells.z = np.where(np.isnan(cells.z), None, cells.z)  # a widget sends a table as JSON, which has no NaN
        title = fig.to_dict()["layout"]["title"]["text"]
        fig.update_xaxes(title_standoff=2)
        return beside(fig, f"{title}, after {budget:,} steps", MAP_HEIGHT)

    def _row(self, budget: int, D_train: int) -> go.Figure:
        fig = accuracy_by_size(self.at(budget).sel(D_train=[D_train]))
        fig.update_xaxes(title_standoff=2)
        return beside(fig, f"{D_train:,} pairs, after {budget:,} steps", MAP_HEIGHT)


def _budgets(last: int) -> list[int]:
    """Round numbers up to the last step, or to the next evaluation, which a run may have ended just short of."""
    reached = [budget for budget in BUDGETS if budget <= last * 10 ** (1 / PER_DECADE)]
    return [*reached, last] if last > max(reached, default=0) else reached


def outline_traces() -> list[go.Scatter]:
    """The frame round what is selected, not drawn round anything yet."""
    return [go.Scatter(x=[None], y=[None], mode="lines", line=line, hoverinfo="skip", showlegend=False,
                       cliponaxis=False, meta={"role": "outline"}) for line in OUTLINE]


def beside(fig: go.Figure, title: str, height: int) -> go.Figure:
    """A figure for one half of a page: of that height, without its caption, which HTML wraps better."""
    fig.layout.annotations = ()
    return fig.update_layout(title={"text": title, "font": {"size": 14}, "xref": "container", "x": 0.02},
                             height=height, hovermode="closest", margin={"l": 64, "r": 12, "t": 106, "b": 44},
                             legend_y=1 - 32 / height)

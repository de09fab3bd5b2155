"""What the explorer shows, as plain JSON: all of it is computed here, so that a page moves through it without a kernel.

Curves are sent once. What a step budget changes (zones, lines, accuracies, sentences) is a *view*, one a budget; it
takes most of a second, so a notebook gets the others after the page has opened.
"""

from typing import Any

import numpy as np
import xarray as xr
from plotly.colors import sample_colorscale

from grokbook import studies
from grokbook.analysis import describe, double_descent, interval, outcomes
from grokbook.analysis.zones import describe_valley, knows_neither, runs_until, zone_label
from grokbook.plots import find, zone_map
from grokbook.plots.cells import Runs, as_dataset, as_map, row_name
from grokbook.plots.maps import ACCURACY_SCALE, NEITHER, SHOWN, edges, texts
from grokbook.plots.template import MEMORY_COLOR, METRIC_COLORS, ZONE_COLORS, shown_steps
from grokbook.plots.traces import NAMES
from grokbook.run import ACCURACIES, PER_DECADE
from grokbook.store import Store

BUDGETS = (500, 1_000, 2_000, 5_000, 10_000, 20_000, 40_000, 60_000, 100_000)

DRAWN = (*ACCURACIES, "param_norm")
"""The curves of a cell: accuracies above, the norm below."""

MARKED = {"t_mem": "train_acc", "t_gen": "val_acc"}
"""Events, and the curve on which they are marked."""

COLORINGS = dict(zip(SHOWN, ("zone", "train accuracy", "validation accuracy", "twin-free accuracy"), strict=True))
"""What the map can be coloured by."""

SHADES = [str(color) for color in sample_colorscale(ACCURACY_SCALE, 64)]


SOON = 1_500
"""Steps within which the run that is shown first understands: who trains it anew sees that in some 15 seconds."""


class ExplorerData:
    """A map, and what a page needs of it. Each view is made once; several threads may ask.

    `row` is what its rows are: D_train, or D_random where that varies and D_train does not. In `cells`, of which all is
    computed, they are called D_train either way. `random`: runs on random labels, for D_mem.

    Raises:
        ValueError: runs that vary over more than d_h, that and seed.
    """

    def __init__(self, runs: Runs, random: xr.Dataset | None = None):
        self.runs, self.cells, self.random = as_dataset(runs), as_map(runs), random
        self.row = row_name(self.cells)
        self.budgets = _budgets(max(int(self.runs["last_step"].max()), 1))
        self._views: dict[int, dict[str, Any]] = {}

    @classmethod
    def stored(cls, store: Store | None = None, *, n_steps: int = studies.zone_map.shown) -> "ExplorerData":
        """The map of the store's runs that were followed for `n_steps`; LookupError where there are none."""
        store = store or Store()
        random = [run.replace(n_steps=n_steps // 2) for run in studies.capacity.paper]
        known = len(random) > len(store.missing(random))
        return cls(studies.zone_map.load(n_steps, store), store.load(random) if known else None)

    @classmethod
    def beside_random(cls, store: Store | None = None) -> "ExplorerData":
        """The map over D_random of one-layer networks on 5,000 additions; LookupError where there are none."""
        return cls(studies.emergence.load(store=store, D_train=5000, n_layers=1).squeeze("D_train"))

    def include(self, budget: int | None) -> None:
        """Let this be one of the budgets too, where the runs were followed so far."""
        if isinstance(budget, int) and 0 < budget < self.budgets[-1]:
            self.budgets = sorted({*self.budgets, budget})

    def values(self) -> dict[str, list[int]]:
        """What there is to choose from: d_h, `row`, seed, budget."""
        return {name: self.runs[name].values.tolist() for name in ("d_h", self.row, "seed")} | {"budget": self.budgets}

    def start(self) -> dict[str, Any]:
        """Where to begin: the run that took the longest, as a ratio of steps, from knowing its pairs to understanding.

        Among those that understood `SOON`, if any did, of the rows with the most sizes; where no run did both, in the
        middle of the map.
        """
        outcome, n_sizes = outcomes(self.cells), self.cells["trained"].any("seed").sum("d_h")
        delay = (outcome["t_gen"] / outcome["t_mem"]).where(n_sizes == n_sizes.max())
        soon = delay.where(outcome["t_gen"] <= SOON)
        delay = (soon if soon.notnull().any() else delay).fillna(0).transpose("d_h", "D_train", "seed")
        middle = (delay.shape[0] // 2, delay.shape[1] // 2, 0)
        place = np.unravel_index(delay.values.argmax(), delay.shape) if delay.max() else middle
        names = ("d_h", self.row, "seed")
        return {name: int(delay[dim][i]) for name, dim, i in zip(names, delay.dims, place, strict=True)} | {
            "budget": self.budgets[-1], "color": "zone" if self.row == "D_train" else "twin_free_val_acc"}

    @property
    def words(self) -> str:
        """What its rows are, for who chooses between maps."""
        return f"D_random, random pairs beside {self.additions:,} additions" if self.additions else "D_train, additions"

    @property
    def additions(self) -> int | None:
        """How many there are in every row, where the rows are those of random pairs."""
        return int(self.cells["additions"]) if self.row == "D_random" else None

    def fixed(self) -> dict[str, Any]:
        """All that no budget changes: `row`, `additions`, `values`, `steps`, `cells` (by "d_h,row" and seed), looks."""
        values = self.values()
        return {"row": self.row, "additions": self.additions, "values": values,
                "edges": edges(np.array(values[self.row])).tolist(),
                "steps": self.runs["step"].values.tolist(), "x": _plain(shown_steps(self.runs["step"])),
                "cells": _by_run(self.cells, *DRAWN),
                "colors": COLORINGS, "memory": MEMORY_COLOR, "shades": SHADES, "neither": NEITHER,
                "zones": [{"name": zone_label(zone), "color": color} for zone, color in ZONE_COLORS.items()],
                "metrics": [{"key": key, "name": NAMES[key], "color": METRIC_COLORS[key]} for key in DRAWN]}

    def view(self, budget: int) -> dict[str, Any]:
        """What all looks like when it is judged at that step.

        `shown`: by colour, rows of columns (d_h); `text`, `hover` and `crossed` (cells whose networks know neither)
        alike. `lines`: x, y, lo, hi of D_crit and D_mem; `star`: where they cross. `row`: by accuracy, `mean`, `lo` and
        `hi` as `shown`. `runs`: by cell and seed, the events' steps and the final accuracies. `told` and `valleys`:
        sentences.
        """
        if budget not in self._views:
            self._views.setdefault(budget, self._view(budget))  # two threads may both make it; the first one's stays
        return self._views[budget]

    def _view(self, budget: int) -> dict[str, Any]:
        runs = runs_until(self.cells, budget)
        outcome, fig = outcomes(runs).load(), zone_map(runs, self.random)
        (cells,), (text, hover) = find(fig, role="cells"), texts(runs, "zone")
        stats = {metric: interval(outcome[metric], within=(0, 1)).transpose("D_train", "d_h") for metric in ACCURACIES}
        descents = {row["D_train"]: row for row in double_descent(runs).to_dict("records")}
        return {"shown": {"zone": _plain(cells.z)} | {metric: _plain(stats[metric]["mean"]) for metric in ACCURACIES},
                "crossed": knows_neither(runs).transpose("D_train", "d_h").values.tolist(),
                "text": text.tolist(), "hover": hover.tolist(),
                "lines": {line: _bars(*find(fig, role=line)) for line in ("D_crit", "D_mem") if find(fig, role=line)},
                "star": [_plain([*star.x, *star.customdata]) for star in find(fig, role="star")],
                "row": {metric: {part: _plain(stats[metric][part]) for part in ("mean", "lo", "hi")}
                        for metric in ACCURACIES},
                "runs": _by_run(outcome, *MARKED, *ACCURACIES), "told": _stories(outcome),
                "valleys": [describe_valley(descents[D], self.additions) for D in outcome["D_train"].values],
                "caption": fig.to_dict()["layout"]["meta"]["caption"]}


def _budgets(last: int) -> list[int]:
    """Round numbers up to the last step, or to the next evaluation, which a run may have ended just short of."""
    reached = [budget for budget in BUDGETS if budget <= last * 10 ** (1 / PER_DECADE)]
    return [*reached, last] if last > max(reached, default=0) else reached


def _by_run(data: xr.Dataset, *names: str) -> dict[str, dict[int, list]]:
    """These variables of each run that was trained, by "d_h,D_train" and by seed."""
    values = [data[name].transpose("d_h", "D_train", "seed", ...).values for name in names]
    by_cell: dict[str, dict[int, list]] = {f"{d_h},{D_train}": {} for d_h in data["d_h"].values
                                           for D_train in data["D_train"].values}
    for i, j, k in np.argwhere(data["trained"].transpose("d_h", "D_train", "seed").values):
        d_h, D_train, seed = data["d_h"].values[i], data["D_train"].values[j], int(data["seed"].values[k])
        by_cell[f"{d_h},{D_train}"][seed] = [_plain(array[i, j, k]) for array in values]
    return by_cell


def _stories(outcome: xr.Dataset) -> dict[str, dict[int, str]]:
    """What is said of each cell and seed, by "d_h,D_train" and by seed."""
    cells = [outcome.isel(d_h=i, D_train=j) for i, j in np.ndindex(outcome.sizes["d_h"], outcome.sizes["D_train"])]
    seeds = outcome["seed"].values.tolist()
    return {f"{int(cell['d_h'])},{int(cell['D_train'])}": {seed: describe(cell, seed) for seed in seeds}
            for cell in cells}


def _bars(line) -> list[list[float | None]]:
    """x, the size and both ends of its interval of each point of a line."""
    return _plain(np.column_stack([line.x, line.customdata[:, 1:]]))


def _plain(values) -> Any:
    """Numbers as JSON, to a thousandth or four digits; None for NaN, which JSON has not."""
    values = np.asarray(values, float)
    short = np.where(np.abs(values) < 10, np.round(values, 3), np.round(values, 1))
    return np.where(np.isnan(values), np.array(None), short).tolist()

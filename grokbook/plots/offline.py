"""The zone explorer's data for a page without a kernel: every map, every curve and every sentence, as plain JSON.

Nothing is computed in the page. Curves are thinned to their corners, between budgets so that they can be cut there.
"""

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr

from grokbook.analysis import Zone, describe
from grokbook.plots.cells import choose, trained
from grokbook.plots.explored import MARKS, METRICS, cell_figure
from grokbook.plots.lookup import Lookup
from grokbook.plots.maps import edges
from grokbook.plots.template import shown_steps
from grokbook.plots.traces import corners

SHOWN = {"zone": "zone", "val_acc": "validation accuracy"}
"""What the page's map can be coloured by."""

TOLERANCE = 0.006
"""How far a thinned line may pass by a measured point, as a share of its range: two pixels."""


def explorer_data(lookup: Lookup) -> dict[str, Any]:
    """All that the page draws, of lists, numbers, strings and plotly's JSON.

    `values`: what the sliders move over, and `start`. `maps`: of each of `shown`, a figure a budget; `edges`: the
    borders of their rows. `curves`: the empty figure of a cell. `cells`: by "d_h,D_train" and seed, `lines` (x, y of
    each of `metrics`) and `marks` (x, y of each event, by budget). `told`: by "d_h,D_train" and seed, the place in
    `sentences` of what is said, by budget.
    """
    sentences: dict[str, int] = {}
    values, cells, told = lookup.values(), {}, {}
    for d_h in values["d_h"]:
        for D_train in values["D_train"]:
            key, cell = f"{d_h},{D_train}", {"d_h": d_h, "D_train": D_train}
            there = trained(choose(lookup.runs, d_h=d_h, D_train=D_train))
            cells[key] = {int(seed): {"lines": _lines(there.sel(seed=seed), lookup.budgets),
                                      "marks": _marks(there.sel(seed=seed), lookup)} for seed in there["seed"].values}
            facts = [lookup.facts(budget).sel(cell) for budget in lookup.budgets]
            told[key] = {seed: [sentences.setdefault(describe(then, seed), len(sentences)) for then in facts]
                         for seed in values["seed"]}
    maps = {show: [_plain(lookup.map(budget, show)) for budget in lookup.budgets] for show in SHOWN}
    return {"values": values, "start": _start(lookup), "maps": maps, "shown": SHOWN,
            "metrics": METRICS, "marks": [*MARKS], "edges": edges(np.array(values["D_train"])).tolist(),
            "curves": _plain(cell_figure(lookup.budgets[-1])), "cells": cells,
            "told": told, "sentences": list(sentences)}


def _start(lookup: Lookup) -> dict[str, Any]:
    """Where the page starts: at the last budget, in a cell of many seeds, if possible one that grokked."""
    zone = lookup.facts(lookup.budgets[-1])["zone"]
    n = (zone != "").sum("seed") + (zone == Zone.GROKKING.value).any("seed")
    best = np.argwhere((n == n.max()).transpose("d_h", "D_train").values)
    i, j = best[len(best) // 2]
    first = trained(lookup.runs.isel(d_h=i, D_train=j))["seed"].values[0]
    return {"d_h": int(n["d_h"][i]), "D_train": int(n["D_train"][j]), "seed": int(first),
            "budget": lookup.budgets[-1], "color": "zone"}


def _lines(run: xr.Dataset, budgets: list[int]) -> list[list[list[float]]]:
    """x and y of the corners of a run's curves, as they are drawn, to four digits."""
    step, x = run["step"].values, shown_steps(run["step"])
    pieces = [np.flatnonzero((step > low) & (step <= high)) for low, high in zip([-1, *budgets], budgets, strict=False)]
    lines = []
    for metric in METRICS:
        y = run[metric].values
        kept = np.concatenate([piece[corners(np.log10(x[piece]), y[piece], TOLERANCE)] for piece in pieces])
        lines.append([_rounded(x[kept]), _rounded(y[kept])])
    return lines


def _marks(run: xr.Dataset, lookup: Lookup) -> list[list[list[float] | None]]:
    """x and y of each of MARKS, as they were known at each budget; None where it had not happened."""
    where = {name: run[name].item() for name in ("d_h", "D_train", "seed")}
    at = [[float(lookup.facts(budget)[event].sel(where)) for budget in lookup.budgets] for event in MARKS]
    return [[None if np.isnan(step) else [step, *_rounded([float(run[metric].sel(step=step))])] for step in steps]
            for steps, metric in zip(at, MARKS.values(), strict=True)]


def _rounded(values: Iterable) -> list[float]:
    return [float(f"{value:.4g}") for value in values]


def _plain(fig) -> dict[str, Any]:
    """A figure as JSON, without the template, which the page has once."""
    return json.loads(fig.to_json())

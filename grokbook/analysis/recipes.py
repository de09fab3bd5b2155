"""The paper's example cells under other recipes: one setting changed, every other as in the rest of the book.

Huang et al. 2024 state neither learning rate nor weight decay, initial scale or form of the loss, so all four are ours
and what a zone owes to them is to be measured.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from grokbook.analysis.events import final
from grokbook.analysis.zones import main_zone, zone_shares
from grokbook.studies import CHANGES, EXAMPLES


def recipe_zones(changed: xr.Dataset, usual: xr.Dataset) -> pd.DataFrame:
    """The most frequent zone of each example cell, with the usual settings and under each change of one of them.

    `changed` are runs of the study `recipe`, `usual` those of `four_dynamics`. A row is a change (`field` and `value`,
    both "" for none) and a cell (`d_h`, `D_train`); it has the `zone` (as `main_zone`), how many seeds `agree` on one,
    of how many (`n`), and their mean final validation accuracy `val_acc`.
    """
    changes = [("", "", usual), *((field, value, _under(changed, change, usual))
                                  for change in CHANGES for field, value in change.items())]
    return pd.DataFrame([{"field": field, "value": value, "d_h": d_h, "D_train": D_train}
                         | _outcome(runs, d_h, D_train)
                         for field, value, runs in changes for d_h, D_train in EXAMPLES.values()])


def trained_cell(runs: xr.Dataset, d_h: int, D_train: int) -> xr.Dataset:
    """The trained seeds of one cell, perhaps none, also where that cell is not on the runs' grid."""
    there = d_h in runs["d_h"].values and D_train in runs["D_train"].values
    cell = runs.sel(d_h=d_h, D_train=D_train) if there else runs.isel(d_h=0, D_train=0, seed=[])
    return cell.sel(seed=cell["trained"].values)


def _outcome(runs: xr.Dataset, d_h: int, D_train: int) -> dict[str, Any]:
    cell = trained_cell(runs, d_h, D_train)
    n = cell.sizes["seed"]
    if not n:
        return {"zone": "", "agree": 0, "n": 0, "val_acc": float("nan")}
    agree = round(zone_shares(cell).max().item() * n)
    return {"zone": main_zone(cell).item(), "agree": agree, "n": n, "val_acc": final(cell, "val_acc").mean().item()}


def _under(runs: xr.Dataset, change: Mapping, usual: xr.Dataset) -> xr.Dataset:
    """The runs with these settings, and the usual ones of all others that are changed somewhere."""
    for field in dict.fromkeys(field for other in CHANGES for field in other):
        value = change.get(field, usual[field].item())
        chosen = np.flatnonzero(runs[field].values == value)
        if field in runs.dims:
            runs = runs.isel({field: chosen[0] if len(chosen) else 0})
        if not len(chosen):
            runs = runs.isel(seed=[])
    return runs

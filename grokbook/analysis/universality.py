"""Whether other networks grok too, and how the delay follows the share of data ("Towards Understanding the Mystery
behind Grokking Phenomenon", Fig 1 to 4).

`runs` have the store's dimensions, and `architecture` among them where several were trained.
"""

import itertools

import numpy as np
import pandas as pd
import xarray as xr

from grokbook.analysis.events import LONG_BEFORE, events, final, twin_share
from grokbook.studies import BASE, SETTINGS, share_of

KINDS = ("transformer", "lstm", "mlp")
"""Networks by what `RunConfig.architecture` calls them, in the order of Figure 1."""

COLUMNS = ("D_train", "share", "seed", "t_mem", "t_gen", "ratio", "groks", "plateau", "twin_free", "twins")
"""What `grokked` says of a run."""


def widest(runs: xr.Dataset, seeds: int, share: float = 0.5) -> dict[str, xr.Dataset]:
    """Of each kind of network the widest for their table, d_h over p, of which `seeds` or more were trained on a share
    of its pairs, by its name.

    Each has the dimensions D_train (sizes of which there are runs), seed and step; a kind without so many is left out.
    """
    runs = runs.expand_dims([dim for dim in ("architecture", "p", "d_h") if dim not in runs.dims])
    chosen = {}
    for kind in (kind for kind in KINDS if kind in runs["architecture"].values):
        cells = [of_table(runs.sel(architecture=kind, p=p, d_h=d_h)) for p, d_h in sorted(
            itertools.product(runs["p"].values, runs["d_h"].values), key=lambda size: size[1] / size[0])]
        enough = [cell for cell in cells if at_share(cell, share)["trained"].sum() >= seeds]
        chosen |= {kind: enough[-1]} if enough else {}
    return chosen


def of_table(runs: xr.Dataset) -> xr.Dataset:
    """Runs of one table at the D_train of which there are any."""
    return runs.isel(D_train=np.flatnonzero(runs["trained"].any([dim for dim in runs["trained"].dims
                                                                 if dim != "D_train"])))


def at_share(runs: xr.Dataset, *shares: float) -> xr.Dataset:
    """Runs of one table on these shares of its pairs, those that were trained."""
    sizes = [share_of(int(runs["p"]), share) for share in shares]
    return runs.sel(D_train=[D_train for D_train in sizes if D_train in runs["D_train"].values])


def grokked(runs: xr.Dataset) -> pd.DataFrame:
    """One row a run of one kind and width: `D_train`, `share` of all pairs, `seed`, the `events` `t_mem` and `t_gen`,
    `ratio` of the two (infinite where it never generalised), `groks` (it generalised, in `LONG_BEFORE` times
    the steps or more), and how right it was of pairs that it was not trained on when it had long memorised, at
    LONG_BEFORE times t_mem: `plateau`, `twin_free`, and `twins`, the share of those pairs whose mirror it was trained
    on. NaN where a run did not get there.
    """
    when = events(runs)
    step = (LONG_BEFORE * when["t_mem"]).where(LONG_BEFORE * when["t_mem"] <= when["last_step"])
    then = runs.sel(step=step.fillna(0), method="nearest").drop_vars("step")
    ratio = (when["t_gen"].fillna(np.inf) / when["t_mem"]).rename("ratio")
    groks = when["t_gen"].notnull() & (ratio >= LONG_BEFORE)
    table = xr.Dataset({"t_mem": when["t_mem"], "t_gen": when["t_gen"], "ratio": ratio, "groks": groks,
                        "plateau": then["val_acc"].where(step.notnull()),
                        "twin_free": then["twin_free_val_acc"].where(step.notnull()),
                        "twins": twin_share(runs), "trained": when["trained"]}).to_dataframe().reset_index()
    table = table.query("trained").sort_values(["D_train", "seed"]).assign(share=table["D_train"] / int(runs["p"]) ** 2)
    return pd.DataFrame({name: table[name].to_numpy() for name in COLUMNS})


def by_setting(runs: xr.Dataset) -> pd.DataFrame:
    """One row a run of Figure 4: `setting`, as `SETTINGS` calls it, `D_train`, `share`, `seed` and the final `val_acc`.
    Runs of no such setting are left out."""
    table = final(runs, "val_acc").to_dataframe().dropna(subset="val_acc").reset_index()
    names = {tuple((BASE | change).values()): name for name, change in SETTINGS.items()}
    table["setting"] = [names.get(row) for row in zip(*(table[name] for name in BASE), strict=True)]
    table["share"] = table["D_train"] / int(runs["p"]) ** 2
    return table.dropna(subset="setting").loc[:, ["setting", "D_train", "share", "seed", "val_acc"]]

"""The shortcut of modular division: 0/b is 0 for every b, and a network learns it first (Davies et al. 2022, Fig 7).

Half of a table at p = 97 leaves some 48 of the 96 pairs 0/b for validation. A network that knows the shortcut and
nothing else has those right, and of all the others one in 97: about 96 in all.
"""

import numpy as np
import xarray as xr

from grokbook.analysis.twins import twin_share

EARLY = 0.1  # train accuracy up to which a network counts as young; a shortcut learned later is not learned first


def correct_counts(runs: xr.Dataset) -> xr.Dataset:
    """Validation pairs answered right: `zero`, those with a = 0, and `others`, with all dimensions of the curves.

    `n_zero` and `n_others`: how many there are, over the dimensions without `step`; NaN where no run is.
    Raises ValueError: the runs are not of modular division.
    """
    tasks = np.unique(runs["task"].values.astype(str)).tolist()
    if tasks != ["divide"]:
        raise ValueError(f"task={', '.join(map(repr, tasks))} has no 0/b; valid: runs of task='divide' alone")
    p = runs["p"]
    n_val = (p * (p - 1) - runs["D_train"]) * xr.ones_like(runs["last_step"], float).where(runs["trained"])
    n_zero = np.rint(twin_share(runs) * n_val)
    others = np.rint(runs["twin_free_val_acc"] * (n_val - n_zero))
    return xr.Dataset({"zero": np.rint(runs["val_acc"] * n_val) - others, "others": others, "n_zero": n_zero,
                       "n_others": n_val - n_zero})


def early_peak(runs: xr.Dataset) -> xr.Dataset:
    """Where most validation pairs are right before train accuracy reaches `EARLY`, over all dimensions but `step`.

    Returns `step`, `zero` and `others` (pairs right there), `n_zero`, `n_others`, and `others_after`: how many others
    are right after that and before train accuracy reaches one half, a mean over evaluations (the least of many would
    be low by chance alone). NaN where no run is.
    """
    counts = correct_counts(runs)
    young = _before(runs, EARLY)
    total = (counts["zero"] + counts["others"]).where(young)
    there = total.notnull().any("step")
    at = runs["step"].isel(step=total.fillna(-1).argmax("step"))
    peak = counts.sel(step=at).drop_vars("step").where(there)
    later = counts["others"].where((runs["step"] > at) & _before(runs, 0.5))
    return peak.assign(step=at.drop_vars("step").where(there), others_after=later.mean("step"))


def _before(runs: xr.Dataset, level: float) -> xr.DataArray:
    """Evaluations up to the first at which train accuracy reaches the level."""
    reached = (runs["train_acc"] >= level).cumsum("step")
    return (reached == 0) & runs["train_acc"].notnull()

"""What a network gets right without the rule: mirrors that it was trained on, and 0/b.

A random split of a symmetric table leaves the mirror (b, a) of many a validation pair (a, b) in train: a share of
D_train / p² of them, 23.5 % at 3,000 of 12,769. A network that memorises but treats a and b alike answers exactly
these. With n_twin of the n_val validation pairs having their mirror in train,

    n_val · val_acc = n_twin · twin_acc + (n_val − n_twin) · twin_free_val_acc.

Division has no twins; what its split leaves out of `twin_free_val`, the pairs with a = 0, takes their place here. 0/b
is 0 for every b, and a network learns it first (Davies et al. 2022, Fig 7). Half of a table at p = 97 leaves some 48 of
the 96 pairs 0/b for validation. A network that knows the shortcut and nothing else has those right, and of all the
others one in 97: about 96 in all.
"""

import numpy as np
import xarray as xr

from grokbook.store import config_of
from grokbook.tasks import split

EARLY = 0.1  # train accuracy up to which a network counts as young; a shortcut learned later is not learned first


def twin_share(runs: xr.Dataset) -> xr.DataArray:
    """Share of each run's validation pairs whose mirror is in train: what a symmetric memoriser scores.

    Over the dimensions of `runs` without `step`; NaN where no run is, or where nothing was left to validate on.
    """
    cells = runs["trained"]
    shares = np.full(cells.shape, np.nan)
    for index in zip(*np.nonzero(cells.values), strict=True):
        chosen = split(config_of(cells[dict(zip(cells.dims, index, strict=True))]))
        n_val = chosen.val.sum()
        shares[index] = 1 - chosen.twin_free_val.sum() / n_val if n_val else np.nan
    return cells.copy(data=shares).rename("twin_share")


def twin_accuracy(runs: xr.Dataset) -> xr.DataArray:
    """Accuracy on the validation pairs whose mirror is in train, with all dimensions of the curves; NaN without any."""
    share = twin_share(runs)
    accuracy = (runs["val_acc"] - (1 - share) * runs["twin_free_val_acc"]) / share.where(share > 0)
    return accuracy.clip(0, 1).rename("twin_acc")


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
    trained = total.notnull().any("step")
    at = runs["step"].isel(step=total.fillna(-1).argmax("step"))
    peak = counts.sel(step=at).drop_vars("step").where(trained)
    later = counts["others"].where((runs["step"] > at) & _before(runs, 0.5))
    return peak.assign(step=at.drop_vars("step").where(trained), others_after=later.mean("step"))


def _before(runs: xr.Dataset, level: float) -> xr.DataArray:
    """Evaluations up to the first at which train accuracy reaches the level."""
    reached = (runs["train_acc"] >= level).cumsum("step")
    return (reached == 0) & runs["train_acc"].notnull()

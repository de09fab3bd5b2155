"""How much of a validation accuracy a network owes to mirrors that it was trained on.

A random split of a symmetric table leaves the mirror (b, a) of many a validation pair (a, b) in train: a share of
D_train / p² of them, 23.5 % at 3,000 of 12,769. A network that memorises but treats a and b alike answers exactly
these. With n_twin of the n_val validation pairs having their mirror in train,

    n_val · val_acc = n_twin · twin_acc + (n_val − n_twin) · twin_free_val_acc.

Division has no twins; what its split leaves out of `twin_free_val`, the pairs with a = 0, takes their place here.
"""

import numpy as np
import xarray as xr

from grokbook.store import config_of
from grokbook.tasks import split


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

"""What happens to the norm of the weights while a network generalises (Huang et al. 2024, Takeaway 4, Fig 9).

A run generalises from the step at which its twin-free validation accuracy has made a tenth of its way, from 0 to where
it ends, to the step at which it has made nine tenths.
"""

import numpy as np
import xarray as xr

from grokbook.analysis.events import GENERALISED, MEMORISED, crossing, final
from grokbook.analysis.zones import NEGLIGIBLE

WAY = (0.1, 0.9)
"""Parts of the way between which a run counts as generalising; the field's usual rise time."""

SOME = 0.1
"""Final twin-free accuracy that a run needs to have generalised at all: eleven times chance."""


def norm_change(runs: xr.Dataset) -> xr.Dataset:
    """Ratio of the weight norm after generalising to that before, over all dimensions of `runs` but `step`.

    Returns `ratio`, and the steps `begin` and `end`; NaN for runs that did not generalise at all, or from one
    evaluation to the next, between which the norm was not seen.
    """
    last = final(runs, "twin_free_val_acc")
    curves = runs["twin_free_val_acc"] / last.where(last >= SOME)
    begin, end = (crossing(curves, part) for part in WAY)
    happened = begin < end  # also false where one of the two is NaN
    before, after = (runs["param_norm"].sel(step=at.fillna(0), method="nearest").drop_vars("step")
                     for at in (begin, end))
    ratio = (after / before).where(happened, np.nan)
    return xr.Dataset({"ratio": ratio, "begin": begin.where(happened), "end": end.where(happened)})


def costs(runs: xr.Dataset) -> xr.Dataset:
    """The weight norm that networks end with: `memorising` of those that know their pairs and no others, `generalising`
    of those that know all, NaN elsewhere; over all dimensions of `runs` but `step`.

    What weight decay makes of a network that answers its pairs by one of the two is what that costs (Varma et al.
    2023); a norm at a budget, not the least there is.
    """
    norm, knows = final(runs, "param_norm"), final(runs, "train_acc") >= MEMORISED
    none, all_ = final(runs, "twin_free_val_acc") <= NEGLIGIBLE, final(runs, "val_acc") >= GENERALISED
    return xr.Dataset({"memorising": norm.where(knows & none), "generalising": norm.where(knows & all_)})


def growth(norm: xr.DataArray, sizes: int = 3) -> xr.Dataset:
    """A power law, norm = exp(`level`) · D_train ** `exponent`, by least squares on logarithms, for each seed.

    `norm` has the dimensions D_train and seed; NaN for a seed with fewer than `sizes`.
    """
    y = xr.apply_ufunc(np.log, norm.transpose("D_train", "seed").astype(float))
    x = xr.apply_ufunc(np.log, norm["D_train"]).where(y.notnull())
    n, slope = y.notnull().sum("D_train"), xr.cov(x, y, "D_train") / x.var("D_train", ddof=1)
    law = xr.Dataset({"exponent": slope, "level": y.mean("D_train") - slope * x.mean("D_train")})
    return law.where(n >= sizes)


def norm_crossing(memorising: xr.DataArray, generalising: xr.DataArray) -> xr.DataArray:
    """D_train from which on memorising takes the larger norm, for each seed: where its power law reaches the mean norm
    of generalising. Over D_train and seed both."""
    law = growth(memorising)
    log_norm = xr.apply_ufunc(np.log, generalising.mean("D_train"))
    return xr.apply_ufunc(np.exp, (log_norm - law["level"]) / law["exponent"])


def of_any_parent(runs: xr.Dataset) -> xr.Dataset:
    """Runs of which each seed may have started from a parent of its own, without the dimension or coordinate `parent`.

    Of the variables it keeps those that are numbers or yes and no.
    """
    numbers = runs[[name for name in runs.data_vars if runs[name].dtype.kind in "fbi"]]
    whole = numbers.max("parent") if "parent" in runs.dims else numbers.drop_vars("parent", errors="ignore")
    return whole.assign_attrs(runs.attrs)

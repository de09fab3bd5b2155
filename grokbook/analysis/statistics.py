"""Intervals over seeds.

The seed is the unit: one run gives one number, whatever it was computed from. Means get Student's t interval, which is
honest about how little two or three seeds say; a percentile bootstrap of so few would be far too narrow. Rates (how
many runs grokked) get Wilson's interval, which stays inside 0…1 and is not of zero width when all runs agree.
"""

import numpy as np
import xarray as xr
from scipy.special import ndtri, stdtrit

LEVEL = 0.95
"""Share of intervals that should hold the true value."""

TINY = np.finfo(np.float32).tiny
"""What a loss of exactly 0 counts as where its logarithm is averaged."""


def log_loss(loss: xr.DataArray) -> xr.DataArray:
    """Natural logarithm of losses, finite at 0: means over seeds are taken of these, since losses span many decades."""
    return xr.apply_ufunc(lambda values: np.log(np.maximum(values, TINY)), loss)


def interval(values: xr.DataArray, dim: str = "seed", *, within: tuple[float, float] = (-np.inf, np.inf)) -> xr.Dataset:
    """Mean over `dim` with its 95 % t interval: `mean`, `lo`, `hi`, `n`.

    NaN is a missing seed and is left out; `n` counts what is there. One seed has no interval (NaN), none has no mean.
    `within` cuts the interval to the range that a mean can have, 0…1 for accuracies. Runs that agree exactly give an
    interval of zero width: it speaks for runs like these, not for a rare one that was not drawn.
    """
    n = values.notnull().sum(dim)
    values = values.astype(float)
    mean = values.mean(dim)
    half = stdtrit(n - 1, (1 + LEVEL) / 2) * values.std(dim, ddof=1) / np.sqrt(n)
    return xr.Dataset({"mean": mean, "lo": (mean - half).clip(*within), "hi": (mean + half).clip(*within), "n": n})


def rate(happened: xr.DataArray, dim: str = "seed") -> xr.Dataset:
    """Share of runs in which something happened, with its 95 % Wilson interval: `mean`, `lo`, `hi`, `n`.

    `happened`: 1 or True where it did, 0 or False where not, NaN where there is no run.
    """
    n = happened.notnull().sum(dim)
    mean = happened.astype(float).mean(dim)
    z, trials = ndtri((1 + LEVEL) / 2), n.where(n > 0)
    centre = (mean + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * np.sqrt(mean * (1 - mean) / trials + (z / (2 * trials)) ** 2)
    return xr.Dataset({"mean": mean, "lo": centre - half, "hi": centre + half, "n": n})

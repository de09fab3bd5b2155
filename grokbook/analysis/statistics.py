"""Intervals over seeds.

The seed is the unit: it gives one number, whatever that was computed from. Runs of one seed share their split, so over
several cells they are first made one number (`by_seed`). Means get Student's t interval, which is
honest about how little two or three seeds say; a percentile bootstrap of so few would be far too narrow (of a mean of
three it holds the truth in 77 of 100 cases), so what can only be resampled is widened as much as a mean would take
(`resampled_interval`). Rates (how many runs grokked) get Wilson's interval, which stays inside 0…1 and is not of zero
width when all runs agree.
"""

import numpy as np
import xarray as xr
from scipy.special import ndtri, stdtrit

LEVEL = 0.95  # share of intervals that should hold the true value
Z = float(ndtri((1 + LEVEL) / 2))  # standard deviations to either side that hold that share of normal values
TINY = np.finfo(np.float32).tiny  # what a loss of exactly 0 counts as where its logarithm is averaged


def log_loss(loss: xr.DataArray) -> xr.DataArray:
    """Natural logarithm of losses, finite at 0: means over seeds are taken of these, since losses span many decades."""
    return xr.apply_ufunc(lambda values: np.log(np.maximum(values, TINY)), loss)


def interval(values: xr.DataArray, *, within: tuple[float, float] = (-np.inf, np.inf)) -> xr.Dataset:
    """Mean over seeds with its 95 % t interval: `mean`, `lo`, `hi`, `n`.

    NaN is a missing seed and is left out; `n` counts what is there. One seed has no interval (NaN), none has no mean.
    `within` cuts the interval to the range that a mean can have, 0…1 for accuracies. Runs that agree exactly give an
    interval of zero width: it speaks for runs like these, not for a rare one that was not drawn.
    """
    n, values = values.notnull().sum("seed"), values.astype(float)
    mean = values.mean("seed")
    half = stdtrit(n - 1, (1 + LEVEL) / 2) * values.std("seed", ddof=1) / np.sqrt(n)
    return xr.Dataset({"mean": mean, "lo": (mean - half).clip(*within), "hi": (mean + half).clip(*within), "n": n})


def rate(happened: xr.DataArray) -> xr.Dataset:
    """Share of runs in which something happened, with its 95 % Wilson interval: `mean`, `lo`, `hi`, `n`.

    `happened`: 1 or True where it did, 0 or False where not, NaN where there is no run; or a share of each seed's runs,
    which varies by no more than that.
    """
    n, mean = happened.notnull().sum("seed"), happened.astype(float).mean("seed")
    trials = n.where(n > 0)
    centre = (mean + Z**2 / (2 * trials)) / (1 + Z**2 / trials)
    half = Z / (1 + Z**2 / trials) * np.sqrt(mean * (1 - mean) / trials + (Z / (2 * trials)) ** 2)
    return xr.Dataset({"mean": mean, "lo": centre - half, "hi": centre + half, "n": n})


def by_seed(values: xr.DataArray) -> xr.DataArray:
    """One number a seed: the mean over all other dimensions of what is not NaN, NaN where nothing is left."""
    return values.astype(float).mean([dim for dim in values.dims if dim != "seed"])


def resampled_interval(estimate: float, draws: np.ndarray, n: int) -> tuple[float, float]:
    """95 % interval of a statistic of `n` ≥ 2 seeds from its values (draw,) over seeds drawn with replacement.

    The percentiles, moved away from the estimate by √(n / (n − 1)) · t / z, with t and z the quantiles of Student's and
    of the normal distribution: for a mean this makes the percentile interval Student's; 2.7 for three seeds, 1.2 for
    eleven. Infinite draws may give infinite ends.
    """
    factor = np.sqrt(n / (n - 1)) * stdtrit(n - 1, (1 + LEVEL) / 2) / Z
    # An order statistic is never a blend of a finite value and an infinite one.
    lo, hi = (float(np.quantile(draws, (1 + sign * LEVEL) / 2, method="inverted_cdf")) for sign in (-1, 1))
    return estimate - factor * max(estimate - lo, 0), estimate + factor * max(hi - estimate, 0)

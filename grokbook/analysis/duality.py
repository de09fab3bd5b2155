"""Size and time on one map: what more steps do, more width does too (Davies et al. 2022, §3.1, Fig 4 to 6).

The map is a metric over (d_h, step), a mean over seeds. Two things are read off it. A *hill* of the test loss L along
one of the axes: how far log L rises above what it was before and what it becomes after,

    height = max over i < j < k of  log L_j − max(log L_i, log L_k).

And whether both axes are one: with u = log step + γ log d_h, does the test loss depend on u alone? `collapse` finds the
γ for which it does best and says how well.
"""

from itertools import combinations

import numpy as np
import xarray as xr
from scipy.stats import rankdata

from grokbook.analysis.descent import N_DRAWS, below_rim
from grokbook.analysis.events import carried, crossing
from grokbook.analysis.statistics import log_loss, resampled_interval
from grokbook.run import ACCURACIES

FITTED = 0.9  # train accuracy of the paper's dotted contour
GAMMAS = np.linspace(0, 6, 61)  # exponents of d_h tried
N_BINS = 25  # pieces into which u is cut; within one the loss should hardly vary


def surface(runs: xr.Dataset, metric: str) -> xr.DataArray:
    """Mean of a metric over seeds, (d_h, step): of losses the geometric mean, at steps that all seeds were followed to.

    Accuracies of runs that settled go on at their last value, and so do their losses.
    """
    values = carried(runs, metric) if metric in ACCURACIES else log_loss(carried(runs, metric))
    whole = values.notnull().sum("seed") == runs["trained"].sum("seed")
    mean = values.mean("seed").where(whole).transpose("d_h", "step")
    return (mean if metric in ACCURACIES else xr.apply_ufunc(np.exp, mean)).rename(metric)


def fit_step(runs: xr.Dataset) -> xr.DataArray:
    """Step from which train accuracy is `FITTED`, over all dimensions but `step`; NaN if never."""
    return crossing(runs["train_acc"], FITTED).rename("fit_step")


def hill(loss: xr.DataArray, dim: str) -> xr.Dataset:
    """Height of the highest hill of log loss along `dim`, and the place of its top (`at`). NaN are left out.

    A loss that only falls, or falls and rises, has height 0; log 2 means that it doubles and comes down again by half.
    """
    return xr.Dataset(dict(zip(("height", "at"), xr.apply_ufunc(
        _hill, loss[dim], log_loss(loss), input_core_dims=[[dim], [dim]], output_core_dims=[[], []], vectorize=True),
        strict=True)))


def understood(runs: xr.Dataset) -> xr.DataArray:
    """Evaluations from the first on at which test accuracy is one half or more."""
    return (runs["val_acc"] >= 0.5).cumsum("step") > 0


def hill_in_time(runs: xr.Dataset) -> xr.Dataset:
    """The hill of each run's test loss over the steps, as `hill`, with its top before test accuracy reaches one half.

    A network that has understood has spikes of its tiny loss, which are hills too, but not those of memorising.
    """
    after = understood(runs)
    lowest = runs["val_loss"].where(after).min("step")
    return hill(runs["val_loss"].where(~after, lowest), "step")


def size_and_time(runs: xr.Dataset, event: xr.DataArray) -> xr.DataArray:
    """Spearman's rank correlation of d_h with the step of an event in the runs of each seed, over seed.

    `event` (d_h, seed): where it is NaN in a run that was trained, it had not happened by the end and counts as later
    than all that had. NaN for seeds in which it happened at fewer than three sizes, or everywhere at one step.
    """
    step = event.fillna(np.inf).where(runs["trained"])
    return xr.apply_ufunc(_rank_correlation, runs["d_h"], step, input_core_dims=[["d_h"], ["d_h"]], vectorize=True)


def _rank_correlation(d_h: np.ndarray, step: np.ndarray) -> float:
    trained = ~np.isnan(step)
    if np.isfinite(step).sum() < 3 or len(np.unique(step[trained])) < 2:
        return np.nan
    return float(np.corrcoef(rankdata(d_h[trained]), rankdata(step[trained]))[0, 1])


def collapse(runs: xr.Dataset) -> dict[str, float]:
    """How far one variable log step + γ log d_h tells the mean log test loss of every (d_h, step).

    Returns `gamma` with its 95 % interval over resampled seeds (`lo`, `hi`; NaN of a single one), and shares of
    variance explained: `explained` by that variable, `by_step` by the step alone, `by_size` by the size alone, and
    `apart` by the rival, in which every step and every size has a level of its own and they add up. Seeds are resampled
    for all sizes together, since they share their split; so only those that every size has count (`n`).
    Raises ValueError: no seed was trained at every size.
    """
    values = _whole(runs)
    seeds = values.sizes["seed"]
    size, step = np.log(values["d_h"].values), np.log(values["step"].values)
    bins = [_bins(step[None, :] + gamma * size[:, None]) for gamma in GAMMAS]
    scores = _explained(values.mean("seed").values, bins)
    gamma, rng = float(GAMMAS[scores.argmax()]), np.random.default_rng(0)
    drawn = [GAMMAS[np.argmax(_explained(values.values[rng.integers(seeds, size=seeds)].mean(axis=0), bins))]
             for _ in range(N_DRAWS // 10)]
    lo, hi = resampled_interval(gamma, np.array(drawn), seeds) if seeds > 1 else (np.nan, np.nan)
    lo, hi = np.clip([lo, hi], GAMMAS[0], GAMMAS[-1]).tolist()  # none beyond these was tried
    rows, columns = np.indices((len(size), len(step)))
    by_size, each_step = _explained(values.mean("seed").values, [rows, columns])
    return {"gamma": gamma, "lo": lo, "hi": hi,
            "explained": float(scores.max()), "by_step": float(scores[0]), "by_size": float(by_size),
            "apart": float(by_size + each_step), "n": seeds}


def held_out_hill(runs: xr.Dataset, *, last: bool = False) -> xr.Dataset:
    """Height of a hill of log test loss along the size, found in all seeds but one and measured in that one, for each.

    The best of many steps and sizes is a hill by chance alone; a seed that had no part in the choice is not fooled. At
    any step, or with `last` at the last one. Returns `height` and the top, `at` (d_h) and `step`, over seed.
    Raises ValueError: fewer than two seeds were trained at every size, or fewer than three sizes.
    """
    values = _whole(runs)[:, :, -1 if last else 0 :]
    if values.sizes["seed"] < 2 or values.sizes["d_h"] < 3:
        raise ValueError(f"{values.sizes['seed']} seeds have all of {values.sizes['d_h']} d_h; valid: 2 and 3, or more")
    i, j, k = np.array(list(combinations(range(values.sizes["d_h"]), 3))).T

    def heights(loss: np.ndarray) -> np.ndarray:
        """Of every three sizes i < j < k at every step, (triple, step), from log losses (d_h, step)."""
        return loss[j] - np.maximum(loss[i], loss[k])

    hills = []
    for seed in values["seed"].values:
        others = values.sel(seed=values["seed"] != seed).mean("seed").values
        where, step = np.unravel_index(heights(others).argmax(), (len(j), values.sizes["step"]))
        hills.append((heights(values.sel(seed=seed).values)[where, step], values["d_h"].values[j[where]],
                      values["step"].values[step]))
    return xr.Dataset({name: ("seed", list(column)) for name, column in
                       zip(("height", "at", "step"), zip(*hills, strict=True), strict=True)}, {"seed": values["seed"]})


def _whole(runs: xr.Dataset) -> xr.DataArray:
    """Log test losses (seed, d_h, step) of the seeds that were trained at every size, at steps all of them reached."""
    values = log_loss(carried(runs, "val_loss")).sel(step=slice(1, None)).transpose("seed", "d_h", "step")
    values = values.sel(seed=values.notnull().any("step").all("d_h").values)
    if not values.sizes["seed"]:
        raise ValueError("no seed was trained at every d_h; valid: runs with at least one such seed")
    return values.isel(step=np.flatnonzero(values.notnull().all(("seed", "d_h")).values))


def _hill(place: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    known = ~np.isnan(values)
    place, curve = place[known], -values[known]
    if len(curve) < 3:
        return np.nan, np.nan
    deep = below_rim(curve)
    height = float(deep.max())
    return height, float(place[deep.argmax()]) if height else np.nan


def _bins(u: np.ndarray) -> np.ndarray:
    edges = np.linspace(u.min(), u.max(), N_BINS + 1)[1:-1]
    return np.digitize(u, edges)


def _explained(values: np.ndarray, groupings: list[np.ndarray]) -> np.ndarray:
    """Share of the variance of the values that lies between the groups, one a grouping."""
    off = (values - values.mean()).ravel()
    counts = [np.bincount(bins.ravel()) for bins in groupings]
    sums = [np.bincount(bins.ravel(), off) for bins in groupings]
    return np.array([np.sum(s**2 / np.maximum(n, 1)) for s, n in zip(sums, counts, strict=True)]) / np.sum(off**2)

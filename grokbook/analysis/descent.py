"""Double descent: does accuracy fall and rise again as the network grows? (Huang et al. 2024, Fig 6 and 7)

The *depth* of a curve m over ascending sizes is that of its deepest valley,

    depth = max over i < j < k of  min(m_i, m_k) − m_j,

0 for a curve that only rises, or only falls. Noise alone makes valleys, so the depth is tested against a curve that
only rises: seeds are drawn around the best rising fit (isotonic regression), each cell with the spread that it really
has, and p is the share of such draws at least as deep.

Size and time on one map: what more steps do, more width does too (Davies et al. 2022, §3.1, Fig 4 to 6).

The map is a metric over (d_h, step), a mean over seeds. Two things are read off it. A *hill* of the test loss L along
one of the axes: how far log L rises above what it was before and what it becomes after,

    height = max over i < j < k of  log L_j − max(log L_i, log L_k).

And whether both axes are one: with u = log step + γ log d_h, does the test loss depend on u alone? `collapse` finds the
γ for which it does best and says how well.
"""

from itertools import combinations

import numpy as np
import pandas as pd
import xarray as xr
from scipy.optimize import isotonic_regression
from scipy.stats import rankdata

from grokbook.analysis.events import carried, check_dims, crossing, final
from grokbook.analysis.statistics import log_loss, resampled_interval
from grokbook.run import ACCURACIES

N_DRAWS = 2000  # resamples behind a p-value


def depth(means: np.ndarray) -> np.ndarray:
    """Depth of the deepest valley of each curve (…, size); see above."""
    return below_rim(means).max(axis=-1)


def below_rim(means: np.ndarray) -> np.ndarray:
    """How far each size (…, size) lies below the lower of the highest points to its left and to its right."""
    left = np.maximum.accumulate(means, axis=-1)
    right = np.maximum.accumulate(means[..., ::-1], axis=-1)[..., ::-1]
    return np.minimum(left, right) - means


def first_size(accuracy: xr.DataArray, level: float) -> float:
    """The smallest d_h from which on mean accuracy over seeds is at that level; infinite if there is none."""
    good = (accuracy.mean("seed") >= level).values[::-1]
    n = int(np.cumprod(good).sum())
    return float(accuracy["d_h"].values[-n]) if n else np.inf


def double_descent(runs: xr.Dataset) -> pd.DataFrame:
    """Depth of the valley of mean final validation accuracy over d_h, one row a D_train.

    `runs` has the dimensions d_h, D_train, seed, step. Columns: `D_train`; `depth`, without an interval, since noise
    only deepens valleys and resampled means would never show a shallower one; `at`, the d_h at the bottom, and
    `bottom`, the mean accuracy there; `p`, how often a rising curve with this noise looks as deep; `n` runs and
    `sizes`, how many d_h. Sizes without a run are left out; with fewer than two seeds at any size p is NaN.
    Raises ValueError: other dimensions than these.
    """
    check_dims(runs)
    accuracy = final(runs, "val_acc").transpose("D_train", "d_h", "seed")
    return pd.DataFrame([{"D_train": int(D), **_row(accuracy.sel(D_train=D))} for D in runs["D_train"].values])


def held_out_fall(accuracy: xr.DataArray) -> xr.DataArray:
    """By how much each seed falls from the peak to the last size, the peak being that of the other seeds' mean.

    `accuracy` has the dimensions d_h, ascending, and seed; seeds that were not trained at every size are left out. A
    seed that had no part in choosing the peak falls by nothing on average where the curve is flat. Over flat curves the
    95 % interval of the mean lies above zero in up to 6 of 100, not 2.5: choices of the peak share seeds.
    Raises ValueError: fewer than two such seeds.
    """
    values = _complete(accuracy)
    n, seeds = len(values), np.arange(len(values))
    others = (values.values.sum(axis=0) - values.values) / (n - 1)
    return values.isel(d_h=-1).copy(data=values.values[seeds, others.argmax(axis=1)] - values.values[:, -1])


def held_out_depth(accuracy: xr.DataArray) -> xr.DataArray:
    """How deep a valley each seed has where the others have theirs, which noise does not deepen.

    `accuracy` has the dimensions d_h, ascending, and seed; seeds that were not trained at every size are left out. The
    mean of the other seeds says where the deepest valley and the lower of its two shores are; measured is the seed's
    fall from that shore, 0 where the others have no valley. Raises ValueError: fewer than two such seeds.
    """
    values = _complete(accuracy)
    curves, depths = values.values, []
    for k, curve in enumerate(curves):
        others = np.delete(curves, k, axis=0).mean(axis=0)
        bottom = int(below_rim(others).argmax())
        shores = int(others[:bottom + 1].argmax()), bottom + int(others[bottom:].argmax())
        depths.append(curve[min(shores, key=lambda size, others=others: others[size])] - curve[bottom])
    return values.isel(d_h=-1, drop=True).copy(data=depths)


def _complete(accuracy: xr.DataArray) -> xr.DataArray:
    """The accuracies (seed, d_h) of seeds that have every size. Raises ValueError for fewer than two."""
    values = accuracy.transpose("seed", "d_h").dropna("seed")
    if len(values) < 2:
        raise ValueError(f"{len(values)} seeds have every d_h; valid: two or more")
    return values


def _row(accuracy: xr.DataArray) -> dict:
    by_size = zip(accuracy["d_h"].values, accuracy.transpose("d_h", "seed").values, strict=True)
    cells = {int(d_h): values[~np.isnan(values)] for d_h, values in by_size if not np.isnan(values).all()}
    n = sum(map(len, cells.values()))
    row = {"depth": np.nan, "at": -1, "bottom": np.nan, "p": np.nan, "n": n, "sizes": len(cells)}
    if len(cells) < 3:
        return row
    seeds = list(cells.values())
    means = np.array([values.mean() for values in seeds])
    measured, valley = float(depth(means)), below_rim(means)
    bottom = valley.argmax() if valley.max() > 0 else -1  # the last size of a curve without a valley
    row |= {"depth": measured, "at": list(cells)[bottom], "bottom": means[bottom]}
    return row | {"p": _p_value(seeds, means, measured)} if min(map(len, seeds)) > 1 else row


def _p_value(seeds: list[np.ndarray], means: np.ndarray, measured: float) -> float:
    """How often a rising curve with this noise is as deep; the same number at every call."""
    rng = np.random.default_rng(0)
    # A mean of resampled residuals varies by (n − 1)/n too little, much for three seeds.
    wider = np.sqrt([len(values) / (len(values) - 1) for values in seeds])
    rising = isotonic_regression(means, weights=[len(values) for values in seeds]).x
    null = np.clip(rising + (_resampled([v - v.mean() for v in seeds], rng)) * wider, 0, 1)
    return float((1 + np.sum(depth(null) >= measured)) / (1 + N_DRAWS))


def _resampled(seeds: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Means of seeds drawn with replacement, (draw, size), for each size anew.

    Of three seeds drawn for all sizes together there are ten different draws. What a split does to networks of every
    size moves a curve up or down as a whole, and that makes no valley.
    """
    return np.stack([values[rng.integers(len(values), size=(N_DRAWS, len(values)))].mean(axis=1) for values in seeds],
                    axis=1)


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
    along = (step[None, :] + gamma * size[:, None] for gamma in GAMMAS)
    bins = [np.digitize(u, np.linspace(u.min(), u.max(), N_BINS + 1)[1:-1]) for u in along]
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


def _explained(values: np.ndarray, groupings: list[np.ndarray]) -> np.ndarray:
    """Share of the variance of the values that lies between the groups, one a grouping."""
    off = (values - values.mean()).ravel()
    counts = [np.bincount(bins.ravel()) for bins in groupings]
    sums = [np.bincount(bins.ravel(), off) for bins in groupings]
    return np.array([np.sum(s**2 / np.maximum(n, 1)) for s, n in zip(sums, counts, strict=True)]) / np.sum(off**2)

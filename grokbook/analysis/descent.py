"""Double descent: does accuracy fall and rise again as the network grows? (Huang et al. 2024, Fig 6 and 7)

The *depth* of a curve m over ascending sizes is that of its deepest valley,

    depth = max over i < j < k of  min(m_i, m_k) − m_j,

0 for a curve that only rises, or only falls. Noise alone makes valleys, so the depth is tested against a curve that
only rises: seeds are drawn around the best rising fit (isotonic regression), each cell with the spread that it really
has, and p is the share of such draws at least as deep.
"""

import numpy as np
import pandas as pd
import xarray as xr
from scipy.optimize import isotonic_regression

from grokbook.analysis.events import final

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
    if set(runs.dims) != {"d_h", "D_train", "seed", "step"}:
        raise ValueError(f"runs vary over {', '.join(map(str, runs.dims))}; valid: d_h, D_train, seed, step, "
                         "with one value selected of anything else")
    accuracy = final(runs, "val_acc").transpose("D_train", "d_h", "seed")
    return pd.DataFrame([{"D_train": int(D), **_row(accuracy.sel(D_train=D))} for D in runs["D_train"].values])


def held_out_fall(accuracy: xr.DataArray) -> xr.DataArray:
    """By how much each seed falls from the peak to the last size, the peak being that of the other seeds' mean.

    `accuracy` has the dimensions d_h, ascending, and seed; seeds that were not trained at every size are left out. The
    null is a curve that never falls. The peak of noisy means lies above the last one by chance alone, while a seed that
    had no part in choosing it falls by nothing on average where the curve is flat, and by less than nothing where it
    rises. Over flat curves the 95 % interval of the mean lies above zero in up to 6 of 100, not 2.5: choices of the
    peak share seeds. Raises ValueError: fewer than two such seeds.
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
        valley = below_rim(others)
        bottom = int(valley.argmax())
        shores = int(others[:bottom + 1].argmax()), bottom + int(others[bottom:].argmax())
        depths.append(curve[min(shores, key=lambda size, others=others: others[size])] - curve[bottom])
    return values.isel(d_h=-1, drop=True).copy(data=depths)


def _complete(accuracy: xr.DataArray) -> xr.DataArray:
    """The accuracies (seed, d_h) of seeds that have every size. Raises ValueError for fewer than two."""
    values = accuracy.transpose("seed", "d_h").dropna("seed")
    if len(values) < 2:
        raise ValueError(f"{len(values)} seeds have every d_h; valid: two or more")
    return values


def _cells(accuracy: xr.DataArray) -> dict[int, np.ndarray]:
    """The accuracies (seed,) at each d_h that has some."""
    cells = {int(d_h): values[~np.isnan(values)] for d_h, values in
             zip(accuracy["d_h"].values, accuracy.transpose("d_h", "seed").values, strict=True)}
    return {d_h: values for d_h, values in cells.items() if len(values)}


def _means(seeds: list[np.ndarray]) -> np.ndarray:
    return np.array([values.mean() for values in seeds])


def _row(accuracy: xr.DataArray) -> dict:
    cells = _cells(accuracy)
    n = sum(map(len, cells.values()))
    row = {"depth": np.nan, "at": -1, "bottom": np.nan, "p": np.nan, "n": n, "sizes": len(cells)}
    if len(cells) < 3:
        return row
    seeds = list(cells.values())
    means = _means(seeds)
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

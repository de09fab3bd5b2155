"""How many pairs a network of a given size can know by heart, and how many it needs to generalise (Huang et al. 2024).

The paper's capacity (Fig 4) is the number of random labels of all p² pairs answered right at the end of training,
accuracy × p². Two more measures make it comparable. *Distinct* labels: where (a, b) and (b, a) share theirs, p(p + 1)/2
of the p² are different. *Bits*: a label drawn from p values that the network predicts with cross entropy L (nats) holds
log₂ p − L / ln 2 bits fewer than one it knows nothing of, so over all distinct labels the weights store

    bits = n_distinct · (log₂ p − L / ln 2).

Capacity rises with d_h and the critical size (Fig 3) falls. They meet at the star of Fig 1: left of it a network cannot
hold as many pairs as it takes to generalise, right of it it can. Both are known at some hidden sizes; between two of
them they are taken as straight on logarithmic axes.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from scipy.optimize import isotonic_regression
from scipy.special import expit

from grokbook.analysis.events import GENERALISED, MEMORISED, check_dims, final
from grokbook.analysis.statistics import LEVEL, interval, resampled_interval
from grokbook.store import config_of

SYMMETRIC = {"random": True, "random-ordered": False}
"""Tasks whose labels are random, and whether the label of (a, b) is that of (b, a)."""


def capacity(runs: xr.Dataset) -> pd.DataFrame:
    """Capacity of each d_h, one row a size and task, with 95 % intervals over seeds.

    `runs`, of one kind of network, was trained on random labels of all pairs: dimensions d_h, D_train, seed, step and
    perhaps task. Columns:
    `task`, `d_h`, `n_params`, `n` seeds; `D_mem` with `D_mem_lo`, `D_mem_hi`, in pairs (the paper's measure);
    `distinct`, the same in distinct labels; `D_split` with `_lo`, `_hi`, its capacity in the pairs of a random split
    (`pairs_of_split`), whose D_train pairs hold nearly as many labels, while all p² hold every label twice;
    `bits_per_param` with `_lo`, `_hi`, and `_most`, which a network that knows
    every label would have: none can show more, whatever it could hold; `rising`, the growth of accuracy over
    the second half of the steps: 0 for a network that has settled.
    Raises ValueError: other tasks, or runs that were not given all pairs.
    """
    by_task = runs if "task" in runs.dims else runs.expand_dims("task")
    tables = [_of_task(by_task.sel(task=task), str(task)) for task in by_task["task"].values]
    return pd.concat(tables, ignore_index=True)


def _of_task(runs: xr.Dataset, task: str) -> pd.DataFrame:
    if task not in SYMMETRIC:
        raise ValueError(f"task={task!r} has a rule to learn; valid: {', '.join(SYMMETRIC)}")
    p = int(runs["p"])
    if runs["D_train"].values.tolist() != [p * p]:
        raise ValueError(f"D_train={runs['D_train'].values.tolist()} leaves pairs out; valid: {p * p}, all of them")
    runs = runs.sel(D_train=p * p)
    n_distinct = p * (p + 1) // 2 if SYMMETRIC[task] else p * p
    n_params = xr.DataArray([config_of(runs, d_h=int(d), seed=0).n_params for d in runs["d_h"].values],
                            {"d_h": runs["d_h"]})
    pairs = interval(final(runs, "train_acc") * p * p, within=(0, p * p))
    bits = interval(n_distinct * (np.log2(p) - final(runs, "train_loss") / np.log(2)) / n_params)
    half = runs.sel(step=slice(0, int(runs["step"].values[-1]) // 2))
    rising = (final(runs, "train_acc") - final(half, "train_acc")).mean("seed")
    columns = {"task": task, "d_h": runs["d_h"], "n_params": n_params, "n": pairs["n"],
               "D_mem": pairs["mean"], "D_mem_lo": pairs["lo"], "D_mem_hi": pairs["hi"],
               "distinct": pairs["mean"] * n_distinct / p**2, "bits_per_param": bits["mean"],
               **{name: pairs_of_split(bits[part] * n_params / np.log2(p), p, SYMMETRIC[task]) for name, part in
                  (("D_split", "mean"), ("D_split_lo", "lo"), ("D_split_hi", "hi"))},
               "bits_per_param_lo": bits["lo"], "bits_per_param_hi": bits["hi"],
               "bits_per_param_most": n_distinct * np.log2(p) / n_params, "rising": rising}
    table = pd.DataFrame({name: getattr(values, "values", values) for name, values in columns.items()})
    return table.query("n > 0").reset_index(drop=True)


def pairs_of_split(labels: xr.DataArray, p: int, symmetric: bool) -> xr.DataArray:
    """How many pairs, drawn from all p² at random, hold so many distinct labels, on average.

    With a share q of the pairs drawn, p q labels of pairs (a, a) are in, and of the p (p − 1)/2 others, which have two
    pairs each if they are symmetric, 1 − (1 − q)². `labels` are those that the bits of a network are worth: it knows
    more of each than whether it is right.
    """
    if not symmetric:
        return labels.clip(0, p**2)
    twins = p * (p - 1) / 2
    return p**2 * (p**2 - (p**4 - 4 * twins * labels.clip(0, p + twins)) ** 0.5) / (2 * twins)


def border_errors(runs: xr.Dataset, table: pd.DataFrame, column: str = "D_mem") -> tuple[int, int]:
    """How many runs that did not generalise the line D_train = `column` of the `capacity` table takes rightly, wrongly.

    Rightly is a run that memorised all its pairs if it had no more, and did not if it had. `runs` over d_h, D_train,
    seed, step; of sizes in the table alone.
    """
    runs = runs.sel(d_h=np.intersect1d(runs["d_h"], table["d_h"]))
    line = xr.DataArray(table.set_index("d_h")[column].reindex(runs["d_h"].values).values, {"d_h": runs["d_h"]})
    judged = runs["trained"] & (final(runs, "val_acc") < GENERALISED)
    right = (final(runs, "train_acc") >= MEMORISED) == (runs["D_train"] <= line)
    return int((right & judged).sum()), int((~right & judged).sum())


N_BOOTSTRAP = 1000  # resamples of the seeds behind an interval
PARTIAL = (0.1, 0.9)  # mean accuracies between which a network knows a part
EQUALLY_GOOD = 1e-4  # squared error, in accuracy, by which two fits may differ and still count as equally good


def critical_size(runs: xr.Dataset, *, metric: str = "val_acc") -> pd.DataFrame:
    """D_train at which mean final validation accuracy crosses one half, by a logistic curve fitted a d_h.

    `runs` has the dimensions d_h, D_train, seed, step. Returns one row a d_h with columns

    - `d_h`, `D_crit`, and `n`, the number of seeds;
    - `lo`, `hi`: 95 % over resampled seeds (`statistics.resampled_interval`), widened to measured sizes: how accuracy
      rises between two of them was not observed, so the interval holds both the crossing of the curve and the sizes
      between which the best rising fit passes one half. Infinite outside the sizes measured; NaN for a single seed;
    - `censored`: empty where D_crit was measured, else why it is NaN: `below` or `above` the sizes measured, `falling`
      (accuracy is over a half at the smallest size and under it at the largest), `no data`.
    Raises ValueError: other dimensions than these.
    """
    check_dims(runs)
    accuracy = final(runs, metric).transpose("d_h", "seed", "D_train")
    sizes = runs["D_train"].values.astype(float)
    rows = [{"d_h": int(d_h), **_critical(sizes, accuracy.sel(d_h=d_h).values)} for d_h in runs["d_h"].values]
    return pd.DataFrame(rows, columns=["d_h", "D_crit", "lo", "hi", "n", "censored"])


def critical_difference(runs: xr.Dataset, small: int, large: int) -> dict[str, float]:
    """D_crit of the d_h `large` less that of `small`: `mean`, and `lo`, `hi`, 95 % over seeds that are drawn together.

    Runs of a seed share their split, so the n-th seed of one is drawn with the n-th of the other. The interval holds
    every crossing between the measured sizes on either side, as those of `critical_size` do. NaN where one of the two
    is not known or has a single seed.
    """
    accuracy = final(runs, "val_acc").transpose("d_h", "seed", "D_train")
    sizes = runs["D_train"].values.astype(float)
    rows, ends = [], []
    for d_h in (small, large):
        cells = _measured(sizes, accuracy.sel(d_h=d_h).values)
        rows.append(_critical(sizes, accuracy.sel(d_h=d_h).values))
        if np.isnan(rows[-1]["lo"]):
            return {"mean": np.nan, "lo": np.nan, "hi": np.nan}
        ends.append(_crossings(*cells))
    estimate = rows[1]["D_crit"] - rows[0]["D_crit"]
    with np.errstate(invalid="ignore"):  # both outside what was measured: nothing is known of the difference
        least, middle, largest = (np.where(np.isnan(d), unknown, d) for d, unknown in zip(
            ends[1] - ends[0][::-1], (-np.inf, estimate, np.inf), strict=True))
    lo, hi = _ends(estimate, least, middle, largest, min(row["n"] for row in rows))
    return {"mean": estimate, "lo": lo, "hi": hi}


def critical_over_budget(runs: xr.Dataset, budgets: Sequence[int]) -> pd.DataFrame:
    """The table of `critical_size` of the same runs cut at each of these steps, which are its column `n_steps`."""
    return pd.concat([critical_size(runs.sel(step=slice(0, n_steps))).assign(n_steps=n_steps) for n_steps in budgets],
                     ignore_index=True)


def nearest_budget(runs: xr.Dataset, budgets: Sequence[int], wanted: Mapping[int, float]) -> dict[str, float]:
    """Of these steps the ones after which D_crit comes nearest to what is wanted, by d_h, in the sum of distances:
    `n_steps` and `off`, that sum. NaN where not all were measured at any of them."""
    table = critical_over_budget(runs, budgets).pivot(index="n_steps", columns="d_h", values="D_crit")[list(wanted)]
    off = (table - pd.Series(wanted)).abs().sum(axis=1, skipna=False).dropna()
    n_steps, least = (float(off.index[off.argmin()]), float(off.min())) if len(off) else (np.nan, np.nan)
    return {"n_steps": n_steps, "off": least}


def border_shift(runs: xr.Dataset, n_steps: int) -> xr.DataArray:
    """By how many pairs each seed's border has moved since the step `n_steps`, negative where it fell; over d_h, seed.

    The area between a seed's curves of validation accuracy over D_train then and at the end: the shift of a step from 0
    to 1. NaN for a seed that was not trained at every D_train of its d_h.
    """
    rise = final(runs, "val_acc") - final(runs.sel(step=slice(0, n_steps)), "val_acc")
    return xr.concat([-rise.sel(d_h=[d_h]).dropna("D_train", how="all").astype(float).integrate("D_train")
                      for d_h in runs["d_h"].values], "d_h")


def partial_range(runs: xr.Dataset) -> pd.DataFrame:
    """D_train over which mean final validation accuracy is `PARTIAL`: columns `d_h`, `begin`, `end`, `width`, `n` runs.

    Read off the best rising fit (isotonic regression) with straight lines between the sizes measured; NaN where a level
    lies outside what was measured.
    """
    accuracy = final(runs, "val_acc").transpose("d_h", "D_train", "seed")
    rows = []
    for d_h in accuracy["d_h"].values:
        cells = accuracy.sel(d_h=d_h).dropna("D_train", how="all")
        n = int(cells.notnull().sum())
        ends = [np.nan, np.nan] if cells.sizes["D_train"] < 2 else _reached(cells)
        rows.append({"d_h": int(d_h), "begin": ends[0], "end": ends[1], "width": ends[1] - ends[0], "n": n})
    return pd.DataFrame(rows)


def _reached(cells: xr.DataArray) -> list[float]:
    """Where the best rising fit to the cells (D_train, seed) of one d_h reaches both ends of `PARTIAL`."""
    rising = isotonic_regression(cells.mean("seed").values, weights=cells.notnull().sum("seed").values).x
    sizes = cells["D_train"].values.astype(float)
    last = np.array([np.flatnonzero(rising <= level).max(initial=-1) for level in PARTIAL])
    return [np.nan if i in (-1, len(sizes) - 1) else
            float(np.interp(level, rising[i:i + 2], sizes[i:i + 2])) for i, level in zip(last, PARTIAL, strict=True)]


def _critical(sizes: np.ndarray, accuracy: np.ndarray) -> dict:
    """One row of the table from the accuracies (seed, D_train) of one d_h; NaN where there is no run."""
    sizes, accuracy = _measured(sizes, accuracy)
    row = {"D_crit": np.nan, "lo": np.nan, "hi": np.nan, "n": len(accuracy), "censored": _censored(accuracy)}
    if row["censored"]:
        return row
    fitted = _fit(sizes, accuracy[None])[1, 0]
    if np.isinf(fitted):
        return row | {"censored": "above" if fitted > 0 else "below"}
    return row | {"D_crit": fitted} | _resampled(sizes, accuracy, fitted)


def _measured(sizes: np.ndarray, accuracy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sizes and the seeds that have runs, and their accuracies (seed, D_train)."""
    trained = ~np.isnan(accuracy)
    return sizes[trained.any(axis=0)], accuracy[np.ix_(trained.any(axis=1), trained.any(axis=0))]


def _censored(accuracy: np.ndarray) -> str:
    """Why accuracies (seed, D_train) do not rise through one half; empty if they do."""
    if not accuracy.size:
        return "no data"
    smallest, largest = np.nanmean(accuracy[:, 0]), np.nanmean(accuracy[:, -1])
    if smallest >= 0.5:
        return "below" if largest >= 0.5 else "falling"
    return "" if largest >= 0.5 else "above"


def _resampled(sizes: np.ndarray, accuracy: np.ndarray, fitted: float) -> dict:
    """The interval of D_crit over seeds drawn with replacement, from a measured size to a measured size.

    The same numbers at every call. Widened for few seeds is the crossing, which varies with them, not the gap between
    two sizes, which more seeds would not close.
    """
    n = len(accuracy)
    if n == 1:
        return {}
    least, middle, largest = _crossings(sizes, accuracy)
    lo, hi = _ends(fitted, least, middle, largest, n)
    return {"lo": sizes[sizes <= lo].max(initial=-np.inf), "hi": sizes[sizes >= hi].min(initial=np.inf)}


def _crossings(sizes: np.ndarray, accuracy: np.ndarray) -> np.ndarray:
    """Least, middle and largest crossing (3, draw) of seeds drawn with replacement, by the fit and by the gap."""
    n = len(accuracy)
    draws = np.sort(np.random.default_rng(0).integers(n, size=(N_BOOTSTRAP, n)), axis=1)
    draws, again = np.unique(draws, axis=0, return_inverse=True)  # of three seeds there are ten different draws
    least, middle, largest = _fit(sizes, accuracy[draws])[:, again]
    below, above = (ends[again] for ends in _gap(sizes, accuracy[draws]))
    return np.stack([np.minimum(least, below), middle, np.maximum(largest, above)])


def _ends(estimate: float, least: np.ndarray, middle: np.ndarray, largest: np.ndarray, n: int) -> tuple[float, float]:
    """The resampled interval, widened to the least and the largest value that fit the draws."""
    lo, hi = resampled_interval(estimate, middle, n)
    return (min(lo, float(np.quantile(least, (1 - LEVEL) / 2, method="inverted_cdf"))),
            max(hi, float(np.quantile(largest, (1 + LEVEL) / 2, method="inverted_cdf"))))


def _gap(sizes: np.ndarray, accuracy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The neighbouring sizes between which the best rising fit to each sample (sample, seed, D_train) passes one half.

    An isotonic fit is under a level up to where the running sum of what lies above the level is least.
    """
    above = np.cumsum(np.nansum(accuracy - 0.5, axis=1), axis=1)
    first = np.pad(above, ((0, 0), (1, 0))).argmin(axis=1)
    ends = np.concatenate([[-np.inf], sizes, [np.inf]])
    return ends[first], ends[first + 1]


def _fit(sizes: np.ndarray, accuracy: np.ndarray) -> np.ndarray:
    """Where a rising logistic curve, fitted by least squares to each sample (sample, seed, D_train), crosses one half.

    Returns (3, sample): the least, the middle and the largest crossing that fit equally well. They coincide where the
    curve rises over several sizes; where it jumps from one measured size to the next, every point between fits.

    A search over a grid of centres (1/400 of the range apart, far below the spread over seeds) and widths: it cannot
    stop at a local minimum, and all samples are one matrix product. A crossing at the edge of the grid is returned as
    an infinity: it lies outside.
    """
    n = (~np.isnan(accuracy)).sum(axis=1).astype(float)
    total = np.nansum(accuracy, axis=1)
    centres = np.linspace(sizes[0], sizes[-1], 401)
    widths = np.ptp(sizes) * np.geomspace(0.005, 0.5, 20)
    curves = expit((sizes - centres[:, None, None]) / widths[:, None]).reshape(-1, len(sizes))
    error = (n @ (curves**2).T - 2 * total @ curves.T).reshape(len(n), len(centres), len(widths)).min(axis=2)
    good = error <= error.min(axis=1, keepdims=True) + EQUALLY_GOOD
    ends = np.array([centres[good.argmax(axis=1)], centres[len(centres) - 1 - good[:, ::-1].argmax(axis=1)]])
    least, largest = np.select([ends == sizes[0], ends == sizes[-1]], [-np.inf, np.inf], ends)
    best = centres[error.argmin(axis=1)]
    middle = np.select([best == sizes[0], best == sizes[-1]], [-np.inf, np.inf], ends.mean(axis=0))
    return np.stack([least, middle, largest])


FAR = 1e9
"""Logarithm that stands for an open end: a line to it leaves the neighbouring size at once, so intervals widen."""


def star(capacity: pd.DataFrame, critical: pd.DataFrame) -> pd.Series:
    """The crossing of D_mem (rising), in pairs of a split, with D_crit (falling) over d_h.

    `capacity` and `critical` are the tables that the functions of these names return, the first of one task. Returns
    `d_h` and `D_train` of the crossing, with `d_h_lo`, `d_h_hi`: from where the upper end of D_mem meets the lower end
    of D_crit to where the lower end of the one meets the upper end of the other, which is wider than a 95 % interval of
    the crossing; and `n_crossings`. NaN without a crossing between sizes where both were measured.
    """
    both = capacity.merge(critical, on="d_h").dropna(subset=["D_split", "D_crit"]).sort_values("d_h")
    x = np.log(both["d_h"].to_numpy(float))

    def meet(mem: str, crit: str) -> np.ndarray:
        """Logarithms of d_h at which these two columns cross, ascending."""
        with np.errstate(divide="ignore"):  # an interval that is open below begins at 0
            high = np.log(both[mem].to_numpy(float)) - np.log(both[crit].clip(lower=0).to_numpy(float))
        return _roots(x, high.clip(-FAR, FAR))

    at, early, late = meet("D_split", "D_crit"), meet("D_split_hi", "lo"), meet("D_split_lo", "hi")
    if not len(at):
        return pd.Series({"d_h": np.nan, "D_train": np.nan, "d_h_lo": np.nan, "d_h_hi": np.nan, "n_crossings": 0})
    height = np.exp(np.interp(at[0], x, np.log(both["D_split"].to_numpy(float))))
    ends = [np.exp(crossings[0]) if len(crossings) else np.nan for crossings in (early, late)]
    return pd.Series({"d_h": np.exp(at[0]), "D_train": height, "d_h_lo": ends[0], "d_h_hi": ends[1],
                      "n_crossings": len(at)})


def place(at: Mapping) -> str:
    """A crossing in words, with the interval of its d_h; an end that was not measured is left open."""
    lo, hi = ("open" if np.isnan(at[end]) else f"{at[end]:.1f}" for end in ("d_h_lo", "d_h_hi"))
    return f"d_h {at['d_h']:.1f} [{lo}, {hi}], D_train {at['D_train']:,.0f}"


def _roots(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Where the straight lines between the points (x, y) pass from negative to positive or back."""
    known = np.isfinite(y)
    x, y = x[known], y[known]
    turns = np.flatnonzero(np.sign(y[:-1]) * np.sign(y[1:]) < 0)
    between = x[turns] - y[turns] * (x[turns + 1] - x[turns]) / (y[turns + 1] - y[turns])
    return np.sort(np.concatenate([between, x[y == 0]]))

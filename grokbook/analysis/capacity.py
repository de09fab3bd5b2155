"""How much a network can know by heart: random labels for all p² pairs (Huang et al. 2024, Fig 4).

The paper's capacity is the number of pairs answered right at the end of training, accuracy × p². Two more measures
make it comparable. *Distinct* labels: where (a, b) and (b, a) share theirs, p(p + 1)/2 of the p² are different. *Bits*:
a label drawn from p values that the network predicts with cross entropy L (nats) holds log₂ p − L / ln 2 bits fewer
than one it knows nothing of, so over all distinct labels the weights store

    bits = n_distinct · (log₂ p − L / ln 2).

Capacity rises with d_h and the critical size falls. They meet at the star of Fig 1: left of it a network cannot hold as
many pairs as it takes to generalise, right of it it can. Both are known at some hidden sizes; between two of them they
are taken as straight on logarithmic axes.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from grokbook.analysis.events import GENERALISED, MEMORISED, final
from grokbook.analysis.statistics import interval
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

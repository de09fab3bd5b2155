"""Where memorisation capacity and critical size meet: the star in Huang et al. 2024, Fig 1.

Left of it a network cannot hold as many pairs as it takes to generalise, right of it it can. Both lines are known at
some hidden sizes; between two of them they are taken as straight on logarithmic axes.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

FAR = 1e9
"""Logarithm that stands for an open end: a line to it leaves the neighbouring size at once, so intervals widen."""


def star(capacity: pd.DataFrame, critical: pd.DataFrame) -> pd.Series:
    """The crossing of D_mem (rising) with D_crit (falling) over d_h.

    `capacity` and `critical` are the tables that the functions of these names return, the first of one task. Returns
    `d_h` and `D_train` of the crossing, with `d_h_lo`, `d_h_hi`: from where the upper end of D_mem meets the lower end
    of D_crit to where the lower end of the one meets the upper end of the other, which is wider than a 95 % interval of
    the crossing; and `n_crossings`. NaN without a crossing between sizes where both were measured.
    """
    both = capacity.merge(critical, on="d_h").dropna(subset=["D_mem", "D_crit"]).sort_values("d_h")
    x = np.log(both["d_h"].to_numpy(float))

    def meet(mem: str, crit: str) -> np.ndarray:
        with np.errstate(divide="ignore"):  # an interval that is open below begins at 0
            high = np.log(both[mem].to_numpy(float)) - np.log(both[crit].clip(lower=0).to_numpy(float))
        return _roots(x, high.clip(-FAR, FAR))

    at, early, late = meet("D_mem", "D_crit"), meet("D_mem_hi", "lo"), meet("D_mem_lo", "hi")
    if not len(at):
        return pd.Series({"d_h": np.nan, "D_train": np.nan, "d_h_lo": np.nan, "d_h_hi": np.nan, "n_crossings": 0})
    height = np.exp(np.interp(at[0], x, np.log(both["D_mem"].to_numpy(float))))
    ends = [np.exp(found[0]) if len(found) else np.nan for found in (early, late)]
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

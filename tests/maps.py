"""Cubes of made-up runs over hidden size and training size, for tests of what is read off a map."""

import functools

import numpy as np
import xarray as xr

from grokbook.config import IDENTITY, RunConfig
from grokbook.run import METRICS
from grokbook.studies import USUAL

usual = functools.partial(RunConfig, **USUAL)
"""A run of the usual recipe, which most studies of maps are in."""

STEPS = np.unique(np.r_[0, np.geomspace(1, 40_000, 120).round()]).astype(int)


def cube(d_h, D_train, n_seeds: int, curves, **fields) -> xr.Dataset:
    """`curves(d_h, D_train, seed)` gives a dict of METRICS (numbers or arrays over STEPS), or None for no run.

    What it leaves out is 0; twin-free accuracy is validation accuracy if it is left out. `fields` of a run that are not
    the default's are scalar coordinates like all others.
    """
    shape = (len(d_h), len(D_train), n_seeds, len(STEPS))
    data = {name: np.full(shape, np.nan, np.float32) for name in METRICS}
    last_step = np.full(shape[:-1], -1)
    for index in np.ndindex(shape[:-1]):
        made = curves(d_h[index[0]], D_train[index[1]], index[2])
        if made is not None:
            made = {"twin_free_val_acc": made.get("val_acc", 0)} | made
            for name in METRICS:
                data[name][index] = made.get(name, 0)
            last_step[index] = STEPS[-1]
    dims = ("d_h", "D_train", "seed")
    return xr.Dataset({name: ((*dims, "step"), values) for name, values in data.items()}
                      | {"last_step": (dims, last_step), "trained": (dims, last_step >= 0),
                         "settled": (dims, np.zeros(shape[:-1], bool))},
                      coords={name: getattr(usual(), name) for name in IDENTITY} | fields
                      | {"d_h": list(d_h), "D_train": list(D_train), "seed": range(n_seeds), "step": STEPS})


def holding_pairs(D: float) -> dict[str, float]:
    """Accuracy and loss on random symmetric labels of networks that hold as many as D pairs of a split have."""
    share = min(1, D / 113**2)
    labels = 113 * share + 113 * 56 * (1 - (1 - share) ** 2)
    return {"train_acc": share, "train_loss": np.log(113) * (1 - labels / 6441)}


def said(measured) -> str:
    """What a claim measured as one line: the remark, then label, value, interval and n of every number."""
    return " ".join(str(measured).split())


def rise(at: float, to: float = 1.0) -> np.ndarray:
    """A curve that is 0 before the step `at` and `to` from there on."""
    return np.where(at <= STEPS, to, 0.0)


def typical(zone: str) -> dict:
    """Curves of a run that shows the dynamics of a zone."""
    return {"PROGRESSION": {"train_acc": rise(100, 0.8), "val_acc": rise(100, 0.5), "param_norm": 20 + rise(50, 10)},
            "UNGROKKING": {"train_acc": rise(100), "val_acc": rise(50, 0.02), "param_norm": 50.0},
            "SEMI_GROKKING": {"train_acc": rise(100), "val_acc": rise(9_000, 0.6), "param_norm": 50.0},
            "STILL_MOVING": {"train_acc": rise(100), "val_acc": rise(35_000, 0.6), "param_norm": 50.0},
            "GROKKING": {"train_acc": rise(100), "val_acc": rise(9_000), "param_norm": 50 - rise(9_000, 10)},
            }[zone]

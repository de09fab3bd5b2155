"""What a pair of curves shows: grokking, double descent, both or neither. The thresholds stand here, with reasons."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike

from grokbook.analysis.descent import below_rim
from grokbook.analysis.events import LONG_BEFORE, MEMORISED, carried
from grokbook.analysis.patterns import DOUBLE_DESCENT, TIMES, Pattern, covered, predictiveness, shares, usage

KINDS = ("neither", "double descent", "grokking", "both")

DIP = 0.05
"""Least rise, fall and second rise of test accuracy in a double descent. Seen at a glance in a figure, and nine times
the sampling error of an accuracy over the 8,769 pairs that validate a network shown 4,000."""

LOW, HIGH = 0.1, 0.9
"""Test accuracies that count as still near chance and as generalised: the usual two ends of a rise. Looser than what
events of trained networks use, since a γ just short of 1 is no event of another kind."""


@dataclass(frozen=True)
class Shape:
    """What curves look like, every field over the leading dimensions of the curves.

    `peak` and `valley` are those of the deepest dip of test accuracy; `dip` is its depth, the least of the rise before,
    the fall and the rise after. `t_mem` and `t_gen`: first times at `MEMORISED` and at `HIGH`, NaN if never;
    `test_at_mem` the test accuracy at t_mem; `end` the last test accuracy.
    """

    end: np.ndarray
    dip: np.ndarray
    peak: np.ndarray
    valley: np.ndarray
    t_mem: np.ndarray
    t_gen: np.ndarray
    test_at_mem: np.ndarray

    def kind(self, *, dip: float = DIP, low: float = LOW) -> np.ndarray:
        """The place in `KINDS` of each pair of curves.

        Double descent: test accuracy rises, falls and rises again, each by at least `dip`, and train accuracy does not
        fall with it. Grokking: test accuracy is at most `low` when train accuracy reaches `MEMORISED`, and reaches
        `HIGH`, no sooner than after `LONG_BEFORE` times as long.
        """
        descends = self.dip >= dip
        groks = (self.test_at_mem <= low) & (self.t_gen >= LONG_BEFORE * self.t_mem)  # NaN compares as False
        return descends + 2 * groks.astype(int)


def shape(t: ArrayLike, train: ArrayLike, test: ArrayLike) -> Shape:
    """The shape of curves `train` and `test` (…, time) at times `t` (time,), ascending from a start at 0.

    Made for smooth curves. In measured ones, noise of `DIP` and more would count as a dip.
    """
    t, train, test = np.asarray(t, float), np.asarray(train, float), np.asarray(test, float)
    top = np.maximum.accumulate(test, axis=-1)
    at_top = np.maximum.accumulate(np.where(test == top, np.arange(len(t)), 0), axis=-1)
    depth = np.minimum(top - test[..., :1], below_rim(test))
    depth = np.where(train >= np.take_along_axis(train, at_top, -1), depth, 0)
    valley = depth.argmax(axis=-1)[..., None]
    peak = np.take_along_axis(at_top, valley, -1)
    mem, gen = (_first(values, level) for values, level in ((train, MEMORISED), (test, HIGH)))
    return Shape(end=test[..., -1], dip=_at(depth, valley), peak=_at(test, peak), valley=_at(test, valley),
                 t_mem=_time(t, mem), t_gen=_time(t, gen),
                 test_at_mem=np.where(mem[..., 0] < 0, np.nan, _at(test, mem)))


def shape_of(patterns: Sequence[Pattern], t: ArrayLike = TIMES) -> Shape:
    """The shape of the pattern model's curves."""
    p = predictiveness(patterns, t)
    used = usage(patterns, t)
    return shape(t, covered(p), np.tensordot([pattern.g for pattern in patterns], used, axes=1))


def dips(runs: xr.Dataset) -> pd.DataFrame:
    """The deepest dip of validation accuracy of every run, one row a run, with the fields that tell runs apart.

    `dip` as in `Shape`; `with_train` is the deepest where train accuracy may fall too, as no patterns let it (Eq 1).
    """
    train, val = (carried(runs, metric).stack(run=runs["last_step"].dims).dropna("run", how="all")
                  .transpose("run", "step") for metric in ("train_acc", "val_acc"))
    depths = {name: shape(runs["step"], beside, val).dip
              for name, beside in (("dip", train), ("with_train", np.ones(train.shape)))}
    return pd.DataFrame(depths, index=train.indexes["run"]).reset_index()


def kind_of(patterns: Sequence[Pattern]) -> str:
    """Which of `KINDS` the pattern model's curves show."""
    return KINDS[int(shape_of(patterns).kind())]


def kind_map(patterns: Sequence[Pattern] = DOUBLE_DESCENT, *, size: int = 41, dip: float = DIP,
             low: float = LOW) -> np.ndarray:
    """The kind over γ of the first pattern (rows) and of the last (columns), each in `size` values from 0 to 1.

    All else is as in `patterns`; `dip` and `low` as in `Shape.kind`. Returns places in `KINDS`, (size, size).
    Raises ValueError: fewer than two patterns.
    """
    if len(patterns) < 2:
        raise ValueError(f"the map spans γ of two patterns and there is {len(patterns)}; valid: two or more")
    gamma = np.linspace(0, 1, size)
    ones = [replace(patterns[0], gamma=1), *patterns[1:-1], replace(patterns[-1], gamma=1)]
    p = np.tile(predictiveness(ones, TIMES)[:, None, None], (1, size, size, 1))
    p[0] *= gamma[:, None, None]
    p[-1] *= gamma[:, None]
    preferred = next((i for i, pattern in enumerate(patterns) if pattern.preferred), None)
    test = np.tensordot([pattern.g for pattern in patterns], shares(p, preferred), axes=1)
    return shape(TIMES, covered(p), test).kind(dip=dip, low=low)


def _first(values: np.ndarray, level: float) -> np.ndarray:
    """Place of the first value at or above a level, (…, 1); −1 if there is none."""
    reached = values >= level
    return np.where(reached.any(axis=-1), reached.argmax(axis=-1), -1)[..., None]


def _at(values: np.ndarray, place: np.ndarray) -> np.ndarray:
    return np.take_along_axis(values, place, -1)[..., 0]


def _time(t: np.ndarray, place: np.ndarray) -> np.ndarray:
    return np.where(place[..., 0] < 0, np.nan, t[place[..., 0]])

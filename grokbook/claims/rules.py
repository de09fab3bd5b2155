"""What the rules of several claims share: how many seeds are enough, a verdict from its parts, an interval in words."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from grokbook.claims.card import Number, TooLittle, Verdict

ENOUGH_SEEDS = 3  # seeds that means and intervals take, however many runs they have

OURS = ("learning rate, weight decay, betas, initial weights, full batch and the number of steps, none of which the "
        "paper states; {:,} steps or an early stop")

LEAPS = "runs that end at the level of generalising grok and runs in the middle of a leap are still moving"
"""What changed in the zones after runs of both kinds had been taken for semi-grokking."""

LEVEL_WITHIN = 500
"""Pairs by which two critical sizes may differ and still be level: half of the paper's 1,000 from d_h 32 to 64."""

RESAMPLED = "over resampled seeds, for few of them as wide as that of a mean"  # what cards say of `resampled_interval`

UNCROSSED = {"above": "it lies above the sizes measured", "below": "it lies below the sizes measured",
             "falling": "accuracy falls over the sizes measured", "no data": "no run"}
"""Why a D_crit is not known, in words."""


def verdict(*parts: bool, partly: bool | None = None) -> Verdict:
    """Reproduced if every part holds, else partly if `partly`, by default if any of several does, else not."""
    if all(parts):
        return Verdict.REPRODUCED
    return Verdict.PARTLY if (any(parts) if partly is None else partly) else Verdict.NOT_REPRODUCED


def decided(shown: bool, refuted: bool) -> Verdict:
    """The verdict of an interval: reproduced, not reproduced, or, while it holds both, not yet measured."""
    return Verdict.REPRODUCED if shown else Verdict.NOT_REPRODUCED if refuted else Verdict.NOT_YET_MEASURED


def number(label: str, stats: Mapping | xr.Dataset, form: str = ".2f", n: int | None = None) -> Number:
    """A row from `mean`, `lo` and `hi`; an end that lies outside of what was measured is open."""
    mean, lo, hi = (float(stats[name]) for name in ("mean", "lo", "hi"))
    ends = ("open" if np.isinf(end) else format(end, form) for end in (lo, hi))
    return Number(label, format(mean, form), f"[{', '.join(ends)}]", n)


def n_trained(runs: xr.Dataset) -> int:
    """How many runs there are."""
    return int(runs["trained"].sum())


def enough(runs: xr.Dataset, seeds: int = ENOUGH_SEEDS) -> xr.DataArray:
    """Which cells have so many seeds."""
    return runs["trained"].sum("seed") >= seeds


def enough_cells(runs: xr.Dataset, seeds: int = ENOUGH_SEEDS) -> xr.Dataset:
    """The runs without those of cells of fewer seeds, which become cells that nobody trained."""
    cells = enough(runs, seeds)
    curves = {name: runs[name].where(cells) for name in runs.data_vars if "step" in runs[name].dims}
    return runs.assign(curves | {"trained": runs["trained"] & cells})


def enough_sizes(runs: xr.Dataset, at_least: int, what: str = "hidden sizes", where: str = "") -> xr.Dataset:
    """The runs at those d_h that have enough seeds at every D_train. Raises TooLittle if fewer than `at_least` have."""
    sizes = enough(runs).all([dim for dim in ("D_train",) if dim in runs["trained"].dims]).values
    if sizes.sum() < at_least:
        raise TooLittle(f"{sizes.sum()} {what} have {ENOUGH_SEEDS} seeds{where}; it takes {at_least}.")
    return runs.sel(d_h=sizes)


def seeds_of(happened: xr.DataArray, sentence: str = "") -> int:
    """How many seeds have a run in which something happened.

    Raises TooLittle: `sentence`, in which {n} and {seeds} are filled in, if it is given and they are not enough.
    """
    seeds = int(happened.any([dim for dim in happened.dims if dim != "seed"]).sum())
    if sentence and seeds < ENOUGH_SEEDS:
        raise TooLittle(f"{sentence.format(n=int(happened.sum()), seeds=seeds)}; it takes {ENOUGH_SEEDS} seeds.")
    return seeds


def direction(difference: Mapping) -> str:
    """Whether D_crit falls, rises or is level from one d_h to another, by the 95 % interval of the difference."""
    if np.isnan(difference["mean"]):
        return "not known at both ends"
    lo, hi = difference["lo"], difference["hi"]
    level = "is level" if -LEVEL_WITHIN <= lo and hi <= LEVEL_WITHIN else "is undecided"
    return "falls" if hi < 0 else "rises" if lo > 0 else level


def critical(row: Mapping, by: str = "") -> Number:
    """A row of the table of critical sizes."""
    label = f"D_crit of d_h {row['d_h']}{by}"
    if np.isnan(row["D_crit"]):
        return Number(label, f"no crossing ({UNCROSSED[row['censored']]})", n=row["n"])
    return number(label, {"mean": row["D_crit"], "lo": row["lo"], "hi": row["hi"]}, ",.0f", row["n"])

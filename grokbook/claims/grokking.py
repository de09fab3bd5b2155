"""Claims of chapter 01: a critical size, a delay, partial understanding, and what a random split hides."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from grokbook.analysis import (
    GENERALISED,
    MEMORISED,
    Zone,
    critical_size,
    events,
    final,
    interval,
    partial_range,
    twin_accuracy,
    twin_share,
    zones,
)
from grokbook.analysis.critical import PARTIAL
from grokbook.analysis.events import LONG_BEFORE
from grokbook.analysis.statistics import by_seed
from grokbook.analysis.zones import NEGLIGIBLE
from grokbook.claims.card import Claim, Measured, TooLittle

ENOUGH_SEEDS = 3
"""Seeds that means and intervals take, however many runs they have."""

CHANCE = 1 / 113
"""Accuracy of guessing one of 113 numbers."""

NO_BETTER = 2 * CHANCE
"""Twin-free accuracy of a run that has understood nothing: no more than twice chance."""

STEPS = 40_000
"""Budget of the runs that most claims are judged by: the longest that runs over the whole grid were given so far."""

OURS = ("learning rate, weight decay, betas, initial weights, full batch and the number of steps, none of which the "
        "paper states; {:,} steps or an early stop")

RESAMPLED = "over resampled seeds, for few of them as wide as that of a mean"
"""What cards say of `resampled_interval`."""

NAMED = ((64, 3000), (32, 4000))
"""Cells (d_h, D_train) at which the paper calls accuracy near perfect."""

UNCROSSED = {"above": "it lies above the sizes measured", "below": "it lies below the sizes measured",
             "falling": "accuracy falls over the sizes measured", "no data": "no run"}
"""Why a D_crit is not known, in words."""

WIDTH = (500, 2000)
"""Training pairs over which accuracy is partial that still pass for "about 1000": half to twice."""


def well_sampled(runs: xr.Dataset, sizes: int = 3) -> xr.Dataset:
    """The runs of cells with enough seeds, for every d_h that has so many such D_train.

    Raises:
        TooLittle: fewer than two d_h have.
    """
    runs, enough = thick_cells(runs, ENOUGH_SEEDS)
    usable = runs.sel(d_h=enough.sum("D_train").values >= sizes)
    if usable.sizes["d_h"] < 2:
        raise TooLittle(f"It takes two hidden sizes with {sizes} D_train of {ENOUGH_SEEDS} seeds each.")
    return usable


def thick_cells(runs: xr.Dataset, n_seeds: int) -> tuple[xr.Dataset, xr.DataArray]:
    """The runs without those of cells of fewer seeds, and which cells have enough."""
    enough = runs["trained"].sum("seed") >= n_seeds
    curves = {name: runs[name].where(enough) for name in runs.data_vars if "step" in runs[name].dims}
    return runs.assign(curves | {"trained": runs["trained"] & enough}), enough


def seeds_of(happened: xr.DataArray) -> int:
    """How many seeds have a run in which something happened."""
    return int(happened.any([dim for dim in happened.dims if dim != "seed"]).sum())


def judge_critical_size(runs: xr.Dataset) -> Measured:
    """D_crit of each d_h, whether it falls from the smallest to the largest, and what the cells named end with."""
    usable = well_sampled(runs)
    tables = [critical_size(usable, metric=metric).to_dict("records") for metric in ("val_acc", "twin_free_val_acc")]
    said, twin_free = ("; ".join(map(size_of, rows)) for rows in tables)
    way = direction(tables[0])
    verdict = {"falls": "reproduced", "rises": "not reproduced"}.get(way, "not yet measured")
    means = ", ".join(f"{_mean_at(runs, *cell)} at {cell}" for cell in NAMED)
    return Measured(verdict, f"{said}: {way}. By twin-free accuracy {twin_free}. Mean accuracy: {means}.",
                    int(usable["trained"].sum()))


def direction(rows: Sequence[Mapping]) -> str:
    """Whether D_crit falls or rises from the first to the last row of its table, by their 95 % intervals."""
    if len(rows) < 2 or np.isnan([rows[0]["D_crit"], rows[-1]["D_crit"]]).any():
        return "not known at both ends"
    small, large = rows[0], rows[-1]
    return "falls" if large["hi"] < small["lo"] else "rises" if large["lo"] > small["hi"] else "the intervals overlap"


def size_of(row: Mapping) -> str:
    """A row of the table of critical sizes in words."""
    if np.isnan(row["D_crit"]):
        return f"d_h {row['d_h']}: no crossing ({UNCROSSED[row['censored']]})"
    lo, hi = (f"{row[end]:,.0f}" if np.isfinite(row[end]) else "open" for end in ("lo", "hi"))
    return f"d_h {row['d_h']}: {row['D_crit']:,.0f} [{lo}, {hi}]"


def _mean_at(runs: xr.Dataset, d_h: int, D_train: int) -> str:
    if d_h not in runs["d_h"].values or D_train not in runs["D_train"].values:
        return "not trained"
    mean = float(final(runs, "val_acc").sel(d_h=d_h, D_train=D_train).mean("seed"))
    return "not trained" if np.isnan(mean) else f"{mean:.2f}"


def judge_delay(runs: xr.Dataset) -> Measured:
    """Of the runs that generalised, how many did so at least LONG_BEFORE times as late as they memorised."""
    found = events(runs)
    generalised = found["t_gen"].notnull() & (found["t_mem"] > 0)
    n, seeds = int(generalised.sum()), seeds_of(generalised)
    if seeds < ENOUGH_SEEDS:
        raise TooLittle(f"{n} runs of {seeds} seeds have generalised so far; it takes {ENOUGH_SEEDS} seeds.")
    ratio = (found["t_gen"] / found["t_mem"]).values[generalised.values]
    late = int((ratio >= LONG_BEFORE).sum())
    verdict = "reproduced" if late == n else "partly" if late > n / 2 else "not reproduced"
    low, middle, high = np.quantile(ratio, [0, 0.5, 1])
    return Measured(verdict, f"{late} of {n} runs of {seeds} seeds that generalised took at least {LONG_BEFORE} times "
                             f"as many steps for it as for memorising (median {middle:.1f} times, from {low:.1f} to "
                             f"{high:.1f}).", n)


def judge_twin_free(runs: xr.Dataset) -> Measured:
    """The gap between the two validation accuracies when a run has memorised and not generalised."""
    found = events(runs)
    at = LONG_BEFORE * found["t_mem"]
    then = runs.sel(step=at.fillna(0), method="nearest")
    memorised = (at <= found["last_step"]) & (then["twin_free_val_acc"] <= NO_BETTER)
    n, seeds = int(memorised.sum()), seeds_of(memorised)
    if seeds < ENOUGH_SEEDS:
        raise TooLittle(f"{n} runs of {seeds} seeds only know their pairs by then; it takes {ENOUGH_SEEDS} seeds.")
    then = then.where(memorised)
    twins = twin_accuracy(runs).sel(step=at.fillna(0), method="nearest").where(memorised)
    mean = interval(by_seed(then["val_acc"] - then["twin_free_val_acc"]))
    most = float((twin_share(runs).where(memorised)).max())
    verdict = "reproduced" if mean["lo"] > 0 else "not reproduced" if mean["hi"] < CHANCE else "not yet measured"
    return Measured(verdict, f"At {LONG_BEFORE} times the step of memorising, validation accuracy is "
                             f"{float(mean['mean']):.3f} [{float(mean['lo']):.3f}, {float(mean['hi']):.3f}] above the "
                             f"twin-free one (mean of {seeds} seeds); mirrors of training pairs are answered with "
                             f"accuracy {float(twins.min()):.2f} to {float(twins.max()):.2f}, and are up to {most:.1%} "
                             "of the validation pairs.", n)


def judge_semi_grokking(runs: xr.Dataset) -> Measured:
    """Over how many training pairs mean accuracy is partial, and whether single runs are partial there."""
    usable = well_sampled(runs)
    rises, zone = partial_range(usable).to_dict("records"), zones(usable)
    cut = [str(rise["d_h"]) for rise in rises if np.isnan(rise["width"])]
    if cut:
        raise TooLittle(f"Training sizes at both ends of the rise, {PARTIAL[0]:g} and {PARTIAL[1]:g}, are missing at "
                        f"d_h {', '.join(cut)}.")
    inside = [zone.sel(d_h=rise["d_h"]).where((zone["D_train"] > rise["begin"]) & (zone["D_train"] < rise["end"]), "")
              for rise in rises]
    if not all((cells != "").any() for cells in inside):
        raise TooLittle("It takes a training size between the ends of every rise.")
    n, partial = (sum(int(where.sum()) for where in found) for found in
                  ([cells != "" for cells in inside], [cells == Zone.SEMI_GROKKING.value for cells in inside]))
    wide = all(WIDTH[0] <= rise["width"] <= WIDTH[1] for rise in rises)
    said = "; ".join("d_h {d_h}: {begin:,.0f} to {end:,.0f}, {width:,.0f} wide".format(**rise) for rise in rises)
    verdict = "reproduced" if wide and 2 * partial >= n else "partly" if wide or 2 * partial >= n else "not reproduced"
    return Measured(verdict, f"Mean accuracy rises from {PARTIAL[0]:g} to {PARTIAL[1]:g} over D_train {said}. Of the "
                             f"{n} runs in there {partial} are themselves partial at the end.",
                    int(usable["trained"].sum()))


CLAIMS = (
    Claim("critical-size", "Huang et al. 2024, Fig 3, Takeaway 1",
          "The training size at which networks generalise falls as d_h grows: d_h 64 is near perfect at 3,000 pairs, "
          "d_h 32 needs 4,000.",
          "D_crit is where a logistic curve through the mean final validation accuracy crosses one half. Reproduced if "
          f"the 95 % interval of the largest d_h, {RESAMPLED} and from a measured size to another, lies below that of "
          "the smallest, not reproduced if above; while they overlap it is not yet measured. Cells of fewer than "
          f"{ENOUGH_SEEDS} seeds are left out. Accuracy at single cells is not judged.",
          OURS.format(STEPS), (("critical_size", STEPS),), judge_critical_size),
    Claim("delay", "Huang et al. 2024, §2.2",
          "Every near-perfect run groks: train accuracy is perfect long before validation accuracy rises.",
          f"Of the runs whose validation accuracy reaches {GENERALISED:g}, all (some: partly if more than half) took "
          f"at least {LONG_BEFORE} times as many steps for it as for a train accuracy of {MEMORISED:g}. Counted in "
          f"runs, which must be of {ENOUGH_SEEDS} seeds or more.",
          OURS.format(60_000) + "; D_train 5,000 besides the paper's 2,000 to 4,000", (("grokking", 60_000),),
          judge_delay),
    Claim("semi-grokking", "Huang et al. 2024, §2.2",
          "Near its critical size a network ends with partial validation accuracy, the higher the nearer; the range is "
          "about 1,000 training pairs wide for every d_h (d_h 64: from 2,000 to 3,000).",
          "The range is where the best rising fit to mean final validation accuracy goes from "
          f"{PARTIAL[0]:g} to {PARTIAL[1]:g}. Reproduced if it is {WIDTH[0]:,} to {WIDTH[1]:,} pairs wide for every "
          f"d_h that was trained at three D_train with {ENOUGH_SEEDS} seeds, wherever it lies (not yet measured while "
          "an end is missing at one of them), and at least half of the runs inside end partial themselves (memorised "
          f"first, twin-free accuracy above {NEGLIGIBLE:g}, validation accuracy not at {GENERALISED:g}) rather than at "
          "one of the two ends; partly if one of the two holds.",
          OURS.format(STEPS), (("critical_size", STEPS),), judge_semi_grokking),
    Claim("twin-free", "ours",
          "A random split flatters a memoriser that treats a and b alike: it leaves the mirror of D_train / p² of the "
          "validation pairs in train.",
          f"At {LONG_BEFORE} times the step of memorising, in runs whose twin-free accuracy is then at most twice "
          "chance, validation accuracy is above it: reproduced if the 95 % interval of the mean gap over seeds, "
          f"each the mean of its runs, {ENOUGH_SEEDS} or more, is above zero, not reproduced if it ends below chance; "
          "otherwise it is not yet measured.",
          "the measurement itself; the papers report validation accuracy only", (("grokking", 60_000),),
          judge_twin_free),
)

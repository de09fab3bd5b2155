"""Claims of chapters 01 and 02: a critical size, a delay, partial understanding, and what a random split hides; what
networks of a size can know by heart.
"""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from grokbook import analysis, studies
from grokbook.analysis import GENERALISED, NEGLIGIBLE, events, final, interval
from grokbook.analysis.events import LONG_BEFORE, MEMORISED, twin_share
from grokbook.analysis.sizes import PARTIAL, SYMMETRIC, critical_difference, partial_range
from grokbook.analysis.statistics import by_seed
from grokbook.analysis.zones import Zone
from grokbook.claims.card import (
    ENOUGH_SEEDS,
    OURS,
    RESAMPLED,
    Measured,
    Number,
    claim,
    decided,
    enough,
    enough_cells,
    n_trained,
    number,
    require,
    seeds_of,
    verdict,
)

CHANCE = 1 / 113  # accuracy of guessing one of 113 numbers
NO_BETTER = 2 * CHANCE  # twin-free accuracy of a run that has understood nothing: no more than twice chance
PERFECT_FROM = {64: 3000, 32: 4000}
"""By d_h the D_train from which the paper calls accuracy near perfect (Huang et al. 2024, Fig 3)."""

WIDTH = (500, 2000)  # training pairs over which accuracy is partial that still pass for "about 1000": half to twice


LEAPS = "runs that end at the level of generalising grok and runs in the middle of a leap are still moving"
"""What changed in the zones after runs of both kinds had been taken for semi-grokking."""

LEVEL_WITHIN = 500
"""Pairs by which two critical sizes may differ and still be level: half of the paper's 1,000 from d_h 32 to 64."""

UNCROSSED = {"above": "it lies above the sizes measured", "below": "it lies below the sizes measured",
             "falling": "accuracy falls over the sizes measured", "no data": "no run"}
"""Why a D_crit is not known, in words."""


def direction(difference: Mapping) -> str:
    """Whether D_crit falls, rises or is level from one d_h to another, by the 95 % interval of the difference."""
    if np.isnan(difference["mean"]):
        return "is not known at both ends"
    lo, hi = difference["lo"], difference["hi"]
    level = "is level" if -LEVEL_WITHIN <= lo and hi <= LEVEL_WITHIN else "is undecided"
    return "falls" if hi < 0 else "rises" if lo > 0 else level


def critical(row: Mapping, by: str = "") -> Number:
    """A row of the table of critical sizes."""
    label = f"D_crit of d_h {row['d_h']}{by}"
    if np.isnan(row["D_crit"]):
        return Number(label, f"no crossing ({UNCROSSED[row['censored']]})", n=row["n"])
    return number(label, {"mean": row["D_crit"], "lo": row["lo"], "hi": row["hi"]}, ",.0f", row["n"])


def well_sampled(runs: xr.Dataset) -> xr.Dataset:
    """The runs of cells with enough seeds, for every d_h that has three such D_train.

    Raises TooLittle: fewer than two d_h have.
    """
    usable = enough_cells(runs).sel(d_h=enough(runs).sum("D_train").values >= 3)
    require(usable.sizes["d_h"] >= 2, f"It takes two hidden sizes with 3 D_train of {ENOUGH_SEEDS} seeds each.")
    return usable


@claim("critical-size", source="Huang et al. 2024, Fig 3, Takeaway 1",
       says="The training size at which networks generalise falls as d_h grows: d_h 64 is near perfect at 3,000 pairs, "
            "d_h 32 needs 4,000.",
       rule="D_crit is where a logistic curve through the mean final validation accuracy crosses one half. Reproduced "
            f"if the 95 % interval of D_crit of the largest d_h less that of the smallest, {RESAMPLED} and with the "
            "gap between the measured sizes around each, lies below zero; not reproduced if above, or if it is level: "
            f"within {LEVEL_WITHIN} pairs of zero, half of what the paper sees from d_h 32 to 64. Else not yet "
            f"measured. Cells of fewer than {ENOUGH_SEEDS} seeds are left out. Accuracy at single cells is not judged.",
       ours=OURS.format(studies.critical_size.shown), needs=(studies.critical_size,),
       changed="it is judged by the interval of the difference and can be level; known by then was that the intervals "
               "overlap after 40,000 steps of the usual recipe")
def critical_size(runs: xr.Dataset) -> Measured:
    """D_crit of each d_h, whether it falls from the smallest to the largest, and what the cells named end with."""
    usable = well_sampled(runs)
    rows, twin_free = (analysis.critical_size(usable, metric=metric).to_dict("records")
                       for metric in ("val_acc", "twin_free_val_acc"))
    difference = critical_difference(usable, rows[0]["d_h"], rows[-1]["d_h"])
    way = direction(difference)
    met = () if np.isnan(difference["mean"]) else (
        number("D_crit of the largest less that of the smallest d_h", difference, ",.0f"),)
    numbers = (*met, *map(critical, rows), *(critical(row, ", by twin-free accuracy") for row in twin_free),
               *(Number(f"mean accuracy at {cell}", _mean_at(runs, *cell)) for cell in PERFECT_FROM.items()))
    return Measured(decided(way == "falls", way in ("rises", "is level")), numbers, n_trained(usable),
                    f"D_crit from the smallest to the largest d_h: {way}.")


def _mean_at(runs: xr.Dataset, d_h: int, D_train: int) -> str:
    if d_h not in runs["d_h"].values or D_train not in runs["D_train"].values:
        return "not trained"
    mean = float(final(runs, "val_acc").sel(d_h=d_h, D_train=D_train).mean("seed"))
    return "not trained" if np.isnan(mean) else f"{mean:.2f}"


@claim("delay", source="Huang et al. 2024, §2.2",
       says="Every near-perfect run groks: train accuracy is perfect long before validation accuracy rises.",
       rule=f"Of the runs whose validation accuracy reaches {GENERALISED:g}, all (some: partly if more than half) took "
            f"at least {LONG_BEFORE} times as many steps for it as for a train accuracy of {MEMORISED:g}. Counted in "
            f"runs, which must be of {ENOUGH_SEEDS} seeds or more.",
       ours=OURS.format(studies.grokking.shown) + "; D_train 5,000 besides the paper's 2,000 to 4,000",
       needs=(studies.grokking,))
def delay(runs: xr.Dataset) -> Measured:
    """Of the runs that generalised, how many did so at least LONG_BEFORE times as late as they memorised."""
    when = events(runs)
    generalised = when["t_gen"].notnull() & (when["t_mem"] > 0)
    n, seeds = int(generalised.sum()), seeds_of(generalised, "{n} runs of {seeds} seeds have generalised so far")
    ratio = (when["t_gen"] / when["t_mem"]).values[generalised.values]
    late = int((ratio >= LONG_BEFORE).sum())
    low, middle, high = np.quantile(ratio, [0, 0.5, 1])
    steps = "steps to generalise over steps to memorise"
    return Measured(verdict(late == n, partly=late > n / 2), (
        Number(f"runs that took {LONG_BEFORE} times as many steps to generalise", f"{late} of {n} runs"),
        Number(f"{steps}, median", f"{middle:.1f} times", n=n),
        Number(f"{steps}, smallest and largest", f"{low:.1f} to {high:.1f}")), n,
        f"Of the runs that generalised, of {seeds} seeds.")


@claim("semi-grokking", source="Huang et al. 2024, §2.2",
       says="Near its critical size a network ends with partial validation accuracy, the higher the nearer; the range "
            "is about 1,000 training pairs wide for every d_h (d_h 64: from 2,000 to 3,000).",
       rule="The range is where the best rising fit to mean final validation accuracy goes from "
            f"{PARTIAL[0]:g} to {PARTIAL[1]:g}. Reproduced if it is {WIDTH[0]:,} to {WIDTH[1]:,} pairs wide for every "
            f"d_h that was trained at three D_train with {ENOUGH_SEEDS} seeds, wherever it lies (not yet measured "
            "while an end is missing at one of them), and at least half of the runs inside end partial themselves "
            f"(memorised first, twin-free accuracy above {NEGLIGIBLE:g}, validation accuracy not at {GENERALISED:g}) "
            "rather than at one of the two ends or in the middle of a leap; partly if one of the two holds.",
       ours=OURS.format(studies.critical_size.shown), needs=(studies.critical_size,),
       changed=LEAPS + "; 3,400 and 3,600 pairs at d_h 40 were added since no size there lay inside its rise")
def semi_grokking(runs: xr.Dataset) -> Measured:
    """Over how many training pairs mean accuracy is partial, and whether single runs are partial there."""
    usable = well_sampled(runs)
    rises, zone = partial_range(usable).to_dict("records"), analysis.zones(usable)
    open_ended = [str(rise["d_h"]) for rise in rises if np.isnan(rise["width"])]
    require(not open_ended,
            f"Training sizes at both ends of the rise, {PARTIAL[0]:g} and {PARTIAL[1]:g}, are missing at "
            f"d_h {', '.join(open_ended)}.")
    counts = np.array([partial_inside(zone, rise) for rise in rises])
    require(counts[:, 0].all(), "It takes a training size between the ends of every rise.")
    n, partial = counts.sum(0).tolist()
    wide = all(WIDTH[0] <= rise["width"] <= WIDTH[1] for rise in rises)
    widths = (Number("D_train of the rise at d_h {d_h}".format(**rise),
                     "{begin:,.0f} to {end:,.0f}, {width:,.0f} wide".format(**rise), n=rise["n"]) for rise in rises)
    return Measured(verdict(wide, 2 * partial >= n), (
        *widths, Number("runs in there that are themselves partial at the end", f"{partial} of {n}")),
        n_trained(usable), f"The rise is that of mean accuracy from {PARTIAL[0]:g} to {PARTIAL[1]:g}.")


def partial_inside(zone: xr.DataArray, rise: Mapping) -> tuple[int, int]:
    """How many runs lie between the ends of a rise, and how many of them are semi-grokking at their end."""
    cells = zone.sel(d_h=rise["d_h"]).where((zone["D_train"] > rise["begin"]) & (zone["D_train"] < rise["end"]), "")
    return int((cells != "").sum()), int((cells == Zone.SEMI_GROKKING.value).sum())


@claim("twin-free", source="ours",
       says="A random split flatters a memoriser that treats a and b alike: it leaves the mirror of D_train / p² of "
            "the validation pairs in train.",
       rule=f"At {LONG_BEFORE} times the step of memorising, in runs whose twin-free accuracy is then at most twice "
            "chance, validation accuracy is above it: reproduced if the 95 % interval of the mean gap over seeds, "
            f"each the mean of its runs, {ENOUGH_SEEDS} or more, is above zero, not reproduced if it ends below "
            "chance; otherwise it is not yet measured.",
       ours="the measurement itself; the papers report validation accuracy only", needs=(studies.grokking,),
       changed="an interval that holds zero decides nothing; it is refuted by a gap below chance")
def twin_free(runs: xr.Dataset) -> Measured:
    """The gap between the two validation accuracies when a run has memorised and not generalised."""
    when = events(runs)
    step = LONG_BEFORE * when["t_mem"]
    then = runs.sel(step=step.fillna(0), method="nearest")
    memorised = (step <= when["last_step"]) & (then["twin_free_val_acc"] <= NO_BETTER)
    seeds = seeds_of(memorised, "{n} runs of {seeds} seeds only know their pairs by then")
    then = then.where(memorised)
    twins = analysis.twin_accuracy(runs).sel(step=step.fillna(0), method="nearest").where(memorised)
    gap = interval(by_seed(then["val_acc"] - then["twin_free_val_acc"]))
    most = float(twin_share(runs).where(memorised).max())
    return Measured(decided(bool(gap["lo"] > 0), bool(gap["hi"] < CHANCE)), (
        number("validation accuracy above the twin-free one, mean of the seeds", gap, ".3f", seeds),
        Number("accuracy on mirrors of training pairs", f"{float(twins.min()):.2f} to {float(twins.max()):.2f}"),
        Number("such mirrors among the validation pairs, at most", f"{most:.1%}")), int(memorised.sum()),
        f"At {LONG_BEFORE} times the step of memorising.")


BITS = 2.0  # bits a parameter by which ours are judged: what Allen-Zhu and Li (2024) found for language models

NEAR = 0.25
"""How far off, relatively, a number may be and still count as the same: the 2.16 of feed-forward networks (Song and Ye)
is 8 % off."""

FULL = BITS * (1 + NEAR)
"""Bits a parameter that the labels must hold for a size to count: where they hold less, a network that knows nearly all
of them shows how many there are, not what it could hold."""


@claim("capacity", source="Huang et al. 2024, Fig 4, Takeaway 2",
       says="Networks with larger d_h memorise more random labels, and seeds hardly differ.",
       rule="Reproduced if the 95 % intervals of pairs known at the end rise from each measured d_h to the next "
            f"without overlap; partly if only the means rise. Sizes that know {MEMORISED:.0%} of all pairs or more are "
            "left out: nothing is left to rise to.",
       ours=OURS.format(studies.capacity.shown), needs=(studies.capacity,),
       changed="sizes at the ceiling are left out since small ones had been measured, none of which is there")
def capacity(runs: xr.Dataset) -> Measured:
    """Whether D_mem rises from each measured d_h to the next by more than its intervals."""
    rows = _enough(runs)
    full = [row["d_h"] for row in rows if row["D_mem"] >= MEMORISED * int(runs["p"]) ** 2]
    rows = [row for row in rows if row["d_h"] not in full]
    require(len(rows) >= 3,
            f"{len(rows)} hidden sizes measured do not know all pairs; it takes three.{_left_out(full)}")
    pairs = list(zip(rows, rows[1:], strict=False))
    rising = max(row["rising"] for row in rows)
    return Measured(
        verdict(all(large["D_mem_lo"] > small["D_mem_hi"] for small, large in pairs),
                partly=all(large["D_mem"] > small["D_mem"] for small, large in pairs)),
        (*(_number("pairs of 12,769 known", row, "D_mem", ",.0f") for row in rows),
         Number("growth of accuracy over the second half of the steps, at most", f"{rising:.3f}")),
        sum(row["n"] for row in rows), _left_out(full).strip())


@claim("capacity-in-bits", source="ours, beside Allen-Zhu and Li 2024, and Song and Ye",
       says="Networks hold about 2 bits a parameter: 2 in language models, 2.16 in feed-forward networks.",
       rule=f"Reproduced if the mean over seeds is within {NEAR:.0%} of {BITS:g} at every measured d_h, partly if at "
            f"some. Sizes at which all labels together are less than {FULL:g} bits a parameter are left out.",
       ours="everything: a one-layer transformer, p(p + 1)/2 random labels of log₂ p bits, bits counted by cross "
            f"entropy, {studies.capacity.shown:,} steps with weight decay 1", needs=(studies.capacity,))
def bits(runs: xr.Dataset) -> Measured:
    """Bits a parameter at every d_h at which the labels could fill them, beside `BITS`."""
    rows = _enough(runs)
    full = [row["d_h"] for row in rows if row["bits_per_param_most"] < FULL]
    rows = [row for row in rows if row["bits_per_param_most"] >= FULL]
    require(len(rows) >= 3,
            f"At {len(rows)} of the hidden sizes measured the labels hold {FULL:g} bits a parameter; it takes three.")
    return Measured(verdict(*(abs(row["bits_per_param"] - BITS) <= BITS * NEAR for row in rows)),
                    tuple(_number("bits a parameter", row, "bits_per_param", ".2f") for row in rows),
                    sum(row["n"] for row in rows), _left_out(full).strip())


@claim("commutative-memory", source="Huang et al. 2024, footnote 3",
       says="Labels that obey commutativity are easier to memorise: there is only half to remember.",
       rule="Reproduced if, at every measured d_h, the 95 % interval over seeds of pairs known with symmetric labels "
            "over pairs known without symmetry lies above 1; partly if at some, or if all means do. Sizes at which all "
            f"labels without symmetry are less than {FULL:g} bits a parameter are left out: networks may know them "
            "all.",
       ours=OURS.format(studies.commutative_memory.shown), needs=(studies.commutative_memory,))
def commutative(runs: xr.Dataset) -> Measured:
    """D_mem of symmetric labels over D_mem of labels without symmetry, seed by seed, at every d_h measured for both."""
    require("task" in runs.dims, "Labels of one kind only were trained so far.")
    full = [row["d_h"] for row in analysis.capacity(runs).to_dict("records")
            if row["task"] == "random-ordered" and row["bits_per_param_most"] < FULL]
    runs = runs.drop_sel(d_h=full)
    right = final(runs, "train_acc").isel(D_train=0)
    ratio = interval(right.sel(task="random") / right.sel(task="random-ordered"))
    ratio = ratio.where(ratio["n"] >= ENOUGH_SEEDS).dropna("d_h", subset=["n"])
    require(ratio.sizes["d_h"],
            f"It takes one d_h with {ENOUGH_SEEDS} seeds of either kind of labels.{_left_out(full)}")
    above = (ratio["lo"] > 1).values
    held = (np.log2(float(runs["p"])) - final(runs, "train_loss").isel(D_train=0) / np.log(2)).mean("seed")
    times = (number(f"times as many pairs known where labels are symmetric, d_h {d_h}", ratio.sel(d_h=d_h), ".2f",
                    int(ratio["n"].sel(d_h=d_h))) for d_h in ratio["d_h"].values.tolist())
    labels = (Number(f"bits a label with and without symmetry, d_h {d_h}", "{:.2f} and {:.2f}".format(
        *(float(held.sel(task=task, d_h=d_h)) for task in SYMMETRIC))) for d_h in ratio["d_h"].values.tolist())
    return Measured(verdict(*above, partly=bool(above.any() or (ratio["mean"] > 1).all())), (*times, *labels),
                    2 * int(ratio["n"].sum()),
                    "Two is no bound: half as many labels may each hold twice the bits, and right answers can grow "
                    f"faster than the bits a label.{_left_out(full)}")


def _number(what: str, row: dict, column: str, form: str) -> Number:
    stats = {"mean": row[column], "lo": row[f"{column}_lo"], "hi": row[f"{column}_hi"]}
    return number(f"{what}, d_h {row['d_h']}", stats, form, row["n"])


def _left_out(full: list) -> str:
    """The sizes at which the labels are too few, in a sentence; empty without any."""
    return f" Left out, since the labels are too few to fill it: d_h {', '.join(map(str, full))}." if full else ""


def _enough(runs: xr.Dataset) -> list[dict]:
    """Rows of the table of capacities, of symmetric labels and sizes with enough seeds, by d_h."""
    rows = [row for row in analysis.capacity(runs).to_dict("records")
            if row["task"] == "random" and row["n"] >= ENOUGH_SEEDS]
    require(len(rows) >= 3, f"{len(rows)} hidden sizes have {ENOUGH_SEEDS} seeds so far; it takes three.")
    return sorted(rows, key=lambda row: row["d_h"])

"""Claims of chapter 02: what networks of a size can know by heart."""

import numpy as np
import xarray as xr

from grokbook import analysis, studies
from grokbook.analysis import final, interval
from grokbook.analysis.capacity import SYMMETRIC
from grokbook.analysis.events import MEMORISED
from grokbook.claims.card import ENOUGH_SEEDS, OURS, Measured, Number, TooLittle, claim, number, verdict

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
    if len(rows) < 3:
        raise TooLittle(f"{len(rows)} hidden sizes measured do not know all pairs; it takes three.{_left_out(full)}")
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
    if len(rows) < 3:
        raise TooLittle(f"At {len(rows)} of the hidden sizes measured the labels hold {FULL:g} bits a parameter; it "
                        "takes three.")
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
    if "task" not in runs.dims:
        raise TooLittle("Labels of one kind only were trained so far.")
    full = [row["d_h"] for row in analysis.capacity(runs).to_dict("records")
            if row["task"] == "random-ordered" and row["bits_per_param_most"] < FULL]
    runs = runs.drop_sel(d_h=full)
    right = final(runs, "train_acc").isel(D_train=0)
    ratio = interval(right.sel(task="random") / right.sel(task="random-ordered"))
    ratio = ratio.where(ratio["n"] >= ENOUGH_SEEDS).dropna("d_h", subset=["n"])
    if not ratio.sizes["d_h"]:
        raise TooLittle(f"It takes one d_h with {ENOUGH_SEEDS} seeds of either kind of labels.{_left_out(full)}")
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
    if len(rows) < 3:
        raise TooLittle(f"{len(rows)} hidden sizes have {ENOUGH_SEEDS} seeds so far; it takes three.")
    return sorted(rows, key=lambda row: row["d_h"])

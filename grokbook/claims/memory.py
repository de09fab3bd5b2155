"""Claims of chapter 02: what networks of a size can know by heart."""

import numpy as np
import xarray as xr

from grokbook.analysis import capacity, final, interval
from grokbook.analysis.capacity import SYMMETRIC
from grokbook.claims.card import Claim, Measured, TooLittle
from grokbook.claims.grokking import ENOUGH_SEEDS, OURS

STEPS = 20_000
"""Budget of the runs on random labels; the table's column `rising` says what half of it would have given."""

TWO = 2.0
"""Bits a parameter by which ours are judged: what Allen-Zhu and Li (2024) found for language models."""

NEAR = 0.25
"""How far off, relatively, a number may be and still count as the same: the 2.16 of feed-forward networks (Song and Ye)
is 8 % off."""

FULL = TWO * (1 + NEAR)
"""Bits a parameter that the labels must hold for a size to count: where they hold less, a network that knows nearly all
of them shows how many there are, not what it could hold."""


def judge_capacity(runs: xr.Dataset) -> Measured:
    """Whether D_mem rises from each measured d_h to the next by more than its intervals."""
    rows = _enough(runs)
    steps = list(zip(rows, rows[1:], strict=False))
    verdict = ("reproduced" if all(large["D_mem_lo"] > small["D_mem_hi"] for small, large in steps) else
               "partly" if all(large["D_mem"] > small["D_mem"] for small, large in steps) else "not reproduced")
    said = "; ".join("d_h {d_h}: {D_mem:,.0f} [{D_mem_lo:,.0f}, {D_mem_hi:,.0f}]".format(**row) for row in rows)
    return Measured(verdict, f"Pairs of 12,769 known at the end: {said}. Over the second half of the steps accuracy "
                             f"still grew by up to {max(row['rising'] for row in rows):.3f}.",
                    sum(row["n"] for row in rows))


def judge_bits(runs: xr.Dataset) -> Measured:
    """Bits a parameter at every d_h at which the labels could fill them, beside `TWO`."""
    rows = _enough(runs)
    full = [row["d_h"] for row in rows if row["bits_per_param_most"] < FULL]
    rows = [row for row in rows if row["bits_per_param_most"] >= FULL]
    if len(rows) < 3:
        raise TooLittle(f"At {len(rows)} of the hidden sizes measured the labels hold {FULL:g} bits a parameter; it "
                        "takes three.")
    near = [abs(row["bits_per_param"] - TWO) <= TWO * NEAR for row in rows]
    verdict = "reproduced" if all(near) else "partly" if any(near) else "not reproduced"
    said = "; ".join("d_h {d_h}: {bits_per_param:.2f} [{bits_per_param_lo:.2f}, {bits_per_param_hi:.2f}]".format(**row)
                     for row in rows)
    return Measured(verdict, f"Bits a parameter: {said}.{_left_out(full)}", sum(row["n"] for row in rows))


def judge_commutative(runs: xr.Dataset) -> Measured:
    """D_mem of symmetric labels over D_mem of labels without symmetry, seed by seed, at every d_h measured for both."""
    if "task" not in runs.dims:
        raise TooLittle("Labels of one kind only were trained so far.")
    full = [row["d_h"] for row in capacity(runs).to_dict("records")
            if row["task"] == "random-ordered" and row["bits_per_param_most"] < FULL]
    runs = runs.drop_sel(d_h=full)
    right = final(runs, "train_acc").isel(D_train=0)
    ratio = interval(right.sel(task="random") / right.sel(task="random-ordered"))
    there = ratio.where(ratio["n"] >= ENOUGH_SEEDS).dropna("d_h", subset=["n"])
    if not there.sizes["d_h"]:
        raise TooLittle(f"It takes one d_h with {ENOUGH_SEEDS} seeds of either kind of labels.{_left_out(full)}")
    above = (there["lo"] > 1).values
    verdict = ("reproduced" if above.all() else "partly" if above.any() or (there["mean"] > 1).all()
               else "not reproduced")
    said = "; ".join(f"d_h {int(d)}: {float(m):.2f} [{float(lo):.2f}, {float(hi):.2f}]" for d, m, lo, hi in
                     zip(there["d_h"], there["mean"], there["lo"], there["hi"], strict=True))
    bits = (np.log2(runs["p"].item()) - final(runs, "train_loss").isel(D_train=0) / np.log(2)).mean("seed")
    held = "; ".join("d_h {}: {:.2f} and {:.2f}".format(d, *(float(bits.sel(task=task, d_h=d)) for task in SYMMETRIC))
                     for d in there["d_h"].values.tolist())
    return Measured(verdict, f"Times as many pairs known where labels are symmetric: {said}. Bits a label with and "
                             f"without symmetry: {held}. Two is no bound: half as many labels may each hold twice the "
                             "bits, and right answers can grow faster than the bits a label."
                             f"{_left_out(full)}",
                    2 * int(there["n"].sum()))


def _left_out(full: list) -> str:
    """The sizes at which the labels are too few, in a sentence; empty without any."""
    return f" Left out, since the labels are too few to fill it: d_h {', '.join(map(str, full))}." if full else ""


def _enough(runs: xr.Dataset) -> list[dict]:
    """Rows of the table of capacities, of symmetric labels and sizes with enough seeds, by d_h."""
    rows = [row for row in capacity(runs).to_dict("records") if row["task"] == "random" and row["n"] >= ENOUGH_SEEDS]
    if len(rows) < 3:
        raise TooLittle(f"{len(rows)} hidden sizes have {ENOUGH_SEEDS} seeds so far; it takes three.")
    return sorted(rows, key=lambda row: row["d_h"])


CLAIMS = (
    Claim("capacity", "Huang et al. 2024, Fig 4, Takeaway 2",
          "Networks with larger d_h memorise more random labels, and seeds hardly differ.",
          "Reproduced if the 95 % intervals of pairs known at the end rise from each measured d_h to the next without "
          "overlap; partly if only the means rise.",
          OURS.format(STEPS), (("capacity", STEPS),), judge_capacity),
    Claim("capacity-in-bits", "ours, beside Allen-Zhu and Li 2024, and Song and Ye",
          "Networks hold about 2 bits a parameter: 2 in language models, 2.16 in feed-forward networks.",
          f"Reproduced if the mean over seeds is within {NEAR:.0%} of {TWO:g} at every measured d_h, partly if at "
          f"some. Sizes at which all labels together are less than {FULL:g} bits a parameter are left out.",
          "everything: a one-layer transformer, p(p + 1)/2 random labels of log₂ p bits, bits counted by cross "
          f"entropy, {STEPS:,} steps with weight decay 1", (("capacity", STEPS),), judge_bits),
    Claim("commutative-memory", "Huang et al. 2024, footnote 3",
          "Labels that obey commutativity are easier to memorise: there is only half to remember.",
          "Reproduced if, at every measured d_h, the 95 % interval over seeds of pairs known with symmetric labels "
          "over pairs known without symmetry lies above 1; partly if at some, or if all means do. Sizes at which all "
          f"labels without symmetry are less than {FULL:g} bits a parameter are left out: networks may know them all.",
          OURS.format(STEPS), (("commutative_memory", STEPS),), judge_commutative),
)

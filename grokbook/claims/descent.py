"""Claims of chapter 04: accuracy that falls and rises again as networks grow."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from grokbook.analysis import Zone, double_descent, final, interval, main_zone
from grokbook.analysis.descent import depth_difference, first_size, held_out_fall
from grokbook.claims.card import Claim, Measured, TooLittle
from grokbook.claims.grokking import ENOUGH_SEEDS, OURS, RESAMPLED, STEPS

DESCENT = 0.05
"""Depth from which a valley or a fall counts, in accuracy; and the p-value below which it is not noise."""

FEW, MANY = (2600, 3000), (4000, 5000)
"""Training sizes at which the paper sees a descent, and at which not."""

NAMED = {2600: (24, 40), 3000: (28, 36)}
"""Hidden sizes from where to where the paper has its valley: zero at 2,600 pairs, a dip at 3,000."""

ZERO_AT = 24
"""Hidden size at which the paper's networks score zero on (a + b)²."""

NEAR_PERFECT = 0.95
"""Mean accuracy that counts as near perfect; the paper gives no number."""


def judge_double_descent(runs: xr.Dataset) -> Measured:
    """Where a valley is deeper than noise makes it."""
    table = double_descent(_enough(runs)).set_index("D_train")
    seen = {D: _is_descent(row) for D, row in table.to_dict("index").items()}
    right = [bool(seen[D]) for D in FEW] + [not seen[D] for D in MANY]
    verdict = ("reproduced" if all(right) else "partly" if any(seen[D] for D in FEW) and not all(seen[D] for D in MANY)
               else "not reproduced")
    said = "; ".join("{D_train:,}: {depth:.2f} [{lo:.2f}, {hi:.2f}] at d_h {at}, accuracy {bottom:.2f} there, "
                     "p = {p:.3f}".format(**row) for row in table.reset_index().to_dict("records"))
    there = "; ".join(_between(runs, D, *sizes) for D, sizes in NAMED.items())
    return Measured(verdict, f"Depth of the valley by D_train: {said}. Mean accuracy where the paper has its valleys: "
                             f"{there}.", sum(table["n"].tolist()))


def _is_descent(row: Mapping) -> bool:
    """Whether a row of the table of `double_descent` is a valley, by the one rule there is for it."""
    return bool(row["depth"] >= DESCENT and row["p"] < DESCENT)


def _between(runs: xr.Dataset, D_train: int, smallest: int, largest: int) -> str:
    """Lowest and highest mean accuracy at the hidden sizes in that range that have enough seeds there."""
    row = runs.sel(D_train=[D_train], d_h=(runs["d_h"] >= smallest) & (runs["d_h"] <= largest))
    sizes = _sampled(row)
    if not len(sizes):
        return f"not measured ({D_train:,} pairs)"
    means = final(row, "val_acc").sel(d_h=sizes).mean("seed")
    ends = dict.fromkeys((f"{float(means.min()):.2f}", f"{float(means.max()):.2f}"))
    return f"{' to '.join(ends)} at d_h {', '.join(map(str, sizes))} ({D_train:,} pairs)"


def judge_progression_trend(runs: xr.Dataset) -> Measured:
    """Where accuracy falls from its peak to the last size of the progression zone, and where it surely does not."""
    runs = _enough(runs)
    zone, accuracy = main_zone(runs), final(runs, "val_acc")
    falls = {D: _fall(accuracy.sel(D_train=D), zone.sel(D_train=D)) for D in (*FEW, *MANY)}
    seen, absent = ({D for D, (_, lo, hi, _) in falls.items() if happened(lo, hi)}
                    for happened in (lambda lo, hi: lo > 0, lambda lo, hi: lo <= 0 and hi < DESCENT))
    right = len(seen.intersection(FEW)) + len(absent.intersection(MANY))
    wrong = len(absent.intersection(FEW)) + len(seen.intersection(MANY))
    verdict = ("reproduced" if right == 4 else "partly" if right == 3 else "not reproduced" if wrong > 1 else
               "not yet measured")
    said = "; ".join(f"{D:,}: {mean:.2f} [{lo:.2f}, {hi:.2f}] up to d_h {last}"
                     for D, (mean, lo, hi, last) in falls.items())
    return Measured(verdict, "Fall of validation accuracy to the last size of the zone from where the other seeds have "
                             f"their peak, by D_train: {said}.", int(runs["trained"].sum()))


def _fall(accuracy: xr.DataArray, zone: xr.DataArray) -> tuple[float, float, float, int]:
    """The mean held-out fall over the sizes of the progression zone, with its interval, and the last size."""
    sizes = zone["d_h"].values
    inside = sizes[np.cumprod(zone.values == Zone.PROGRESSION.value).astype(bool)]
    if len(inside) < 3:
        raise TooLittle(f"At D_train {int(zone['D_train'])} the progression zone has {len(inside)} hidden sizes; it "
                        "takes three.")
    whole = accuracy.sel(d_h=inside).dropna("seed")
    if whole.sizes["seed"] < ENOUGH_SEEDS:
        raise TooLittle(f"At D_train {int(zone['D_train'])} {whole.sizes['seed']} seeds have every hidden size of the "
                        f"progression zone; it takes {ENOUGH_SEEDS}.")
    fall = interval(held_out_fall(whole), within=(-1, 1))
    return float(fall["mean"]), float(fall["lo"]), float(fall["hi"]), int(inside[-1])


def judge_model_wise(runs: xr.Dataset) -> Measured:
    """The smallest d_h of near perfect train and validation accuracy, by D_train."""
    runs = _enough(runs)
    first = {D: [first_size(final(runs, metric).sel(D_train=D), NEAR_PERFECT) for metric in ("train_acc", "val_acc")]
             for D in (*FEW, *MANY)}
    gaps = {D: val / train for D, (train, val) in first.items()}
    if not np.isfinite([train for train, _ in first.values()]).all():
        raise TooLittle("At some D_train no size measured has near perfect train accuracy.")
    values = [gaps[D] for D in (*FEW, *MANY)]
    closes = all(a >= b for a, b in zip(values, values[1:], strict=False)) and values[-1] < values[0]
    verdict = ("reproduced" if closes and values[0] > 1 else
               "partly" if values[-1] < values[0] else "not reproduced")
    said = "; ".join(f"{D:,}: train from d_h {train:.0f}, validation " +
                     (f"from {val:.0f}" if np.isfinite(val) else "at no size measured")
                     for D, (train, val) in first.items())
    return Measured(verdict, f"Mean accuracy of {NEAR_PERFECT} or more, by D_train: {said}.",
                    int(runs["trained"].sum()))


def judge_harder_task(square: xr.Dataset, add: xr.Dataset) -> Measured:
    """Whether (a + b)² has a valley at 3,000 pairs, and one deeper than that of a + b at the same hidden sizes.

    Noise alone makes valleys, deeper ones where it is stronger, so the difference of two depths has no null at zero:
    that the noisier task has a valley at all is tested against a rising curve first.
    """
    if 3000 not in add["D_train"].values:
        raise TooLittle("a + b was not trained on 3,000 pairs so far.")
    add = add.sel(D_train=[3000])
    shared = np.intersect1d(_sampled(square), _sampled(add))
    if len(shared) < 5:
        raise TooLittle(f"{len(shared)} hidden sizes have {ENOUGH_SEEDS} seeds for both tasks; it takes five.")
    rows = [double_descent(runs.sel(d_h=shared)).to_dict("records")[0] for runs in (square, add)]
    lo, hi = depth_difference(*(final(runs.sel(d_h=shared), "val_acc").isel(D_train=0) for runs in (square, add)))
    verdict = ("reproduced" if lo > 0 and _is_descent(rows[0]) else "not reproduced" if hi < 0 else
               "not yet measured")
    said = ["{} {depth:.2f} at d_h {at} (accuracy {bottom:.2f} there, p = {p:.3f})".format(name, **row)
            for name, row in zip(("(a + b)²", "a + b"), rows, strict=True)]
    return Measured(verdict, f"Depth of the valley: {'; '.join(said)}. Difference [{lo:.2f}, {hi:.2f}]. "
                             f"Mean accuracy of (a + b)² {_between(square, 3000, ZERO_AT, ZERO_AT)}.",
                    sum(row["n"] for row in rows))


def _sampled(runs: xr.Dataset) -> np.ndarray:
    """The hidden sizes with enough seeds at every D_train."""
    return runs["d_h"].values[(runs["trained"].sum("seed") >= ENOUGH_SEEDS).all("D_train").values]


def _enough(runs: xr.Dataset) -> xr.Dataset:
    """The runs at hidden sizes with enough seeds at all four training sizes."""
    if not set(FEW + MANY) <= set(runs["D_train"].values.tolist()):
        raise TooLittle(f"It takes D_train {', '.join(map(str, FEW + MANY))}.")
    sizes = _sampled(runs)
    if len(sizes) < 5:
        raise TooLittle(f"{len(sizes)} hidden sizes have {ENOUGH_SEEDS} seeds at all four D_train; it takes five.")
    return runs.sel(d_h=sizes)


CLAIMS = (
    Claim("double-descent", "Huang et al. 2024, Fig 6, Takeaway 5",
          "Against d_h, final validation accuracy falls and rises again at 2,600 training pairs (zero between d_h 24 "
          "and 40) and less so at 3,000 (a dip between 28 and 36), and only rises at 4,000 and 5,000.",
          f"A descent is a valley of the mean curve at least {DESCENT} deep that a rising curve with the same spread "
          f"over seeds shows in fewer than {DESCENT:.0%} of draws. Reproduced if seen at 2,600 and 3,000 only; partly "
          "if at one of them, or at one of the others as well.",
          OURS.format(STEPS), (("double_descent", STEPS),), judge_double_descent),
    Claim("progression-trend", "Huang et al. 2024, §4.4",
          "In the progression zone accuracy rises and then falls with d_h where there are few training pairs, and only "
          "rises where there are many.",
          "The fall to the last of the sizes whose most frequent zone is progression, from the size where all seeds "
          "but one have their peak, measured in that one; 95 % interval over seeds. A fall where it lies above zero, "
          f"none where it ends below {DESCENT} and is not above zero. Reproduced if a fall at 2,600 and 3,000 and none "
          "at 4,000 and 5,000, partly if three of these hold, not reproduced if two are refuted, else not yet "
          "measured.",
          OURS.format(STEPS) + "; the zones' thresholds", (("double_descent", STEPS),), judge_progression_trend),
    Claim("model-wise-grokking", "Huang et al. 2024, §4.2",
          "Where there are few training pairs, train accuracy is near perfect from a smaller d_h than validation "
          "accuracy; the gap closes as there are more.",
          f"The first d_h from which on mean accuracy is at least {NEAR_PERFECT}, validation over train: reproduced if "
          "above 1 at 2,600 and never growing with D_train, partly if it is smaller at 5,000 than at 2,600.",
          OURS.format(STEPS), (("double_descent", STEPS),), judge_model_wise),
    Claim("harder-task", "Huang et al. 2024, Fig 7, Takeaway 6",
          "With the harder task (a + b)² the descent at 3,000 pairs is deeper than with a + b, down to zero at d_h "
          f"{ZERO_AT}, and the critical size is larger.",
          "Reproduced if (a + b)² has a descent by the rule of double-descent and the 95 % interval of the "
          f"difference in depth, over the same hidden sizes, {RESAMPLED}, lies above zero; not reproduced if it lies "
          "below; else not yet measured. The critical size is not judged: it takes other D_train than 3,000.",
          OURS.format(STEPS), (("harder_task", STEPS), ("double_descent", STEPS)), judge_harder_task),
)

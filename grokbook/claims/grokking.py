"""Claims of chapter 01: a critical size, a delay, and what a random split hides."""

import numpy as np
import xarray as xr

from grokbook.analysis import critical_size, events, interval, twin_accuracy, twin_share
from grokbook.claims.card import Claim, Measured

ENOUGH_SEEDS = 3
"""Fewer runs a cell than this are not a measurement."""

NO_BETTER = 2 / 113
"""Twin-free accuracy of a run that has understood nothing: no more than twice chance."""

LONG_BEFORE = 2
"""Validation accuracy rises long after train accuracy if it takes this many times as many steps."""

OURS = ("learning rate, weight decay, betas, initial weights, full batch and the number of steps, none of which the "
        "paper states; 60,000 steps or an early stop")


def judge_critical_size(runs: xr.Dataset) -> Measured:
    """D_crit of each d_h, and whether it falls from the smallest to the largest."""
    enough = (runs["last_step"] >= 0).sum("seed") >= ENOUGH_SEEDS
    runs = runs.assign(val_acc=runs["val_acc"].where(enough), last_step=runs["last_step"].where(enough, -1))
    usable = runs.sel(d_h=enough.sum("D_train").values >= 3)
    if usable.sizes["d_h"] < 2:
        return Measured("not yet measured", f"It takes two sizes with three D_train of {ENOUGH_SEEDS} seeds each.", 0)
    table = critical_size(usable)
    n, said = int((usable["last_step"] >= 0).sum()), "; ".join(_size(row) for row in table.itertuples())
    small, large = table.iloc[0], table.iloc[-1]
    if large.hi < small.lo:
        return Measured("reproduced", f"{said}.", n)
    if large.lo > small.hi:
        return Measured("not reproduced", f"{said}.", n)
    return Measured("not yet measured", f"{said}. The sizes measured are too far apart to tell.", n)


def _size(row) -> str:
    if np.isnan(row.D_crit):
        return f"d_h {row.d_h}: no crossing ({row.censored} the sizes measured)"
    return f"d_h {row.d_h}: {row.D_crit:,.0f} [{row.lo:,.0f}, {row.hi:,.0f}]"


def judge_delay(runs: xr.Dataset) -> Measured:
    """Of the runs that generalised, how many did so at least LONG_BEFORE times as late as they memorised."""
    found = events(runs)
    generalised = found["t_gen"].notnull() & (found["t_mem"] > 0)
    n = int(generalised.sum())
    if n < ENOUGH_SEEDS:
        return Measured("not yet measured", f"{n} runs have generalised so far; it takes {ENOUGH_SEEDS}.", n)
    ratio = (found["t_gen"] / found["t_mem"]).values[generalised.values]
    late = int((ratio >= LONG_BEFORE).sum())
    verdict = "reproduced" if late == n else "partly" if late > n / 2 else "not reproduced"
    low, middle, high = np.quantile(ratio, [0, 0.5, 1])
    return Measured(verdict, f"{late} of {n} runs that generalised took at least {LONG_BEFORE} times as many steps for "
                             f"it as for memorising (median {middle:.1f} times, from {low:.1f} to {high:.1f}).", n)


def judge_twin_free(runs: xr.Dataset) -> Measured:
    """The gap between the two validation accuracies when a run has memorised and not generalised."""
    found = events(runs)
    at = LONG_BEFORE * found["t_mem"]
    then = runs.sel(step=at.fillna(0), method="nearest")
    memorised = (at <= found["last_step"]) & (then["twin_free_val_acc"] <= NO_BETTER)
    n = int(memorised.sum())
    if n < ENOUGH_SEEDS:
        return Measured("not yet measured", f"{n} runs only know their pairs by then; it takes {ENOUGH_SEEDS}.", n)
    then = then.where(memorised)
    gap = (then["val_acc"] - then["twin_free_val_acc"]).stack(run=found["t_mem"].dims)
    twins = twin_accuracy(runs).sel(step=at.fillna(0), method="nearest").where(memorised)
    mean = interval(gap, "run")
    most = float((twin_share(runs).where(memorised)).max())
    verdict = "reproduced" if mean["lo"] > 0 else "not reproduced"
    return Measured(verdict, f"At {LONG_BEFORE} times the step of memorising, validation accuracy is "
                             f"{float(mean['mean']):.3f} [{float(mean['lo']):.3f}, {float(mean['hi']):.3f}] above the "
                             f"twin-free one; mirrors of training pairs are answered with accuracy "
                             f"{float(twins.min()):.2f} to {float(twins.max()):.2f}, and are up to {most:.1%} of the "
                             "validation pairs.", n)


CLAIMS = (
    Claim("critical-size", "Huang et al. 2024, Fig 3, Takeaway 1",
          "The training size at which networks generalise falls as d_h grows: d_h 64 is near perfect at 3,000 pairs, "
          "d_h 32 needs 4,000.",
          "D_crit is where a logistic curve through the mean final validation accuracy crosses one half. Reproduced if "
          "the 95 % interval of the largest d_h lies below that of the smallest, not reproduced if above; while they "
          "overlap it is not yet measured.",
          OURS, "grokking", judge_critical_size),
    Claim("delay", "Huang et al. 2024, §2.2",
          "Every near-perfect run groks: train accuracy is perfect long before validation accuracy rises.",
          f"Of the runs whose validation accuracy reaches 0.99, all (some: partly if more than half) took at least "
          f"{LONG_BEFORE} times as many steps for it as for a train accuracy of 0.99.",
          OURS, "grokking", judge_delay),
    Claim("twin-free", "ours",
          "A random split flatters a memoriser that treats a and b alike: it leaves the mirror of D_train / p² of the "
          "validation pairs in train.",
          f"At {LONG_BEFORE} times the step of memorising, in runs whose twin-free accuracy is then at most twice "
          "chance, validation accuracy is above it: reproduced if the 95 % interval of the mean gap over runs is above "
          "zero.",
          "the measurement itself; the papers report validation accuracy only", "grokking", judge_twin_free),
)

"""Claims of chapter 07: grokking along the width, and a shortcut that is learned first (Davies et al. 2022)."""

import numpy as np
import xarray as xr

from grokbook.analysis import events, final, interval, rate
from grokbook.analysis.descent import depth, first_size
from grokbook.analysis.duality import (
    FITTED,
    collapse,
    fit_step,
    held_out_hill,
    hill_in_time,
    size_and_time,
    understood,
)
from grokbook.analysis.events import LONG_BEFORE
from grokbook.analysis.shortcut import early_peak
from grokbook.analysis.statistics import by_seed
from grokbook.claims.card import Claim, Measured, TooLittle
from grokbook.claims.grokking import ENOUGH_SEEDS, RESAMPLED, seeds_of
from grokbook.studies import division as early
from grokbook.studies import model_wise

EARLY_STEPS, LAPTOP_STEPS = early.shown, model_wise.shown

DOUBLES = np.log(2)
"""Height from which a hill of log test loss over the steps counts: the loss doubles, and halves again."""

ALONG_SIZE = np.log(1.5)
"""The same along the width, where there are few points and means over seeds."""

MOST = 0.8
"""Share of runs that counts as nearly all."""

SMALL_DIP = 0.05
"""Depth up to which a fall of test accuracy is hard to see on an axis from 0 to 1."""

OURS = ("weight decay 0.5 rather than 1e-5 (theirs takes more steps than we can afford), the steps "
        "({:,} rather than 400,000), no LayerNorm, learned positions, no dropout (their code: 0.1), "
        "initial weights, exact cross entropy; batches of 512 are those of their code")


def judge_three_views(runs: xr.Dataset) -> Measured:
    """Of the widest networks: the hill of the test loss, the dip of test accuracy, and the delay."""
    runs = _enough(runs)
    runs = runs.isel(d_h=-1).sel(seed=runs["trained"].isel(d_h=-1).values)
    hills, found = hill_in_time(runs)["height"], events(runs)
    on_the_way = runs["val_acc"].where(~understood(runs), runs["val_acc"].max("step"))
    dips = xr.apply_ufunc(depth, _known(on_the_way), input_core_dims=[["step"]])
    grokked = found["t_gen"] >= LONG_BEFORE * found["t_mem"]
    seen, hidden, late = (rate(x) for x in (hills >= DOUBLES, dips < SMALL_DIP, grokked))
    verdict = ("reproduced" if min(float(x["mean"]) for x in (seen, hidden, late)) >= MOST else
               "partly" if float(seen["mean"]) >= MOST else "not reproduced")
    n = runs.sizes["seed"]
    return Measured(verdict, f"At d_h {int(runs['d_h'])}: test loss rises and falls by a factor of "
                             f"{np.exp(float(hills.min())):.2f} to {np.exp(float(hills.max())):.2f} ({_of(seen, n)} at "
                             f"least double); test accuracy dips by at most {float(dips.max()):.3f} on the way; "
                             f"validation follows training by a factor of {LONG_BEFORE} or more in {_of(late, n)}.", n)


def _known(accuracy: xr.DataArray) -> xr.DataArray:
    """Accuracies with a run's end carried on, so that what was not measured makes no dip."""
    return accuracy.fillna(final(accuracy.to_dataset(name="val_acc"), "val_acc"))


def judge_map(runs: xr.Dataset) -> Measured:
    """Hills of the test loss along the steps and along the width, and where training data is fitted."""
    runs = _enough(runs)
    fit = fit_step(runs)
    fitted = fit.notnull()
    hills = hill_in_time(runs)["height"].where(fitted)
    n, seeds = int(fitted.sum()), seeds_of(fitted)
    if seeds < ENOUGH_SEEDS:
        raise TooLittle(f"{n} runs of {seeds} seeds reach a train accuracy of {FITTED:g}; it takes {ENOUGH_SEEDS} "
                        "seeds.")
    in_time = float((hills >= DOUBLES).sum()) / n
    along = held_out_hill(_at_every_width(runs))
    trend = interval(size_and_time(runs, fit), within=(-1, 1))
    right = [in_time >= MOST, _is_hill(along), bool(trend["n"] >= ENOUGH_SEEDS and trend["hi"] < 0)]
    verdict = "reproduced" if all(right) else "partly" if sum(right) > 1 else "not reproduced"
    return Measured(verdict, f"{in_time:.0%} of the {n} runs of {seeds} seeds that fit have a hill of test loss over "
                             "the steps that at least doubles it; along the width the highest hill is "
                             f"{_factor(along)}; the step of fit against width: {_trend(trend)}.",
                    int(runs["trained"].sum()))


def judge_cut(runs: xr.Dataset) -> Measured:
    """The last step: a hill of mean log test loss along the width, and the widths of good train and test accuracy."""
    runs = _enough(runs)
    along = held_out_hill(_at_every_width(runs), last=True)
    first = [first_size(final(runs, metric), FITTED) for metric in ("train_acc", "val_acc")]
    right = [_is_hill(along), first[0] < first[1] < np.inf]
    verdict = "reproduced" if all(right) else "partly" if any(right) else "not reproduced"
    train, test = ("at no width measured" if np.isinf(d_h) else f"from d_h {d_h:.0f}" for d_h in first)
    return Measured(verdict, f"At the last step the highest hill of test loss along the width is {_factor(along)}; "
                             f"mean train accuracy is {FITTED:g} or more {train}, mean test accuracy {test}.",
                    int(runs["trained"].sum()))


def judge_duality(runs: xr.Dataset) -> Measured:
    """Whether one variable of step and width tells the test loss."""
    runs = _at_every_width(_enough(runs))
    found = collapse(runs)
    one = found["explained"] >= max(MOST, found["apart"])
    verdict = ("reproduced" if one and found["lo"] > 0 else "partly" if found["lo"] > 0 else "not reproduced")
    when = events(runs)["t_gen"]
    trend = _trend(interval(size_and_time(runs, when), within=(-1, 1)))
    return Measured(verdict, "The best single variable is log step + {gamma:.1f} [{lo:.1f}, {hi:.1f}] log d_h; it "
                             "tells {explained:.0%} of the variance of log test loss, the step alone {by_step:.0%}, "
                             "the width alone {by_size:.0%}, both apart {apart:.0%}. ".format(**found)
                             + f"Steps to generalise against width: {trend}; {int(when.notnull().sum())} runs do.",
                    int(found["n"]) * runs.sizes["d_h"])


def judge_zero_over_b(runs: xr.Dataset) -> Measured:
    """The early peak of right test answers, and what becomes of the others after it."""
    peak = early_peak(runs)
    there = peak["step"].notnull()
    n, seeds = int(there.sum()), seeds_of(there)
    if seeds < ENOUGH_SEEDS:
        raise TooLittle(f"{seeds} seeds; it takes {ENOUGH_SEEDS}.")
    learned = int((peak["zero"] >= 0.9 * peak["n_zero"]).sum())
    guessed = peak["n_others"] / runs["p"].item()
    total, others, after = (interval(by_seed(x)) for x in (
        peak["zero"] + peak["others"], peak["others"] / guessed, peak["others_after"] / guessed))
    right = [learned >= MOST * n and float(others["mean"]) > 0.5, float(after["hi"]) < 1]
    verdict = "reproduced" if all(right) else "partly" if any(right) else "not reproduced"
    return Measured(verdict, f"At the early peak {_mean(total, '.0f')} test examples are right; in "
                             f"{learned} of {n} runs nine tenths or more of the pairs 0/b are among them, and the "
                             f"others are right {_mean(others, '.2f')} times as often as by chance; after it "
                             f"{_mean(after, '.2f')} times.", n)


def _enough(runs: xr.Dataset) -> xr.Dataset:
    """The widths with enough seeds, of the largest weight decay; it takes four."""
    runs = runs.squeeze("D_train")
    if "weight_decay" in runs.dims:
        runs = runs.isel(weight_decay=-1)
    there = (runs["trained"].sum("seed") >= ENOUGH_SEEDS).values
    if there.sum() < 4:
        raise TooLittle(f"{there.sum()} widths have {ENOUGH_SEEDS} seeds; it takes four.")
    return runs.sel(d_h=there)


def _at_every_width(runs: xr.Dataset) -> xr.Dataset:
    """The same runs, if enough seeds were trained at every width."""
    if runs["trained"].all("d_h").sum() < ENOUGH_SEEDS:
        raise TooLittle(f"Fewer than {ENOUGH_SEEDS} seeds have every width.")
    return runs


def _is_hill(along: xr.Dataset) -> bool:
    stats = interval(along["height"])
    return bool(stats["mean"] >= ALONG_SIZE and stats["lo"] > 0)


def _factor(along: xr.Dataset) -> str:
    """Height with its interval, where it stands, and how it was measured."""
    mean, lo, hi = (np.exp(float(interval(along["height"])[name])) for name in ("mean", "lo", "hi"))
    return (f"a factor of {mean:.2f} [{lo:.2f}, {hi:.2f}], at d_h {_values(along['at'])} and step "
            f"{_values(along['step'])}, in seeds other than those it was found in")


def _values(found: xr.DataArray) -> str:
    return " or ".join(f"{value:,}" for value in np.unique(found.values))


def _trend(rank: xr.Dataset) -> str:
    if rank["n"] < ENOUGH_SEEDS:
        return f"three widths get there in {int(rank['n'])} seeds, too few for a trend"
    return f"Spearman {_mean(rank, '.2f')}, a mean of {int(rank['n'])} seeds"


def _of(share: xr.Dataset, n: int) -> str:
    return f"{round(float(share['mean']) * n)} of {n}"


def _mean(stats: xr.Dataset, form: str) -> str:
    mean, lo, hi = (format(float(stats[name]), form) for name in ("mean", "lo", "hi"))
    return f"{mean} [{lo}, {hi}]"


CLAIMS = (
    Claim("three-views", "Davies et al. 2022, Fig 1",
          "One run of division mod 97, seen as accuracy, log accuracy and loss: it groks, and its double descent is "
          "plainest in the loss.",
          "Of the widest networks: before test accuracy reaches one half, the test loss at least doubles (and halves "
          f"again, then or later) and test accuracy dips by less than {SMALL_DIP:g}; and generalising takes "
          f"{LONG_BEFORE} times the steps of memorising or more, each in {MOST:.0%} of the runs; partly if the first "
          "alone.",
          OURS.format(LAPTOP_STEPS), (("model_wise", LAPTOP_STEPS),), judge_three_views),
    Claim("model-wise-map", "Davies et al. 2022, Fig 4, 6",
          "Test loss falls, rises where the training data is fitted, and falls again, both over the steps and, at "
          "steps that lead to a low loss in the end, over the width.",
          f"Over the steps: {MOST:.0%} of the runs that reach a train accuracy of {FITTED:g}, of {ENOUGH_SEEDS} "
          "seeds or more, have, before test "
          "accuracy reaches one half, the top of a hill that doubles the loss. Over the width: the highest hill at any "
          "step, found in all seeds but one and measured in that one, is a factor of 1.5 or more, 95 % interval above "
          f"1. And wider networks fit sooner: the 95 % interval over seeds, {ENOUGH_SEEDS} or more, of Spearman's "
          "correlation within a seed lies below zero; a run that never fits counts as later than all, a seed that "
          "fits at fewer than three widths not at all. Partly if two of the three.",
          OURS.format(LAPTOP_STEPS), (("model_wise", LAPTOP_STEPS),), judge_map),
    Claim("model-wise-cut", "Davies et al. 2022, Fig 5",
          "At the last step test loss rises where the networks become large enough to fit, then falls fast; test "
          "accuracy is good only at larger widths than train accuracy.",
          "The hill of test loss over the width, found in all seeds but one and measured in that one, is a factor of "
          f"1.5 or more, 95 % interval above 1; and the width from which mean accuracy is {FITTED:g} is reached and "
          "larger for test than for train. Partly if one of them.",
          OURS.format(LAPTOP_STEPS), (("model_wise", LAPTOP_STEPS),), judge_cut),
    Claim("size-time-duality", "Davies et al. 2022, §2, 3.1; the test is ours",
          "More width and more steps are two ways to the same effective complexity.",
          f"One variable log step + γ log d_h tells {MOST:.0%} of the variance of mean log test loss and more than "
          "levels of each step and each width that add up, and the 95 % interval of γ, "
          f"{RESAMPLED}, is above zero; partly if only the last.",
          OURS.format(LAPTOP_STEPS), (("model_wise", LAPTOP_STEPS),), judge_duality),
    Claim("zero-over-b", "Davies et al. 2022, Fig 7, §3.2",
          "0/b = 0 is learned first: an early peak of 96 right test examples, all of 0/b and chance on the rest; then "
          "the others fall below chance.",
          f"At the peak before train accuracy reaches 0.1, nine tenths of the pairs 0/b are right in {MOST:.0%} of the "
          "runs, and the others at least half as often as by chance; and from there until one half, the others are "
          "right less often than chance (95 % interval over seeds, each the mean of its runs, below 1). Partly if one "
          "of them.",
          "weight decay 1e-5 (theirs) and 0.5, dropout 0 and 0.1 (their code's), no LayerNorm, initial weights, exact "
          "cross entropy", (("division", EARLY_STEPS),), judge_zero_over_b),
)

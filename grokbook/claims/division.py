"""Claims of Davies et al. 2022. Of chapter 06, computed from no runs: the pattern model. Of chapter 07: grokking along
the width, and a shortcut that is learned first.
"""

from dataclasses import replace

import numpy as np
import xarray as xr

from grokbook import studies
from grokbook.analysis import descent, events, final, interval
from grokbook.analysis import patterns as model
from grokbook.analysis.descent import FITTED
from grokbook.analysis.events import early_peak
from grokbook.analysis.kinds import DIP, HIGH, LONG_BEFORE, LOW, MEMORISED, kind_of, shape_of
from grokbook.analysis.statistics import Z, by_seed
from grokbook.claims.card import (
    ENOUGH_SEEDS,
    RESAMPLED,
    Measured,
    Number,
    claim,
    enough_sizes,
    n_trained,
    number,
    require,
    seeds_of,
    verdict,
)

EXACT = 1e-12  # largest difference between two ways to one number that counts as rounding
N_PAIRS = 200  # random pairs of patterns
N_EXAMPLES = 5000  # examples drawn for each pair

MOST_OUTSIDE = 0.10
"""Share of draws that may lie outside their 95 % interval: 5 % are expected, twice that is no chance."""


@claim("pattern-model", source="Davies et al. 2022, §2.2, §2.3, Fig 2",
       says="One model with three types of patterns (heuristics, overfitting, slow and general) shows double descent "
            "and grokking; only the maximum predictiveness of the first and the third type differ.",
       rule="At the two sets of parameters, t from 0 to 300 in steps of 1. Double descent: test accuracy rises, falls "
            f"and rises again by {DIP:g} or more each. Grokking: test accuracy is at most {LOW:g} when train accuracy "
            f"reaches {MEMORISED:g}, and reaches {HIGH:g} no sooner than after {LONG_BEFORE} times as long. Reproduced "
            "if the first set shows double descent and the second grokking, partly if one of them does.",
       ours="the thresholds, and 0 for the empty subset, which Eq 2 leaves undefined")
def pattern_model() -> Measured:
    """The kinds at the two ends of Fig 2, and on the straight way between them."""
    left, right = model.DOUBLE_DESCENT, model.GROKKING
    dip, delay = shape_of(left), shape_of(right)
    return Measured(verdict(kind_of(left) == "double descent", kind_of(right) == "grokking"), (
        Number("first set", kind_of(left)),
        Number("test accuracy rises to, falls to, ends at", f"{dip.peak:.2f}, {dip.valley:.2f}, {dip.end:.2f}"),
        Number("second set", kind_of(right)),
        Number(f"test accuracy when train accuracy reaches {MEMORISED:g} at t = {delay.t_mem:g}",
               f"{delay.test_at_mem:.3f}"),
        Number(f"test accuracy reaches {HIGH:g}", f"at t = {delay.t_gen:g}"),
        Number("on the straight way between them", _on_the_way())), 0)


def _on_the_way() -> str:
    """The kinds met on the way, each from which share of it on."""
    shares = np.linspace(0, 1, 101)
    kinds = [kind_of(model.along(model.PATHS["γ₁ and γ₃ together"], float(share))) for share in shares]
    changes = [i for i in range(len(kinds)) if i == 0 or kinds[i] != kinds[i - 1]]
    return ", ".join(f"{kinds[i]} from {shares[i]:.0%}" for i in changes)


@claim("two-patterns", source="Davies et al. 2022, Fig 3, Appendix A",
       says="With two patterns, test accuracy is the sum of areas weighted by generalisation, their mean where both "
            "are right; a preferred pattern answers all that it covers, as if its domain were disjoint from the other.",
       rule=f"Over {N_PAIRS} random pairs: the areas of Fig 3 equal Eq 2 up to {EXACT:g}, and of the accuracies of "
            f"{N_EXAMPLES:,} examples drawn as in Appendix A at most {MOST_OUTSIDE:.0%} lie outside of the 95 % "
            "interval around it. Reproduced if both hold, partly if one does.",
       ours="the pairs, and that a preferred pattern takes its examples out of the other domains, which keep the rest")
def two_patterns() -> Measured:
    """Fig 3's areas against Eq 2, and against examples drawn as Appendix A says, for random pairs of patterns."""
    rng = np.random.default_rng(0)
    worst, outside = 0.0, 0
    for draw in range(N_PAIRS):
        gamma, g, t = rng.random(2), rng.random(2), float(rng.uniform(0, 300))
        pair = [model.Pattern(gamma[i], 0.1, 100, g[i]) for i in range(2)]
        for patterns in (pair, [replace(pair[0], preferred=True), pair[1]]):
            expected = _by_area(patterns, t)
            worst = max(worst, abs(expected - float(model.test_accuracy(patterns, t))))
            drawn = model.simulate(patterns, t, n_examples=N_EXAMPLES, seed=draw)[1]
            outside += abs(drawn - expected) > Z * np.sqrt(expected * (1 - expected) / N_EXAMPLES)
    share = outside / (2 * N_PAIRS)
    exact = "no more than rounding" if worst <= EXACT else "more than rounding"
    return Measured(verdict(worst <= EXACT, share <= MOST_OUTSIDE), (
        Number("largest difference between the areas and Eq 2", f"{exact}, at most {worst:.0e}", n=2 * N_PAIRS),
        Number(f"accuracies of {N_EXAMPLES:,} drawn examples outside of their 95 % interval", f"{share:.1%}",
               n=2 * N_PAIRS)), 0, f"Over {N_PAIRS} random pairs, with and without preference.")


def _by_area(patterns: list[model.Pattern], t: float) -> float:
    """Test accuracy of two patterns as Fig 3 draws it: areas times generalisation."""
    (p, q), (g, h) = model.predictiveness(patterns, t), (pattern.g for pattern in patterns)
    both = g if patterns[0].preferred else (g + h) / 2
    return float(p * (1 - q) * g + q * (1 - p) * h + p * q * both)


DOUBLES = np.log(2)
"""Height from which a hill of log test loss over the steps counts: the loss doubles, and halves again."""

ALONG_SIZE = np.log(1.5)  # the same along the width, where there are few points and means over seeds
MOST = 0.8  # share of runs that counts as nearly all
SMALL_DIP = 0.05  # depth up to which a fall of test accuracy is hard to see on an axis from 0 to 1

THEIRS = ("weight decay 0.5 rather than 1e-5 (theirs takes more steps than we can afford), the steps "
          f"({studies.model_wise.shown:,} rather than 400,000), no LayerNorm, learned positions, no dropout (their "
          "code: 0.1), initial weights, exact cross entropy; batches of 512 are those of their code")


@claim("three-views", source="Davies et al. 2022, Fig 1",
       says="One run of division mod 97, seen as accuracy, log accuracy and loss: it groks, and its double descent is "
            "plainest in the loss.",
       rule="Of the widest networks: before test accuracy reaches one half, the test loss at least doubles (and halves "
            f"again, then or later) and test accuracy dips by less than {SMALL_DIP:g}; and generalising takes "
            f"{LONG_BEFORE} times the steps of memorising or more, each in {MOST:.0%} of the runs; partly if the first "
            "alone.",
       ours=THEIRS, needs=(studies.model_wise,))
def three_views(runs: xr.Dataset) -> Measured:
    """Of the widest networks: the hill of the test loss, the dip of test accuracy, and the delay."""
    runs = _enough(runs).isel(d_h=-1)
    runs = runs.sel(seed=runs["trained"].values)
    hills, when, n = descent.hill_in_time(runs)["height"], events(runs), runs.sizes["seed"]
    on_the_way = runs["val_acc"].where(~descent.understood(runs), runs["val_acc"].max("step"))
    dips = xr.apply_ufunc(descent.depth, _known(on_the_way), input_core_dims=[["step"]])
    grokked = when["t_gen"] >= LONG_BEFORE * when["t_mem"]
    seen, hidden, late = (int(happened.sum()) for happened in (hills >= DOUBLES, dips < SMALL_DIP, grokked))
    holds = [count / n >= MOST for count in (seen, hidden, late)]
    low, high = (np.exp(float(height)) for height in (hills.min(), hills.max()))
    return Measured(verdict(*holds, partly=holds[0]), (
        Number("factor by which test loss rises and falls", f"{low:.2f} to {high:.2f}"),
        Number("runs in which it at least doubles", f"{seen} of {n}"),
        Number("largest dip of test accuracy on the way", f"{float(dips.max()):.3f}"),
        Number(f"runs in which validation follows training by a factor of {LONG_BEFORE} or more", f"{late} of {n}")), n,
        f"At d_h {int(runs['d_h'])}.")


def _known(accuracy: xr.DataArray) -> xr.DataArray:
    """Accuracies with a run's end carried on, so that what was not measured makes no dip."""
    return accuracy.fillna(final(accuracy.to_dataset(name="val_acc"), "val_acc"))


@claim("model-wise-map", source="Davies et al. 2022, Fig 4, 6",
       says="Test loss falls, rises where the training data is fitted, and falls again, both over the steps and, at "
            "steps that lead to a low loss in the end, over the width.",
       rule=f"Over the steps: {MOST:.0%} of the runs that reach a train accuracy of {FITTED:g}, of {ENOUGH_SEEDS} "
            "seeds or more, have, before test accuracy reaches one half, the top of a hill that doubles the loss. Over "
            "the width: the highest hill at any step, found in all seeds but one and measured in that one, is a factor "
            "of 1.5 or more, 95 % interval above 1. And wider networks fit sooner: the 95 % interval over seeds, "
            f"{ENOUGH_SEEDS} or more, of Spearman's correlation within a seed lies below zero; a run that never fits "
            "counts as later than all, a seed that fits at fewer than three widths not at all. Partly if two of the "
            "three.",
       ours=THEIRS, needs=(studies.model_wise,))
def model_wise_map(runs: xr.Dataset) -> Measured:
    """Hills of the test loss along the steps and along the width, and where training data is fitted."""
    runs = _enough(runs)
    fit = descent.fit_step(runs)
    fitted = fit.notnull()
    hills = descent.hill_in_time(runs)["height"].where(fitted)
    n = int(fitted.sum())
    seeds = seeds_of(fitted, f"{{n}} runs of {{seeds}} seeds reach a train accuracy of {FITTED:g}")
    in_time = float((hills >= DOUBLES).sum()) / n
    along = descent.held_out_hill(_at_every_width(runs))
    trend = interval(descent.size_and_time(runs, fit), within=(-1, 1))
    parts = [in_time >= MOST, _is_hill(along), bool(trend["n"] >= ENOUGH_SEEDS and trend["hi"] < 0)]
    return Measured(verdict(*parts, partly=sum(parts) > 1), (
        Number(f"runs whose hill of test loss over the steps doubles it, of those of {seeds} seeds that fit",
               f"{in_time:.0%}", n=n), *_hill(along), _trend("step of fit against width", trend)), n_trained(runs))


@claim("model-wise-cut", source="Davies et al. 2022, Fig 5",
       says="At the last step test loss rises where the networks become large enough to fit, then falls fast; test "
            "accuracy is good only at larger widths than train accuracy.",
       rule="The hill of test loss over the width, found in all seeds but one and measured in that one, is a factor of "
            f"1.5 or more, 95 % interval above 1; and the width from which mean accuracy is {FITTED:g} is reached and "
            "larger for test than for train. Partly if one of them.",
       ours=THEIRS, needs=(studies.model_wise,))
def model_wise_cut(runs: xr.Dataset) -> Measured:
    """The last step: a hill of mean log test loss along the width, and the widths of good train and test accuracy."""
    runs = _enough(runs)
    along = descent.held_out_hill(_at_every_width(runs), last=True)
    first = [descent.first_size(final(runs, metric), FITTED) for metric in ("train_acc", "val_acc")]
    widths = ("at no width measured" if np.isinf(d_h) else f"from d_h {d_h:.0f}" for d_h in first)
    return Measured(verdict(_is_hill(along), first[0] < first[1] < np.inf), (
        *_hill(along), *(Number(f"mean {name} accuracy is {FITTED:g} or more", width)
                        for name, width in zip(("train", "test"), widths, strict=True))), n_trained(runs),
        "At the last step.")


@claim("size-time-duality", source="Davies et al. 2022, §2, 3.1; the test is ours",
       says="More width and more steps do the same, so that test loss depends on one variable of both.",
       rule=f"One variable log step + γ log d_h tells {MOST:.0%} of the variance of mean log test loss and more than "
            "levels of each step and each width that add up, and the 95 % interval of γ, "
            f"{RESAMPLED}, is above zero; partly if only the last.",
       ours=THEIRS, needs=(studies.model_wise,))
def size_time_duality(runs: xr.Dataset) -> Measured:
    """Whether one variable of step and width tells the test loss."""
    runs = _at_every_width(_enough(runs))
    fit = descent.collapse(runs)
    explains = fit["explained"] >= max(MOST, fit["apart"])
    when = events(runs)["t_gen"]
    variance = {"that variable": "explained", "the step alone": "by_step", "the width alone": "by_size",
                "both apart": "apart"}
    return Measured(verdict(explains and fit["lo"] > 0, partly=fit["lo"] > 0), (
        number("γ of the best single variable, log step + γ log d_h", fit | {"mean": fit["gamma"]}, ".1f",
               int(fit["n"])),
        *(Number(f"variance of log test loss told by {name}", f"{fit[part]:.0%}") for name, part in variance.items()),
        _trend("steps to generalise against width", interval(descent.size_and_time(runs, when), within=(-1, 1))),
        Number("runs that generalise", str(int(when.notnull().sum())))), int(fit["n"]) * runs.sizes["d_h"])


@claim("zero-over-b", source="Davies et al. 2022, Fig 7, §3.2",
       says="0/b = 0 is learned first: an early peak of 96 right test examples, all of 0/b and chance on the rest; "
            "then the others fall below chance.",
       rule=f"At the peak before train accuracy reaches 0.1, nine tenths of the pairs 0/b are right in {MOST:.0%} of "
            "the runs, and the others at least half as often as by chance; and from there until one half, the others "
            "are right less often than chance (95 % interval over seeds, each the mean of its runs, below 1). Partly "
            "if one of them.",
       ours="weight decay 1e-5 (theirs) and 0.5, dropout 0 and 0.1 (their code's), no LayerNorm, initial weights, "
            "exact cross entropy", needs=(studies.division,))
def zero_over_b(runs: xr.Dataset) -> Measured:
    """The early peak of right test answers, and what becomes of the others after it."""
    peak = early_peak(runs)
    trained = peak["step"].notnull()
    n = int(trained.sum())
    seeds = seeds_of(trained, "{seeds} seeds")
    learned = int((peak["zero"] >= 0.9 * peak["n_zero"]).sum())
    guessed = peak["n_others"] / float(runs["p"])
    total, others, after = (interval(by_seed(counts)) for counts in (
        peak["zero"] + peak["others"], peak["others"] / guessed, peak["others_after"] / guessed))
    return Measured(verdict(learned >= MOST * n and float(others["mean"]) > 0.5, float(after["hi"]) < 1), (
        number("right test examples", total, ".0f", seeds),
        Number("runs that have nine tenths or more of the pairs 0/b right", f"{learned} of {n}"),
        number("times as often as by chance the others are right", others, ".2f", seeds),
        number("the same after the peak", after, ".2f", seeds)), n, "At the early peak.")


def _enough(runs: xr.Dataset) -> xr.Dataset:
    """The widths with enough seeds, of the largest weight decay; it takes four."""
    runs = runs.squeeze("D_train")
    return enough_sizes(runs.isel(weight_decay=-1) if "weight_decay" in runs.dims else runs, 4, "widths")


def _at_every_width(runs: xr.Dataset) -> xr.Dataset:
    """The same runs, if enough seeds were trained at every width."""
    require(runs["trained"].all("d_h").sum() >= ENOUGH_SEEDS, f"Fewer than {ENOUGH_SEEDS} seeds have every width.")
    return runs


def _is_hill(along: xr.Dataset) -> bool:
    stats = interval(along["height"])
    return bool(stats["mean"] >= ALONG_SIZE and stats["lo"] > 0)


def _hill(along: xr.Dataset) -> tuple[Number, Number]:
    """The highest hill along the width, measured in seeds other than those it was found in, and where it stands."""
    place = (" or ".join(f"{value:,}" for value in np.unique(along[name].values)) for name in ("at", "step"))
    return (number("highest hill of test loss along the width, in other seeds, a factor of",
                   np.exp(interval(along["height"])), ".2f", along.sizes["seed"]),
            Number("where that hill stands", "d_h {}, step {}".format(*place)))


def _trend(what: str, rank: xr.Dataset) -> Number:
    label = f"Spearman's correlation, {what}"
    if rank["n"] < ENOUGH_SEEDS:
        return Number(label, f"three widths get there in {int(rank['n'])} seeds, too few for a trend")
    return number(label, rank, ".2f", int(rank["n"]))

"""Claims of chapter 06: the pattern model. They are computed, from no runs."""

from dataclasses import replace

import numpy as np

from grokbook.analysis import patterns as model
from grokbook.analysis.kinds import DIP, HIGH, LONG_BEFORE, LOW, MEMORISED, kind_of, shape_of
from grokbook.analysis.statistics import Z
from grokbook.claims.card import Measured, Number, claim, verdict

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
    descent, delay = shape_of(left), shape_of(right)
    return Measured(verdict(kind_of(left) == "double descent", kind_of(right) == "grokking"), (
        Number("first set", kind_of(left)),
        Number("test accuracy rises to, falls to, ends at", f"{descent.peak:.2f}, {descent.valley:.2f}, "
                                                            f"{descent.end:.2f}"),
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

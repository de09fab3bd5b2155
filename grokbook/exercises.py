"""The exercises' checks: each computes the right answer itself, and says how far off another is.

    answer = None  # your answer
    gb.exercises.check("mirrors", answer)
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from grokbook import analysis, studies, tasks
from grokbook.analysis.descent import depth
from grokbook.analysis.efficiency import frozen
from grokbook.analysis.patterns import DOUBLE_DESCENT, GROKKING, TIMES, test_accuracy
from grokbook.claims import CLAIMS
from grokbook.config import RunConfig


@dataclass(frozen=True)
class Exercise:
    """`solve` gives the right answer, `tolerance` how far off a right one may be (relative), `hint` a nudge."""

    solve: Callable[[], Any]
    tolerance: float
    hint: str


def _mirrors() -> float:
    split = tasks.split(RunConfig(D_train=3000))
    return float(1 - split.twin_free_val.sum() / split.val.sum())


def _mirrored() -> float:
    split = tasks.split(RunConfig(D_train=studies.share_of(113, 0.5)))
    return float(1 - split.twin_free_val.sum() / split.val.sum())


def _between() -> float:
    config = RunConfig(n_layers=2, d_h=128)
    return config.n_params - config.d_h * (2 * config.d_vocab + config.n_ctx)


def _least_heuristic() -> float:
    first, *others = DOUBLE_DESCENT
    kinds = {gamma / 100: analysis.kinds.kind_of([replace(first, gamma=gamma / 100), *others]) for gamma in range(101)}
    return min(gamma for gamma, kind in kinds.items() if kind == "double descent")


def _shortcut() -> float:
    config = studies.division.paper[0]
    val = tasks.split(config).val
    zero = np.sum(val & (tasks.table(config).tokens[:, 0] == 0))
    return float(zero + (val.sum() - zero) / config.p)


EXERCISES = {
    "mirrors": Exercise(_mirrors, 0.03, "Pick a validation pair with a ≠ b: how likely is its mirror in train?"),
    "labels": Exercise(lambda: 2 * RunConfig(d_h=32).n_params / np.log2(113), 0.02,
                       "A label among 113 is log₂ 113 bits; RunConfig(d_h=32).n_params counts weights."),
    "slowest": Exercise(lambda: analysis.events(studies.load("grokking", d_h=64, D_train=5000))["t_gen"].max(), 0.001,
                        "analysis.events(runs) gives t_gen for every run; NaN is `never`."),
    "bits": Exercise(lambda: 6441 * np.log2(113), 0.01, "One label among 113 is log₂ 113 bits."),
    "half-known": Exercise(lambda: np.log2(113) / 2, 0.01, "What is the cross entropy of each half?"),
    "progression": Exercise(
        lambda: analysis.final(studies.load("four_dynamics", d_h=8, D_train=3000), "twin_free_val_acc").mean(), 0.01,
        "analysis.final(runs, metric) is where each run ended."),
    "threshold": Exercise(
        lambda: (analysis.zones(studies.load("four_dynamics"), negligible=0.003) == "UNGROKKING").sum(), 0.001,
        "analysis.zones takes the threshold as `negligible`."),
    "valley": Exercise(lambda: depth(np.array([0.2, 0.6, 0.1, 0.5, 0.4])), 0.001,
                       "The lower of the two shores counts."),
    "interval": Exercise(lambda: analysis.interval(xr.DataArray([0.0, 0.0, 0.9], dims="seed"))["hi"], 0.01,
                         "Mean plus t times standard error; t for two degrees of freedom is 4.30."),
    "span": Exercise(lambda: RunConfig(task="add+random", d_h=1024, n_layers=8).n_params / 64_256, 0.001,
                     "RunConfig(task='add+random', d_h=64, n_layers=1).n_params counts weights."),
    "random-share": Exercise(lambda: (0.79 * 8000 - 5000) / 3000, 0.01,
                             "How many of the 8,000 does it know, how many beyond 5,000?"),
    "plateau": Exercise(lambda: test_accuracy(DOUBLE_DESCENT[:2], 1e6), 0.02,
                        "Pattern 2 covers everything: how often is pattern 1 right too? Then G?"),
    "halfway": Exercise(lambda: TIMES[test_accuracy(GROKKING, TIMES).searchsorted(0.5)], 0.02,
                        "Where pattern 3 covers an example it answers; elsewhere pattern 2 does."),
    "least-heuristic": Exercise(_least_heuristic, 0.06, "Move γ of pattern 1 down, a hundredth at a time."),
    "shortcut": Exercise(_shortcut, 0.01, "How many test pairs have a = 0? One in 97 of the others is guessed."),
    "twice-as-wide": Exercise(lambda: 2**1.5, 0.01, "u stays the same: what falls by 1.5 log 2?"),
    "mirrored": Exercise(_mirrored, 0.03, "What share of the other pairs has its mirror in train?"),
    "between": Exercise(_between, 0.001, "RunConfig(n_layers=2, d_h=128) counts all weights, W_E, W_pos and W_U too."),
    "quicker": Exercise(lambda: 7.0**2, 0.001, "The gradient of w_m1 has a factor w_m2; and what of w_m1 w_m2?"),
    "cheaper": Exercise(lambda: -float(frozen().train.general.mean()), 0.03,
                        "analysis.efficiency.frozen() gives logits in units of the memory's."),
    "frequencies": Exercise(lambda: 113 // 2, 0.001, "Half of the numbers from 1 to 112."),
    "margin": Exercise(lambda: 1 - np.cos(2 * np.pi / 113), 0.01, "What is cos w(a + b − c) for c = a + b + 1?"),
    "by chance": Exercise(lambda: 0.05 * len(CLAIMS), 0.01, "One interval in twenty misses what is true."),
}


def check(name: str, answer: float | None) -> None:
    """Print whether an answer is right; None, the answer of one who has not begun, gets the question back.

    Raises ValueError: there is no exercise of that name, or the answer is not a number.
    """
    if name not in EXERCISES:
        raise ValueError(f"exercise={name!r} is unknown; valid: {', '.join(EXERCISES)}")
    if answer is None:
        print(f"{name}: put your answer in place of None and run the cell again. Hint: {EXERCISES[name].hint}")
        return
    answer = getattr(answer, "item", lambda: answer)()  # a number of NumPy or xarray is one too
    if isinstance(answer, bool) or not isinstance(answer, (int, float)) or np.isnan(answer):
        raise ValueError(f"answer={answer!r} is not a number; valid: one number, such as 0.5")
    exercise = EXERCISES[name]
    right, given = float(exercise.solve()), float(answer)
    if abs(given - right) <= exercise.tolerance * abs(right):
        print(f"{name}: right.")
    else:
        print(f"{name}: {given:g} is too {'large' if given > right else 'small'}. Hint: {exercise.hint}")

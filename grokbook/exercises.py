"""The exercises' checks: each computes the right answer itself, and says how far off another is.

    answer = None  # your answer
    gb.exercises.check("mirrors", answer)
"""

from collections.abc import Callable
from dataclasses import replace
from html import escape
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from grokbook import analysis, studies, tasks
from grokbook.analysis.descent import depth
from grokbook.analysis.efficiency import frozen
from grokbook.analysis.patterns import DOUBLE_DESCENT, GROKKING, TIMES, test_accuracy
from grokbook.claims import CLAIMS
from grokbook.config import RunConfig, check_among


class Exercise(NamedTuple):
    """`solve` gives the right answer, `tolerance` how far off a right one may be (relative), `hint` a nudge.

    `why` says of the right answer why it is.
    """

    solve: Callable[[], Any]
    tolerance: float
    hint: str
    why: str


class Reply(NamedTuple):
    """What is said of an answer: shown by a notebook with its `hint` folded away, if it has one."""

    words: str
    hint: str = ""

    def __repr__(self) -> str:
        return self.words

    def _repr_html_(self) -> str:
        folded = f"<details><summary>Hint</summary>{escape(self.hint)}</details>" if self.hint else ""
        return escape(self.words) + folded


def _mirrored(D_train: int) -> float:
    split = tasks.split(RunConfig(D_train=D_train))
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
    "mirrors": Exercise(lambda: _mirrored(3000), 0.03,
                        "Pick a validation pair with a ≠ b: how likely is its mirror in train?",
        why="a mirror is a pair like any other, and 3,000 of 12,768 others are in train; pairs a = a have none."),
    "labels": Exercise(lambda: 2 * RunConfig(d_h=32).n_params / np.log2(113), 0.02,
                       "A label among 113 is log₂ 113 bits; RunConfig(d_h=32).n_params counts weights.",
        why="weights times 2 bits, by the bits of one label; chapter 02 measures what the network really holds."),
    "slowest": Exercise(lambda: analysis.events(studies.load("grokking", d_h=64, D_train=5000))["t_gen"].max(), 0.001,
                        "analysis.events(runs) gives t_gen for every run; NaN is `never`.",
        why="the mean would hide it: the slowest of the seeds decides how long one has to wait to be sure."),
    "bits": Exercise(lambda: 6441 * np.log2(113), 0.01, "One label among 113 is log₂ 113 bits.",
        why="a label that is one of 113 answers, all equally likely, takes log₂ 113 = 6.82 bits to write down."),
    "half-known": Exercise(lambda: np.log2(113) / 2, 0.01, "What is the cross entropy of each half?",
        why="a known label costs no loss, an unknown one all of its bits: half of them are left."),
    "progression": Exercise(
        lambda: analysis.final(studies.load("four_dynamics", d_h=8, D_train=3000), "twin_free_val_acc").mean(), 0.01,
        "analysis.final(runs, metric) is where each run ended.",
        why="seeds differ so much here that their mean is what none of them does."),
    "threshold": Exercise(
        lambda: (analysis.zones(studies.load("four_dynamics"), negligible=0.003) == "UNGROKKING").sum(), 0.001,
        "analysis.zones takes the threshold as `negligible`.",
        why="memorisers score below chance on twin-free pairs, so a bound below chance still lets some of them pass."),
    "valley": Exercise(lambda: depth(np.array([0.2, 0.6, 0.1, 0.5, 0.4])), 0.001,
                       "The lower of the two shores counts.",
        why="who comes out on the lower shore has climbed 0.5 − 0.1; how high the other one is does not matter."),
    "interval": Exercise(lambda: analysis.interval(xr.DataArray([0.0, 0.0, 0.9], dims="seed"))["hi"], 0.01,
                         "Mean plus t times standard error; t for two degrees of freedom is 4.30.",
        why="three values that disagree say next to nothing about their mean, so t is large and the interval wide."),
    "span": Exercise(lambda: RunConfig(task="add+random", d_h=1024, n_layers=8).n_params / 64_256, 0.001,
                     "RunConfig(task='add+random', d_h=64, n_layers=1).n_params counts weights.",
        why="weights grow with the layers and with the square of d_h: 8 times 16² times as many, less the embeddings."),
    "random-share": Exercise(lambda: (0.79 * 8000 - 5000) / 3000, 0.01,
                             "How many of the 8,000 does it know, how many beyond 5,000?",
        why="of 8,000 pairs it knows 6,320, and 5,000 of these are additions."),
    "plateau": Exercise(lambda: test_accuracy(DOUBLE_DESCENT[:2], 1e6), 0.02,
                        "Pattern 2 covers everything: how often is pattern 1 right too? Then G?",
        why="where the heuristic covers one of the 70 % it answers half of the time; memory the rest, wrongly."),
    "halfway": Exercise(lambda: TIMES[test_accuracy(GROKKING, TIMES).searchsorted(0.5)], 0.02,
                        "Where pattern 3 covers an example it answers; elsewhere pattern 2 does.",
        why="the slow pattern is preferred and right, so test accuracy is that pattern, and b is where it is halfway."),
    "least-heuristic": Exercise(_least_heuristic, 0.06, "Move γ of pattern 1 down, a hundredth at a time.",
        why="the dip is about a quarter of γ₁, and a dip counts from 0.05 on."),
    "shortcut": Exercise(_shortcut, 0.01, "How many test pairs have a = 0? One in 97 of the others is guessed.",
        why="0/b = 0 is right for every test pair with a = 0, and of 97 guesses one is right."),
    "twice-as-wide": Exercise(lambda: 2**1.5, 0.01, "u stays the same: what falls by 1.5 log 2?",
        why="u stays the same if the logarithm of the step falls by as much as γ times that of the width rises."),
    "mirrored": Exercise(lambda: _mirrored(studies.share_of(113, 0.5)), 0.03,
                         "What share of the other pairs has its mirror in train?",
        why="a mirror is in train as often as any pair is, so knowing mirrors flatters by the training share."),
    "between": Exercise(_between, 0.001, "RunConfig(n_layers=2, d_h=128) counts all weights, W_E, W_pos and W_U too.",
        why="4 d_h² in attention and 8 d_h² in the feed-forward part, twice: within the report's 3 to 4 · 10⁵."),
    "quicker": Exercise(lambda: 7.0**2, 0.001, "The gradient of w_m1 has a factor w_m2; and what of w_m1 w_m2?",
        why="each of the two factors speeds the other up, so a start of 7 counts twice."),
    "cheaper": Exercise(lambda: -float(frozen().train.general.mean()), 0.03,
                        "analysis.efficiency.frozen() gives logits in units of the memory's.",
        why="the logits are in units of the memory's, at the same norm: that ratio is what is called efficiency."),
    "frequencies": Exercise(lambda: 113 // 2, 0.001, "Half of the numbers from 1 to 112.",
        why="cos and sin of k and of 113 − k are the same up to a sign, and 113 is odd."),
    "margin": Exercise(lambda: 1 - np.cos(2 * np.pi / 113), 0.01, "What is cos w(a + b − c) for c = a + b + 1?",
        why="neighbours lie one hour of 113 apart; it takes large weights or more frequencies to tell them apart."),
    "by chance": Exercise(lambda: 0.05 * len(CLAIMS), 0.01, "One interval in twenty misses what is true.",
        why="one interval in twenty misses; so a single surprising verdict is weak evidence."),
}


def check(name: str, answer: float | None) -> Reply:
    """Whether an answer is right, and why, or on which side it is. None, of who has not begun, gets a folded hint.

    Raises ValueError: there is no exercise of that name.
    """
    check_among("exercise", name, EXERCISES)
    exercise = EXERCISES[name]
    if answer is None:
        return Reply(f"{name}: put your answer in place of None and run the cell again.", exercise.hint)
    answer = getattr(answer, "item", lambda: answer)()  # a number of NumPy or xarray is one too
    if isinstance(answer, bool) or not isinstance(answer, (int, float)) or np.isnan(answer):
        return Reply(f"{name}: answer={answer!r} is not a number; valid: one number, such as 0.5")
    right, given = float(exercise.solve()), float(answer)
    if abs(given - right) <= exercise.tolerance * abs(right):
        return Reply(f"{name}: right, because {exercise.why}")
    return Reply(f"{name}: {given:g} is too {'large' if given > right else 'small'}. Hint: {exercise.hint}")

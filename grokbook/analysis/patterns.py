"""The pattern model of Davies, Langosco & Krueger 2022, §2.2: training as a race of patterns of different speeds.

Pattern i is right on a training example with probability p_i(t) = γ_i / (1 + exp(−α_i (t − b_i))), independently of the
others. Training accuracy is the chance that any is right, test accuracy the mean generalisation g of those that are:

    acc_train(t) = 1 − Π_i (1 − p_i(t))                                                                     (Eq 1)
    acc_test(t)  = Σ_A P_A(t) G(A),   P_A = Π_{i∈A} p_i Π_{j∉A} (1 − p_j),   G(A) = mean of g_i over A      (Eq 2)

and G(A) = g_k whenever A holds the preferred pattern k. The paper leaves G(∅), a mean over nothing, undefined; here the
empty subset contributes 0: an example that no pattern covers is answered wrongly.

The sum has 2ⁿ terms. Because 1/|A| = ∫₀¹ x^(|A|−1) dx it is Σ_i g_i u_i with

    u_i = p_i ∫₀¹ Π_{j≠i} (1 − p_j + p_j x) dx,

a polynomial of degree n − 1, which Gauss and Legendre integrate exactly with n/2 points: n² operations. With a
preferred pattern, u_k = p_k and the others share the rest, 1 − p_k, in the same way.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from scipy.optimize import least_squares
from scipy.special import expit

from grokbook.config import check_among, typed

TIMES = np.arange(301.0)  # times 0…300, as far as Fig 2 goes


@dataclass(frozen=True)
class Pattern:
    """A pattern: maximum predictiveness γ, learning speed α, inflection point b, generalisation g, all as in §2.2.

    Raises TypeError: a value that is no number, or `preferred` no bool. ValueError: a value outside of its range.
    """

    gamma: float
    alpha: float
    b: float
    g: float
    preferred: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, typed(field.name, field.type, getattr(self, field.name)))
        for name, most in (("gamma", 1), ("g", 1), ("alpha", math.inf), ("b", math.inf)):
            value = getattr(self, name)
            if not 0 <= value <= most or math.isinf(value):
                valid = "0 to 1" if most == 1 else "a finite number, 0 or more"
                raise ValueError(f"{name}={value:g} is not valid; valid: {valid}")


Patterns = Sequence[Pattern]

DOUBLE_DESCENT = (Pattern(0.7, 0.15, 30, 1), Pattern(1, 0.15, 50, 0), Pattern(0.2, 0.05, 200, 1, preferred=True))
"""Fig 2, left: heuristics, overfitting, and a slow pattern that generalises."""

GROKKING = (replace(DOUBLE_DESCENT[0], gamma=0), DOUBLE_DESCENT[1], replace(DOUBLE_DESCENT[2], gamma=1))
"""Fig 2, right: the same three types, without heuristics and with a slow pattern that covers everything."""

TYPES = ("heuristic", "overfitting", "slow")  # what the paper calls these three

TWO = (Pattern(0.6, 0.05, 150, 0.9), Pattern(0.8, 0.15, 50, 0.2))
"""Fig 3 has two patterns and gives no numbers. Ours: a slow one that generalises, a fast one that hardly does."""

PRESETS: dict[str, Patterns] = {
    "double descent": DOUBLE_DESCENT, "grokking": GROKKING, "two patterns": TWO,
    "two patterns, the first preferred": (replace(TWO[0], preferred=True), TWO[1]),
}

CORNERS = [[patterns[0].gamma, patterns[-1].gamma] for patterns in (DOUBLE_DESCENT, GROKKING)]

PATHS = {
    "γ₁ and γ₃ together": np.array(CORNERS),
    "first γ₁, then γ₃": np.array([CORNERS[0], [CORNERS[1][0], CORNERS[0][1]], CORNERS[1]]),
    "first γ₃, then γ₁": np.array([CORNERS[0], [CORNERS[0][0], CORNERS[1][1]], CORNERS[1]]),
}
"""Ways from double descent to grokking, as points (γ₁, γ₃) joined by straight lines; the paper's is the first."""


def predictiveness(patterns: Patterns, t: ArrayLike) -> np.ndarray:
    """p_i(t) of every pattern, (pattern, …) over the shape of `t`.

    Raises ValueError: no patterns, or more than one that is preferred.
    """
    _preferred(patterns)
    gamma, alpha, b = (np.array([getattr(pattern, name) for pattern in patterns]) for name in ("gamma", "alpha", "b"))
    return sigmoids(gamma, alpha, b, np.asarray(t, float))


def sigmoids(gamma: np.ndarray, alpha: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """γ / (1 + exp(−α (t − b))) of parameters (pattern,) at times (…), as (pattern, …)."""
    gamma, alpha, b = (np.reshape(value, (-1, *[1] * t.ndim)) for value in (gamma, alpha, b))
    return gamma * expit(alpha * (t - b))


def train_accuracy(patterns: Patterns, t: ArrayLike) -> np.ndarray:
    """Eq 1 at times `t`, in their shape. Errors as `predictiveness`."""
    return covered(predictiveness(patterns, t))


def test_accuracy(patterns: Patterns, t: ArrayLike) -> np.ndarray:
    """Eq 2 at times `t`, in their shape, by the integral above. Errors as `predictiveness`."""
    return np.tensordot([p.g for p in patterns], usage(patterns, t), axes=1)


def usage(patterns: Patterns, t: ArrayLike) -> np.ndarray:
    """Share of test examples that each pattern answers, (pattern, …); they add up to `train_accuracy`.

    Errors as `predictiveness`.
    """
    return shares(predictiveness(patterns, t), _preferred(patterns))


def covered(p: np.ndarray) -> np.ndarray:
    """Probability that any of independent events (event, …) with probabilities `p` happens."""
    return 1 - np.prod(1 - p, axis=0)


def shares(p: np.ndarray, preferred: int | None = None) -> np.ndarray:
    """Share of examples that falls to each of patterns with predictiveness `p` (pattern, …), in the same shape."""
    if preferred is not None:
        others = shares(np.delete(p, preferred, axis=0)) * (1 - p[preferred])
        return np.insert(others, preferred, p[preferred], axis=0)
    total = np.zeros_like(p)
    for x, weight in _nodes(len(p) // 2 + 1):
        factors = 1 - p * (1 - x)  # at least x, and no node is 0
        total += weight * np.prod(factors, axis=0) / factors
    return p * total


def simulate(patterns: Patterns, t: float, *, n_examples: int = 10_000, seed: int = 0) -> tuple[float, float]:
    """Train and test accuracy at time `t` by drawing examples, in the way of Appendix A.

    Each pattern has a domain that holds an example with probability p_i. A training example is right if any domain
    holds it. A test example goes to one of the patterns whose domain holds it, drawn uniformly, which is right with
    probability g; in no domain it is wrong. The appendix keeps the domain of a preferred pattern disjoint from all
    others on the test set, read here as taking its examples out of theirs. Errors as `predictiveness`.
    """
    p, preferred, rng = predictiveness(patterns, t), _preferred(patterns), np.random.default_rng(seed)
    domains = rng.random((n_examples, len(p))) < p
    disjoint = domains.copy()
    if preferred is not None:
        disjoint[domains[:, preferred]] = np.arange(len(p)) == preferred
    chosen = np.where(disjoint, rng.random(disjoint.shape), -1).argmax(axis=1)
    right = rng.random(n_examples) < np.array([pattern.g for pattern in patterns])[chosen]
    held = domains.any(axis=1)
    return float(held.mean()), float((right & held).mean())


def along(path: ArrayLike, share: float) -> Patterns:
    """`DOUBLE_DESCENT` with γ of the first and the last as at the point `share` (0 to 1) of the way on `path`.

    `path`: (point, 2), joined by straight lines that take equal shares; see `PATHS`.
    Raises ValueError: a share outside of 0 to 1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share={share} is not on the way; valid: 0 to 1")
    path = np.asarray(path, float)
    stops = np.linspace(0, 1, len(path))
    first, last = (float(np.interp(share, stops, path[:, i])) for i in (0, 1))
    heuristic, *others, slow = DOUBLE_DESCENT
    return (replace(heuristic, gamma=first), *others, replace(slow, gamma=last))


@functools.cache
def _nodes(n: int) -> list[tuple[float, float]]:
    """Points and weights that integrate polynomials of degree 2n − 1 over 0 to 1."""
    x, weights = np.polynomial.legendre.leggauss(n)
    return list(zip(((1 + x) / 2).tolist(), (weights / 2).tolist(), strict=True))


def _preferred(patterns: Patterns) -> int | None:
    """The place of the preferred pattern, having refused what is no set of patterns."""
    if not len(patterns):
        raise ValueError("there are no patterns; valid: one or more")
    places = [i for i, pattern in enumerate(patterns) if pattern.preferred]
    if len(places) > 1:
        named = ", ".join(str(i + 1) for i in places)
        raise ValueError(f"patterns {named} are preferred; valid: at most one")
    return places[0] if places else None


CLOCKS = {"log": (lambda step: np.log10(1 + step)), "linear": (lambda step: step)}
"""The step as the model's time t; both give t = 0 at step 0.

Linear is the default: the paper calls t a time-step, and draws it so. Runs are drawn and evaluated on a logarithmic
axis, where many creep and then jump, as a sigmoid of the step does there; one of the logarithm rises as slowly as it
ends. Which fits better differs between runs, so a chapter that fits says both."""

N_STARTS = 24
"""Random starts of the search; the best end counts. The same for every call."""

PER_PATTERN = 4  # parameters of a pattern
FASTEST = 1000  # largest α in units of 1 / (time of the last point): a rise from one evaluation to the next

N_ITERATIONS = 200
"""Iterations of one search: along directions that the curves do not determine it would creep on for thousands."""


@dataclass(frozen=True)
class Fit:
    """Patterns on a clock, and the points (point,) that they were fitted to.

    The last pattern is the preferred one if there are several; the others stand in the order of b. Time is in units of
    the clock: log10(1 + step) or steps.
    """

    patterns: tuple[Pattern, ...]
    clock: str
    step: np.ndarray
    train: np.ndarray
    val: np.ndarray

    @property
    def t(self) -> np.ndarray:
        """The model's time of every point."""
        return CLOCKS[self.clock](self.step)

    @property
    def residuals(self) -> dict[str, np.ndarray]:
        """Measured less fitted accuracy, (point,), by `train_acc` and `val_acc`."""
        return {"train_acc": self.train - train_accuracy(self.patterns, self.t),
                "val_acc": self.val - test_accuracy(self.patterns, self.t)}

    @property
    def rms(self) -> dict[str, float]:
        """Root mean square of each residual, in accuracy."""
        return {name: float(np.sqrt(np.mean(r**2))) for name, r in self.residuals.items()}


def fit_patterns(run: xr.Dataset, *, n_patterns: int = 3, clock: str = "linear", metric: str = "val_acc") -> Fit:
    """Fit `n_patterns` patterns to one run's train accuracy and `metric`, the last of them preferred.

    `run`: curves over `step` alone. Every evaluation weighs the same; they stand on a logarithmic grid, so early steps
    are as many as late ones. With 4 parameters a pattern several sets may fit equally well: the curves are what is
    fitted, the parameters one way to have them.
    Raises ValueError: another clock, a run that varies over more than `step`, or fewer points than parameters.
    """
    check_among("clock", clock, CLOCKS)
    if set(run[metric].dims) != {"step"}:
        raise ValueError(f"the run varies over {', '.join(map(str, run[metric].dims))}; valid: step alone")
    curves = run[["train_acc", metric]].dropna("step")
    step, train, val = (curves[name].values.astype(float) for name in ("step", "train_acc", metric))
    if not 0 < n_patterns * PER_PATTERN <= 2 * len(step):
        raise ValueError(f"n_patterns={n_patterns} cannot be fitted to {len(step)} evaluations of two accuracies; "
                         f"valid: 1 to {2 * len(step) // PER_PATTERN}")
    t = CLOCKS[clock](step)
    best = _search(t / t[-1], train, val, n_patterns)
    return Fit(_patterns(best, float(t[-1])), clock, step, train, val)


def _search(s: np.ndarray, train: np.ndarray, val: np.ndarray, n: int) -> np.ndarray:
    """The best parameters (pattern, 4) on time `s` from 0 to 1, over all starts."""
    high = np.tile([1.0, FASTEST, 1.0, 1.0], n)

    def miss(x: np.ndarray) -> np.ndarray:
        """Fitted less measured accuracies, train then validation, for parameters (4 n,)."""
        gamma, alpha, b, g = x.reshape(n, PER_PATTERN).T
        p = sigmoids(gamma, alpha, b, s)
        return np.concatenate([covered(p) - train, g @ shares(p, n - 1 if n > 1 else None) - val])

    rng = np.random.default_rng(0)
    gamma, g, b = rng.uniform(0.1, 0.9, (3, N_STARTS, n))
    alpha = 10 ** rng.uniform(0.7, 1.9, (N_STARTS, n))  # from slow to fast
    starts = np.stack([gamma, alpha, np.sort(b), g], axis=2).reshape(N_STARTS, -1)
    ends = [least_squares(miss, start, bounds=(0, high), x_scale=high, max_nfev=N_ITERATIONS) for start in starts]
    return min(ends, key=lambda end: end.cost).x.reshape(n, PER_PATTERN)


def _patterns(x: np.ndarray, unit: float) -> tuple[Pattern, ...]:
    """Parameters (pattern, 4) in units of time `unit` as patterns in the order of b, the last one preferred."""
    x = np.concatenate([x[:-1][np.argsort(x[:-1, 2], kind="stable")], x[-1:]])
    return tuple(Pattern(gamma, alpha / unit, b * unit, g, preferred=0 < i == len(x) - 1)
                 for i, (gamma, alpha, b, g) in enumerate(x))

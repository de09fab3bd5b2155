"""The pattern model fitted to a measured run, by least squares on its train and validation accuracy."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.optimize import least_squares

from grokbook.analysis.patterns import Pattern, covered, shares, sigmoids, test_accuracy, train_accuracy

CLOCKS = {"log": (lambda step: np.log10(1 + step)), "linear": (lambda step: step)}
"""The step as the model's time t; both give t = 0 at step 0.

Linear is the default: the paper calls t a time-step, and draws it so. Runs are drawn and evaluated on a logarithmic
axis, where many creep and then jump, as a sigmoid of the step does there; one of the logarithm rises as slowly as it
ends. Which fits better differs between runs, so a chapter that fits says both."""

N_STARTS = 24
"""Random starts of the search; the best end counts. The same for every call."""

PER_PATTERN = 4  # parameters of a pattern
FASTEST = 1000  # largest α in units of 1 / (time of the last point): a rise from one evaluation to the next

PATIENCE = 200
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
    if clock not in CLOCKS:
        raise ValueError(f"clock={clock!r} is unknown; valid: {', '.join(CLOCKS)}")
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
        gamma, alpha, b, g = x.reshape(n, PER_PATTERN).T
        p = sigmoids(gamma, alpha, b, s)
        return np.concatenate([covered(p) - train, g @ shares(p, n - 1 if n > 1 else None) - val])

    ends = [least_squares(miss, start, bounds=(0, high), x_scale=high, max_nfev=PATIENCE) for start in _starts(n)]
    return min(ends, key=lambda end: end.cost).x.reshape(n, PER_PATTERN)


def _starts(n: int) -> np.ndarray:
    """Parameters (start, 4 n) to begin from: γ and g anywhere, α from slow to fast, b ascending."""
    rng = np.random.default_rng(0)
    gamma, g, b = rng.uniform(0.1, 0.9, (3, N_STARTS, n))
    alpha = 10 ** rng.uniform(0.7, 1.9, (N_STARTS, n))
    return np.stack([gamma, alpha, np.sort(b), g], axis=2).reshape(N_STARTS, -1)


def _patterns(x: Sequence[Sequence[float]] | np.ndarray, unit: float) -> tuple[Pattern, ...]:
    """Parameters (pattern, 4) in units of time `unit` as patterns in the order of b, the last one preferred."""
    x = np.asarray(x)
    x = np.concatenate([x[:-1][np.argsort(x[:-1, 2], kind="stable")], x[-1:]])
    return tuple(Pattern(gamma, alpha / unit, b * unit, g, preferred=0 < i == len(x) - 1)
                 for i, (gamma, alpha, b, g) in enumerate(x))

"""How often rules are wrong: verdicts on maps made at random, without the effect and with it. Prints docs/rules.md's.

`python tests/rates.py` takes some minutes. Seeds of accuracy claims end near 0 or near 1, as real ones do.
"""

from collections import Counter

import numpy as np
from maps import cube

from grokbook.claims import descent, grokking, zones

N_DRAWS = 40
SIZES, PAIRS = [4, 8, 16, 24, 32, 48, 64], [2600, 3000, 4000, 5000]
RISING = dict(zip(SIZES, [0.1, 0.3, 0.4, 0.5, 0.6, 0.8, 0.95], strict=True))
VALLEY = dict(zip(SIZES, [0.3, 0.9, 0.8, 0.1, 0.05, 0.5, 0.95], strict=True))
"""Share of seeds that understand, by d_h."""


def luck(share, pairs, n, rng):
    values = {(d_h, D): np.where(rng.random(n) < share(d_h, D), rng.uniform(0.9, 1, n), rng.uniform(0, 0.1, n))
              for d_h in SIZES for D in pairs}
    return cube(SIZES, pairs, n, lambda d_h, D, seed: {"val_acc": float(values[d_h, D][seed]), "train_acc": 1.0})


def capacity(effect, n, rng):
    held = 0.3 + 0.1 * effect * np.arange(3)[:, None] + 0.02 * rng.normal(size=(3, n))
    return grokking.capacity(cube([8, 16, 32], [113**2], n, lambda d_h, D, seed: {
        "train_acc": float(held[[8, 16, 32].index(d_h), seed])}, task="random"))


def complexity_curves(effect, n, rng):
    power, scale = rng.normal(0, 0.05, size=(2, n)), rng.normal(0, 0.02, size=(2, n))

    def kind(row, border, exponent):
        return cube([64], [300, 500, 1000, 2000, 2600, 3400], n, lambda d_h, D, seed: {
            "train_acc": 1.0, "val_acc": float(border <= D),
            "param_norm": float(20 * (D / 1000) ** (exponent + power[row, seed]) * (1 + scale[row, seed]))})
    return zones.complexity_curves(kind(0, 9999, 0.3 * effect), kind(1, 0, 0.0))


def between_the_borders(effect, n, rng):
    return descent.between_the_borders(luck(lambda d_h, D: (VALLEY if effect else RISING)[d_h], [2400], n, rng))


def double_descent(effect, n, rng):
    return descent.double_descent(luck(
        lambda d_h, D: (VALLEY if effect and D < 4000 else RISING)[d_h], PAIRS, n, rng))


def harder_task(effect, n, rng):
    square = luck(lambda d_h, D: (VALLEY if effect else RISING)[d_h], [3000], n, rng)
    return descent.harder_task(square, luck(lambda d_h, D: RISING[d_h], [3000], n, rng))


def main() -> None:
    for rule in (capacity, complexity_curves, between_the_borders, double_descent, harder_task):
        for n in (3, 5, 11):
            for effect in (0, 1):
                rng = np.random.default_rng(0)
                print(rule.__name__, n, effect, dict(Counter(str(rule(effect, n, rng).verdict)
                                                             for _ in range(N_DRAWS))), flush=True)


if __name__ == "__main__":
    main()

"""How often rules are wrong: verdicts on maps made at random, without the effect and with it. Prints docs/rules.md's.

`python tests/rates.py` takes some minutes; it can be given names of rules. Seeds of accuracy claims end near 0 or near
1, as real ones do.
"""

import sys
from collections import Counter

import numpy as np
from maps import STEPS, cube, holding_pairs, rise, typical

from grokbook.analysis import sizes
from grokbook.claims import descent, efficiency, grokking, zones
from grokbook.claims.card import TooLittle

N_DRAWS = 40
sizes.N_BOOTSTRAP = 200  # a fifth of the book's resamples: some minutes instead of half an hour
SIZES, PAIRS = [4, 8, 16, 24, 32, 48, 64], [2600, 3000, 4000, 5000]
RISING = dict(zip(SIZES, [0.1, 0.3, 0.4, 0.5, 0.6, 0.8, 0.95], strict=True))
VALLEY = dict(zip(SIZES, [0.3, 0.9, 0.8, 0.1, 0.05, 0.5, 0.95], strict=True))
"""Share of seeds that understand, by d_h."""


def luck(share, pairs, n, rng, sizes=SIZES):
    values = {(d_h, D): np.where(rng.random(n) < share(d_h, D), rng.uniform(0.9, 1, n), rng.uniform(0, 0.1, n))
              for d_h in sizes for D in pairs}
    return cube(sizes, pairs, n, lambda d_h, D, seed: {"val_acc": float(values[d_h, D][seed]), "train_acc": 1.0})


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
    return efficiency.complexity_curves(kind(0, 9999, 0.3 * effect), kind(1, 0, 0.0))


def between_the_borders(effect, n, rng):
    return descent.between_the_borders(luck(lambda d_h, D: (VALLEY if effect else RISING)[d_h], [2400], n, rng))


def double_descent(effect, n, rng):
    return descent.double_descent(luck(
        lambda d_h, D: (VALLEY if effect and D < 4000 else RISING)[d_h], PAIRS, n, rng))


def harder_task(effect, n, rng):
    square = luck(lambda d_h, D: (VALLEY if effect else RISING)[d_h], [3000], n, rng)
    return descent.harder_task(square, luck(lambda d_h, D: RISING[d_h], [3000], n, rng))


def border(d_h, effect):
    """D_crit: 3,500 at d_h 32 and 2,500 at 64, as in the paper, or 3,000 everywhere."""
    return 3000 - effect * 1000 * (np.log2(d_h / 32) - 0.5)


def critical_size(effect, n, rng):
    return grokking.critical_size(luck(lambda d_h, D: 1 / (1 + np.exp((border(d_h, effect) - D) / 150)),
                                       range(2000, 4001, 200), n, rng, sizes=[32, 48, 64]))


def model_wise_grokking(effect, n, rng):
    """All sizes memorise at d_h 16 or 24; half of the seeds understand at four times that size, which comes down to
    that size itself, or at twice that size for any number of pairs."""
    first = dict(zip(PAIRS, [16, 16, 24, 24], strict=True))
    half = dict(zip(PAIRS, [48, 36, 30, 20] if effect else [24, 24, 36, 36], strict=True))
    sizes = [8, 12, 16, 20, 24, 28, 32, 40, 48, 64, 80, 100]
    understands = {(d_h, D): rng.random(n) < 1 / (1 + (half[D] / d_h) ** 8) for d_h in sizes for D in PAIRS}
    return descent.model_wise(cube(sizes, PAIRS, n, lambda d_h, D, seed: {
        "train_acc": 1.0 if d_h >= first[D] else 0.7, "val_acc": float(understands[d_h, D][seed])}))


def norm_falls_or_rises(effect, n, rng):
    """Six runs of each zone; the norm goes as is said in 9 of 10 runs, or in half."""
    way = np.clip((np.log10(np.maximum(STEPS, 1)) - 3) / 1.2, 0, 1)
    signs = {d_h: np.where(rng.random((6, n)) < (0.9 if effect else 0.5), 1, -1) * (1 if d_h == 8 else -1)
             for d_h in (8, 64)}
    pairs = list(range(2000, 5000, 500))
    return zones.norm(cube([8, 64], pairs, n, lambda d_h, D, seed: {
        "train_acc": 0.9 * way if d_h == 8 else rise(100), "val_acc": way * (0.5 if d_h == 8 else 1),
        "param_norm": 50 + 10 * signs[d_h][pairs.index(D), seed] * way}))


def zone_map(effect, n, rng):
    """D_mem rises through a D_crit that falls or is level, and seeds near D_crit are stuck half-way or lucky."""
    sizes, pairs = [4, 8, 16, 32, 48, 64], list(range(1000, 5001, 200))
    held = {d_h: 150 * d_h * (1 + 0.02 * rng.normal(size=n)) for d_h in sizes}
    gap = {d_h: 300 * rng.normal(size=(len(pairs), n)) - border(max(d_h, 16), effect) for d_h in sizes}

    def curves(d_h, D, seed):
        above = D + gap[d_h][pairs.index(D), seed]
        if held[d_h][seed] < D:
            return typical("PROGRESSION") | ({"val_acc": rise(100, 0.6)} if D > 4000 else {})
        return typical("GROKKING" if above > 200 else "SEMI_GROKKING" if above > -400 else "UNGROKKING")
    return zones.zone_map(cube(sizes, pairs, n, curves), cube(sizes, [113**2], n, lambda d_h, D, seed: holding_pairs(
        held[d_h][seed]), task="random"))


def verdict(rule, effect, n, rng):
    try:
        return str(rule(effect, n, rng).verdict)
    except TooLittle:
        return "not yet measured"


RULES = (capacity, complexity_curves, between_the_borders, double_descent, harder_task, critical_size,
         model_wise_grokking, norm_falls_or_rises, zone_map)


def main() -> None:
    for rule in [rule for rule in RULES if rule.__name__ in (sys.argv[1:] or [rule.__name__ for rule in RULES])]:
        for n in (3, 5, 11):
            for effect in (0, 1):
                rng = np.random.default_rng(0)
                print(rule.__name__, n, effect, dict(Counter(verdict(rule, effect, n, rng)
                                                             for _ in range(N_DRAWS))), flush=True)


if __name__ == "__main__":
    main()

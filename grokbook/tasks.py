"""Whole tables of modular arithmetic, and seeded splits of them.

A task is a table of every pair (a, b), a and b in 0…p−1, with one label a pair:

    add             (a + b) mod p            Huang et al. 2024, §2.1
    square          (a + b)² mod p           Huang et al. 2024, Fig 7
    divide          a · b⁻¹ mod p, b ≠ 0     Davies et al. 2022, App B
    random          random, the same for (a, b) and (b, a)        Huang et al. 2024, Fig 4
    random-ordered  random, drawn anew for (a, b) and (b, a)      its counterpart without symmetry (footnote 3)
    add+random      a + b beside a − b, the latter with random labels      Huang et al. 2024, §5

Everything is a function of the config: the same call gives the same arrays, always. A network reads the tokens
`a b =` (or `a op b =`); a number is its own token, then come `+`, `−` where there are two tasks, and `=` is the last.
"""

from dataclasses import dataclass

import numpy as np

from grokbook.config import RunConfig

COMMUTATIVE = ("add", "square", "random", "add+random")
"""Tasks whose label is the same for (a, b) and (b, a), so that a mirror in train gives a validation pair away."""

_PURPOSES = ("weights", "split", "labels", "batches")


def rng(seed: int, purpose: str) -> np.random.Generator:
    """An independent random stream for one purpose (`weights`, `split`, `labels` or `batches`) of a run's seed."""
    return np.random.default_rng([_PURPOSES.index(purpose), seed])


@dataclass(frozen=True)
class Table:
    """Every example of a task, n of them.

    `tokens` (n, n_ctx) int64; `labels` (n,) int64; `mirror` (n,) int64: the row that holds (b, a), or −1 where
    b = 0 cannot be a divisor; `probe` (n,) bool: rows of the task itself, False for random pairs trained beside it.
    """

    tokens: np.ndarray
    labels: np.ndarray
    mirror: np.ndarray
    probe: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Split:
    """Masks over a table's rows, each (n,) bool: trained on, validation, and validation that no shortcut answers.

    `twin_free_val` leaves out pairs whose mirror is trained on. Division has no such twins; its shortcut is that 0/b is
    0 for every b (Davies et al. 2022, §3.2), so there it leaves out the pairs with a = 0.
    """

    train: np.ndarray
    val: np.ndarray
    twin_free_val: np.ndarray


def table(config: RunConfig) -> Table:
    """The table of `config.task` at `config.p`; for `add+random` the p² additions, then the p² subtractions."""
    p = config.p
    a, b = np.divmod(np.arange(p * p), p)
    if config.task == "divide":
        a, b = a[b > 0], b[b > 0]
    labels = _labels(config, a, b)
    row = np.full((p, p), -1)
    row[a, b] = np.arange(len(a))
    mirror = row[b, a]
    tokens = _tokens(config, a, b, op=p)
    probe = np.ones(len(a), dtype=bool)
    if config.task != "add+random":
        return Table(tokens, labels, mirror, probe)
    subtractions = _tokens(config, a, b, op=p + 1)
    noise = rng(config.seed, "labels").integers(p, size=p * p)
    return Table(np.concatenate([tokens, subtractions]), np.concatenate([labels, noise]),
                 np.concatenate([mirror, mirror + p * p]), np.concatenate([probe, ~probe]))


def split(config: RunConfig) -> Split:
    """The seeded split: D_train rows at random (and D_random of the random-label rows).

    For one seed a smaller D_train is a subset of a larger one, so moving D_train adds or removes pairs.
    Validation rows are those of the task itself that are not trained on.
    """
    t = table(config)
    n_task = int(t.probe.sum())
    generator = rng(config.seed, "split")
    train = np.zeros(len(t), dtype=bool)
    train[generator.permutation(n_task)[: config.D_train]] = True
    if config.D_random:
        train[n_task + generator.permutation(len(t) - n_task)[: config.D_random]] = True
    val = t.probe & ~train
    return Split(train, val, val & ~_given_away(config, t, train))


def _given_away(config: RunConfig, t: Table, train: np.ndarray) -> np.ndarray:
    """Rows that a network answers without the task's rule, once it treats a and b alike or knows that 0/b is 0."""
    if config.task == "divide":
        return t.tokens[:, 0] == 0
    return train[t.mirror] if config.task in COMMUTATIVE else np.zeros(len(t), dtype=bool)


def _labels(config: RunConfig, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    p = config.p
    if config.task in ("add", "add+random"):
        return (a + b) % p
    if config.task == "square":
        return (a + b) ** 2 % p
    if config.task == "divide":
        inverse = np.array([0] + [pow(k, -1, p) for k in range(1, p)])
        return a * inverse[b] % p
    drawn = rng(config.seed, "labels").integers(p, size=(p, p))
    if config.task == "random":
        return drawn[np.minimum(a, b), np.maximum(a, b)]
    return drawn[a, b]


def _tokens(config: RunConfig, a: np.ndarray, b: np.ndarray, op: int) -> np.ndarray:
    equals = np.full_like(a, config.d_vocab - 1)
    columns = [a, b, equals] if config.n_ctx == 3 else [a, np.full_like(a, op), b, equals]
    return np.stack(columns, axis=1)

"""RunConfig: everything that decides what one training run does.

One frozen, flat, keyword-only dataclass is the identity of a run, the columns of the store and the help of the
command line. Values that follow from others (`d_head`, `n_params`, …) are properties, so they follow every override.

A run's curves are a function of its config alone. The *budget* fields (`n_steps`, `stop_early`) say how far the curve
is followed, not which curve it is, so they are left out of `run_id`: 20,000 steps of a run are the first 20,000 steps
of the same run at 100,000, and the store answers both requests with the longer one.
"""

import dataclasses
import hashlib
import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

SCHEMA = 1
"""Part of every `run_id`. Raised when training changes what a config means."""

BUDGET = ("n_steps", "stop_early")
"""Fields that say how long to train, not what."""

TASKS = ("add", "square", "divide", "random", "random-ordered", "add+random")
LOSSES = ("exact", "plain")
ARCHITECTURES = ("transformer", "lstm", "mlp")

BETAS = (0.9, 0.98)
"""AdamW's averaging rates, the same in every paper of the book."""

EPS = 1e-8
"""AdamW's ε, PyTorch's default."""


def _option(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One training run; the defaults are the book's recipe (P = 113 addition, one layer, AdamW with weight decay 1).

    Raises:
        ValueError: a value out of range; the message names the field, the value and what is valid.
        TypeError: a value of the wrong type, or an unknown field.

    >>> RunConfig(d_h=8).n_params
    2616
    """

    architecture: str = _option("transformer", "network: " + ", ".join(ARCHITECTURES))
    task: str = _option("add", "what the table holds: " + ", ".join(TASKS))
    p: int = _option(113, "modulus")
    D_train: int = _option(4000, "training pairs of the task")
    D_random: int = _option(0, "random-label training pairs beside them (task add+random)")
    d_h: int = _option(64, "hidden size")
    n_heads: int = _option(4, "attention heads (architecture transformer)")
    n_layers: int = _option(1, "layers between embedding and unembedding")
    seed: int = _option(0, "seed of the initial weights, the split, random labels, batches and dropout")
    init_scale: float = _option(1.0, "factor on the initial weights")
    lr: float = _option(1e-3, "learning rate of AdamW")
    weight_decay: float = _option(1.0, "decoupled weight decay of AdamW")
    n_warmup: int = _option(10, "steps over which the learning rate rises linearly")
    loss: str = _option("exact", "cross entropy: exact (free of cancellation) or plain")
    batch_size: int = _option(0, "training examples a step; 0: all of them")
    dropout: float = _option(0.0, "share of a feed-forward layer's outputs that a step leaves out (transformer)")
    parent: str = _option("", "run_id@step whose weights this run starts from; empty for a fresh start")
    n_steps: int = _option(100_000, "budget: optimiser updates")
    stop_early: bool = _option(True, "budget: stop once every accuracy has settled at 1")

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):
            object.__setattr__(self, f.name, typed(f.name, f.type, getattr(self, f.name)))
        for complaint in _complaints(self):
            raise ValueError(complaint)

    @property
    def n_pairs(self) -> int:
        """Pairs in the task's table: p², or p(p−1) for division (b ≠ 0)."""
        return self.p * (self.p - 1) if self.task == "divide" else self.p * self.p

    @property
    def frac_train(self) -> float:
        """Share of the table that is trained on."""
        return self.D_train / self.n_pairs

    @property
    def n_ctx(self) -> int:
        """Tokens of an example: `a b =`, or `a op b =` where two tasks share the network."""
        return 4 if self.task == "add+random" else 3

    @property
    def d_vocab(self) -> int:
        """Tokens: the p numbers, `=`, and `+`, `−` where two tasks share the network."""
        return self.p + (3 if self.task == "add+random" else 1)

    @property
    def d_head(self) -> int:
        """Size of one attention head."""
        return self.d_h // self.n_heads

    @property
    def d_mlp(self) -> int:
        """Neurons of a feed-forward layer, four times the hidden size as in every paper of the book."""
        return 4 * self.d_h

    @property
    def n_params(self) -> int:
        """Weights of the network, embeddings counted, no biases."""
        d, mlp, vocab = self.d_h, self.d_mlp, self.d_vocab
        if self.architecture == "mlp":
            return d * vocab + (self.n_ctx - 1) * d * mlp + (self.n_layers - 1) * mlp**2 + mlp * vocab
        if self.architecture == "lstm":
            return 2 * d * vocab + self.n_layers * 8 * d**2
        return d * (2 * vocab + self.n_ctx) + self.n_layers * (4 * d**2 + 2 * d * mlp)

    @property
    def run_id(self) -> str:
        """Sixteen hex digits that name the run in the store, the same in every process and version.

        The hash is over the fields that differ from their defaults, budget left out, and `SCHEMA`. A field added
        later therefore leaves the id of every older run as it was.
        """
        named = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)
                 if f.name not in BUDGET and getattr(self, f.name) != f.default}
        canonical = json.dumps({"schema": SCHEMA, **named}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def replace(self, **changes: Any) -> "RunConfig":
        """The same run with some fields changed, checked again."""
        return dataclasses.replace(self, **changes)

    def asdict(self) -> dict[str, Any]:
        """Field names to plain values, in the order of the class."""
        return dataclasses.asdict(self)


FIELDS = tuple(f.name for f in dataclasses.fields(RunConfig))
IDENTITY = tuple(name for name in FIELDS if name not in BUDGET)


def typed(name: str, kind: Any, value: Any) -> Any:
    """`value` as a plain Python value of the field's type (NumPy scalars become Python's), or a TypeError."""
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            value = value + 0.0  # an int becomes a float, and -0.0 becomes 0.0: equal values must have equal run_ids
        except OverflowError:  # an int beyond all floats, which is refused as one that is not finite
            value = math.inf
    if kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is not kind:
        raise TypeError(f"{name}={value!r} is of type {type(value).__name__}; {name} takes {kind.__name__}")
    return value


def _complaints(c: RunConfig):
    """Sentences, one a bad value: the field, the value, what is valid."""
    for name, words in (("architecture", ARCHITECTURES), ("task", TASKS), ("loss", LOSSES)):
        if getattr(c, name) not in words:
            yield f"{name}={getattr(c, name)!r} is unknown; valid: {', '.join(words)}"
    for name, least in (("p", 2), ("d_h", 1), ("n_heads", 1), ("n_layers", 1), ("n_steps", 0), ("n_warmup", 0),
                        ("seed", 0), ("D_random", 0), ("batch_size", 0)):
        if getattr(c, name) < least:
            yield f"{name}={getattr(c, name)} is too small; valid: {least} or more"
        if getattr(c, name) >= 2**63:
            yield f"{name}={getattr(c, name)} is too large; valid: less than 2**63"
    for name in ("lr", "weight_decay", "init_scale"):
        if not (math.isfinite(getattr(c, name)) and getattr(c, name) >= 0):
            yield f"{name}={getattr(c, name)} is not usable; valid: a finite number, 0 or more"
    if c.architecture != "transformer":
        for name, unused in (("n_heads", 4), ("dropout", 0.0)):
            if getattr(c, name) != unused:
                yield (f"{name}={getattr(c, name)} needs architecture='transformer', not {c.architecture!r}; "
                       f"valid here: {unused}")
    elif c.d_h % c.n_heads:
        yield f"d_h={c.d_h} is not divisible by n_heads={c.n_heads}; valid: a multiple of {c.n_heads}"
    if not 1 <= c.D_train <= c.n_pairs:
        yield f"D_train={c.D_train} is outside the table; valid: 1 to {c.n_pairs} pairs at p={c.p}"
    if c.D_random > c.p * c.p:
        yield f"D_random={c.D_random} is more than the table holds; valid: 0 to {c.p * c.p} pairs at p={c.p}"
    if c.batch_size > c.D_train + c.D_random:
        yield (f"batch_size={c.batch_size} is more than the {c.D_train + c.D_random} training examples; "
               "valid: up to so many, or 0 for all")
    if not 0 <= c.dropout < 1:
        yield f"dropout={c.dropout} is not usable; valid: 0 or more, less than 1"
    if c.D_random and c.task != "add+random":
        yield f"D_random={c.D_random} needs task='add+random', not {c.task!r}; valid here: 0"
    if c.task == "divide" and any(c.p % k == 0 for k in range(2, math.isqrt(c.p) + 1)):
        yield f"p={c.p} is not a prime; task='divide' needs one, for every b to have an inverse"
    if c.parent and not re.fullmatch("[0-9a-f]{16}@(0|[1-9][0-9]*)", c.parent):
        yield f"parent={c.parent!r} does not name a run's weights; valid: a run_id of 16 hex digits, @, a step"

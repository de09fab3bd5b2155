"""RunConfig: everything that decides what one training run does.

One frozen, flat, keyword-only dataclass is the identity of a run, the columns of the store and the help of the
command line. Values that follow from others (`d_head`, `n_params`, …) are properties, so they follow every override.

The *budget* fields (`n_steps`, `stop_early`) say how far the curve is followed, not which curve it is, so they are left
out of `run_id`: the store answers with a longer run where a shorter one is asked for.
"""

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

SCHEMA = 1
"""Part of every `run_id`. Raised when training changes what a config means."""


class _Told:
    """Of an error whose sentence says all: a notebook shows that, without the code above."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


class BadValue(_Told, ValueError):
    """A value that cannot be used."""


class BadType(_Told, TypeError):
    """A value of another type than its field takes."""


TASKS = ("add", "square", "divide", "random", "random-ordered", "add+random")
LOSSES = ("exact", "plain")
ARCHITECTURES = ("transformer", "lstm", "mlp")
INITS = ("book", "pytorch")
ANCHORS = ("zero", "init")

BETAS = (0.9, 0.98)
"""AdamW's averaging rates, the same in every paper of the book; a run may have another second one, `beta2`."""

EPS = 1e-8  # AdamW's ε, PyTorch's default


def _option(default: Any, help: str, *, least: float | None = None, below: float = math.inf,
            choices: tuple[str, ...] = (), shared: bool = True, budget: bool = False, unnamed: Any = None,
            **needs: str) -> Any:
    """A field with all that is known of it.

    Args:
        help: what it means, for the command line.
        least: the smallest valid number; below: the first that is too large. choices: the valid words, added to `help`.
        shared: whether runs that train together must agree in it. A field that does not say so is shared, so that one
            which engines do not know as a member's own cannot train mixed cohorts.
        budget: whether it says how long to train, not what.
        unnamed: the value that run_ids leave out, if not the default. It never changes; the default may.
        needs: other fields and the words that they must have for this one to differ from its default.
    """
    help = help + ": " * bool(choices) + ", ".join(choices)
    return field(default=default, metadata={"help": help, "least": least, "below": below, "choices": choices,
                                            "shared": shared, "budget": budget, "needs": needs,
                                            "unnamed": default if unnamed is None else unnamed})


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One training run; the defaults are the book's recipe: P = 113 addition, one layer, AdamW with weight decay 1,
    initial weights twice as large as usual. In the field's usual recipe, `studies.USUAL`, networks grok later.

    Raises:
        ValueError: a value out of range; the message names the field, the value and what is valid.
        TypeError: a value of the wrong type, or an unknown field.

    >>> RunConfig(d_h=8).n_params
    2616
    """

    architecture: str = _option("transformer", "network", choices=ARCHITECTURES)
    task: str = _option("add", "what the table holds", choices=TASKS)
    p: int = _option(113, "modulus", least=2)
    D_train: int = _option(4000, "training pairs of the task", shared=False)
    D_random: int = _option(0, "random-label training pairs beside them (task add+random)", least=0, shared=False,
                            task="add+random")
    d_h: int = _option(64, "hidden size", least=1)
    n_heads: int = _option(4, "attention heads (architecture transformer)", least=1, architecture="transformer")
    n_layers: int = _option(1, "layers between embedding and unembedding", least=1)
    split_mlp: bool = _option(False, "half of the feed-forward neurons for each task (transformer, task add+random)",
                              architecture="transformer", task="add+random")
    seed: int = _option(0, "seed of the initial weights, the split, random labels, batches, dropout and noise",
                        least=0, shared=False)
    init: str = _option("book", "how weights are drawn", choices=INITS, shared=False)
    init_scale: float = _option(2.0, "factor on the initial weights", least=0, shared=False, unnamed=1.0)
    lr: float = _option(3e-3, "learning rate of AdamW", least=0, shared=False, unnamed=1e-3)
    beta2: float = _option(BETAS[1], "averaging rate of squared gradients in AdamW", least=0, below=1, shared=False)
    weight_decay: float = _option(1.0, "decoupled weight decay of AdamW", least=0, shared=False)
    decay_towards: str = _option("zero", "where weight decay pulls, init being where the run started", choices=ANCHORS)
    n_warmup: int = _option(10, "steps over which the learning rate rises linearly", least=0, shared=False)
    gradient_noise: float = _option(0.0, "standard deviation of what is added to each step's gradient", least=0)
    update_noise: float = _option(0.0, "standard deviation of what is added to each step's update, times lr", least=0)
    weight_noise: float = _option(0.0, "standard deviation of what is added to the weights of each step's forward pass",
                                  least=0)
    loss: str = _option("exact", "cross entropy, exact being free of cancellation", choices=LOSSES)
    batch_size: int = _option(0, "training examples a step; 0: all of them", least=0)
    dropout: float = _option(0.0, "share of a feed-forward layer's outputs that a step leaves out (transformer)",
                             least=0, below=1, architecture="transformer")
    parent: str = _option("", "run_id@step whose weights this run starts from; empty for a fresh start", shared=False)
    n_steps: int = _option(100_000, "budget: optimiser updates", least=0, shared=False, budget=True)
    stop_early: bool = _option(True, "budget: stop once every accuracy has settled at 1", shared=False, budget=True)

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):
            object.__setattr__(self, f.name, typed(f.name, f.type, getattr(self, f.name)))
        for complaint in _complaints(self):
            raise BadValue(complaint)

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

        The hash is over `SCHEMA` and the fields that differ from their `unnamed` values, budget left out. A field
        added later therefore leaves the id of every older run as it was, and so does a new default.
        """
        named = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)
                 if f.name in IDENTITY and getattr(self, f.name) != f.metadata.get("unnamed", f.default)}
        canonical = json.dumps({"schema": SCHEMA, **named}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def replace(self, **changes: Any) -> "RunConfig":
        """The same run with some fields changed, checked again."""
        return dataclasses.replace(self, **changes)


def _named(kind: str, default: bool) -> tuple[str, ...]:
    """The fields that are of some kind, which `_option` says of each."""
    return tuple(f.name for f in dataclasses.fields(RunConfig) if f.metadata.get(kind, default))


FIELDS = tuple(f.name for f in dataclasses.fields(RunConfig))
BUDGET = _named("budget", False)
IDENTITY = tuple(name for name in FIELDS if name not in BUDGET)
SHARED = _named("shared", True)


def check_among(name: str, value: Any, valid: Collection[Any]) -> None:
    """Refuse a value that is not among the valid ones, which the ValueError lists."""
    if value not in valid:
        raise BadValue(f"{name}={value!r} is unknown; valid: {', '.join(map(str, valid))}")


def typed(name: str, kind: Any, value: Any) -> Any:
    """`value` as a plain Python value of the field's type (NumPy scalars become Python's), or a TypeError."""
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        value = float(value) + 0.0  # -0.0 becomes 0.0: equal values must have equal run_ids
    if kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is not kind:
        raise BadType(f"{name}={value!r} is of type {type(value).__name__}; {name} takes {kind.__name__}")
    return value


def _complaints(c: RunConfig) -> Iterator[str]:
    """Sentences, one a bad value: the field, the value, what is valid."""
    for f in dataclasses.fields(c):
        value, least, choices = getattr(c, f.name), f.metadata.get("least"), f.metadata.get("choices")
        if choices and value not in choices:
            yield f"{f.name}={value!r} is unknown; valid: {', '.join(choices)}"
        if f.type is int and least is not None and value < least:
            yield f"{f.name}={value} is too small; valid: {least} or more"
        if f.type is int and value >= 2**63:
            yield f"{f.name}={value} is too large; valid: less than 2**63"
        if f.type is float and least is not None and not least <= value < f.metadata["below"]:
            limit = f", less than {f.metadata['below']}" * math.isfinite(f.metadata["below"])
            yield f"{f.name}={value} is not usable; valid: a finite number, {least} or more{limit}"
        needs = f.metadata.get("needs", {}) if value != f.default else {}
        for name, word in needs.items():
            if getattr(c, name) != word:
                yield f"{f.name}={value} needs {name}={word!r}, not {getattr(c, name)!r}; valid here: {f.default}"
    if c.architecture == "transformer" and c.d_h % c.n_heads:
        yield f"d_h={c.d_h} is not divisible by n_heads={c.n_heads}; valid: a multiple of {c.n_heads}"
    if not 1 <= c.D_train <= c.n_pairs:
        yield f"D_train={c.D_train} is outside the table; valid: 1 to {c.n_pairs} pairs at p={c.p}"
    if c.D_random > c.p * c.p:
        yield f"D_random={c.D_random} is more than the table holds; valid: 0 to {c.p * c.p} pairs at p={c.p}"
    if c.batch_size > c.D_train + c.D_random:
        yield (f"batch_size={c.batch_size} is more than the {c.D_train + c.D_random} training examples; "
               "valid: up to so many, or 0 for all")
    if c.task == "divide" and any(c.p % k == 0 for k in range(2, math.isqrt(c.p) + 1)):
        yield f"p={c.p} is not a prime; task='divide' needs one, for every b to have an inverse"
    if c.parent and not re.fullmatch("[0-9a-f]{16}@(0|[1-9][0-9]*)", c.parent):
        yield f"parent={c.parent!r} does not name a run's weights; valid: a run_id of 16 hex digits, @, a step"

"""The general circuit of modular addition, by Fourier analysis of the weights (Nanda et al. 2023, §4, §5.1).

A network can add by turning: a number a becomes an angle w a with w = 2πk/p, trigonometry gives cos w(a + b) and
sin w(a + b), and the answer c gets the vote cos w(a + b − c), which is largest at c = a + b mod p. Here is how much
of a network is that, for each frequency k from 1 to p // 2. Logits are arrays (a, b, c), each of the p numbers.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from grokbook import tasks
from grokbook.analysis.sizes import critical_size
from grokbook.config import RunConfig
from grokbook.networks import NETWORKS, named
from grokbook.run import ACCURACIES
from grokbook.store import Store
from grokbook.studies import GROKKED

Weights = Mapping[str, np.ndarray]

KEY = 3
"""How many times its even share of the power a frequency holds that counts as a key frequency."""

STRONGEST = 6
"""How many frequencies are asked for their power before anyone knows which will be key."""

TILED = 0.85
"""Share of a neuron's variance that one frequency explains if the neuron is of that frequency (Nanda et al., §4.3)."""


class Pass(NamedTuple):
    """What a network computes for every pair: `neurons` (p, p, d_mlp) after the ReLU, and `logits` (p, p, p)."""

    neurons: np.ndarray
    logits: np.ndarray


def stored(name: str, store: Store | None = None) -> dict[int, Weights]:
    """The stored weights of one of `networks.KEPT` by step, the last one included.

    Raises:
        ValueError: there is no such network.
        LookupError: its weights are not stored.
    """
    store, run_id = store or Store(), named(name).config.run_id
    steps = store.weight_steps(run_id)
    if not steps:
        raise LookupError(f"the weights of network {name!r} are not stored; `grokbook weights {name}` trains it")
    return {step: store.weights(run_id, step) for step in steps}


def forward(weights: Weights, config: RunConfig, op: int = 0) -> Pass:
    """Run every pair through a transformer of one layer, as `models.Transformer` does, without PyTorch.

    Of two tasks the pairs are those of `op`: 0 additions, 1 random pairs. Logits are those of the p numbers. Raises
    ValueError for any other network, and for another task than addition.
    """
    kind = config.architecture, config.n_layers, config.split_mlp
    if kind != ("transformer", 1, False) or config.task not in ("add", "add+random"):
        raise ValueError(f"architecture={config.architecture!r}, n_layers={config.n_layers}, task={config.task!r} is "
                         "not analysed; valid: a transformer of one layer that adds")
    p, (W_E, W_pos, W_U) = config.p, (np.asarray(weights[name], float) for name in ("W_E", "W_pos", "W_U"))
    W_Q, W_K, W_V, W_O, W_in, W_out = (np.asarray(weights[f"layers.0.{name}"], float)
                                       for name in ("W_Q", "W_K", "W_V", "W_O", "W_in", "W_out"))
    sign, equals = W_E[None, None, p + op], W_E[None, None, -1]
    tokens = [W_E[:p, None], *([sign] if config.n_ctx == 4 else []), W_E[None, :p], equals]
    read = [x + position for x, position in zip(tokens, W_pos, strict=True)]  # (a, b, d_h), of length 1 where it is one
    query = np.einsum("abd,hde->he", read[-1], W_Q) / np.sqrt(W_Q.shape[2])
    scores = [np.einsum("abd,hde,he->hab", x, W_K, query, optimize=True) for x in read]
    pairs = np.stack(np.broadcast_arrays(*scores), -1)
    weight = np.exp(pairs - pairs.max(-1, keepdims=True))
    weight /= weight.sum(-1, keepdims=True)  # (heads, a, b, position)
    values = [np.einsum("abd,hde,hef->habf", x, W_V, W_O, optimize=True) for x in read]
    x = read[-1] + sum(np.einsum("hab,habf->abf", weight[..., i], value) for i, value in enumerate(values))
    neurons = np.maximum(x @ W_in, 0)
    return Pass(neurons, (x + neurons @ W_out) @ W_U[:, :p])


def power(rows: np.ndarray) -> np.ndarray:
    """Share of the power of `rows` (p, d), centred over the p numbers, at each frequency k = 1 … p // 2. Sums to 1."""
    spectrum = (np.abs(np.fft.rfft(np.asarray(rows, float), axis=0)[1:]) ** 2).sum(1)
    shares = _folded(spectrum, len(rows))
    return shares / max(shares.sum(), np.finfo(float).tiny)


def _folded(spectrum: np.ndarray, p: int) -> np.ndarray:
    """The power at 1 … p // 2 with that of their negatives, which p / 2 of an even p does not have."""
    return spectrum * np.where(2 * np.arange(1, len(spectrum) + 1) == p, 1, 2)


def embedding_power(weights: Weights, p: int) -> np.ndarray:
    """`power` of W_E over the numbers."""
    return power(weights["W_E"][:p])


def unembedding_power(weights: Weights, p: int) -> np.ndarray:
    """`power` of W_U over the answers."""
    return power(weights["W_U"][:, :p].T)


def key_frequencies(share: np.ndarray) -> list[int]:
    """The frequencies k that hold `KEY` times the even share or more, the strongest first."""
    return [int(k) + 1 for k in np.argsort(-share, kind="stable") if share[k] * len(share) >= KEY]


def concentration(weights: Weights, p: int) -> float:
    """Share of W_E's power in its `STRONGEST` strongest frequencies."""
    return float(np.sort(embedding_power(weights, p))[-STRONGEST:].sum())


def neuron_frequencies(neurons: np.ndarray) -> pd.DataFrame:
    """For each neuron the frequency that explains most of its variance over the pairs, and what share of it.

    What a frequency explains is cos and sin of w a, of w b, and their four products (Nanda et al. 2023, §4.3): the
    places (±k, 0), (0, ±k) and (±k, ±k) of the transform over both numbers. `neurons` (p, p, n). Columns
    `frequency` and `share`, a row a neuron; one that never changes has frequency 0 and share NaN.
    """
    p = len(neurons)
    spectrum = np.abs(np.fft.fft2(np.asarray(neurons, float), axes=(0, 1))) ** 2
    total = spectrum.sum((0, 1)) - spectrum[0, 0]
    k = np.arange(1, p // 2 + 1)
    explained = np.stack([sum(spectrum[i, j] for i, j in {(x % p, y % p) for x in (f, 0, -f) for y in (f, 0, -f)}
                              - {(0, 0)}) for f in k])
    changes = total > 1e-12 * (spectrum[0, 0] + 1e-300)
    share = np.where(changes, explained.max(0) / np.where(changes, total, 1), np.nan)
    return pd.DataFrame({"frequency": np.where(changes, k[explained.argmax(0)], 0), "share": share})


def votes(logits: np.ndarray) -> np.ndarray:
    """Size in nats of cos w(a + b − c) in the logits, for each frequency k = 1 … p // 2: how loud its vote is."""
    p = len(logits)
    a, b, s = np.ogrid[:p, :p, :p]
    by_offset = logits[a, b, (a + b - s) % p].mean((0, 1))  # over s = a + b − c
    return _folded(np.fft.rfft(by_offset).real[1:], p) / p


def logit_share(logits: np.ndarray) -> np.ndarray:
    """Share of the logits' variance that cos w(a + b − c) explains, for each frequency k = 1 … p // 2.

    A mean over c is no part of it, since the softmax does not see it.
    """
    p, centred = len(logits), logits - logits.mean(2, keepdims=True)
    of_a_cosine = p**3 / _folded(np.ones(p // 2), p)
    return votes(logits) ** 2 * of_a_cosine / max((centred**2).sum(), np.finfo(float).tiny)


def by_sum(logits: np.ndarray, frequencies: list[int]) -> np.ndarray:
    """The part of the logits in cos w(a + b) and sin w(a + b) of these frequencies, as (a + b mod p, c)."""
    p = len(logits)
    a, s = np.ogrid[:p, :p]
    spectrum = np.fft.rfft(logits[a, (s - a) % p].mean(0), axis=0)
    return np.fft.irfft(np.where(np.isin(np.arange(len(spectrum)), frequencies)[:, None], spectrum, 0), p, axis=0)


def restricted(logits: np.ndarray, frequencies: list[int]) -> np.ndarray:
    """The logits with these frequencies of a + b alone, and what does not depend on the pair (Nanda et al., §5.1).

    Memory leaks into it: right answers known by heart are right about a + b too, on an average over pairs.
    """
    return by_sum(logits, frequencies)[_answers(len(logits))] + logits.mean((0, 1))


def excluded(logits: np.ndarray, frequencies: list[int]) -> np.ndarray:
    """The logits without these frequencies of a + b (Nanda et al. 2023, §5.1)."""
    return logits - by_sum(logits, frequencies)[_answers(len(logits))]


def _answers(p: int) -> np.ndarray:
    """a + b mod p of all pairs, (p, p)."""
    return np.add.outer(range(p), range(p)) % p


def loss(logits: np.ndarray, pairs: np.ndarray | None = None) -> float:
    """Mean cross entropy in nats of the answers a + b mod p over `pairs`, a mask (p, p), or all."""
    right = _answers(len(logits))[..., None]
    lost = logsumexp(logits, axis=2) - np.take_along_axis(logits, right, 2)[..., 0]
    return float(lost[pairs].mean() if pairs is not None else lost.mean())


def accuracies(logits: np.ndarray, config: RunConfig) -> dict[str, float]:
    """Shares of right answers by the names of `run.ACCURACIES`; NaN without pairs. Addition's answers (see `loss`)."""
    p, split = config.p, tasks.split(config)
    right = (logits.argmax(2) == _answers(p)).ravel()
    masks = zip(ACCURACIES, (mask[:p * p] for mask in (split.train, split.val, split.twin_free_val)), strict=True)
    return {name: float(right[mask].mean()) if mask.any() else np.nan for name, mask in masks}


def measure(weights: Weights, config: RunConfig, frequencies: list[int] | None = None) -> dict[str, float]:
    """What the circuit of these frequencies, by default the network's own key frequencies, is in a network.

    Shares of power or variance: `embedding`, `unembedding`, `logits`; `neurons`, the share of all neurons that one of
    the frequencies explains to `TILED`; `n_keys`; `twin_free_val_acc`; losses in nats: `train_loss`, `val_loss`,
    `restricted_loss` over all pairs, and `excluded_loss` over the training pairs. Pairs are additions.
    """
    p, split = config.p, tasks.split(config)
    share = embedding_power(weights, p)
    keys = key_frequencies(share) if frequencies is None else frequencies
    at = np.array(keys, int) - 1
    neurons, logits = forward(weights, config)
    tiles = neuron_frequencies(neurons)
    train, val = (mask[:p * p].reshape(p, p) for mask in (split.train, split.val))  # random pairs come behind
    return {"twin_free_val_acc": accuracies(logits, config)["twin_free_val_acc"], "n_keys": len(keys),
            "embedding": share[at].sum(), "unembedding": unembedding_power(weights, p)[at].sum(),
            "neurons": float(np.mean((tiles["share"] >= TILED) & tiles["frequency"].isin(keys))),
            "logits": logit_share(logits)[at].sum(), "train_loss": loss(logits, train), "val_loss": loss(logits, val),
            "restricted_loss": loss(restricted(logits, keys)), "excluded_loss": loss(excluded(logits, keys), train)}


def first_signs(by_step: Mapping[int, Weights], config: RunConfig, steps: Sequence[int]) -> pd.DataFrame:
    """How much of the circuit of a network's last stored step is there at others, beside what it answers.

    A row a step of `steps` that is stored, and the last. Columns: `found`, the share of the last step's key frequencies
    that are key frequencies already, and `twin_free_val_acc`. NaN for `found` of a network without key frequencies.
    """
    keys = {step: set(key_frequencies(embedding_power(by_step[step], config.p)))
            for step in sorted({max(by_step), *by_step.keys() & set(steps)})}
    circuit = keys[max(by_step)]
    rows = {step: {"found": len(found & circuit) / len(circuit) if circuit else np.nan,
                   "twin_free_val_acc": accuracies(forward(by_step[step], config).logits, config)["twin_free_val_acc"]}
            for step, found in keys.items()}
    return pd.DataFrame(rows).T.rename_axis("step")


def foretold(runs: pd.DataFrame) -> dict[str, Any]:
    """How well a `share` of power, early in training, tells which of the `runs` come to understand.

    A row a run: `d_h`, `D_train`, `seed`, `share`, NaN of a run that is not asked, `understands`. Returns the share of
    pairs of runs, one that understands and one that does not, in which the former has more, equal shares half a pair:
    `by_seed` over pairs of one size and seed, `by_cell` over pairs that differ in the seed alone. `D_crit`, by d_h, is
    that of runs taken to understand if they have more than the share that parts the other sizes' runs best.
    """
    asked = runs.dropna(subset="share")
    by_seed = asked.groupby(["seed", "d_h"])[["share", "understands"]].apply(_ordered).groupby("seed").mean()
    by_cell = asked.groupby(["d_h", "D_train"])[["share", "understands"]].apply(_ordered).dropna()
    cuts = {d_h: _parting(asked.query(f"d_h != {d_h}")) for d_h in asked["d_h"].unique()}
    cut = np.array([cuts[d_h] for d_h in runs["d_h"]])
    told = runs.assign(understands=(runs["share"] > cut).where(runs["share"].notna()))
    return {"by_seed": by_seed, "by_cell": by_cell, "D_crit": critical(told)}


def critical(runs: pd.DataFrame) -> pd.Series:
    """D_crit by d_h where `understands` is the accuracy of each run, NaN where it is not known."""
    cells = runs.set_index(["d_h", "D_train", "seed"])["understands"].astype(float).to_xarray()
    table = critical_size(cells.expand_dims(step=[0]).to_dataset(name="val_acc"))
    return pd.Series(table["D_crit"].to_numpy(), table["d_h"])


def _ordered(runs: pd.DataFrame) -> float:
    """Share of the pairs of one that understands and one that does not in which the former has the larger share."""
    more = runs.loc[runs["understands"], "share"].to_numpy()[:, None]
    less = runs.loc[~runs["understands"], "share"].to_numpy()
    return float(((more > less) + (more == less) / 2).mean()) if more.size and less.size else np.nan


def _parting(runs: pd.DataFrame) -> float:
    """The share midway between two neighbours above and below which most runs are told rightly."""
    shares = np.sort(runs["share"].to_numpy())
    cuts = (shares[1:] + shares[:-1]) / 2
    return float(cuts[np.argmax([((runs["share"] > cut) == runs["understands"]).mean() for cut in cuts])])


def along_training(name: str) -> pd.DataFrame:
    """`measure` at every stored step of a network, a row a step, for the key frequencies of its last step."""
    network, by_step = NETWORKS[name].config, stored(name)
    keys = key_frequencies(embedding_power(by_step[max(by_step)], network.p))
    return pd.DataFrame({step: measure(w, network, keys) for step, w in by_step.items()}).T.rename_axis("step")


def phases(along: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """Memorising, forming and clean-up: the steps from which and to which each goes (Nanda et al. 2023, §5.2).

    By excluded loss along training, as `along_training` gives it. It falls while the network learns pairs by heart,
    rises while it comes to rest on the circuit, and falls again while what the circuit does not need is removed.
    """
    excluded = along["excluded_loss"].to_numpy()
    rise = excluded - np.minimum.accumulate(excluded)
    highest = int(rise.argmax()) if rise.max() > 0 else len(rise) - 1
    ends = [int(step) for step in along.index.to_numpy()[[0, excluded[:highest + 1].argmin(), highest, -1]]]
    return dict(zip(("memorising", "forming", "clean-up"), zip(ends[:-1], ends[1:], strict=True), strict=True))


def compare() -> pd.DataFrame:
    """`measure` of the last stored weights of each network, a row a network; parents of other runs are left out."""
    compared = {name: stored(name) for name, network in NETWORKS.items() if network.config not in GROKKED.values()}
    return pd.DataFrame({name: measure(by_step[max(by_step)], NETWORKS[name].config)
                         for name, by_step in compared.items()}).T

"""One network in plain PyTorch: the specification that every engine is held against.

`Transformer` is the decoder-only one of Huang et al. 2024 (§2.1, "simplified"): token and learned position embeddings,
causal attention, a ReLU feed-forward layer of four times the hidden size, no LayerNorm, no biases, an untied
unembedding over the same vocabulary. The residual stream x of an example is changed by each layer as

    x ← x + Σ_heads softmax(x W_Q (x W_K)ᵀ / √d_head) x W_V W_O
    x ← x + relu(x W_in) W_out

and the logits are x[last] W_U. Only the last position is read, so the last layer computes only that one. Dropout, where
asked for, acts on relu(x W_in) W_out, as in the public code of Davies et al. 2022. Layer norm and biases the paper
leaves unstated, and this shape has exactly the 1570.36 : 1 parameter ratio that its Figure 8 names.

`LSTM` and `MLP`, the other networks of "Towards Understanding the Mystery behind Grokking Phenomenon" (Fig 1), which
gives their layers, two and three, and 3 · 10⁵ to 4 · 10⁵ weights besides embeddings, and no more. Ours: no biases; the
feed-forward network reads the tokens before `=` side by side, and its third layer is the unembedding.

With `split_mlp` each task has half of the neurons of every feed-forward layer to itself, additions the first (Huang et
al. 2024, Fig 10).

Weights start as N(0, 1/d_h), W_U as N(0, 1/p) (variances), times `init_scale`; with `init="pytorch"` as PyTorch starts
its own layers, embeddings as N(0, 1) and linear maps uniform within ±1/√(inputs).
"""

import math
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from grokbook.config import RunConfig
from grokbook.tasks import rng


def weight_shapes(config: RunConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all weights, in the order of the flat vector that engines train."""
    d, vocab, n_layers = config.d_h, config.d_vocab, range(config.n_layers)
    shapes: dict[str, tuple[int, ...]] = {"W_E": (vocab, d)}
    if config.architecture == "transformer":
        shapes["W_pos"] = (config.n_ctx, d)
    for layer in n_layers:
        shapes |= {f"layers.{layer}.{name}": shape for name, shape in _layer_shapes(config, layer).items()}
    return shapes | {"W_U": (config.d_mlp if config.architecture == "mlp" else d, vocab)}


def _layer_shapes(config: RunConfig, layer: int) -> dict[str, tuple[int, ...]]:
    d, heads, head, mlp = config.d_h, config.n_heads, config.d_head, config.d_mlp
    if config.architecture == "mlp":
        return {"W": (mlp if layer else (config.n_ctx - 1) * d, mlp)}
    if config.architecture == "lstm":
        return {"W_x": (d, 4 * d), "W_h": (d, 4 * d)}
    return {"W_Q": (heads, d, head), "W_K": (heads, d, head), "W_V": (heads, d, head), "W_O": (heads, head, d),
            "W_in": (d, mlp), "W_out": (mlp, d)}


def initial_weights(config: RunConfig) -> dict[str, np.ndarray]:
    """Fresh float64 weights from the run's seed alone: the same whatever D_train, cohort, engine or device."""
    generator = rng(config.seed, "weights")
    weights = {}
    for name, shape in weight_shapes(config).items():
        if config.init == "book":
            drawn = generator.standard_normal(shape) / math.sqrt(config.p if name == "W_U" else config.d_h)
        elif name in ("W_E", "W_pos"):
            drawn = generator.standard_normal(shape)
        else:
            n_inputs = config.d_h if name.endswith("W_O") else shape[-2]  # W_O takes those of all heads
            drawn = generator.uniform(-1, 1, shape) / math.sqrt(n_inputs)
        weights[name] = drawn * config.init_scale
    return weights


def flatten(weights: Mapping[str, np.ndarray], config: RunConfig) -> np.ndarray:
    """All weights as one vector, in the order of `weight_shapes`, whatever the order they come in. (n_params,)

    Raises:
        ValueError: they are not the weights of such a network.
    """
    shapes = weight_shapes(config)
    if {name: np.shape(w) for name, w in weights.items()} != shapes:
        raise ValueError(f"these weights are not those of architecture={config.architecture!r} with d_h={config.d_h}, "
                         f"n_heads={config.n_heads}, n_layers={config.n_layers}, task={config.task!r}; valid: {shapes}")
    return np.concatenate([np.ravel(weights[name]) for name in shapes])


def unflatten(vector: np.ndarray, config: RunConfig) -> dict[str, np.ndarray]:
    """The named weights as views of one vector."""
    weights, start = {}, 0
    for name, shape in weight_shapes(config).items():
        weights[name] = vector[start : start + math.prod(shape)].reshape(shape)
        start += math.prod(shape)
    return weights


class Block(nn.Module):
    """Attention and feed-forward of one transformer layer."""

    W_Q: Tensor
    W_K: Tensor
    W_V: Tensor
    W_O: Tensor
    W_in: Tensor
    W_out: Tensor

    def forward(self, x: Tensor, n_read: int, neurons: Tensor | None = None,
                drop: Callable[[Tensor], Tensor] = lambda y: y) -> Tensor:
        """Residual stream (batch, n_ctx, d_h) to that of its last `n_read` positions (batch, n_read, d_h).

        `neurons` (batch, d_mlp) are those that an example may use, all without it; `drop` is dropout of the
        feed-forward outputs.
        """
        n_ctx, d_head = x.shape[1], self.W_Q.shape[2]
        q = torch.einsum("bqd,hde->bhqe", x[:, n_ctx - n_read :], self.W_Q)
        k = torch.einsum("bkd,hde->bhke", x, self.W_K)
        v = torch.einsum("bkd,hde->bhke", x, self.W_V)
        later = torch.ones(n_ctx, n_ctx, dtype=torch.bool, device=x.device).triu(1)[n_ctx - n_read :]
        scores = (q @ k.transpose(2, 3) / math.sqrt(d_head)).masked_fill(later, -math.inf)  # (batch, head, query, key)
        x = x[:, n_ctx - n_read :] + torch.einsum("bhqe,hed->bqd", scores.softmax(-1) @ v, self.W_O)
        hidden = (x @ self.W_in).relu()  # (batch, n_read, d_mlp)
        return x + drop((hidden if neurons is None else hidden * neurons[:, None]) @ self.W_out)


class LSTMLayer(nn.Module):
    """One layer of long short-term memory (Hochreiter & Schmidhuber 1997), gates in PyTorch's order.

        i, f, g, o = x W_x + h W_h;   c ← σ(f) c + σ(i) tanh(g);   h ← σ(o) tanh(c)
    """

    W_x: Tensor
    W_h: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Inputs (batch, n_ctx, d_h) to the outputs h of all positions, (batch, n_ctx, d_h)."""
        h = c = torch.zeros_like(x[:, 0])
        outputs = []
        for position in range(x.shape[1]):
            h, c = lstm_cell(x[:, position] @ self.W_x + h @ self.W_h, c)
            outputs.append(h)
        return torch.stack(outputs, dim=1)


def lstm_cell(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """The output h and the next cell c, each (batch, d_h), from the gates' sums (batch, 4 d_h) and the cell before."""
    i, f, g, o = gates.chunk(4, dim=-1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


class ReLULayer(nn.Module):
    """One layer of a feed-forward network, relu(x W)."""

    W: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """(batch, d_in) to (batch, d_mlp)."""
        return (x @ self.W).relu()


class Network(nn.Module):
    """The network of a config, with its initial weights or the given ones. Weights multiply from the right: `x @ W`.

    Calling it maps tokens (batch, n_ctx) to the logits after the last position (batch, d_vocab). With a `key`, a scalar
    int64 tensor, dropout leaves out what that key says (`dropout`); without one, nothing.

    Raises:
        ValueError: the given weights are not those of such a network.
    """

    W_E: Tensor
    W_pos: Tensor
    W_U: Tensor
    layer: Callable[[], nn.Module]

    def __init__(self, config: RunConfig, weights: Mapping[str, np.ndarray] | None = None,
                 dtype: torch.dtype = torch.float32):
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(self.layer() for _ in range(config.n_layers))
        for name, w in unflatten(flatten(weights or initial_weights(config), config), config).items():
            layer, _, own = name.rpartition(".")
            self.get_submodule(layer).register_parameter(own, nn.Parameter(torch.tensor(w, dtype=dtype)))

    def forward(self, tokens: Tensor, key: Tensor | None = None) -> Tensor:
        raise NotImplementedError


class Transformer(Network):
    """Reads every token at its position, through attention, and answers at the last."""

    layer = Block

    def forward(self, tokens: Tensor, key: Tensor | None = None) -> Tensor:
        x = self.W_E[tokens] + self.W_pos
        neurons = own_neurons(tokens[:, 1] == self.config.p, self.config) if self.config.split_mlp else None
        for i, layer in enumerate(self.layers):
            n_read = 1 if i == len(self.layers) - 1 else tokens.shape[1]
            if key is None:
                x = layer(x, n_read, neurons)
            else:
                x = layer(x, n_read, neurons, partial(dropout, key=key + i, share=self.config.dropout))
        return x[:, -1] @ self.W_U


class LSTM(Network):
    """Reads one token after another and answers after the last. It has no dropout."""

    layer = LSTMLayer

    def forward(self, tokens: Tensor, key: Tensor | None = None) -> Tensor:
        x = self.W_E[tokens]
        for layer in self.layers:
            x = layer(x)
        return x[:, -1] @ self.W_U


class MLP(Network):
    """Reads all tokens before `=` at once, side by side. It has no dropout."""

    layer = ReLULayer

    def forward(self, tokens: Tensor, key: Tensor | None = None) -> Tensor:
        x = self.W_E[tokens[:, :-1]].flatten(1)
        for layer in self.layers:
            x = layer(x)
        return x @ self.W_U


NETWORKS: dict[str, type[Network]] = {"transformer": Transformer, "lstm": LSTM, "mlp": MLP}
"""Networks by what `RunConfig.architecture` calls them."""


def own_neurons(adds: Tensor, config: RunConfig) -> Tensor:
    """With `split_mlp`, which neurons examples may use: the first half where `adds` (batch,), else the other.

    (batch, d_mlp) bool.
    """
    return (torch.arange(config.d_mlp, device=adds.device) < config.d_mlp // 2) == adds[:, None]


def dropout(x: Tensor, key: Tensor, share: float) -> Tensor:
    """`x` with a `share` of its entries at 0 and the others larger by 1 / (1 − share), which keeps the mean.

    Which entries is a hash of the key and of their place, not a state that moves on: a network drops the same entries
    alone and in any cohort, on any device.
    """
    return torch.where(_bits(key, x.shape) >= int(share * 2**53), x / (1 - share), 0)


def gaussian(key: Tensor, n: int) -> Tensor:
    """n numbers drawn from N(0, 1), float64, that follow from the key alone (Box & Muller 1958)."""
    near, angle = _bits(key, torch.Size([2, n])).double() / 2**53
    return (-2 * torch.log1p(-near)).sqrt() * (2 * math.pi * angle).cos()


def _bits(key: Tensor, shape: torch.Size) -> Tensor:
    """53 random bits for each place of an array, int64: a hash of the key and of the place."""
    place = torch.arange(shape.numel(), device=key.device).view(shape)
    return splitmix64(splitmix64(key) + place) & (2**53 - 1)


def splitmix64(z: Tensor) -> Tensor:
    """The mixing of Steele et al. 2014: every bit of the result depends on every bit of the int64 `z`; a bijection."""
    z = z + _signed(0x9E3779B97F4A7C15)
    z = (z ^ (z >> 30 & 2**34 - 1)) * _signed(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> 27 & 2**37 - 1)) * _signed(0x94D049BB133111EB)
    return z ^ (z >> 31 & 2**33 - 1)


def _signed(bits: int) -> int:
    """A 64-bit pattern as the int64 it stands for."""
    return bits - 2**64 if bits >= 2**63 else bits


def build(config: RunConfig, weights: Mapping[str, np.ndarray] | None = None,
          dtype: torch.dtype = torch.float32) -> Network:
    """The network that `config.architecture` names, with its initial weights or the given ones."""
    return NETWORKS[config.architecture](config, weights, dtype)

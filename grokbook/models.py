"""One network in plain PyTorch: the specification that every engine is held against.

The decoder-only transformer of Huang et al. 2024 (§2.1, "simplified"): token and learned position embeddings, causal
attention, a ReLU feed-forward layer of four times the hidden size, no LayerNorm, no biases, an untied unembedding over
the same vocabulary. The residual stream x of an example is changed by each layer as

    x ← x + Σ_heads softmax(x W_Q (x W_K)ᵀ / √d_head) x W_V W_O
    x ← x + relu(x W_in) W_out

and the logits are x[last] W_U. Only the last position is read, so the last layer computes only that one. Dropout, where
asked for, acts on relu(x W_in) W_out, as in the public code of Davies et al. 2022.
Weights start as N(0, 1/d_h), W_U as N(0, 1/p) (variances), times `init_scale`; layer norm and biases the paper leaves
unstated, and this shape has exactly the 1570.36 : 1 parameter ratio that its Figure 8 names.
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
    d, heads, head, mlp = config.d_h, config.n_heads, config.d_head, config.d_mlp
    shapes: dict[str, tuple[int, ...]] = {"W_E": (config.d_vocab, d), "W_pos": (config.n_ctx, d)}
    for layer in range(config.n_layers):
        shapes |= {f"layers.{layer}.{name}": shape for name, shape in (
            ("W_Q", (heads, d, head)), ("W_K", (heads, d, head)), ("W_V", (heads, d, head)),
            ("W_O", (heads, head, d)), ("W_in", (d, mlp)), ("W_out", (mlp, d)))}
    return shapes | {"W_U": (d, config.d_vocab)}


def initial_weights(config: RunConfig) -> dict[str, np.ndarray]:
    """Fresh float64 weights from the run's seed alone: the same whatever D_train, cohort, engine or device."""
    generator = rng(config.seed, "weights")
    weights = {}
    for name, shape in weight_shapes(config).items():
        scale = config.init_scale / math.sqrt(config.p if name == "W_U" else config.d_h)
        weights[name] = generator.standard_normal(shape) * scale
    return weights


def flatten(weights: Mapping[str, np.ndarray], config: RunConfig) -> np.ndarray:
    """All weights as one vector, in the order of `weight_shapes`, whatever the order they come in. (n_params,)

    Raises:
        ValueError: they are not the weights of such a network.
    """
    shapes = weight_shapes(config)
    if {name: np.shape(w) for name, w in weights.items()} != shapes:
        raise ValueError(f"these weights are not those of a network with d_h={config.d_h}, n_heads={config.n_heads}, "
                         f"n_layers={config.n_layers}, task={config.task!r}; valid: {shapes}")
    return np.concatenate([np.ravel(weights[name]) for name in shapes])


def unflatten(vector: np.ndarray, config: RunConfig) -> dict[str, np.ndarray]:
    """The named weights as views of one vector."""
    weights, start = {}, 0
    for name, shape in weight_shapes(config).items():
        weights[name] = vector[start : start + math.prod(shape)].reshape(shape)
        start += math.prod(shape)
    return weights


class Layer(nn.Module):
    """Attention and feed-forward of one layer. Weights multiply from the right: `x @ W`."""

    def __init__(self, config: RunConfig):
        super().__init__()
        d, heads, head, mlp = config.d_h, config.n_heads, config.d_head, config.d_mlp
        self.W_Q = nn.Parameter(torch.empty(heads, d, head))
        self.W_K = nn.Parameter(torch.empty(heads, d, head))
        self.W_V = nn.Parameter(torch.empty(heads, d, head))
        self.W_O = nn.Parameter(torch.empty(heads, head, d))
        self.W_in = nn.Parameter(torch.empty(d, mlp))
        self.W_out = nn.Parameter(torch.empty(mlp, d))

    def forward(self, x: Tensor, n_read: int, kept: Callable[[Tensor], Tensor] = lambda y: y) -> Tensor:
        """Residual stream (batch, n_ctx, d_h) to that of its last `n_read` positions (batch, n_read, d_h).

        `kept` is what dropout leaves of the feed-forward outputs.
        """
        n_ctx, d_head = x.shape[1], self.W_Q.shape[2]
        q = torch.einsum("bqd,hde->bhqe", x[:, n_ctx - n_read :], self.W_Q)
        k = torch.einsum("bkd,hde->bhke", x, self.W_K)
        v = torch.einsum("bkd,hde->bhke", x, self.W_V)
        hidden = torch.ones(n_ctx, n_ctx, dtype=torch.bool, device=x.device).triu(1)[n_ctx - n_read :]
        scores = (q @ k.transpose(2, 3) / math.sqrt(d_head)).masked_fill(hidden, -math.inf)
        x = x[:, n_ctx - n_read :] + torch.einsum("bhqe,hed->bqd", scores.softmax(-1) @ v, self.W_O)
        return x + kept((x @ self.W_in).relu() @ self.W_out)


class Transformer(nn.Module):
    """The network of a config, with its initial weights or the given ones.

    Calling it maps tokens (batch, n_ctx) to the logits after the last position (batch, d_vocab). With a `key`, a scalar
    int64 tensor, dropout leaves out what that key says (`dropped`); without one, nothing.
    """

    def __init__(self, config: RunConfig, weights: dict[str, np.ndarray] | None = None,
                 dtype: torch.dtype = torch.float32):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(config.d_vocab, config.d_h))
        self.W_pos = nn.Parameter(torch.empty(config.n_ctx, config.d_h))
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.n_layers))
        self.W_U = nn.Parameter(torch.empty(config.d_h, config.d_vocab))
        self.dropout = config.dropout
        self.to(dtype)
        weights = weights or initial_weights(config)
        self.load_state_dict({name: torch.from_numpy(np.ascontiguousarray(w)) for name, w in weights.items()})

    def forward(self, tokens: Tensor, key: Tensor | None = None) -> Tensor:
        x = self.W_E[tokens] + self.W_pos
        for i, layer in enumerate(self.layers):
            n_read = 1 if i == len(self.layers) - 1 else tokens.shape[1]
            x = layer(x, n_read) if key is None else layer(x, n_read, partial(dropped, key=key + i, share=self.dropout))
        return x[:, -1] @ self.W_U


def dropped(x: Tensor, key: Tensor, share: float) -> Tensor:
    """`x` with a `share` of its entries at 0 and the others larger by 1 / (1 − share), which keeps the mean.

    Which entries is a hash of the key and of their place (the mixing of Steele et al. 2014, SplitMix), not a state that
    moves on: a network drops the same entries alone and in any cohort, on any device.
    """
    place = torch.arange(x.numel(), device=x.device).view(x.shape)
    bits = mixed(mixed(key) + place) & (2**53 - 1)
    return torch.where(bits >= int(share * 2**53), x / (1 - share), 0)


def mixed(z: Tensor) -> Tensor:
    """Every bit of the result depends on every bit of the int64 tensor `z`; a bijection."""
    z = z + _signed(0x9E3779B97F4A7C15)
    z = (z ^ (z >> 30 & 2**34 - 1)) * _signed(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> 27 & 2**37 - 1)) * _signed(0x94D049BB133111EB)
    return z ^ (z >> 31 & 2**33 - 1)


def _signed(bits: int) -> int:
    """A 64-bit pattern as the int64 it stands for."""
    return bits - 2**64 if bits >= 2**63 else bits


def build(config: RunConfig, weights: dict[str, np.ndarray] | None = None,
          dtype: torch.dtype = torch.float32) -> nn.Module:
    """The network that `config.architecture` names, with its initial weights or the given ones."""
    return Transformer(config, weights, dtype)

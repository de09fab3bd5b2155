"""The networks of `models`, with all that precedes an example's second number computed once for distinct prefixes
(docs/fused.md, 9). Each comes in two parts:

    tables(w)                     what follows from the weights alone: a row for each prefix, each second number
    logits(w, tables, rows)       the answers to examples, which fetch their rows of the tables by index

Both are plain PyTorch, differentiable, and can be lifted by `torch.func`. Nothing is an approximation: `models.py` is
the specification, and the tests hold gradients and steps against it.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from grokbook import models
from grokbook.config import RunConfig

Weights = dict[str, Tensor]
Tables = tuple[Tensor, ...]


class Rows(NamedTuple):
    """Examples: which prefix each has, and its second number, each (row,) int64."""

    prefix: Tensor
    second: Tensor

    def at(self, rows: Tensor) -> "Rows":
        """Those of some rows."""
        return Rows(self.prefix[rows], self.second[rows])


class Passes:
    """A network's two parts, for the examples of a task's table: `tokens` (row, n_ctx) int64.

    `relu` is applied to sums that nothing else reads, so it may write into them.
    """

    def __init__(self, config: RunConfig, tokens: np.ndarray, device: torch.device,
                 relu: Callable[[Tensor], Tensor] = torch.relu_):
        prefixes, prefix = np.unique(tokens[:, :-2], axis=0, return_inverse=True)
        self.config, self.relu = config, relu
        self.prefixes = torch.as_tensor(prefixes, device=device)  # (prefix, n_ctx − 2)
        self.rows = Rows(torch.as_tensor(prefix, device=device), torch.as_tensor(tokens[:, -2], device=device))

    def tables(self, w: Weights) -> Tables:
        """What examples share."""
        raise NotImplementedError

    def logits(self, w: Weights, tables: Tables, rows: Rows) -> Tensor:
        """(row, d_vocab) after the last position."""
        raise NotImplementedError


class TransformerPasses(Passes):
    """Attention over the fetched keys and values of the prefix, then of the second number, then of `=`."""

    def tables(self, w: Weights) -> Tables:
        """For the first layer the second numbers' streams, values and scores; for each layer what prefixes offer.

        x_second (p, d), x_last (1, d), values of second (p, d), of last (1, d), scores of last on prefix (n, k·h), on
        second (p, h), on last (1, h), of second on prefix (p·n, k·h), on itself (p, h); then for every layer the
        values (n, k·d), for every layer but the first the keys (n, k·d), where n prefixes have k tokens.
        """
        c, k = self.config, self.config.n_ctx - 2
        n, h, root = len(self.prefixes), c.n_heads, math.sqrt(c.d_head)
        x = F.embedding(self.prefixes, w["W_E"]) + w["W_pos"][:k]  # (n, k, d)
        second, last = w["W_E"][: c.p] + w["W_pos"][k], w["W_E"][-1:] + w["W_pos"][k + 1]  # (p, d), (1, d)
        neurons = models.own_neurons(self.prefixes[:, 1] == c.p, c) if c.split_mlp else None
        by_layer: list[Tensor] = []
        first: list[Tensor] = []
        for layer in range(c.n_layers):
            keys, values = (x @ part for part in _side_by_side(w, layer, "W_K", "W_V").split(c.d_h, 1))  # (n, k, d)
            if layer == 0:
                q_k_v = _side_by_side(w, 0, "W_Q", "W_K", "W_V")
                (q2, k2, v2), (q3, k3, v3) = ((stream @ q_k_v).split(c.d_h, 1) for stream in (second, last))
                on_prefix = torch.einsum("phe,nkhe->pnkh", _heads(q2, h), _heads(keys, h)).reshape(-1, k * h) / root
                first = [second, last, v2, v3, _dots(q3, keys, h).reshape(n, -1) / root, _dots(q3, k2, h) / root,
                         _dots(q3, k3, h) / root, on_prefix, _dots(q2, k2, h) / root]
            else:
                by_layer.append(keys.reshape(n, -1))
            by_layer.append(values.reshape(n, -1))
            if layer < c.n_layers - 1:
                x = _block(w, layer)(x, k, neurons)
        return (*first, *by_layer)

    def logits(self, w: Weights, tables: Tables, rows: Rows) -> Tensor:
        second, last, v2, v3, s3_prefix, s3_second, s3_last, s2_prefix, s2_second, *by_layer = tables
        c, h = self.config, self.config.n_heads
        n, n_rows = len(self.prefixes), len(rows.second)
        neurons = models.own_neurons(self.prefixes[rows.prefix, 1] == c.p, c) if c.split_mlp else None
        # The first layer: scores and values are all in the tables.
        values = [*F.embedding(rows.prefix, by_layer[0]).split(c.d_h, 1), F.embedding(rows.second, v2)]  # (row, d) each
        scores = [*F.embedding(rows.prefix, s3_prefix).split(h, 1), F.embedding(rows.second, s3_second),
                  s3_last.expand(n_rows, h)]  # (row, h) each
        x3 = self._feed_forward(w, 0, last + _mixed(scores, [*values, v3]) @ _out(w, 0), neurons)
        x2 = x3
        if c.n_layers > 1:
            scores = [*F.embedding(rows.second * n + rows.prefix, s2_prefix).split(h, 1),
                      F.embedding(rows.second, s2_second)]
            x2 = F.embedding(rows.second, second) + _mixed(scores, values) @ _out(w, 0)
            x2 = self._feed_forward(w, 0, x2, neurons)
        for layer in range(1, c.n_layers):
            keys, values = (list(F.embedding(rows.prefix, table).split(c.d_h, 1))
                            for table in by_layer[2 * layer - 1 : 2 * layer + 1])
            q_k_v = _side_by_side(w, layer, "W_Q", "W_K", "W_V")
            q3, k3, v3 = (x3 @ q_k_v).split(c.d_h, 1)
            is_last = layer == c.n_layers - 1
            *q2, k2, v2 = (x2 @ (q_k_v[:, c.d_h :] if is_last else q_k_v)).split(c.d_h, 1)
            keys, values = [*keys, k2], [*values, v2]
            if not is_last:
                scores = [_dots(q2[0], key, h) / math.sqrt(c.d_head) for key in keys]
                x2 = self._feed_forward(w, layer, x2 + _mixed(scores, values) @ _out(w, layer), neurons)
            scores = [_dots(q3, key, h) / math.sqrt(c.d_head) for key in (*keys, k3)]
            x3 = self._feed_forward(w, layer, x3 + _mixed(scores, [*values, v3]) @ _out(w, layer), neurons)
        return x3 @ w["W_U"]

    def _feed_forward(self, w: Weights, layer: int, x: Tensor, neurons: Tensor | None) -> Tensor:
        """x + relu(x W_in) W_out; `neurons` (row, d_mlp) are those that an example may use, all without it."""
        hidden = self.relu(x @ w[f"layers.{layer}.W_in"])
        return x + (hidden if neurons is None else hidden * neurons) @ w[f"layers.{layer}.W_out"]


class LSTMPasses(Passes):
    """The prefix's steps, once a prefix; then the second number's, which fetches its first gates; then that of `=`."""

    def tables(self, w: Weights) -> Tables:
        """What each token adds to the first layer's gates, (d_vocab, 4 d); for each layer the cell c after the prefix,

        (prefix, d), and what its output adds to the next gates, h W_h (prefix, 4 d).
        """
        c = self.config
        tokens = w["W_E"] @ w["layers.0.W_x"]
        states: list[tuple[Tensor, Tensor]] = []
        for position in range(c.n_ctx - 2):
            states = self._step(w, F.embedding(self.prefixes[:, position], tokens), states)
        return (tokens, *(part for layer, (h, cell) in enumerate(states)
                          for part in (cell, h @ w[f"layers.{layer}.W_h"])))

    def logits(self, w: Weights, tables: Tables, rows: Rows) -> Tensor:
        tokens, *by_layer = tables
        gates, states = F.embedding(rows.second, tokens), []
        for layer in range(self.config.n_layers):
            cell, recurrent = (F.embedding(rows.prefix, table) for table in by_layer[2 * layer : 2 * layer + 2])
            if layer:
                gates = states[-1][0] @ w[f"layers.{layer}.W_x"]
            states.append(models.lstm_cell(gates + recurrent, cell))
        return self._step(w, tokens[-1:], states)[-1][0] @ w["W_U"]

    def _step(self, w: Weights, gates: Tensor, states: list[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
        """Every layer's (h, c) after one more token, which adds `gates` to the first; no states at the first token."""
        after: list[tuple[Tensor, Tensor]] = []
        for layer in range(self.config.n_layers):
            if layer:
                gates = after[-1][0] @ w[f"layers.{layer}.W_x"]
            if states:
                gates = gates + states[layer][0] @ w[f"layers.{layer}.W_h"]
            after.append(models.lstm_cell(gates, states[layer][1] if states else torch.zeros_like(gates[:, ::4])))
        return after


class MLPPasses(Passes):
    """The first layer is the sum of two rows of tables, W_E W, and takes no product an example."""

    def tables(self, w: Weights) -> Tables:
        """What prefixes and second numbers add to the first layer, (prefix, d_mlp) and (p, d_mlp)."""
        *before, own = w["layers.0.W"].split(self.config.d_h)
        prefixes = sum(F.embedding(self.prefixes[:, i], w["W_E"]) @ part for i, part in enumerate(before))
        assert isinstance(prefixes, Tensor)
        return prefixes, w["W_E"][: self.config.p] @ own

    def logits(self, w: Weights, tables: Tables, rows: Rows) -> Tensor:
        prefixes, seconds = tables
        x = self.relu(F.embedding(rows.prefix, prefixes).add_(F.embedding(rows.second, seconds)))
        for layer in range(1, self.config.n_layers):
            x = self.relu(x @ w[f"layers.{layer}.W"])
        return x @ w["W_U"]


PASSES: dict[str, type[Passes]] = {"transformer": TransformerPasses, "lstm": LSTMPasses, "mlp": MLPPasses}
"""By what `RunConfig.architecture` calls them."""


def named(theta: Tensor, config: RunConfig) -> Weights:
    """The weights inside a flat vector, as views."""
    shapes = models.weight_shapes(config)
    parts = theta.split([math.prod(shape) for shape in shapes.values()])
    return {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}


def _side_by_side(w: Weights, layer: int, *names: str) -> Tensor:
    """Maps of a layer from d_h to all heads, side by side: (d, len(names) · d)."""
    return torch.cat([w[f"layers.{layer}.{name}"].transpose(0, 1).flatten(1) for name in names], 1)


def _out(w: Weights, layer: int) -> Tensor:
    """W_O of all heads as one map, (d, d)."""
    return w[f"layers.{layer}.W_O"].flatten(0, 1)


def _block(w: Weights, layer: int) -> models.Block:
    """The plain layer with these weights."""
    block = models.Block()
    for name in ("W_Q", "W_K", "W_V", "W_O", "W_in", "W_out"):
        setattr(block, name, w[f"layers.{layer}.{name}"])
    return block


def _heads(x: Tensor, h: int) -> Tensor:
    """(…, d) as (…, head, d_head)."""
    return x.unflatten(-1, (h, -1))


def _dots(q: Tensor, k: Tensor, h: int) -> Tensor:
    """Products of queries and keys, head by head: (…, d), (…, d) -> (…, h)."""
    return _heads(q * k, h).sum(-1)


def _mixed(scores: list[Tensor], values: list[Tensor]) -> Tensor:
    """Σ softmax(scores) values over positions, head by head: lists of (row, h) and of (row, d) -> (row, d)."""
    shares = torch.stack(scores, -1).softmax(-1)  # (row, h, position)
    parts = [share[..., None] * _heads(v, share.shape[-1]) for share, v in zip(shares.unbind(-1), values, strict=True)]
    return sum(parts[1:], parts[0]).flatten(-2)

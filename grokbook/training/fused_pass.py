"""The one-layer transformer's gradient in one pass over tiles of rows, compiled with Numba (docs/fused.md, 3 and 4).

A tile goes forward and back while it is in cache, adding into the gradients; no activation reaches memory. With T the
table of what entries add (`folding`), M = W_out W_U, and a the attention of a row:

    narrow:  [hidden | out] = base + Σ a T,   out += relu(hidden) W_out,   logits = out W_U
    wide:    [hidden | logits] = base + Σ a T,   logits += relu(hidden) M
"""

import math
from typing import NamedTuple

import numpy as np

from grokbook.config import EPS
from grokbook.training.compiled import compiled, flush, inner, meet, restore
from grokbook.training.folding import collect, fold, unfold
from grokbook.training.layout import PARTS
from grokbook.training.products import multiply, transposed
from grokbook.training.tiles import exponentiate, mix, scale, softmax, unmix


@inner
def _attend(sizes, table, entries, at, n, tile):
    """Softmax of n rows' scores into tile.a (position · head, row); that of `=`, which is 0, comes last."""
    n_heads, a = sizes.n_heads, tile.a
    rest = entries.shape[0] * n_heads
    top, total = tile.stats[0], tile.stats[1]
    for i in range(entries.shape[0]):
        for r in range(n):
            entry = entries[i, at + r]
            for h in range(n_heads):
                a[i * n_heads + h, r] = table.scores[entry, h]
    for h in range(n_heads):
        for r in range(n):
            top[r] = 0
        for s in range(h, rest, n_heads):
            for r in range(n):
                top[r] = max(top[r], a[s, r])
        for s in range(h, rest, n_heads):
            for r in range(n):
                a[s, r] -= top[r]
        for r in range(n):
            a[rest + h, r] = -top[r]
    exponentiate(a, n)
    for h in range(n_heads):
        for r in range(n):
            total[r] = a[rest + h, r]
        for s in range(h, rest, n_heads):
            for r in range(n):
                total[r] += a[s, r]
        for s in range(h, rest, n_heads):
            for r in range(n):
                a[s, r] /= total[r]


@inner
def _attend_back(sizes, entries, at, n, tile, d_scores):
    """From tile.da to the gradients of the entries' scores; that of `=` follows from theirs (`unfold`)."""
    n_heads, a, da = sizes.n_heads, tile.a, tile.da
    rest, mean = entries.shape[0] * n_heads, tile.stats[0]
    for h in range(n_heads):
        for r in range(n):
            mean[r] = 0
        for s in range(h, rest, n_heads):
            for r in range(n):
                mean[r] += a[s, r] * da[s, r]
        for s in range(h, rest, n_heads):
            for r in range(n):
                da[s, r] = a[s, r] * (da[s, r] - mean[r])
    for i in range(entries.shape[0]):
        for r in range(n):
            entry = entries[i, at + r]
            for h in range(n_heads):
                d_scores[entry, h] += da[i * n_heads + h, r]


@inner
def _forward(sizes, operands, table, entries, at, n, tile):
    """Logits (class, row) of n rows from `at`, and what the way back needs, in the tile."""
    d, m, v = sizes.d, sizes.d_mlp, sizes.n_vocab
    _attend(sizes, table, entries, at, n, tile)
    mix(table.rows, table.base, entries, at, tile.a, sizes.n_heads, sizes.m_pad, sizes.width, tile.mixed, n,
        tile.strip)
    hidden = tile.mixed[:m]
    if sizes.wide:
        multiply(operands.M_T[:v], hidden, tile.logits, n, True)  # (v, m) (m, row)
    else:
        out = tile.mixed[sizes.m_pad :]
        multiply(operands.out_T[:d], hidden, out, n, True)  # (d, m) (m, row)
        multiply(operands.U_T[:v], out[:d], tile.logits, n, False)  # (v, d) (d, row)


@inner
def _loss_gradient(logits, stats, y, share, at, n, plain):
    """Logits become the gradient of the mean loss: e_j / Z · share, and −Σ_{j≠y} e_j / Z · share for the label."""
    labels = y[:, at : at + n]
    softmax(logits, labels, stats, n)
    for r in range(n):
        rest, own = stats[2, r], stats[3, r]
        z = rest + own
        stats[0, r] = share[at + r] / z
        stats[1, r] = (own / z - 1 if plain else -rest / z) * share[at + r]
    scale(logits, labels, stats, n)


@inner
def _backward(sizes, operands, table, entries, at, n, tile, parts, slot):
    """Add the gradients of n rows; the tile holds their forward pass and, for the logits, the loss gradient."""
    d, m, v, m_pad = sizes.d, sizes.d_mlp, sizes.n_vocab, sizes.m_pad
    hidden, d_logits, turned = tile.mixed[:m], tile.logits, tile.turned
    transposed(d_logits, turned, sizes.v_pad, n)
    if sizes.wide:
        multiply(hidden, turned[:n], parts.first[slot], sizes.v_pad, True)  # gradient of M: (m, row) (row, v)
        multiply(operands.M[:m], d_logits[:v], tile.d_hidden, n, False)  # (m, v) (v, row)
    else:
        out = tile.mixed[m_pad:]
        multiply(out[:d], turned[:n], parts.second[slot], sizes.v_pad, True)  # of W_U: (d, row) (row, v)
        multiply(operands.U[:d], d_logits[:v], out, n, False)  # out becomes its gradient: (d, v) (v, row)
        transposed(out, turned, sizes.d_pad, n)
        multiply(hidden, turned[:n], parts.first[slot], sizes.d_pad, True)  # of W_out: (m, row) (row, d)
        multiply(operands.out[:m], out[:d], tile.d_hidden, n, False)  # (m, d) (d, row)
    for k in range(m):
        neuron, change = hidden[k], tile.d_hidden[k]
        for r in range(n):
            neuron[r] = change[r] if neuron[r] > 0 else change.dtype.type(0)
    tile.da[:, :n] = 0
    unmix(tile.mixed, table.rows, entries, at, tile.a, sizes.n_heads, sizes.width, n, tile.strip,
          parts.table[slot], parts.base[slot], tile.da)
    _attend_back(sizes, entries, at, n, tile, parts.scores[slot])


@inner
def _differentiate(k, slot, sizes, operands, table, rows, tile, parts, plain):
    """Gradients of part k of the training rows, tile by tile, added into a slot of `parts`."""
    logits = tile.logits[: sizes.n_vocab]
    for at in range(rows.bounds[k], rows.bounds[k + 1], tile.mixed.shape[1]):
        n = min(tile.mixed.shape[1], rows.bounds[k + 1] - at)
        _forward(sizes, operands, table, rows.entries, at, n, tile)
        _loss_gradient(logits, tile.stats, rows.y, rows.share, at, n, plain)
        _backward(sizes, operands, table, rows.entries, at, n, tile, parts, slot)


class Moments(NamedTuple):
    """Flat (n_params,) arrays of one network: weights, their gradient, and its averages."""

    theta: np.ndarray
    grad: np.ndarray
    m: np.ndarray
    v: np.ndarray


class Rates(NamedTuple):
    """AdamW's numbers for one network."""

    lr: float
    weight_decay: float
    n_warmup: float
    beta1: float
    beta2: float


@inner
def adamw(moments, step, rates):
    """One step of AdamW as PyTorch's, in place."""
    theta, grad, m, v = moments
    number = theta.dtype.type
    rate = rates.lr * min(step / rates.n_warmup, 1.0)
    keep, size = number(1 - rate * rates.weight_decay), number(rate / (1 - rates.beta1**step))
    root, eps = number(1 / math.sqrt(1 - rates.beta2**step)), number(EPS)
    b1, c1, b2, c2 = number(rates.beta1), number(1 - rates.beta1), number(rates.beta2), number(1 - rates.beta2)
    for k in range(theta.size):
        m[k] = b1 * m[k] + c1 * grad[k]
        v[k] = b2 * v[k] + c2 * grad[k] * grad[k]
        theta[k] = keep * theta[k] - size * m[k] / (math.sqrt(v[k]) * root + eps)


@compiled
def advance(n_steps, step, thread, n_threads, counter, sizes, weights, gradient, moments, rates, operands, table, rows,
            tile, parts, total, plain):
    """n_steps of one network by `n_threads` threads that meet twice a step; this is one of them.

    One thread needs one slot in `parts`, more need one for every part. The gradient of the last step stays; with
    n_steps 0 it is computed without a step.
    """
    before = flush()
    for n in range(max(n_steps, 1)):
        if thread == 0:
            fold(sizes, weights, operands, table, rows.names)
        meet(counter, n_threads)
        for k in range(thread, PARTS, n_threads):
            slot = k if n_threads > 1 else 0
            _differentiate(k, slot, sizes, operands, table, rows, tile, parts, plain)
            if n_threads == 1:
                collect(k, slot, sizes, rows, parts, total)
        meet(counter, n_threads)
        if thread == 0:
            for k in range(PARTS if n_threads > 1 else 0):
                collect(k, k, sizes, rows, parts, total)
            unfold(sizes, weights, gradient, operands, table, rows.names, total)
            if n_steps:
                adamw(moments, step + n + 1, rates)
    restore(before)


@compiled
def evaluate(sizes, weights, operands, table, rows, tile, loss, right):
    """Exact loss of every row of the table, and whether its label's logit is above all others."""
    before = flush()
    fold(sizes, weights, operands, table, rows.names)
    logits, stats = tile.logits[: sizes.n_vocab], tile.stats
    for at in range(0, rows.entries.shape[1], tile.mixed.shape[1]):
        n = min(tile.mixed.shape[1], rows.entries.shape[1] - at)
        _forward(sizes, operands, table, rows.entries, at, n, tile)
        softmax(logits, rows.y[:, at : at + n], stats, n)
        for r in range(n):
            own, top, rest, e_own = stats[0, r], stats[1, r], stats[2, r], stats[3, r]
            right[at + r] = own > top and rest == rest  # top passes over what is not a number, rest does not
            # Where the label's own exponential has underflowed, its logit is far below: Z is the others alone.
            loss[at + r] = math.log1p(rest / e_own) if top - own < 80 else math.log(rest) + top - own
    restore(before)

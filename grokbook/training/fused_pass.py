"""The one-layer transformer's gradient in one pass over tiles of rows, compiled with Numba.

Three facts of this network, none of them an approximation, make the pass small:

- only the last position is read, and its token is always `=`: one query vector a head serves the whole table, so the
  score of a key is one number for each (token, position), s = x W_K q / √d_head;
- keys and values depend on (token, position) alone: 2p + 1 rows instead of n_ctx · D_train;
- a tile of rows goes forward and back while it is in cache, adding into the gradients; no activation reaches memory.

Everything is laid out feature by feature, rows along the vectors (see `tiles`). Rows are cut into `PARTS` fixed parts
whose gradients are summed in order, so the result is the same bit for bit on one thread or several, alone or in a
cohort.
"""

import math

import numpy as np

from grokbook.config import BETAS, EPS
from grokbook.training.compiled import compiled
from grokbook.training.subnormals import flush, restore
from grokbook.training.tiles import correlate, exponentiate, gather, multiply, scale, scatter, soften

PARTS = 4
"""Parts that the training rows are cut into; a lone run uses up to this many threads."""

BETA1, BETA2 = BETAS


@compiled
def _views(theta, sizes):
    """The weights inside a flat vector, in the order of models.weight_shapes; heads side by side in one axis."""
    n_vocab, n_ctx, n_heads, d = sizes[0], sizes[1], sizes[2], sizes[3]
    e = d // n_heads
    k = n_vocab * d
    W_E = theta[:k].reshape((n_vocab, d))
    W_pos = theta[k : k + n_ctx * d].reshape((n_ctx, d))
    k += n_ctx * d
    W_Q = theta[k : k + d * d].reshape((n_heads, d, e))
    W_K = theta[k + d * d : k + 2 * d * d].reshape((n_heads, d, e))
    W_V = theta[k + 2 * d * d : k + 3 * d * d].reshape((n_heads, d, e))
    W_O = theta[k + 3 * d * d : k + 4 * d * d].reshape((d, d))
    k += 4 * d * d
    W_in = theta[k : k + 4 * d * d].reshape((d, 4 * d))
    W_out = theta[k + 4 * d * d : k + 8 * d * d].reshape((4 * d, d))
    W_U = theta[k + 8 * d * d :].reshape((d, n_vocab))
    return W_E, W_pos, W_Q, W_K, W_V, W_O, W_in, W_out, W_U


@compiled
def tabulate(theta, sizes, entries, x, u, table):
    """What all rows share: x (d, entry) residual streams, u (head, d) keys' read-out, and the table (entry, d + head)

    of values x W_V and scores x W_K q / √d_head, entry by entry, so that a row fetches both at once.
    """
    before = flush()
    W_E, W_pos, W_Q, W_K, W_V, _, _, _, _ = _views(theta, sizes)
    n_heads, d = sizes[2], sizes[3]
    e, last = d // n_heads, entries.shape[1] - 1
    for t in range(entries.shape[1]):
        for f in range(d):
            x[f, t] = W_E[entries[0, t], f] + W_pos[entries[1, t], f]
    side_by_side = np.empty((d + n_heads, x.shape[1]), theta.dtype)
    for h in range(n_heads):
        u[h] = 0
        for k in range(e):
            q = theta.dtype.type(0)
            for f in range(d):
                q += x[f, last] * W_Q[h, f, k]
            q /= theta.dtype.type(math.sqrt(e))
            for f in range(d):
                u[h, f] += W_K[h, f, k] * q
        multiply(W_V[h].T, x, side_by_side[h * e : h * e + e], x.shape[1], False)
    multiply(u, x, side_by_side[d:], x.shape[1], False)
    for t in range(entries.shape[1]):
        for f in range(d + n_heads):
            table[t, f] = side_by_side[f, t]
    restore(before)


@compiled
def _workspace(work, sizes):
    """The activations of a tile inside one array (feature, row)."""
    n_vocab, n_ctx, n_heads, d = sizes[0], sizes[1], sizes[2], sizes[3]
    width = sizes[4]
    k = (n_ctx - 1) * width
    fetched = work[:k]
    a = work[k : k + n_ctx * n_heads]
    k += n_ctx * n_heads
    z, mid = work[k : k + d], work[k + d : k + 2 * d]
    out, d_out = work[k + 2 * d : k + 3 * d], work[k + 3 * d : k + 4 * d]
    hidden, d_hidden = work[k + 4 * d : k + 8 * d], work[k + 8 * d : k + 12 * d]
    k += 12 * d
    return fetched, a, z, mid, out, d_out, hidden, d_hidden, work[k : k + n_vocab], work[k + n_vocab : k + n_vocab + 4]


@compiled
def _attend(sizes, rows, at, n, table, last, fetched, a, z):
    """Attention of n rows from `at`: a (n_ctx · head, row) softmax of the scores, z (d, row) mixed values.

    `fetched` keeps the values and scores of every position but the last, which is the same for all rows.
    """
    n_ctx, n_heads, d, width = sizes[1], sizes[2], sizes[3], sizes[4]
    e = d // n_heads
    for i in range(n_ctx - 1):
        gather(table, rows[i : i + 1], at, fetched[i * width : (i + 1) * width], n)
    top = np.empty(n, z.dtype)
    for h in range(n_heads):
        top[:] = table[last, d + h]
        for i in range(n_ctx - 1):
            s = fetched[i * width + d + h]
            for r in range(n):
                top[r] = max(top[r], s[r])
        for i in range(n_ctx - 1):
            s, share = fetched[i * width + d + h], a[i * n_heads + h]
            for r in range(n):
                share[r] = s[r] - top[r]
        share = a[(n_ctx - 1) * n_heads + h]
        for r in range(n):
            share[r] = table[last, d + h] - top[r]
    exponentiate(a, n)
    for h in range(n_heads):
        top[:] = 0
        for i in range(n_ctx):
            share = a[i * n_heads + h]
            for r in range(n):
                top[r] += share[r]
        for i in range(n_ctx):
            share = a[i * n_heads + h]
            for r in range(n):
                share[r] /= top[r]
        for f in range(h * e, h * e + e):
            mixed, share, constant = z[f], a[(n_ctx - 1) * n_heads + h], table[last, f]
            for r in range(n):
                mixed[r] = share[r] * constant
            for i in range(n_ctx - 1):
                v, share = fetched[i * width + f], a[i * n_heads + h]
                for r in range(n):
                    mixed[r] += share[r] * v[r]


@compiled
def _forward(theta, sizes, rows, at, n, x, table, last, work):
    """Logits (class, row) of n rows from `at`, and what the way back needs, all in the workspace."""
    fetched, a, z, mid, out, _, hidden, _, logits, _ = _workspace(work, sizes)
    _, _, _, _, _, W_O, W_in, W_out, W_U = _views(theta, sizes)
    _attend(sizes, rows, at, n, table, last, fetched, a, z)
    for f in range(mid.shape[0]):
        mid[f, :n] = x[f, last]
    multiply(W_O.T, z, mid, n, True)
    multiply(W_in.T, mid, hidden, n, False)
    for m in range(hidden.shape[0]):
        neuron = hidden[m]
        for r in range(n):
            neuron[r] = max(neuron[r], theta.dtype.type(0))
    for f in range(mid.shape[0]):
        out[f, :n] = mid[f, :n]
    multiply(W_out.T, hidden, out, n, True)
    multiply(W_U.T, out, logits, n, False)


@compiled
def _loss_gradient(logits, stats, y, share, at, n, plain):
    """Logits become the gradient of the mean loss: e_j / Z · share, and −Σ_{j≠y} e_j / Z · share for the label."""
    labels = y[:, at : at + n]
    soften(logits, labels, stats, n)
    for r in range(n):
        rest, own = stats[2, r], stats[3, r]
        z = rest + own
        stats[0, r] = share[at + r] / z
        stats[1, r] = (own / z - 1 if plain else -rest / z) * share[at + r]
    scale(logits, labels, stats, n)


@compiled
def _attend_back(sizes, rows, at, n, table, last, fetched, a, dz, ones, d_table):
    """From dz to the gradients of values and scores, entry by entry, added into d_table."""
    n_ctx, n_heads, d, width = sizes[1], sizes[2], sizes[3], sizes[4]
    e = d // n_heads
    da, mean = np.empty((n_ctx, n), dz.dtype), np.empty(n, dz.dtype)
    last_share = a[(n_ctx - 1) * n_heads :]
    for h in range(n_heads):
        da[:] = 0
        for f in range(h * e, h * e + e):
            g = dz[f]
            for i in range(n_ctx - 1):
                v, share, change = fetched[i * width + f], a[i * n_heads + h], da[i]
                for r in range(n):
                    change[r] += g[r] * v[r]
                for r in range(n):
                    v[r] = g[r] * share[r]
            change, constant = da[n_ctx - 1], table[last, f]
            for r in range(n):
                change[r] += g[r] * constant
        correlate(last_share[h : h + 1], dz[h * e : h * e + e], d_table[last : last + 1, h * e : h * e + e], n)
        mean[:] = 0
        for i in range(n_ctx):
            change, share = da[i], a[i * n_heads + h]
            for r in range(n):
                mean[r] += change[r] * share[r]
        for i in range(n_ctx):
            change, share = da[i], a[i * n_heads + h]
            for r in range(n):
                change[r] = share[r] * (change[r] - mean[r])
        for i in range(n_ctx - 1):
            fetched[i * width + d + h, :n] = da[i]
        correlate(ones, da[n_ctx - 1 :], d_table[last : last + 1, d + h : d + h + 1], n)
    for i in range(n_ctx - 1):
        scatter(fetched[i * width : (i + 1) * width], rows[i : i + 1], at, d_table, n)


@compiled
def _backward(theta, sizes, rows, at, n, table, last, work, ones, grad, d_table, dx_last):
    """Add the gradients of n rows; the workspace holds their forward pass and, for the logits, the loss gradient."""
    fetched, a, z, mid, out, d_out, hidden, d_hidden, d_logits, _ = _workspace(work, sizes)
    _, _, _, _, _, W_O, W_in, W_out, W_U = _views(theta, sizes)
    _, _, _, _, _, g_O, g_in, g_out, g_U = _views(grad, sizes)
    correlate(out, d_logits, g_U, n)
    multiply(W_U, d_logits, d_out, n, False)
    correlate(hidden, d_out, g_out, n)
    multiply(W_out, d_out, d_hidden, n, False)
    for m in range(hidden.shape[0]):
        neuron, change = hidden[m], d_hidden[m]
        for r in range(n):
            change[r] = change[r] if neuron[r] > 0 else theta.dtype.type(0)
    correlate(mid, d_hidden, g_in, n)
    d_mid, dz = d_out, out
    multiply(W_in, d_hidden, d_mid, n, True)
    correlate(z, d_mid, g_O, n)
    multiply(W_O, d_mid, dz, n, False)
    correlate(ones, d_mid, dx_last, n)
    _attend_back(sizes, rows, at, n, table, last, fetched, a, dz, ones, d_table)


@compiled
def differentiate(theta, sizes, rows, y, share, bounds, last, x, table, work, ones, grad, d_table, dx_last, plain):
    """Gradients of one part of the training rows, tile by tile."""
    before = flush()
    grad[:] = 0
    d_table[:] = 0
    dx_last[:] = 0
    _, _, _, _, _, _, _, _, logits, stats = _workspace(work, sizes)
    for at in range(bounds[0], bounds[1], work.shape[1]):
        n = min(work.shape[1], bounds[1] - at)
        _forward(theta, sizes, rows, at, n, x, table, last, work)
        _loss_gradient(logits, stats, y, share, at, n, plain)
        _backward(theta, sizes, rows, at, n, table, last, work, ones, grad, d_table, dx_last)
    restore(before)


@compiled
def collect(theta, sizes, entries, x, u, grads, d_tables, dx_lasts):
    """Sum the parts into grads[0], and carry the table's gradient on to the attention and embedding weights."""
    before = flush()
    for k in range(1, PARTS):
        grads[0] += grads[k]
        d_tables[0] += d_tables[k]
        dx_lasts[0] += dx_lasts[k]
    _, _, W_Q, W_K, W_V, _, _, _, _ = _views(theta, sizes)
    g_E, g_pos, g_Q, g_K, g_V, _, _, _, _ = _views(grads[0], sizes)
    n_heads, d = sizes[2], sizes[3]
    e, last = d // n_heads, entries.shape[1] - 1
    turned, dx, du = np.zeros((d + n_heads, x.shape[1]), x.dtype), np.zeros_like(x), np.zeros_like(u)
    for t in range(last + 1):
        for f in range(d + n_heads):
            turned[f, t] = d_tables[0, t, f]
    dx[:, last] = dx_lasts[0, 0]
    correlate(turned[d:], x, du, x.shape[1])
    multiply(u.T, turned[d:], dx, x.shape[1], True)
    root = theta.dtype.type(math.sqrt(e))
    for h in range(n_heads):
        dv = turned[h * e : h * e + e]
        correlate(x, dv, g_V[h], x.shape[1])
        multiply(W_V[h], dv, dx, x.shape[1], True)
        for k in range(e):
            q, dq = theta.dtype.type(0), theta.dtype.type(0)
            for f in range(d):
                q += x[f, last] * W_Q[h, f, k]
                dq += W_K[h, f, k] * du[h, f]
            for f in range(d):
                g_K[h, f, k] = du[h, f] * q / root
                g_Q[h, f, k] = x[f, last] * dq / root
                dx[f, last] += W_Q[h, f, k] * dq / root
    for t in range(last + 1):
        for f in range(d):
            g_E[entries[0, t], f] += dx[f, t]
            g_pos[entries[1, t], f] += dx[f, t]
    restore(before)


@compiled
def adamw(theta, m, v, grad, step, lr, weight_decay, n_warmup):
    """One step of AdamW as PyTorch's, in place."""
    before = flush()
    number = theta.dtype.type
    rate = lr * min(step / n_warmup, 1.0)
    keep, size = number(1 - rate * weight_decay), number(rate / (1 - BETA1**step))
    root, eps = number(1 / math.sqrt(1 - BETA2**step)), number(EPS)
    b1, b2 = number(BETA1), number(BETA2)
    for k in range(theta.size):
        m[k] = b1 * m[k] + (1 - b1) * grad[k]
        v[k] = b2 * v[k] + (1 - b2) * grad[k] * grad[k]
        theta[k] = keep * theta[k] - size * m[k] / (math.sqrt(v[k]) * root + eps)
    restore(before)


@compiled
def advance(theta, m, v, sizes, entries, rows, y, share, bounds, shared, partials, work, ones, optimiser, step,
             n_steps, plain):
    """n_steps of one member on one thread."""
    x, u, table = shared
    grads, d_tables, dx_lasts = partials
    last = entries.shape[1] - 1
    for k in range(n_steps):
        tabulate(theta, sizes, entries, x, u, table)
        for part in range(PARTS):
            differentiate(theta, sizes, rows, y, share, bounds[part], last, x, table, work, ones,
                  grads[part], d_tables[part], dx_lasts[part], plain)
        collect(theta, sizes, entries, x, u, grads, d_tables, dx_lasts)
        adamw(theta, m, v, grads[0], step + k + 1, optimiser[0], optimiser[1], optimiser[2])


@compiled
def examine(theta, sizes, entries, rows, y, shared, work, loss, right):
    """Exact loss of every row of the table, and whether its label's logit is above all others."""
    before = flush()
    x, u, table = shared
    tabulate(theta, sizes, entries, x, u, table)
    _, _, _, _, _, _, _, _, logits, stats = _workspace(work, sizes)
    for at in range(0, rows.shape[1], work.shape[1]):
        n = min(work.shape[1], rows.shape[1] - at)
        _forward(theta, sizes, rows, at, n, x, table, entries.shape[1] - 1, work)
        soften(logits, y[:, at : at + n], stats, n)
        for r in range(n):
            own, top, rest, mine = stats[0, r], stats[1, r], stats[2, r], stats[3, r]
            right[at + r] = own > top and rest == rest  # top passes over what is not a number, rest does not
            # Where the label's own exponential has underflowed, its logit is far below: Z is the others alone.
            loss[at + r] = math.log1p(rest / mine) if top - own < 80 else math.log(rest) + top - own
    restore(before)

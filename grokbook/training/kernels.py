"""The fused pass as Triton kernels over (model, tile of rows): the arithmetic of the `fused_cuda` engine.

The last token is always `=`, so one query a head serves the whole table, and what a row fetches depends on (token,
position) alone. Call such a pair an entry: entry 0 is `=`, then come n_vocab entries for each other position. A row
that holds the entries t goes forward

    x_t = W_E + W_pos        q = x_0 W_Q / √d_head        values_t = x_t W_V        scores_t = x_t W_K q
    a = softmax_t(scores_t)                     z = Σ_t a_t values_t                mid = x_0 + z W_O
    hidden = relu(mid W_in)                     out = mid + hidden W_out            logits = out W_U

and back by the chain rule, with ∂loss/∂logit_j = e_j / Z and, free of cancellation, −Σ_{j≠y} e_j / Z for the label y. A
step is a fixed list of launches, which a CUDA graph can hold:

    tabulate       (tile of entries, model)    values and scores of every entry
    differentiate  (group of tiles, model)     forward and back; only dz, a and ds of a row reach memory
    scatter        (entry, model)              the table's gradient, summed over the rows that hold the entry
    reduce         (block of weights, model)   the groups' gradients summed
    collect        (1, model)                  the table's gradient carried on to W_E, W_pos, W_Q, W_K, W_V
    adamw          (block of weights, model)

Every sum runs in an order that the member's own config decides: rows of a tile, tiles of a group, groups, and an
entry's rows in the order of the table. Nothing is added atomically, so a member's result is the same bit for bit alone
or in any cohort. `scatter` reads the rows of an entry from a sorted index: the other deterministic way, a product of each tile with
a one-hot matrix, would add a quarter to the multiplications of the pass, which are its cost, against some two hundred
bytes a row.

A head's features lie in `E` lanes, a power of two; where its score rides along as lane d_head, in `L`.
"""

# pyright: basic, reportOperatorIssue=false, reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# (inside a kernel Python's syntax means Triton's types)

import triton
import triton.language as tl


@triton.jit
def _dot(a, b, S: tl.constexpr):
    """A matrix product in full precision; TF32 would keep ten bits."""
    return tl.dot(a, b, input_precision=S.precision, out_dtype=a.dtype)


@triton.jit
def _add(pointers, values, inside, seen):
    """Add to this program's own memory, or, where nothing was `seen` yet, begin it."""
    tl.store(pointers, tl.load(pointers, inside & seen, other=0.0) + values, inside)


@triton.jit
def _head_block(matrix, S: tl.constexpr):
    """W_Q, W_K or W_V as (D, H, L), zero where padded."""
    f, h, k = tl.arange(0, S.D)[:, None, None], tl.arange(0, S.H)[None, :, None], tl.arange(0, S.L)[None, None, :]
    inside = (f < S.d) & (h < S.n_heads) & (k < S.e)
    return tl.load(matrix + h * S.d * S.e + f * S.e + k, inside, other=0.0)


@triton.jit
def _streams(theta, token, position, inside, S: tl.constexpr):
    """Residual streams x (T, D) of T entries."""
    f = tl.arange(0, S.D)[None, :]
    inside = inside[:, None] & (f < S.d)
    embedded = tl.load(theta + token[:, None] * S.d + f, inside, other=0.0)
    return embedded + tl.load(theta + S.n_vocab * S.d + position[:, None] * S.d + f, inside, other=0.0)


@triton.jit
def _last_stream(theta, S: tl.constexpr):
    """x_0 (D,), the residual stream of `=`."""
    f = tl.arange(0, S.D)
    embedded = tl.load(theta + (S.n_vocab - 1) * S.d + f, f < S.d, other=0.0)
    return embedded + tl.load(theta + (S.n_vocab + S.n_ctx - 1) * S.d + f, f < S.d, other=0.0)


@triton.jit
def _attention(theta, x_0, S: tl.constexpr):
    """W_Q and W_K (D, H, L), the queries q (H, L), and W_V with the scores' vectors W_K q as lane e (D, H, L)."""
    W_Q = _head_block(theta + S.at_Q, S)
    W_K = _head_block(theta + S.at_Q + S.d * S.d, S)
    q = tl.sum(W_Q * x_0[:, None, None], 0) / S.root
    u = tl.sum(W_K * q[None, :, :], 2)
    k = tl.arange(0, S.L)[None, None, :]
    W = tl.where(k == S.e, u[:, :, None], _head_block(theta + S.at_Q + 2 * S.d * S.d, S))
    return W_Q, W_K, q, W


@triton.jit
def _columns(S: tl.constexpr):
    """Where the table keeps head h's lane k, (H, L), and which lanes exist: all values, then all scores."""
    h, k = tl.arange(0, S.H)[:, None], tl.arange(0, S.L)[None, :]
    return tl.where(k < S.e, h * S.e + k, S.d + h), (h < S.n_heads) & (k <= S.e)


@triton.jit
def _flat_columns(S: tl.constexpr):
    columns, inside = _columns(S)
    return tl.reshape(columns, (S.H * S.L,)), tl.reshape(inside, (S.H * S.L,))


@triton.jit
def tabulate(theta, table, S: tl.constexpr):
    """Values and scores of a tile of entries. Grid (tiles of entries, model). table: (model, n_entries, width)."""
    model = tl.program_id(1).to(tl.int64)
    theta += model * S.n_params
    table += model * S.n_entries * S.width
    entry = tl.program_id(0) * S.TOKENS + tl.arange(0, S.TOKENS)
    token = tl.where(entry == 0, S.n_vocab - 1, (entry + S.n_vocab - 1) % S.n_vocab)
    position = tl.where(entry == 0, S.n_ctx - 1, (entry + S.n_vocab - 1) // S.n_vocab - 1)
    x = _streams(theta, token, position, entry < S.n_entries, S)
    _, _, _, W = _attention(theta, _last_stream(theta, S), S)
    columns, lanes = _flat_columns(S)
    tl.store(table + entry[:, None] * S.width + columns[None, :], _dot(x, tl.reshape(W, (S.D, S.H * S.L)), S),
             (entry < S.n_entries)[:, None] & lanes[None, :])


@triton.jit
def _fetch(table, entry, inside, S: tl.constexpr):
    """Values (R, H, E) and scores (R, H) of one entry a row."""
    h, k = tl.arange(0, S.H), tl.arange(0, S.E)
    heads = inside[:, None] & (h < S.n_heads)[None, :]
    lanes = heads[:, :, None] & (k < S.e)[None, None, :]
    base = table + entry[:, None] * S.width
    values = tl.load((base + h[None, :] * S.e)[:, :, None] + k[None, None, :], lanes, other=0.0)
    return values, tl.load(base + S.d + h[None, :], heads, other=0.0)


@triton.jit
def _attend(table, tokens, rows, n_table, inside, S: tl.constexpr):
    """Mixed values z (R, H, E), and the top score and the sum of exponentials that give the shares back, (R, H)."""
    last = tl.zeros_like(rows)
    _, top = _fetch(table, last, inside, S)
    for i in tl.static_range(S.n_ctx - 1):
        _, score = _fetch(table, tl.load(tokens + i * n_table + rows, inside, other=0), inside, S)
        top = tl.maximum(top, score)
    value, score = _fetch(table, last, inside, S)
    total = tl.exp(score - top)
    z = total[:, :, None] * value
    for i in tl.static_range(S.n_ctx - 1):
        value, score = _fetch(table, tl.load(tokens + i * n_table + rows, inside, other=0), inside, S)
        part = tl.exp(score - top)
        total += part
        z += part[:, :, None] * value
    return z / total[:, :, None], top, total


@triton.jit
def _mix_back(table, entry, inside, z, dz, top, total, S: tl.constexpr):
    """One entry's share a (R, H) of each row, and the gradient ds (R, H) of its score."""
    value, score = _fetch(table, entry, inside, S)
    a = tl.exp(score - top) / total
    return a, a * tl.sum(dz * (value - z), 2)


@triton.jit
def _read_out(weights, S: tl.constexpr):
    """W_O (H·E, D), its rows where the lanes of z are; with the addresses and the mask that its gradient shares."""
    j, f = tl.arange(0, S.H * S.E)[:, None], tl.arange(0, S.D)[None, :]
    h, k = j // S.E, j % S.E
    at, inside = (h * S.e + k) * S.d + f, (h < S.n_heads) & (k < S.e) & (f < S.d)
    return tl.load(weights + at, inside, other=0.0), at, inside


@triton.jit
def _neurons(weights, start, S: tl.constexpr):
    """W_in (D, M) and W_out (M, D) of the neurons from `start`, with addresses and masks (weights: those of W_O)."""
    m, f = start + tl.arange(0, S.NEURONS), tl.arange(0, S.D)
    at_in = S.d * S.d + f[:, None] * (4 * S.d) + m[None, :]
    at_out = 5 * S.d * S.d + m[:, None] * S.d + f[None, :]
    inside = (f < S.d)[:, None] & (m < 4 * S.d)[None, :]
    turned = (m < 4 * S.d)[:, None] & (f < S.d)[None, :]
    W_in = tl.load(weights + at_in, inside, other=0.0)
    return W_in, at_in, inside, tl.load(weights + at_out, turned, other=0.0), at_out, turned


@triton.jit
def _unembedding(weights, S: tl.constexpr):
    """W_U (D, V), with its addresses and mask."""
    f, j = tl.arange(0, S.D)[:, None], tl.arange(0, S.V)[None, :]
    at, inside = 9 * S.d * S.d + f * S.n_vocab + j, (f < S.d) & (j < S.n_vocab)
    return tl.load(weights + at, inside, other=0.0), at, inside


@triton.jit
def _forward(weights, x_0, z, S: tl.constexpr):
    """Residual stream after attention, mid (R, D), and after the neurons, out (R, D); logits (R, V), −∞ where padded."""
    W_O, _, _ = _read_out(weights, S)
    mid = x_0[None, :] + _dot(z, W_O, S)
    out = mid
    for start in range(0, 4 * S.d, S.NEURONS):
        W_in, _, _, W_out, _, _ = _neurons(weights, start, S)
        out += _dot(tl.maximum(_dot(mid, W_in, S), 0.0), W_out, S)
    W_U, _, _ = _unembedding(weights, S)
    return mid, out, tl.where((tl.arange(0, S.V) < S.n_vocab)[None, :], _dot(out, W_U, S), float("-inf"))


@triton.jit
def _soften(logits, labels, S: tl.constexpr):
    """Which logit is the label's, (R, V); exponentials below the top logit, (R, V); own, and Σ of the others', (R,)."""
    mine = tl.arange(0, S.V)[None, :] == labels[:, None]
    e = tl.exp(logits - tl.max(logits, 1)[:, None])
    return mine, e, tl.sum(tl.where(mine, e, 0.0), 1), tl.sum(tl.where(mine, 0.0, e), 1)


@triton.jit
def _loss_gradient(logits, labels, share, S: tl.constexpr):
    """The gradient of the mean loss on the logits, (R, V); share (R,) is 1 / n, or 0 for rows past the end."""
    mine, e, own, rest = _soften(logits, labels, S)
    total = own + rest
    if S.plain:
        at_label = own / total - 1.0
    else:
        at_label = -rest / total
    return tl.where(mine, (at_label * share)[:, None], e * (share / total)[:, None])


@triton.jit
def _network_back(weights, sums, z, mid, out, d_logits, seen, S: tl.constexpr):
    """From the logits' gradient to those of z (R, H·E) and mid (R, D); adds those of W_O to W_U to the sums."""
    W_U, at, inside = _unembedding(weights, S)
    _add(sums + at, _dot(tl.trans(out), d_logits, S), inside, seen)
    d_out = _dot(d_logits, tl.trans(W_U), S)
    d_mid = d_out
    for start in range(0, 4 * S.d, S.NEURONS):
        W_in, at_in, inside, W_out, at_out, turned = _neurons(weights, start, S)
        hidden = tl.maximum(_dot(mid, W_in, S), 0.0)
        _add(sums + at_out, _dot(tl.trans(hidden), d_out, S), turned, seen)
        d_hidden = tl.where(hidden > 0.0, _dot(d_out, tl.trans(W_out), S), 0.0)
        _add(sums + at_in, _dot(tl.trans(mid), d_hidden, S), inside, seen)
        d_mid += _dot(d_hidden, tl.trans(W_in), S)
    W_O, at, inside = _read_out(weights, S)
    _add(sums + at, _dot(tl.trans(z), d_mid, S), inside, seen)
    return _dot(d_mid, tl.trans(W_O), S), d_mid


@triton.jit
def _attention_back(table, tokens, rows, n_table, order, n_rows, inside, z, dz, top, total, mixes, sums, seen,
                    S: tl.constexpr):
    """Leave dz, a and ds of each row for `scatter`; add those of `=`, which every row holds, to the sums."""
    h, k = tl.arange(0, S.H), tl.arange(0, S.E)
    real = (h < S.n_heads)[:, None] & (k < S.e)[None, :]
    features = h[:, None] * S.e + k[None, :]

"""The fused pass as Triton kernels: the way back, from the loss to every weight, and AdamW (see `kernels`).

The cross entropy is free of cancellation: ∂loss/∂logit_j = e_j / Z, and −Σ_{j≠y} e_j / Z for the label y.

`differentiate` leaves dz, a and ds of each row in memory, and `scatter` fetches the rows of an entry by a sorted index.
The other deterministic way to a table entry's gradient, a product of each tile with a one-hot matrix, would add a
quarter to the multiplications of the pass, which are what it spends its time on.
"""

# pyright: reportAttributeAccessIssue=false, reportOperatorIssue=false, reportGeneralTypeIssues=false
# (inside a kernel Python's syntax means Triton's types)

import triton
import triton.language as tl

from grokbook.training import kernels


@triton.jit
def _add(sums, place, values, seen):
    """Add to sums that this program alone keeps, or, where nothing was `seen` yet, begin them.

    A plain + would be folded into the product that `values` mostly is, as its starting value, and bringing the sums
    into the product's layout at that point drives both its operands out of registers.
    """
    at, inside = place
    old = tl.load(sums + at, inside & seen, other=0.0)
    tl.store(sums + at, tl.fma(values, 1.0, old), inside)


@triton.jit
def _mix_back(table, entry, inside, z, dz, top, total, S: tl.constexpr):
    """One entry's share a (R, H) of each row, and the gradient ds (R, H) of its score."""
    value, score = kernels.fetch(table, entry, inside, S)
    a = tl.exp(score - top) / total
    return a, a * tl.sum(dz * (value - z), 2)


@triton.jit
def _loss_back(weights, sums, out, label, share, seen, S: tl.constexpr):
    """The gradient of out (R, D); adds that of W_U. share (R,): 1 / n, or 0 for rows past the end."""
    own, rival, rest = kernels.soften(weights, out, label, S)
    top = tl.maximum(own, rival)
    mine, others = tl.exp(own - top), rest * tl.exp(rival - top)
    if S.plain:
        at_label = share * (mine / (mine + others) - 1.0)
    else:
        at_label = -share * others / (mine + others)
    scale = share * tl.exp(rival - top) / (mine + others)
    d_out = tl.zeros_like(out)
    for start in range(0, S.n_vocab, S.NEURONS):
        W_U = kernels.block(weights, kernels.place_of_U(start, S))
        logits, is_label = kernels.logits_of(out, W_U, start, label, S)
        e = tl.exp(tl.where(is_label, float("-inf"), logits) - rival[:, None])
        d_logits = tl.where(is_label, at_label[:, None], e * scale[:, None])
        _add(sums, kernels.place_of_U(start, S), kernels.dot(tl.trans(out), d_logits, S), seen)
        d_out += kernels.dot(d_logits, tl.trans(W_U), S)
    return d_out


@triton.jit
def _network_back(weights, sums, z, mid, d_out, seen, S: tl.constexpr):
    """From the gradient of out to those of z (R, H·E) and mid (R, D); adds those of W_O, W_in and W_out."""
    d_mid = d_out
    for start in range(0, 4 * S.d, S.NEURONS):
        W_in = kernels.block(weights, kernels.place_of_in(start, S))
        W_out = kernels.block(weights, kernels.place_of_out(start, S))
        hidden = kernels.relu(kernels.dot(mid, W_in, S))
        _add(sums, kernels.place_of_out(start, S), kernels.dot(tl.trans(hidden), d_out, S), seen)
        d_hidden = tl.where(hidden > 0.0, kernels.dot(d_out, tl.trans(W_out), S), 0.0)
        _add(sums, kernels.place_of_in(start, S), kernels.dot(tl.trans(mid), d_hidden, S), seen)
        d_mid += kernels.dot(d_hidden, tl.trans(W_in), S)
    _add(sums, kernels.place_of_O(S), kernels.dot(tl.trans(z), d_mid, S), seen)
    return kernels.dot(d_mid, tl.trans(kernels.block(weights, kernels.place_of_O(S))), S), d_mid


@triton.jit
def _attention_back(table, tokens, row, n_table, nth, max_rows, inside, z, dz, top, total, mixes, sums, seen,
                    S: tl.constexpr):
    """Leave a and ds of each row for `scatter`; add those of `=`, which every row holds, to the sums."""
    h, k = tl.arange(0, S.H), tl.arange(0, S.E)
    heads = h < S.n_heads
    a, ds = _mix_back(table, tl.zeros_like(row), inside, z, dz, top, total, S)
    sums += S.n_params - S.at_O + S.d
    lanes = h[:, None] * S.e + k[None, :], heads[:, None] & (k < S.e)[None, :]
    _add(sums, lanes, tl.sum(a[:, :, None] * dz, 0), seen)
    _add(sums + S.d, (h, heads), tl.sum(ds, 0), seen)
    for i in tl.static_range(S.n_ctx - 1):
        entry = tl.load(tokens + i * n_table + row, inside, other=0)
        a, ds = _mix_back(table, entry, inside, z, dz, top, total, S)
        at = mixes + (i * max_rows + nth)[:, None] * (2 * S.n_heads) + h[None, :]
        tl.store(at, a, inside[:, None] & heads[None, :])
        tl.store(at + S.n_heads, ds, inside[:, None] & heads[None, :])


@triton.jit
def _tile_back(weights, x_0, table, tokens, row, label, n_table, nth, max_rows, share, dz_rows, mixes, sums, seen,
               S: tl.constexpr):
    """One tile of training rows, forward and back. share (R,): 1 / n, or 0 past the end."""
    inside = share > 0
    z, top, total = kernels.attend(table, tokens, row, n_table, inside, S)
    lanes = tl.reshape(z, (S.ROWS, S.H * S.E))
    mid, out = kernels.forward(weights, x_0, lanes, S)
    d_out = _loss_back(weights, sums, out, label, share, seen, S)
    d_lanes, d_mid = _network_back(weights, sums, lanes, mid, d_out, seen, S)
    f = tl.arange(0, S.D)
    _add(sums + S.n_params - S.at_O, (f, f < S.d), tl.sum(d_mid, 0), seen)
    j = tl.arange(0, S.H * S.E)[None, :]
    real = inside[:, None] & (j // S.E < S.n_heads) & (j % S.E < S.e)
    tl.store(dz_rows + nth[:, None] * S.d + j // S.E * S.e + j % S.E, d_lanes, real)
    dz = tl.reshape(d_lanes, (S.ROWS, S.H, S.E))
    _attention_back(table, tokens, row, n_table, nth, max_rows, inside, z, dz, top, total, mixes, sums, seen, S)


@triton.jit(do_not_specialize=kernels.COHORT)
def differentiate(theta, table, tokens, labels, rows, n_rows, groups, dz_rows, mixes, n_table, max_rows, max_groups,
                  S: tl.constexpr):
    """Gradients of one group of tiles. Grid (groups, model).

    tokens (n_ctx − 1, n_table): entries of each row of the table; labels (model, n_table); rows (model, max_rows): the
    training rows, n_rows (model,) of them. Out: groups (model, max_groups, n_sums), dz_rows (model, max_rows, d) and
    mixes (model, n_ctx − 1, max_rows, 2 n_heads), shares and score gradients.
    """
    model, group = tl.program_id(1).to(tl.int64), tl.program_id(0)
    first, n = group * S.GROUP, tl.load(n_rows + model)
    theta, table = theta + model * S.n_params, table + model * S.n_entries * S.width
    labels, rows = labels + model * n_table, rows + model * max_rows
    dz_rows, mixes = dz_rows + model * max_rows * S.d, mixes + model * (S.n_ctx - 1) * max_rows * 2 * S.n_heads
    sums = groups + (model * max_groups + group) * S.n_sums
    x_0 = kernels.last_stream(theta, S)
    for start in range(first, tl.minimum(first + S.GROUP, n), S.ROWS):
        nth = start + tl.arange(0, S.ROWS)
        row = tl.load(rows + nth, nth < n, other=0)
        share = (nth < n).to(x_0.dtype) / n.to(x_0.dtype)
        _tile_back(theta + S.at_O, x_0, table, tokens, row, tl.load(labels + row), n_table, nth, max_rows, share,
                   dz_rows, mixes, sums, start > first, S)
        tl.debug_barrier()


@triton.jit(do_not_specialize=kernels.COHORT)
def scatter(dz_rows, mixes, order, starts, grad, max_rows, S: tl.constexpr):
    """The gradient of one entry's values and scores. Grid (n_entries − 1, model), for every entry but `=`.

    order (model, (n_ctx − 1) max_rows): training rows sorted by the entry they hold; starts (model, n_entries): where
    each entry's begin. Out: rows 1… of the table's gradient, at the end of grad (model, n_grad).
    """
    model, entry = tl.program_id(1).to(tl.int64), tl.program_id(0)
    dz_rows, order = dz_rows + model * max_rows * S.d, order + model * (S.n_ctx - 1) * max_rows
    mixes += (model * (S.n_ctx - 1) + entry // S.n_vocab) * max_rows * 2 * S.n_heads
    starts += model * S.n_entries + entry
    h, k = tl.arange(0, S.H), tl.arange(0, S.E)
    features, real = h[:, None] * S.e + k[None, :], (h < S.n_heads)[:, None] & (k < S.e)[None, :]
    begin, end = tl.load(starts), tl.load(starts + 1)
    d_values = tl.full((S.H, S.E), 0.0, grad.dtype.element_ty)
    d_scores = tl.full((S.H,), 0.0, grad.dtype.element_ty)
    for at in range(begin, end, S.HELD):
        inside = at + tl.arange(0, S.HELD) < end
        nth = tl.load(order + at + tl.arange(0, S.HELD), inside, other=0)
        mix = mixes + nth[:, None] * (2 * S.n_heads) + h[None, :]
        heads = inside[:, None] & (h < S.n_heads)[None, :]
        a, ds = tl.load(mix, heads, other=0.0), tl.load(mix + S.n_heads, heads, other=0.0)
        at_dz = dz_rows + nth[:, None, None] * S.d + features[None, :, :]
        dz = tl.load(at_dz, inside[:, None, None] & real[None, :, :], other=0.0)
        d_values += tl.sum(a[:, :, None] * dz, 0)
        d_scores += tl.sum(ds, 0)
    d_entry = grad + model * S.n_grad + S.n_params + S.d + (entry + 1) * S.width
    tl.store(d_entry + features, d_values, real)
    tl.store(d_entry + S.d + h, d_scores, h < S.n_heads)


@triton.jit(do_not_specialize=kernels.COHORT)
def reduce(groups, n_rows, grad, max_groups, S: tl.constexpr):
    """The groups summed in order, into grad from W_O on. Grid (blocks of n_sums, model)."""
    model = tl.program_id(1).to(tl.int64)
    k = tl.program_id(0) * S.BLOCK + tl.arange(0, S.BLOCK)
    groups += model * max_groups * S.n_sums
    total = tl.full((S.BLOCK,), 0.0, grad.dtype.element_ty)
    for group in range(0, tl.cdiv(tl.load(n_rows + model), S.GROUP)):
        total += tl.load(groups + group * S.n_sums + k, k < S.n_sums, other=0.0)
    tl.store(grad + model * S.n_grad + S.at_O + k, total, k < S.n_sums)


@triton.jit
def _table_tile(d_table, position, start, h, S: tl.constexpr):
    """One head's part of the table's gradient, for the tokens from `start` at a position, (T, L)."""
    token = start + tl.arange(0, S.TOKENS)
    column, lanes = kernels.head_lanes(h, S)
    at = (1 + position * S.n_vocab + token) * S.width
    return tl.load(d_table + at[:, None] + column[None, :], (token < S.n_vocab)[:, None] & lanes[None, :], other=0.0)


@triton.jit
def collect(theta, heads, grad, S: tl.constexpr):
    """From the table's gradient to those of one head's W_Q, W_K and W_V. Grid (n_heads, model). Leaves dq in heads."""
    model, h = tl.program_id(1).to(tl.int64), tl.program_id(0)
    theta, grad = theta + model * S.n_params, grad + model * S.n_grad
    heads += (model * (S.n_heads + 2) + S.n_heads) * S.d + h * S.e
    d_table = grad + S.n_params + S.d
    k = tl.arange(0, S.L)
    column, lanes = kernels.head_lanes(h, S)
    x_0 = kernels.last_stream(theta, S)
    d_mixing = x_0[:, None] * tl.load(d_table + column, lanes, other=0.0)[None, :]
    for i in range(S.n_ctx - 1):
        for start in range(0, S.n_vocab, S.TOKENS):
            token = start + tl.arange(0, S.TOKENS)
            x = kernels.streams(theta, token, tl.zeros_like(token) + i, token < S.n_vocab, S)
            d_mixing += kernels.dot(tl.trans(x), _table_tile(d_table, i, start, h, S), S)
    du = tl.sum(tl.where((k == S.e)[None, :], d_mixing, 0.0), 1)
    q = tl.load(heads + k, k < S.e, other=0.0)
    at, inside = kernels.place_of_head(h, S)
    dq = tl.sum(tl.load(theta + S.at_Q + S.d * S.d + at, inside, other=0.0) * du[:, None], 0) / S.root
    tl.store(grad + S.at_Q + at, x_0[:, None] * dq[None, :], inside)
    tl.store(grad + S.at_Q + S.d * S.d + at, du[:, None] * q[None, :], inside)
    tl.store(grad + S.at_Q + 2 * S.d * S.d + at, d_mixing, inside)
    tl.store(heads + S.d + k, dq, k < S.e)


@triton.jit
def embed(theta, heads, grad, S: tl.constexpr):
    """The gradient of W_E for a tile of tokens, all but `=`. Grid (tiles of tokens, model)."""
    model = tl.program_id(1).to(tl.int64)
    theta, grad = theta + model * S.n_params, grad + model * S.n_grad
    heads += model * (S.n_heads + 2) * S.d
    start, f = tl.program_id(0) * S.TOKENS, tl.arange(0, S.D)
    dx = tl.full((S.TOKENS, S.D), 0.0, grad.dtype.element_ty)
    for h in range(S.n_heads):
        back = tl.trans(kernels.mixing(theta, heads, h, S))
        for i in range(S.n_ctx - 1):
            dx += kernels.dot(_table_tile(grad + S.n_params + S.d, i, start, h, S), back, S)
    token = start + tl.arange(0, S.TOKENS)
    tl.store(grad + token[:, None] * S.d + f[None, :], dx, (token < S.n_vocab - 1)[:, None] & (f < S.d)[None, :])


@triton.jit
def locate(theta, heads, grad, S: tl.constexpr):
    """The gradient of W_pos at one position; at the last, which is always `=`, also that of its embedding, dx_0.

    Grid (n_ctx, model). x_0 feeds the residual stream, the table's entry 0 and, through q, every score.
    """
    model, i = tl.program_id(1).to(tl.int64), tl.program_id(0)
    theta, grad = theta + model * S.n_params, grad + model * S.n_grad
    heads += model * (S.n_heads + 2) * S.d
    d_table, is_last = grad + S.n_params + S.d, i == S.n_ctx - 1
    f, k = tl.arange(0, S.D), tl.arange(0, S.L)
    dx = tl.load(grad + S.n_params + f, (f < S.d) & is_last, other=0.0)
    for h in range(S.n_heads):
        column, lanes = kernels.head_lanes(h, S)
        d_lanes = tl.load(d_table + column, lanes & is_last, other=0.0)
        if i < S.n_ctx - 1:
            for start in range(0, S.n_vocab, S.TOKENS):
                d_lanes += tl.sum(_table_tile(d_table, i, start, h, S), 0)
        dx += tl.sum(kernels.mixing(theta, heads, h, S) * d_lanes[None, :], 1)
        dq = tl.load(heads + (S.n_heads + 1) * S.d + h * S.e + k, (k < S.e) & is_last, other=0.0)
        dx += tl.sum(kernels.block(theta + S.at_Q, kernels.place_of_head(h, S)) * dq[None, :], 1)
    tl.store(grad + (S.n_vocab + i) * S.d + f, dx, f < S.d)
    tl.store(grad + (S.n_vocab - 1) * S.d + f, dx, (f < S.d) & is_last)


@triton.jit
def adamw(theta, m, v, grad, clock, optimiser, S: tl.constexpr):
    """One step of PyTorch's AdamW. Grid (blocks of n_params, model).

    clock float64: the step's number t from 1, β₁ᵗ, β₂ᵗ; optimiser (model, 3) float64: lr, weight decay, warm-up steps.
    """
    model = tl.program_id(1).to(tl.int64)
    k = tl.program_id(0) * S.BLOCK + tl.arange(0, S.BLOCK)
    at, inside = model * S.n_params + k, k < S.n_params
    rate = tl.load(optimiser + model * 3)
    rate *= tl.minimum(tl.load(clock) / tl.load(optimiser + model * 3 + 2), 1.0)
    keep = 1.0 - rate * tl.load(optimiser + model * 3 + 1)
    size, root = rate / (1.0 - tl.load(clock + 1)), tl.sqrt(1.0 - tl.load(clock + 2))
    g = tl.load(grad + model * S.n_grad + k, inside, other=0.0)
    mean = S.beta1 * tl.load(m + at, inside, other=0.0) + (1 - S.beta1) * g
    square = S.beta2 * tl.load(v + at, inside, other=0.0) + (1 - S.beta2) * g * g
    step = size.to(g.dtype) * mean / (tl.sqrt(square) / root.to(g.dtype) + S.eps)
    tl.store(m + at, mean, inside)
    tl.store(v + at, square, inside)
    tl.store(theta + at, keep.to(g.dtype) * tl.load(theta + at, inside, other=0.0) - step, inside)

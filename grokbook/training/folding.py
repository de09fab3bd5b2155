"""What the rows share, folded through the layer once a step, and the way back (docs/fused.md, 2 and 5).

X = [W_E; W_pos]. A row of X adds to the residual stream, for head h, R_h = X W_V^h W_O^h; to the neurons R_h W_in; and
to the logits R_h W_U. An entry (token t, position i) is measured from an example that attends to `=` alone, the base:

    T_h[t, i] = F_h[t] + F_h[i] − F_h[=] − F_h[last],   F_h = [R_h W_in | R_h or R_h W_U]
    mid = x_(=) + Σ_h (R_h[=] + R_h[last]),             base = [mid W_in | mid or mid W_U]
"""

import math

from grokbook.training.compiled import inner
from grokbook.training.products import correlate, multiply, transposed


@inner
def _copy(source, target):
    for i in range(source.shape[0]):
        for j in range(source.shape[1]):
            target[i, j] = source[i, j]


@inner
def _pack(sizes, weights, operands):
    """Copy the weights to where the products read them."""
    e = sizes.d_head
    for h in range(sizes.n_heads):
        _copy(weights.W_V[h], operands.W_V[:, h * e :])
        _copy(weights.W_O[h], operands.W_O[h * e :])
    _copy(weights.W_in, operands.W_in)
    _copy(weights.W_out, operands.out)
    _copy(weights.W_U, operands.U)
    transposed(operands.out, operands.out_T, sizes.m_pad, sizes.d_pad)
    if sizes.wide:
        multiply(operands.out[: sizes.d_mlp], operands.U[: sizes.d], operands.M, sizes.v_pad, False)  # (m, d) (d, v)
        transposed(operands.M, operands.M_T, sizes.m_pad, sizes.v_pad)
    else:
        transposed(operands.U, operands.U_T, sizes.d_pad, sizes.v_pad)


@inner
def _through_residual(sizes):
    """Whether the residual stream's way to the neurons multiplies less than W_O W_in does."""
    n = sizes.n_vocab + sizes.n_ctx
    return (sizes.n_heads - 1) * n < sizes.d


@inner
def _query(weights, h, last, k):
    """Number k of head h's query at `=`, of the two rows of X that `last` names."""
    q = weights.X.dtype.type(0)
    for f in range(weights.X.shape[1]):
        q += (weights.X[last[0], f] + weights.X[last[1], f]) * weights.W_Q[h, f, k]
    return q


@inner
def _score(sizes, weights, table, last):
    """u_h = W_K^h q_h / √d_head, and the score x · u_h of every row of X."""
    X, u = weights.X, table.u
    root = X.dtype.type(math.sqrt(sizes.d_head))
    for h in range(sizes.n_heads):
        u[h] = 0
        for k in range(sizes.d_head):
            q = _query(weights, h, last, k) / root
            for f in range(sizes.d):
                u[h, f] += weights.W_K[h, f, k] * q
        for t in range(X.shape[0]):
            score = X.dtype.type(0)
            for f in range(sizes.d):
                score += X[t, f] * u[h, f]
            table.X_scores[t, h] = score


@inner
def _expand(sizes, table, names, last):
    """From rows of X to entries, less `=`."""
    folded, base, scores = table.folded, table.folded_last[0], table.X_scores
    for f in range(base.shape[0]):
        base[f] = folded[last[0], f] + folded[last[1], f]
    for entry in range(names.shape[1]):
        t, i = names[0, entry], names[1, entry]
        for h in range(sizes.n_heads):
            table.scores[entry, h] = scores[t, h] + scores[i, h] - scores[last[0], h] - scores[last[1], h]
        row, token, position = table.wide_rows[entry], folded[t], folded[i]
        for f in range(row.shape[0]):
            row[f] = token[f] + position[f] - base[f]


@inner
def fold(sizes, weights, operands, table, names):
    """Fill `table` for the present weights. names (2, entry): the rows of X that an entry is the sum of."""
    X, d, e, m_pad = weights.X, sizes.d, sizes.d_head, sizes.m_pad
    last = X.shape[0] - sizes.n_ctx - 1, X.shape[0] - 1
    _pack(sizes, weights, operands)
    _score(sizes, weights, table, last)
    multiply(X, operands.W_V, table.values, sizes.d_pad, False)  # (n, d) (d, d)
    for f in range(d):
        table.mid[0, f] = X[last[0], f] + X[last[1], f]
    for h in range(sizes.n_heads):
        head = slice(h * e, h * e + e)
        v, W_O, O_in = table.values[:, head], operands.W_O[head], table.O_in[head]
        R, folded = table.residual[h], table.folded[:, h * table.rows.shape[1] :]
        multiply(v, W_O, R, sizes.d_pad, False)  # (n, e) (e, d)
        if _through_residual(sizes):
            multiply(R, operands.W_in, folded, m_pad, False)  # (n, d) (d, m)
        else:
            multiply(W_O, operands.W_in, O_in, m_pad, False)  # (e, d) (d, m)
            multiply(v, O_in, folded, m_pad, False)  # (n, e) (e, m)
        if sizes.wide:
            multiply(R, operands.U[:d], folded[:, m_pad:], sizes.v_pad, False)  # (n, d) (d, v)
        else:
            _copy(R[:, : sizes.d_pad], folded[:, m_pad:])
        for f in range(d):
            table.mid[0, f] += R[last[0], f] + R[last[1], f]
    multiply(table.mid, operands.W_in, table.base, m_pad, False)
    if sizes.wide:
        multiply(table.mid, operands.U[:d], table.base[:, m_pad:], sizes.v_pad, False)
    else:
        _copy(table.mid[:, : sizes.d_pad], table.base[:, m_pad:])
    _expand(sizes, table, names, last)


@inner
def _move(source, target, first, end):
    """Add rows `first` to `end` of one array to another, and leave zeros."""
    for i in range(first, end):
        part, total = source[i], target[i]
        for j in range(part.shape[0]):
            total[j] += part[j]
            part[j] = 0


@inner
def collect(k, slot, sizes, rows, parts, total):
    """Add part k's gradients, which are in that slot, to the total, and make room for another part's."""
    for entry in range(rows.owner.shape[0]):
        if rows.owner[entry] < 0 or rows.owner[entry] == k:
            _move(parts.wide_table[slot], total.wide_table[0], entry, entry + 1)
            _move(parts.scores[slot], total.scores[0], entry, entry + 1)
    _move(parts.base[slot], total.base[0], 0, 1)
    _move(parts.first[slot], total.first[0], 0, parts.first.shape[1])
    _move(parts.second[slot], total.second[0], 0, parts.second.shape[1])


@inner
def _contract(sizes, table, names, total, last):
    """The way back of `_expand`: entries' gradients to rows of X. Those of scores end in table.X_scores."""
    d_folded, d_scores = table.d_folded, table.X_scores
    d_folded[:] = 0
    d_scores[:] = 0
    for entry in range(names.shape[1]):
        t, i = names[0, entry], names[1, entry]
        token, position, change = d_folded[t], d_folded[i], total.wide_table[0, entry]
        for f in range(change.shape[0]):
            token[f] += change[f]
            position[f] += change[f]
            change[f] = 0
        for h in range(sizes.n_heads):
            d_scores[t, h] += total.scores[0, entry, h]
            d_scores[i, h] += total.scores[0, entry, h]
            total.scores[0, entry, h] = 0
    for i in range(sizes.n_vocab, last[1]):  # every entry is at one of these positions
        for row in last:
            for f in range(d_folded.shape[1]):
                d_folded[row, f] -= d_folded[i, f]
            for h in range(sizes.n_heads):
                d_scores[row, h] -= d_scores[i, h]


@inner
def _score_back(sizes, weights, gradient, table, last):
    """From the gradients of X's scores to W_K, W_Q and X."""
    X, u, d_scores = weights.X, table.u, table.X_scores
    root = X.dtype.type(math.sqrt(sizes.d_head))
    for h in range(sizes.n_heads):
        for t in range(X.shape[0]):
            for f in range(sizes.d):
                gradient.X[t, f] += d_scores[t, h] * u[h, f]
        du = u[h]  # which is not needed any more
        du[:] = 0
        for t in range(X.shape[0]):
            for f in range(sizes.d):
                du[f] += d_scores[t, h] * X[t, f]
        for k in range(sizes.d_head):
            q, dq = _query(weights, h, last, k) / root, X.dtype.type(0)
            for f in range(sizes.d):
                dq += weights.W_K[h, f, k] * du[f]
            dq /= root
            for f in range(sizes.d):
                gradient.W_K[h, f, k] = du[f] * q
                gradient.W_Q[h, f, k] = (X[last[0], f] + X[last[1], f]) * dq
                gradient.X[last[0], f] += weights.W_Q[h, f, k] * dq
                gradient.X[last[1], f] += weights.W_Q[h, f, k] * dq


@inner
def unfold(sizes, weights, gradient, operands, table, names, total):
    """Carry the rows' gradients on to all weights, into `gradient`; they are zero then."""
    X, d, e, m, v, m_pad = weights.X, sizes.d, sizes.d_head, sizes.d_mlp, sizes.n_vocab, sizes.m_pad
    last = X.shape[0] - sizes.n_ctx - 1, X.shape[0] - 1
    _contract(sizes, table, names, total, last)
    gradient.X[:], gradient.W_out[:] = 0, 0
    table.d_W_in[:], table.d_U[:], table.d_O[:], table.d_values[:], table.d_mid[:] = 0, 0, 0, 0, 0
    d_base = total.base[0]
    multiply(table.mid.T[:d], d_base, table.d_W_in, m_pad, True)  # (d, 1) (1, m)
    correlate(d_base, operands.W_in, table.d_mid, m_pad)  # (1, m) (m, d)
    if sizes.wide:
        correlate(total.first[0], operands.U[:d], gradient.W_out, sizes.v_pad)  # (m, v) (v, d)
        multiply(operands.out_T[:d], total.first[0], table.d_U, sizes.v_pad, True)  # (d, m) (m, v)
        multiply(table.mid.T[:d], d_base[:, m_pad:], table.d_U, sizes.v_pad, True)  # (d, 1) (1, v)
        correlate(d_base[:, m_pad:], operands.U[:d], table.d_mid, sizes.v_pad)  # (1, v) (v, d)
    else:
        _copy(total.first[0][:, :d], gradient.W_out)
        _copy(total.second[0], table.d_U)
        for f in range(d):
            table.d_mid[0, f] += d_base[0, m_pad + f]
    for h in range(sizes.n_heads):
        _unfold_head(sizes, operands, table, h, last)
    multiply(X.T, table.d_values, table.d_V, sizes.d_pad, False)  # (d, n) (n, d)
    correlate(table.d_values, operands.W_V, gradient.X, sizes.d_pad)  # (n, d) (d, d)
    for row in last:
        for f in range(d):
            gradient.X[row, f] += table.d_mid[0, f]
    _score_back(sizes, weights, gradient, table, last)
    for h in range(sizes.n_heads):
        _copy(table.d_V[:, h * e : h * e + e], gradient.W_V[h])
        _copy(table.d_O[h * e : h * e + e, :d], gradient.W_O[h])
    _copy(table.d_W_in[:, :m], gradient.W_in)
    _copy(table.d_U[:, :v], gradient.W_U)
    total.base[:], total.first[:], total.second[:] = 0, 0, 0


@inner
def _unfold_head(sizes, operands, table, h, last):
    """From the gradient of one head's `folded` to those of its values and of W_O, W_in and W_U."""
    d, e, m_pad = sizes.d, sizes.d_head, sizes.m_pad
    head = slice(h * e, h * e + e)
    v, dv, W_O, d_O = table.values[:, head], table.d_values[:, head], operands.W_O[head], table.d_O[head]
    R, dR, d_folded = table.residual[h], table.d_residual, table.d_folded[:, h * table.rows.shape[1] :]
    dR[:] = 0
    if sizes.wide:
        correlate(d_folded[:, m_pad:], operands.U[:d], dR, sizes.v_pad)  # (n, v) (v, d)
        multiply(R.T[:d], d_folded[:, m_pad:], table.d_U, sizes.v_pad, True)  # (d, n) (n, v)
    else:
        _copy(d_folded[:, m_pad : m_pad + sizes.d_pad], dR)
    for row in last:
        for f in range(d):
            dR[row, f] += table.d_mid[0, f]
    if _through_residual(sizes):
        correlate(d_folded, operands.W_in, dR, m_pad)  # (n, m) (m, d)
        multiply(R.T[:d], d_folded, table.d_W_in, m_pad, True)  # (d, n) (n, m)
    else:
        O_in, d_O_in = table.O_in[head], table.d_O_in[head]
        correlate(d_folded, O_in, dv, m_pad)  # (n, m) (m, e)
        multiply(v.T, d_folded, d_O_in, m_pad, False)  # (e, n) (n, m)
        correlate(d_O_in, operands.W_in, d_O, m_pad)  # (e, m) (m, d)
        multiply(W_O.T[:d], d_O_in, table.d_W_in, m_pad, True)  # (d, e) (e, m)
    correlate(dR, W_O, dv, sizes.d_pad)  # (n, d) (d, e)
    multiply(v.T, dR, d_O, sizes.d_pad, True)  # (e, n) (n, d)

"""The two matrix products that the CPU engine consists of, in registers.

    multiply:    C[o, r] (+)= Σ_i W[o, i] X[i, r]      A B, and with W transposed Aᵀ B
    correlate:   G[i, o]  += Σ_r X[i, r] Y[o, r]       A Bᵀ

A block of the result stays in vector registers over the whole sum: as many rows of C as leave room for the vectors of X
that they share, so that a number is loaded for six multiplications, not for one. W may be strided any way; X, Y and C
have unit stride along r. `correlate` sums along the vectors, whose lanes are added up at the end of a block by a tree
of shuffles: it pays where the sum is long. `transposed` turns a matrix, so that `multiply` can do the rest.
"""

# pyright: reportCallIssue=false
# (an intrinsic is called without its first parameter, the typing context)

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from grokbook.training.compiled import X86, inner
from grokbook.training.vectors import (
    FEATURES,
    accumulators,
    any_layout,
    fma,
    fold,
    lanes_of,
    matrices,
    number,
    plus,
    transpose,
)

VECTORS = 2 if X86 and not FEATURES.get("avx512f") else 4
"""Vectors along r that a block of `multiply` holds: with six outputs 24 of 32 registers, or 12 of 16."""

BLOCK = 6
"""Outputs that a block of `multiply` holds."""

DEPTH = 256
"""Terms of a sum that are taken at a time: so much of X, one block wide, stays in the first-level cache."""


def _multiply_block(outputs, n_vectors):
    """LLVM code for `outputs` rows of C and `n_vectors` vectors of its columns, held in registers over the sum."""

    @intrinsic
    def block(typing, W, X, C, o, r, add):
        def generate(context, builder, signature, arguments):
            w, x, c = matrices(context, builder, signature, arguments, 3)
            o, r, add = arguments[3:]
            sums = accumulators(builder, x.vector, outputs * n_vectors)
            columns = [plus(builder, r, k * x.vector.count) for k in range(n_vectors)]
            with builder.if_then(add):
                for a in range(outputs):
                    for k, column in enumerate(columns):
                        builder.store(c.load(plus(builder, o, a), column), sums[a * n_vectors + k])
            with cgutils.for_range(builder, x.shape[0]) as loop:
                vectors = [x.load(loop.index, column) for column in columns]
                for a in range(outputs):
                    weight = w.broadcast(plus(builder, o, a), loop.index)
                    for k in range(n_vectors):
                        slot = sums[a * n_vectors + k]
                        builder.store(fma(builder, weight, vectors[k], builder.load(slot)), slot)
            for a in range(outputs):
                for k, column in enumerate(columns):
                    c.store(builder.load(sums[a * n_vectors + k]), plus(builder, o, a), column)
            return context.get_dummy_value()

        return types.void(W, X, C, types.intp, types.intp, types.boolean), generate

    return block


_multiply_6, _multiply_4, _multiply_1 = (_multiply_block(outputs, VECTORS) for outputs in (BLOCK, 4, 1))
_multiply_narrow, _multiply_narrow_1 = _multiply_block(BLOCK, 1), _multiply_block(1, 1)


@inner
def _multiply(W, X, C, n, add):
    for i in range(0, X.shape[0], DEPTH):
        _multiply_some(W[:, i:], X[i : i + DEPTH], C, n, add or i > 0)


@inner
def _multiply_some(W, X, C, n, add):
    outputs, lanes = W.shape[0], lanes_of(C)
    whole, wide = outputs - outputs % BLOCK, n - n % (VECTORS * lanes)
    sixes = whole - BLOCK if outputs % BLOCK == 2 and whole else whole  # 8 is 4 + 4, which is quicker than 6 + 1 + 1
    fours = outputs - (outputs - sixes) % 4
    for r in range(0, wide, VECTORS * lanes):
        for o in range(0, sixes, BLOCK):
            _multiply_6(W, X, C, o, r, add)
        for o in range(sixes, fours, 4):
            _multiply_4(W, X, C, o, r, add)
        for o in range(fours, outputs):
            _multiply_1(W, X, C, o, r, add)
    for r in range(wide, n, lanes):
        for o in range(0, whole, BLOCK):
            _multiply_narrow(W, X, C, o, r, add)
        for o in range(whole, outputs):
            _multiply_narrow_1(W, X, C, o, r, add)


@register_jitable(inline="always")  # compiled for every kind of array it would take seconds
def multiply(W, X, C, n, add):
    """C[:, :n] = W @ X[:, :n], or += where `add`. n is a multiple of the lanes of a register."""
    _multiply(any_layout(W), any_layout(X), any_layout(C), n, add)


def _correlate_block(rows, columns):
    """LLVM code for a block of G, `rows` by `columns`, one vector of partial sums an entry."""

    @intrinsic
    def block(typing, X, Y, G, i, o, n):
        def generate(context, builder, signature, arguments):
            x, y, g = matrices(context, builder, signature, arguments, 3)
            i, o, n = arguments[3:]
            sums = accumulators(builder, x.vector, rows * columns)
            with cgutils.for_range_slice(builder, number(0), n, number(x.vector.count), inc=True) as (r, _):
                right = [y.load(plus(builder, o, b), r) for b in range(columns)]
                for a in range(rows):
                    left = x.load(plus(builder, i, a), r)
                    for b in range(columns):
                        slot = sums[a * columns + b]
                        builder.store(fma(builder, left, right[b], builder.load(slot)), slot)
            lanes = x.vector.count
            for start in range(0, rows * columns, lanes):
                totals = fold(builder, [builder.load(slot) for slot in sums[start : start + lanes]])[0]
                for k in range(start, min(start + lanes, rows * columns)):
                    total = builder.extract_element(totals, ir.Constant(ir.IntType(32), k - start))
                    at = plus(builder, i, k // columns), plus(builder, o, k % columns)
                    g.store(builder.fadd(g.load(*at, g.scalar), total), *at)
            return context.get_dummy_value()

        return types.void(X, Y, G, types.intp, types.intp, types.intp), generate

    return block


_correlate_24, _correlate_14, _correlate_11 = (_correlate_block(*shape) for shape in ((2, 4), (1, 4), (1, 1)))


@inner
def _correlate(X, Y, G, n):
    for r in range(0, n, 2 * DEPTH):
        _correlate_some(X[:, r:], Y[:, r:], G, min(2 * DEPTH, n - r))


@inner
def _correlate_some(X, Y, G, n):
    pairs, fours = X.shape[0] - X.shape[0] % 2, Y.shape[0] - Y.shape[0] % 4
    for o in range(0, fours, 4):
        for i in range(0, pairs, 2):
            _correlate_24(X, Y, G, i, o, n)
        if X.shape[0] % 2:
            _correlate_14(X, Y, G, pairs, o, n)
    for o in range(fours, Y.shape[0]):
        for i in range(X.shape[0]):
            _correlate_11(X, Y, G, i, o, n)


@register_jitable(inline="always")  # compiled for every kind of array it would take seconds
def correlate(X, Y, G, n):
    """G += X[:, :n] @ Y[:, :n].T. n is a multiple of the lanes of a register."""
    _correlate(any_layout(X), any_layout(Y), any_layout(G), n)


@intrinsic
def _transpose_square(typing, X, Y, i, r):
    """Y[r …, i …] = X[i …, r …]ᵀ, a square of lanes."""

    def generate(context, builder, signature, arguments):
        x, y = matrices(context, builder, signature, arguments, 2)
        i, r = arguments[2:]
        rows = range(x.vector.count)
        square = transpose(builder, [x.load(plus(builder, i, k), r) for k in rows])
        for k in rows:
            y.store(square[k], plus(builder, r, k), i)
        return context.get_dummy_value()

    return types.void(X, Y, types.intp, types.intp), generate


@register_jitable
def transposed(X, Y, m, n):
    """Y[:n, :m] = X[:m, :n].T; m and n are multiples of the lanes of a register."""
    lanes = lanes_of(X)
    for r in range(0, n, lanes):
        for i in range(0, m, lanes):
            _transpose_square(X, Y, i, r)

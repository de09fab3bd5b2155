"""What a tile of rows takes besides matrix products: attention's mixture of table rows, the exponential, softmax.

A row names one entry of the table at each position, and an entry has one table row a head (docs/fused.md, 8):

    mix:      tile[f, r] = base[f] + Σ_s a[s, r] table[s(r), f]          s over (position, head)
    unmix:    d_table[s(r), f] += a[s, r] tile[f, r]      da[s, r] = Σ_f tile[f, r] table[s(r), f]
              d_base[f] += Σ_r tile[f, r]
"""

# pyright: reportCallIssue=false
# (an intrinsic is called without its first parameter, the typing context)

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from grokbook.training import products as vec

STRIP = 512
"""Features that a strip holds: with eight rows in float32, half of a first-level cache of 32 kB."""


def _first_row(builder, entries, i, column, n_heads, h):
    """The table row of an entry's head h."""
    entry = builder.sext(entries.load(i, column, ir.IntType(32)), vec.INDEX)
    return builder.add(builder.mul(entry, n_heads), h)


def _add_heads(n_positions, n):
    """LLVM code that adds `n` heads of each of some positions to the features f0 … f1 of row k of a strip."""

    @intrinsic
    def add(typing, source, table, entries, a, strip, i, h, n_heads, at, r, k, of, shift, f0, f1):
        def generate(context, builder, signature, arguments):
            source, table, entries, a, strip = vec.matrices(context, builder, signature, arguments, 5)
            i, h, n_heads, at, r, k, of, shift, f0, f1 = arguments[5:]
            row, terms = builder.add(r, k), []
            for position in (vec.plus(builder, i, j) for j in range(n_positions)):
                first = _first_row(builder, entries, position, builder.add(at, row), n_heads, h)
                s = builder.add(builder.mul(position, n_heads), h)
                terms += [(a.broadcast(vec.plus(builder, s, t), row), vec.plus(builder, first, t)) for t in range(n)]
            step = ir.Constant(vec.INDEX, table.vector.count)
            with cgutils.for_range_slice(builder, f0, f1, step, inc=True) as (f, _):
                total = source.load(of, builder.sub(f, shift))
                for share, name in terms:
                    total = vec.fma(builder, share, table.load(name, f), total)
                strip.store(total, k, builder.sub(f, f0))
            return context.get_dummy_value()

        return types.void(source, table, entries, a, strip, *[types.intp] * 10), generate

    return add


def _spread_heads(n):
    """LLVM code for the way back of `_add_heads`: into the gradients of `n` table rows, and of their shares."""

    @intrinsic
    def back(typing, strip, table, d_table, entries, a, da, i, h, n_heads, at, r, k, f0, f1):
        def generate(context, builder, signature, arguments):
            strip, table, d_table, entries, a, da = vec.matrices(context, builder, signature, arguments, 6)
            i, h, n_heads, at, r, k, f0, f1 = arguments[6:]
            row, vector = builder.add(r, k), table.vector
            first = _first_row(builder, entries, i, builder.add(at, row), n_heads, h)
            s = builder.add(builder.mul(i, n_heads), h)
            names = [vec.plus(builder, first, t) for t in range(n)]
            shares = [a.broadcast(vec.plus(builder, s, t), row) for t in range(n)]
            dots = vec.accumulators(builder, vector, n)
            step = ir.Constant(vec.INDEX, vector.count)
            with cgutils.for_range_slice(builder, f0, f1, step, inc=True) as (f, _):
                change = strip.load(k, builder.sub(f, f0))
                for t, name in enumerate(names):
                    builder.store(vec.fma(builder, change, table.load(name, f), builder.load(dots[t])), dots[t])
                    d_table.store(vec.fma(builder, shares[t], change, d_table.load(name, f)), name, f)
            totals = vec.fold(builder, [builder.load(slot) for slot in dots])  # more than one where registers are short
            for t in range(n):
                lane = ir.Constant(ir.IntType(32), t % vector.count)
                total = builder.extract_element(totals[t // vector.count], lane)
                at_share = vec.plus(builder, s, t), row
                da.store(builder.fadd(da.load(*at_share, da.scalar), total), *at_share)
            return context.get_dummy_value()

        return types.void(strip, table, d_table, entries, a, da, *[types.intp] * 8), generate

    return back


_add_24, _add_14, _add_11 = _add_heads(2, 4), _add_heads(1, 4), _add_heads(1, 1)
_spread_4, _spread_1 = _spread_heads(4), _spread_heads(1)


@intrinsic
def _strip_to_tile(typing, strip, tile, f0, f, r, floor):
    """A square of the strip, turned, to the tile; nothing below `floor`."""

    def generate(context, builder, signature, arguments):
        strip, tile = vec.matrices(context, builder, signature, arguments, 2)
        f0, f, r, floor = arguments[2:]
        column, rows, least = builder.sub(f, f0), range(tile.vector.count), vec.spread(builder, floor, tile.vector)
        square = vec.transpose(builder, [strip.load(vec.number(k), column) for k in rows])
        for k in rows:
            below = builder.fcmp_ordered("<", square[k], least)  # which NaN is not, so that it shows in the losses
            tile.store(builder.select(below, least, square[k]), vec.plus(builder, f, k), r)
        return context.get_dummy_value()

    return types.void(strip, tile, *[types.intp] * 3, strip.dtype), generate


@intrinsic
def _tile_to_strip(typing, tile, strip, d_base, f0, f, r):
    """The way back; the sum over the square's rows is added to `d_base`."""

    def generate(context, builder, signature, arguments):
        tile, strip, d_base = vec.matrices(context, builder, signature, arguments, 3)
        f0, f, r = arguments[3:]
        column, rows, zero = builder.sub(f, f0), range(tile.vector.count), vec.number(0)
        square = vec.transpose(builder, [tile.load(vec.plus(builder, f, k), r) for k in rows])
        total = d_base.load(zero, f)
        for k in rows:
            strip.store(square[k], vec.number(k), column)
            total = builder.fadd(total, square[k])
        d_base.store(total, zero, f)
        return context.get_dummy_value()

    return types.void(tile, strip, d_base, *[types.intp] * 3), generate


@register_jitable
def mix(table, base, entries, at, a, n_heads, n_rectified, n_features, tile, n, strip):
    """tile (feature, row) of n rows from `at`; the first `n_rectified` features go through ReLU.

    table (entry · head, feature); base (1, feature); entries (position, row) int32; a (position · head, row of the
    tile); strip (lanes, STRIP) is room to work in. n and the number of features are multiples of a register's lanes.
    """
    lanes, lowest = vec.lanes_of(tile), tile.dtype.type(-np.inf)
    for r in range(0, n, lanes):
        for f0 in range(0, n_features, STRIP):
            f1 = min(f0 + STRIP, n_features)
            for k in range(lanes):  # what is there so far, and a few heads more; here, since a call would cost more
                source, of, shift, done = base, 0, 0, 0
                if n_heads == 4 and entries.shape[0] > 1:
                    _add_24(source, table, entries, a, strip, 0, 0, n_heads, at, r, k, of, shift, f0, f1)
                    source, of, shift, done = strip, k, f0, 2
                for i in range(done, entries.shape[0]):
                    for h in range(0, n_heads - n_heads % 4, 4):
                        _add_14(source, table, entries, a, strip, i, h, n_heads, at, r, k, of, shift, f0, f1)
                        source, of, shift = strip, k, f0
                    for h in range(n_heads - n_heads % 4, n_heads):
                        _add_11(source, table, entries, a, strip, i, h, n_heads, at, r, k, of, shift, f0, f1)
                        source, of, shift = strip, k, f0
            for f in range(f0, f1, lanes):
                _strip_to_tile(strip, tile, f0, f, r, tile.dtype.type(0) if f < n_rectified else lowest)


@register_jitable
def unmix(tile, table, entries, at, a, n_heads, n_features, n, strip, d_table, d_base, da):
    """Add what n rows of the gradient `tile` give to those of the table, of `base`, and to `da`, as `a` is laid out."""
    lanes = vec.lanes_of(tile)
    for r in range(0, n, lanes):
        for f0 in range(0, n_features, STRIP):
            f1 = min(f0 + STRIP, n_features)
            for f in range(f0, f1, lanes):
                _tile_to_strip(tile, strip, d_base, f0, f, r)
            for k in range(lanes):
                for i in range(entries.shape[0]):
                    for h in range(0, n_heads - n_heads % 4, 4):
                        _spread_4(strip, table, d_table, entries, a, da, i, h, n_heads, at, r, k, f0, f1)
                    for h in range(n_heads - n_heads % 4, n_heads):
                        _spread_1(strip, table, d_table, entries, a, da, i, h, n_heads, at, r, k, f0, f1)


def _exponential(builder, x):
    """e^x for x ≤ 0, as 2^n e^f with |f| ≤ ln 2 / 2, Taylor's polynomial in f; 0 below the least normal number.

    n is rounded by adding a number so large that its last bit is 1: the sum's bits then end in n and, since the number
    was chosen so, the exponent's bias. NaN stays NaN.
    """
    single = x.type.element == ir.FloatType()
    integer, mantissa, bias, degree, least = (
        (ir.IntType(32), 23, 127, 7, -87.0) if single else (ir.IntType(64), 52, 1023, 13, -708.0))
    ln2_high, ln2_low = (0.693359375, -2.12194440e-4) if single else (0.6931471803691238, 1.9082149292705877e-10)
    large, lowest = vec.constant(x.type, 1.5 * 2.0**mantissa + bias), vec.constant(x.type, least)
    normal = builder.fcmp_unordered(">", x, lowest)
    x = builder.select(normal, x, lowest)
    rounded = vec.fma(builder, x, vec.constant(x.type, 1.4426950408889634), large)
    n = builder.fsub(rounded, large)
    f = vec.fma(builder, n, vec.constant(x.type, -ln2_high), x)
    f = vec.fma(builder, n, vec.constant(x.type, -ln2_low), f)
    total = vec.constant(x.type, 1 / math.factorial(degree))
    for k in reversed(range(degree)):
        total = vec.fma(builder, total, f, vec.constant(x.type, 1 / math.factorial(k)))
    integers = ir.VectorType(integer, x.type.count)
    power = builder.shl(builder.bitcast(rounded, integers), vec.constant(integers, mantissa))
    return builder.select(normal, builder.fmul(total, builder.bitcast(power, x.type)), vec.constant(x.type, 0.0))


def _greater(builder, a, b):
    """The greater of two vectors' numbers; b where one is no number."""
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


@intrinsic
def _softmax_vector(typing, L, S, r):
    """One vector of rows of `softmax`: S[0] has the labels' logits, which are −∞ in L."""

    def generate(context, builder, signature, arguments):
        logits, stats = vec.matrices(context, builder, signature, arguments, 2)
        r, kind = arguments[2], logits.vector
        top, rest = vec.accumulators(builder, kind, 2)
        builder.store(vec.constant(kind, -3e38), top)
        with cgutils.for_range(builder, logits.shape[0]) as loop:
            builder.store(_greater(builder, logits.load(loop.index, r), builder.load(top)), top)
        own = stats.load(vec.number(0), r)
        largest = _greater(builder, builder.load(top), own)
        with cgutils.for_range(builder, logits.shape[0]) as loop:
            value = _exponential(builder, builder.fsub(logits.load(loop.index, r), largest))
            logits.store(value, loop.index, r)
            builder.store(builder.fadd(builder.load(rest), value), rest)
        stats.store(builder.load(top), vec.number(1), r)
        stats.store(builder.load(rest), vec.number(2), r)
        stats.store(_exponential(builder, builder.fsub(own, largest)), vec.number(3), r)
        return context.get_dummy_value()

    return types.void(L, S, types.intp), generate


@intrinsic
def _scale_vector(typing, L, S, r):
    """One vector of rows of `scale`."""

    def generate(context, builder, signature, arguments):
        values, stats = vec.matrices(context, builder, signature, arguments, 2)
        r = arguments[2]
        factor = stats.load(vec.number(0), r)
        with cgutils.for_range(builder, values.shape[0]) as loop:
            values.store(builder.fmul(values.load(loop.index, r), factor), loop.index, r)
        return context.get_dummy_value()

    return types.void(L, S, types.intp), generate


@intrinsic
def _exponentiate_vector(typing, A, i, r):
    """One vector of `exponentiate`."""

    def generate(context, builder, signature, arguments):
        (a,) = vec.matrices(context, builder, signature, arguments, 1)
        i, r = arguments[1:]
        a.store(_exponential(builder, a.load(i, r)), i, r)
        return context.get_dummy_value()

    return types.void(A, types.intp, types.intp), generate


@register_jitable
def exponentiate(A, n):
    """A[:, :n] becomes e^A, for A ≤ 0."""
    for i in range(A.shape[0]):
        for r in range(0, n, vec.lanes_of(A)):
            _exponentiate_vector(A, i, r)


@register_jitable
def softmax(L, y, S, n):
    """Logits L (class, row) become exponentials, e^{l − max l}, in place, 0 for the label, and S (4, row) becomes

    the label's logit; the largest other logit; the sum of the others' exponentials; the label's own exponential.
    y (1, row) int32. The others are summed without the label, so nothing is ever subtracted from 1.
    """
    for r in range(n):
        S[0, r] = L[y[0, r], r]
        L[y[0, r], r] = -np.inf
    for r in range(0, n, vec.lanes_of(L)):
        _softmax_vector(L, S, r)


@register_jitable
def scale(L, y, S, n):
    """Every row of L times S[0], but S[1] in the label's place."""
    for r in range(0, n, vec.lanes_of(L)):
        _scale_vector(L, S, r)
    for r in range(n):
        L[y[0, r], r] = S[1, r]

"""Attention's mixture of table rows, and its way back: what a row of the training set costs besides two products.

A row names one entry of the table at each position, and an entry has one table row a head:

    mix:      tile[f, r] = base[f] + Σ_s a[s, r] table[s(r), f]          s over (position, head)
    unmix:    d_table[s(r), f] += a[s, r] tile[f, r]      da[s, r] = Σ_f tile[f, r] table[s(r), f]
              d_base[f] += Σ_r tile[f, r]

Table rows lie along the vectors, tiles have their rows along them; so a few rows at a time are summed row by row in a
strip that stays in the first-level cache, and squares of it are turned in registers.
"""

# pyright: reportCallIssue=false
# (an intrinsic is called without its first parameter, the typing context)

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from grokbook.training.vectors import (
    INDEX,
    accumulators,
    fma,
    fold,
    lanes_of,
    matrices,
    number,
    plus,
    spread,
    transpose,
)

STRIP = 512
"""Features that a strip holds: with eight rows in float32, half of a first-level cache of 32 kB."""


def _first_row(builder, entries, i, column, n_heads, h):
    """The table row of an entry's head h."""
    entry = builder.sext(entries.load(i, column, ir.IntType(32)), INDEX)
    return builder.add(builder.mul(entry, n_heads), h)


def _add_heads(n_positions, n):
    """LLVM code that adds `n` heads of each of some positions to the features f0 … f1 of row k of a strip."""

    @intrinsic
    def add(typing, source, table, entries, a, strip, i, h, n_heads, at, r, k, of, shift, f0, f1):
        def generate(context, builder, signature, arguments):
            source, table, entries, a, strip = matrices(context, builder, signature, arguments, 5)
            i, h, n_heads, at, r, k, of, shift, f0, f1 = arguments[5:]
            row, terms = builder.add(r, k), []
            for position in (plus(builder, i, j) for j in range(n_positions)):
                first = _first_row(builder, entries, position, builder.add(at, row), n_heads, h)
                s = builder.add(builder.mul(position, n_heads), h)
                terms += [(a.broadcast(plus(builder, s, t), row), plus(builder, first, t)) for t in range(n)]
            step = ir.Constant(INDEX, table.vector.count)
            with cgutils.for_range_slice(builder, f0, f1, step, inc=True) as (f, _):
                total = source.load(of, builder.sub(f, shift))
                for share, name in terms:
                    total = fma(builder, share, table.load(name, f), total)
                strip.store(total, k, builder.sub(f, f0))
            return context.get_dummy_value()

        return types.void(source, table, entries, a, strip, *[types.intp] * 10), generate

    return add


def _spread_heads(n):
    """LLVM code for the way back of `_add_heads`: into the gradients of `n` table rows, and of their shares."""

    @intrinsic
    def back(typing, strip, table, d_table, entries, a, da, i, h, n_heads, at, r, k, f0, f1):
        def generate(context, builder, signature, arguments):
            strip, table, d_table, entries, a, da = matrices(context, builder, signature, arguments, 6)
            i, h, n_heads, at, r, k, f0, f1 = arguments[6:]
            row, vector = builder.add(r, k), table.vector
            first = _first_row(builder, entries, i, builder.add(at, row), n_heads, h)
            s = builder.add(builder.mul(i, n_heads), h)
            names = [plus(builder, first, t) for t in range(n)]
            shares = [a.broadcast(plus(builder, s, t), row) for t in range(n)]
            dots = accumulators(builder, vector, n)
            step = ir.Constant(INDEX, vector.count)
            with cgutils.for_range_slice(builder, f0, f1, step, inc=True) as (f, _):
                change = strip.load(k, builder.sub(f, f0))
                for t, name in enumerate(names):
                    builder.store(fma(builder, change, table.load(name, f), builder.load(dots[t])), dots[t])
                    d_table.store(fma(builder, shares[t], change, d_table.load(name, f)), name, f)
            totals = fold(builder, [builder.load(slot) for slot in dots])  # more than one where registers are short
            for t in range(n):
                lane = ir.Constant(ir.IntType(32), t % vector.count)
                total = builder.extract_element(totals[t // vector.count], lane)
                at_share = plus(builder, s, t), row
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
        strip, tile = matrices(context, builder, signature, arguments, 2)
        f0, f, r, floor = arguments[2:]
        column, rows, least = builder.sub(f, f0), range(tile.vector.count), spread(builder, floor, tile.vector)
        square = transpose(builder, [strip.load(number(k), column) for k in rows])
        for k in rows:
            below = builder.fcmp_ordered("<", square[k], least)  # which NaN is not, so that it shows in the losses
            tile.store(builder.select(below, least, square[k]), plus(builder, f, k), r)
        return context.get_dummy_value()

    return types.void(strip, tile, *[types.intp] * 3, strip.dtype), generate


@intrinsic
def _tile_to_strip(typing, tile, strip, d_base, f0, f, r):
    """The way back; the sum over the square's rows is added to `d_base`."""

    def generate(context, builder, signature, arguments):
        tile, strip, d_base = matrices(context, builder, signature, arguments, 3)
        f0, f, r = arguments[3:]
        column, rows, zero = builder.sub(f, f0), range(tile.vector.count), number(0)
        square = transpose(builder, [tile.load(plus(builder, f, k), r) for k in rows])
        total = d_base.load(zero, f)
        for k in rows:
            strip.store(square[k], number(k), column)
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
    lanes, lowest = lanes_of(tile), tile.dtype.type(-np.inf)
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
    lanes = lanes_of(tile)
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

"""Softmax and its loss gradient over a tile of logits (class, row), in registers.

The exponential must vectorise: at small hidden sizes it is the largest cost of a step. Here it is a power of two times
a polynomial, computed in the registers where the logits already are.
"""

# pyright: reportCallIssue=false
# (an intrinsic is called without its first parameter, the typing context)

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from grokbook.training.vectors import accumulators, constant, fma, lanes_of, matrices, number


def _exponential(builder, x):
    """e^x for x ≤ 0, as 2^n e^f with |f| ≤ ln 2 / 2, Taylor's polynomial in f; 0 below the least normal number.

    n is rounded by adding a number so large that its last bit is 1: the sum's bits then end in n and, since the number
    was chosen so, the exponent's bias. NaN stays NaN.
    """
    single = x.type.element == ir.FloatType()
    integer, mantissa, bias, degree, least = (
        (ir.IntType(32), 23, 127, 7, -87.0) if single else (ir.IntType(64), 52, 1023, 13, -708.0))
    ln2_high, ln2_low = (0.693359375, -2.12194440e-4) if single else (0.6931471803691238, 1.9082149292705877e-10)
    large, lowest = constant(x.type, 1.5 * 2.0**mantissa + bias), constant(x.type, least)
    normal = builder.fcmp_unordered(">", x, lowest)
    x = builder.select(normal, x, lowest)
    rounded = fma(builder, x, constant(x.type, 1.4426950408889634), large)
    n = builder.fsub(rounded, large)
    f = fma(builder, n, constant(x.type, -ln2_high), x)
    f = fma(builder, n, constant(x.type, -ln2_low), f)
    total = constant(x.type, 1 / math.factorial(degree))
    for k in reversed(range(degree)):
        total = fma(builder, total, f, constant(x.type, 1 / math.factorial(k)))
    integers = ir.VectorType(integer, x.type.count)
    power = builder.shl(builder.bitcast(rounded, integers), constant(integers, mantissa))
    return builder.select(normal, builder.fmul(total, builder.bitcast(power, x.type)), constant(x.type, 0.0))


def _greater(builder, a, b):
    """The greater of two vectors' numbers; b where one is no number."""
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


@intrinsic
def _softmax_vector(typing, L, S, r):
    """One vector of rows of `softmax`: S[0] has the labels' logits, which are −∞ in L."""

    def generate(context, builder, signature, arguments):
        logits, stats = matrices(context, builder, signature, arguments, 2)
        r, kind = arguments[2], logits.vector
        top, rest = accumulators(builder, kind, 2)
        builder.store(constant(kind, -3e38), top)
        with cgutils.for_range(builder, logits.shape[0]) as loop:
            builder.store(_greater(builder, logits.load(loop.index, r), builder.load(top)), top)
        own = stats.load(number(0), r)
        largest = _greater(builder, builder.load(top), own)
        with cgutils.for_range(builder, logits.shape[0]) as loop:
            value = _exponential(builder, builder.fsub(logits.load(loop.index, r), largest))
            logits.store(value, loop.index, r)
            builder.store(builder.fadd(builder.load(rest), value), rest)
        stats.store(builder.load(top), number(1), r)
        stats.store(builder.load(rest), number(2), r)
        stats.store(_exponential(builder, builder.fsub(own, largest)), number(3), r)
        return context.get_dummy_value()

    return types.void(L, S, types.intp), generate


@intrinsic
def _scale_vector(typing, L, S, r):
    """One vector of rows of `scale`."""

    def generate(context, builder, signature, arguments):
        values, stats = matrices(context, builder, signature, arguments, 2)
        r = arguments[2]
        factor = stats.load(number(0), r)
        with cgutils.for_range(builder, values.shape[0]) as loop:
            values.store(builder.fmul(values.load(loop.index, r), factor), loop.index, r)
        return context.get_dummy_value()

    return types.void(L, S, types.intp), generate


@intrinsic
def _exponentiate_vector(typing, A, i, r):
    """One vector of `exponentiate`."""

    def generate(context, builder, signature, arguments):
        (a,) = matrices(context, builder, signature, arguments, 1)
        i, r = arguments[1:]
        a.store(_exponential(builder, a.load(i, r)), i, r)
        return context.get_dummy_value()

    return types.void(A, types.intp, types.intp), generate


@register_jitable
def exponentiate(A, n):
    """A[:, :n] becomes e^A, for A ≤ 0."""
    for i in range(A.shape[0]):
        for r in range(0, n, lanes_of(A)):
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
    for r in range(0, n, lanes_of(L)):
        _softmax_vector(L, S, r)


@register_jitable
def scale(L, y, S, n):
    """Every row of L times S[0], but S[1] in the label's place."""
    for r in range(0, n, lanes_of(L)):
        _scale_vector(L, S, r)
    for r in range(n):
        L[y[0, r], r] = S[1, r]

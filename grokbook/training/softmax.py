"""Softmax and its loss gradient over a tile of logits (class, row), in registers.

The exponential must vectorise: at small hidden sizes it is the largest cost of a step. Here it is a power of two times
a polynomial, computed in the registers where the logits already are.
"""

# pyright: reportCallIssue=false
# (an intrinsic is called without its first parameter, the typing context)

import math

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from grokbook.training.vectors import accumulators, call, constant, fma, lanes_of, matrices, number, spread


def _exponential(builder, x):
    """e^x for x ≤ 0, as 2^n e^f with |f| ≤ ln 2 / 2, Taylor's polynomial in f; never below the least normal number.
    NaN stays NaN."""
    single = x.type.element == ir.FloatType()
    integer, mantissa, bias, degree, least = (
        (ir.IntType(32), 23, 127, 7, -87.0) if single else (ir.IntType(64), 52, 1023, 13, -708.0))
    ln2_high, ln2_low = (0.693359375, -2.12194440e-4) if single else (0.6931471803691238, 1.9082149292705877e-10)
    given, lowest = x, constant(x.type, least)
    x = builder.select(builder.fcmp_ordered(">", x, lowest), x, lowest)
    n = call(builder, "llvm.rint", builder.fmul(x, constant(x.type, 1.4426950408889634)))
    f = fma(builder, n, constant(x.type, -ln2_high), x)
    f = fma(builder, n, constant(x.type, -ln2_low), f)
    total = constant(x.type, 1 / math.factorial(degree))
    for k in reversed(range(degree)):
        total = fma(builder, total, f, constant(x.type, 1 / math.factorial(k)))
    integers = ir.VectorType(integer, x.type.count)
    exponent = builder.add(builder.fptosi(n, integers), constant(integers, bias))
    power = builder.fmul(total, builder.bitcast(builder.shl(exponent, constant(integers, mantissa)), x.type))
    return builder.select(builder.fcmp_unordered("uno", given, given), given, power)


def _is_label(builder, labels, v):
    """Lanes whose label is class v."""
    return builder.icmp_signed("==", labels, spread(builder, builder.trunc(v, ir.IntType(32)), labels.type))


@intrinsic
def _softmax_vector(typing, L, y, S, r):
    """One vector of rows of `softmax`."""

    def generate(context, builder, signature, arguments):
        logits, labels, stats = matrices(context, builder, signature, arguments, 3)
        r, kind = arguments[3], logits.vector
        label = labels.load(number(0), r, ir.VectorType(ir.IntType(32), kind.count))
        right, top, rest, own = accumulators(builder, kind, 4)
        builder.store(constant(kind, -3e38), top)
        with cgutils.for_range(builder, logits.shape[0]) as loop:
            value, is_label = logits.load(loop.index, r), _is_label(builder, label, loop.index)
            builder.store(builder.select(is_label, value, builder.load(right)), right)
            higher = builder.fcmp_ordered(">", value, builder.load(top))
            builder.store(builder.select(builder.and_(higher, builder.not_(is_label)), value, builder.load(top)), top)
        largest = builder.select(builder.fcmp_ordered(">", builder.load(top), builder.load(right)),
                                 builder.load(top), builder.load(right))
        with cgutils.for_range(builder, logits.shape[0]) as loop:
            value = _exponential(builder, builder.fsub(logits.load(loop.index, r), largest))
            is_label = _is_label(builder, label, loop.index)
            logits.store(value, loop.index, r)
            others = builder.select(is_label, constant(kind, 0.0), value)
            builder.store(builder.fadd(builder.load(rest), others), rest)
            builder.store(builder.select(is_label, value, builder.load(own)), own)
        for k, slot in enumerate((right, top, rest, own)):
            stats.store(builder.load(slot), number(k), r)
        return context.get_dummy_value()

    return types.void(L, y, S, types.intp), generate


@intrinsic
def _scale_vector(typing, L, y, S, r):
    """One vector of rows of `scale`."""

    def generate(context, builder, signature, arguments):
        values, labels, stats = matrices(context, builder, signature, arguments, 3)
        r = arguments[3]
        label = labels.load(number(0), r, ir.VectorType(ir.IntType(32), values.vector.count))
        factor, right = stats.load(number(0), r), stats.load(number(1), r)
        with cgutils.for_range(builder, values.shape[0]) as loop:
            value = builder.fmul(values.load(loop.index, r), factor)
            values.store(builder.select(_is_label(builder, label, loop.index), right, value), loop.index, r)
        return context.get_dummy_value()

    return types.void(L, y, S, types.intp), generate


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
    """Logits L (class, row) become exponentials, e^{l − max l}, in place, and S (4, row) is filled with

    the label's logit; the largest other logit; the sum of the others' exponentials; the label's own exponential.
    y (1, row) int32. The others are summed without the label, so nothing is ever subtracted from 1.
    """
    for r in range(0, n, lanes_of(L)):
        _softmax_vector(L, y, S, r)


@register_jitable
def scale(L, y, S, n):
    """Every row of L times S[0], but S[1] in the label's place."""
    for r in range(0, n, lanes_of(L)):
        _scale_vector(L, y, S, r)

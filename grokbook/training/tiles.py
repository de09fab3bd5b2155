"""Matrix products of a tile, in registers: the two loops that the fused CPU pass spends its time in.

Activations lie feature by feature, `X[feature, row]`, so every loop runs along the rows of a tile and no hidden size
is too small to fill a vector. Two products are needed, and each is written once as LLVM vector code with a block of
the result held in registers:

    multiply:    C[o, r] (+)= Σ_i W[o, i] X[i, r]        activations forward, their gradients back
    correlate:   G[i, o]  += Σ_r X[i, r] Y[o, r]         gradients of the weights

Numba's own loops are not vectorised this way (LLVM cannot prove that the arrays do not overlap), and a BLAS call a tile
is slower than this at small hidden sizes.
"""

# pyright: reportCallIssue=false
# (an intrinsic is called without its first parameter, the typing context)

import math

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

ROWS = 64
"""Rows of a tile come in multiples of this: four AVX-512 vectors of float32."""


def _registers() -> tuple[int, int]:
    """Bytes of a vector register and how many vectors of rows a block holds, on this machine."""
    features = binding.get_host_cpu_features()
    if features.get("avx512f"):
        return 64, 4
    return (32, 2) if features.get("avx2") else (16, 4)


VECTOR_BYTES, VECTORS = _registers()
BLOCK = 4
"""Outputs that a block of registers holds at once."""


class _Matrix:
    """Addresses inside a Numba array while LLVM code for it is written."""

    def __init__(self, context, builder, kind, value):
        self.builder = builder
        array = context.make_array(kind)(context, builder, value)
        self.base = builder.ptrtoint(array.data, cgutils.intp_t)
        self.strides = cgutils.unpack_tuple(builder, array.strides)
        self.scalar = context.get_data_type(kind.dtype)
        self.itemsize = kind.dtype.bitwidth // 8
        self.vector = ir.VectorType(self.scalar, VECTOR_BYTES // self.itemsize)

    def address(self, i, j, element):
        offset = self.builder.add(self.builder.mul(i, self.strides[0]), self.builder.mul(j, self.strides[1]))
        return self.builder.inttoptr(self.builder.add(self.base, offset), element.as_pointer())

    def load(self, i, j, element):
        return self.builder.load(self.address(i, j, element), align=self.itemsize)

    def store(self, value, i, j):
        self.builder.store(value, self.address(i, j, value.type), align=self.itemsize)

    def broadcast(self, i, j):
        zero = ir.Constant(ir.IntType(32), 0)
        undefined = ir.Constant(self.vector, ir.Undefined)
        single = self.builder.insert_element(undefined, self.load(i, j, self.scalar), zero)
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.vector.count), [0] * self.vector.count)
        return self.builder.shuffle_vector(single, undefined, mask)


def _plus(builder, value, k):
    return builder.add(value, ir.Constant(cgutils.intp_t, k))


def _fused_multiply_add(builder, a, b, c):
    kind = a.type
    name = f"llvm.fma.v{kind.count}{'f32' if kind.element == ir.FloatType() else 'f64'}"
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind] * 3), name)
    return builder.call(function, [a, b, c])


def _accumulators(builder, vector, count):
    slots = [cgutils.alloca_once(builder, vector) for _ in range(count)]
    for slot in slots:
        builder.store(ir.Constant(vector, [0.0] * vector.count), slot)
    return slots


def _multiply_block(outputs):
    """LLVM code for `outputs` rows of C and `VECTORS` vectors of tile rows, all held in registers over the sum."""

    @intrinsic
    def block(typing, W, X, C, o, r, add):
        def generate(context, builder, signature, arguments):
            w, x, c = (_Matrix(context, builder, kind, value)
                       for kind, value in zip(signature.args[:3], arguments[:3], strict=True))
            o, r, add = arguments[3:]
            n_in = cgutils.unpack_tuple(
                builder, context.make_array(signature.args[1])(context, builder, arguments[1]).shape)[0]
            sums = _accumulators(builder, x.vector, outputs * VECTORS)
            columns = [_plus(builder, r, k * x.vector.count) for k in range(VECTORS)]
            with builder.if_then(add):
                for a in range(outputs):
                    for k, column in enumerate(columns):
                        builder.store(c.load(_plus(builder, o, a), column, c.vector), sums[a * VECTORS + k])
            with cgutils.for_range(builder, n_in) as loop:
                vectors = [x.load(loop.index, column, x.vector) for column in columns]
                for a in range(outputs):
                    weight = w.broadcast(_plus(builder, o, a), loop.index)
                    for k in range(VECTORS):
                        slot = sums[a * VECTORS + k]
                        builder.store(_fused_multiply_add(builder, weight, vectors[k], builder.load(slot)), slot)
            for a in range(outputs):
                for k, column in enumerate(columns):
                    c.store(builder.load(sums[a * VECTORS + k]), _plus(builder, o, a), column)
            return context.get_dummy_value()

        return types.void(W, X, C, types.intp, types.intp, types.boolean), generate

    return block


def _fold(builder, vectors):
    """Sums of the lanes of each vector, as one vector in their order: a tree of shuffles, two vectors at a time."""
    lanes, group = vectors[0].type.count, 1
    while group < lanes:
        if len(vectors) == 1:
            vectors = vectors * 2
        order = [(s, 2 * q, j) for q in range(lanes // (2 * group)) for s in (0, 1) for j in range(group)]
        even = [s * lanes + q * group + j for s, q, j in order]
        odd = [s * lanes + (q + 1) * group + j for s, q, j in order]
        masks = [ir.Constant(ir.VectorType(ir.IntType(32), lanes), index) for index in (even, odd)]
        vectors = [builder.fadd(*(builder.shuffle_vector(a, b, mask) for mask in masks))
                   for a, b in zip(vectors[::2], vectors[1::2], strict=True)]
        group *= 2
    return vectors


def _correlate_block(rows, columns):
    """LLVM code for a block of G, `rows` by `columns`, one vector of partial sums an entry."""

    @intrinsic
    def block(typing, X, Y, G, i, o, n):
        def generate(context, builder, signature, arguments):
            x, y, g = (_Matrix(context, builder, kind, value)
                       for kind, value in zip(signature.args[:3], arguments[:3], strict=True))
            i, o, n = arguments[3:]
            sums = _accumulators(builder, x.vector, rows * columns)
            step = ir.Constant(cgutils.intp_t, x.vector.count)
            with cgutils.for_range_slice(builder, ir.Constant(cgutils.intp_t, 0), n, step, inc=True) as (r, _):
                right = [y.load(_plus(builder, o, b), r, y.vector) for b in range(columns)]
                for a in range(rows):
                    left = x.load(_plus(builder, i, a), r, x.vector)
                    for b in range(columns):
                        slot = sums[a * columns + b]
                        builder.store(_fused_multiply_add(builder, left, right[b], builder.load(slot)), slot)
            totals = []
            for start in range(0, rows * columns, x.vector.count):
                some = [builder.load(slot) for slot in sums[start : start + x.vector.count]]
                totals.append((_fold(builder, some)[0], len(some)))
            for k in range(rows * columns):
                vector, _ = totals[k // x.vector.count]
                total = builder.extract_element(vector, ir.Constant(ir.IntType(32), k % x.vector.count))
                at = _plus(builder, i, k // columns), _plus(builder, o, k % columns)
                g.store(builder.fadd(g.load(*at, g.scalar), total), *at)
            return context.get_dummy_value()

        return types.void(X, Y, G, types.intp, types.intp, types.intp), generate

    return block


_multiply_4, _multiply_1 = _multiply_block(BLOCK), _multiply_block(1)
_correlate_44, _correlate_41 = _correlate_block(BLOCK, BLOCK), _correlate_block(BLOCK, 1)
_correlate_14, _correlate_11 = _correlate_block(1, BLOCK), _correlate_block(1, 1)


def _transpose(builder, vectors):
    """A square of lanes, turned: log₂ rounds of exchanges between vectors `s` apart."""
    lanes, s = len(vectors), 1
    while s < lanes:
        low = [k if not k & s else lanes + k - s for k in range(lanes)]
        high = [k + s if not k & s else lanes + k for k in range(lanes)]
        masks = [ir.Constant(ir.VectorType(ir.IntType(32), lanes), index) for index in (low, high)]
        for i in (i for i in range(lanes) if not i & s):
            pair = vectors[i], vectors[i + s]
            vectors[i], vectors[i + s] = (builder.shuffle_vector(*pair, mask) for mask in masks)
        s *= 2
    return vectors


def _turned_rows(gathering):
    """LLVM code that moves a square between a tile and the table entries that its rows name."""

    @intrinsic
    def block(typing, table, rows, tile, f, at, r):
        def generate(context, builder, signature, arguments):
            t, names, x = (_Matrix(context, builder, kind, value)
                           for kind, value in zip(signature.args[:3], arguments[:3], strict=True))
            f, at, r = arguments[3:]
            lanes, zero = x.vector.count, ir.Constant(cgutils.intp_t, 0)
            entries = [builder.sext(names.load(zero, _plus(builder, at, k), ir.IntType(32)), cgutils.intp_t)
                       for k in range(lanes)]
            if gathering:
                square = _transpose(builder, [t.load(entry, f, t.vector) for entry in entries])
                for k in range(lanes):
                    x.store(square[k], _plus(builder, f, k), r)
            else:
                square = _transpose(builder, [x.load(_plus(builder, f, k), r, x.vector) for k in range(lanes)])
                for k, entry in enumerate(entries):  # one after another: rows may name the same entry
                    t.store(builder.fadd(t.load(entry, f, t.vector), square[k]), entry, f)
            return context.get_dummy_value()

        return types.void(table, rows, tile, types.intp, types.intp, types.intp), generate

    return block


_gather_square, _scatter_square = _turned_rows(True), _turned_rows(False)


@register_jitable
def gather(table, rows, at, tile, n):
    """tile[f, r] = table[rows[0, at + r], f] for n rows. The width of the table is a multiple of a vector's lanes."""
    lanes = VECTOR_BYTES // tile.itemsize
    for r in range(0, n, lanes):
        for f in range(0, table.shape[1], lanes):
            _gather_square(table, rows, tile, f, at + r, r)


@register_jitable
def scatter(tile, rows, at, table, n):
    """table[rows[0, at + r], f] += tile[f, r], the way back of `gather`."""
    lanes = VECTOR_BYTES // tile.itemsize
    for r in range(0, n, lanes):
        for f in range(0, table.shape[1], lanes):
            _scatter_square(table, rows, tile, f, at + r, r)


@register_jitable
def multiply(W, X, C, n, add):
    """C[:, :n] = W @ X[:, :n], or += where `add`. n is a multiple of `ROWS`."""
    outputs = W.shape[0]
    whole = outputs - outputs % BLOCK
    for r in range(0, n, VECTORS * (VECTOR_BYTES // C.itemsize)):
        for o in range(0, whole, BLOCK):
            _multiply_4(W, X, C, o, r, add)
        for o in range(whole, outputs):
            _multiply_1(W, X, C, o, r, add)


@register_jitable
def correlate(X, Y, G, n):
    """G += X[:, :n] @ Y[:, :n].T. n is a multiple of `ROWS`."""
    whole_i, whole_o = X.shape[0] - X.shape[0] % BLOCK, Y.shape[0] - Y.shape[0] % BLOCK
    for o in range(0, whole_o, BLOCK):
        for i in range(0, whole_i, BLOCK):
            _correlate_44(X, Y, G, i, o, n)
        for i in range(whole_i, X.shape[0]):
            _correlate_14(X, Y, G, i, o, n)
    for o in range(whole_o, Y.shape[0]):
        for i in range(0, whole_i, BLOCK):
            _correlate_41(X, Y, G, i, o, n)
        for i in range(whole_i, X.shape[0]):
            _correlate_11(X, Y, G, i, o, n)


def _constant(kind, value):
    return ir.Constant(kind, [value] * kind.count)


def _unary(builder, name, x):
    suffix = f"v{x.type.count}{'f32' if x.type.element == ir.FloatType() else 'f64'}"
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(x.type, [x.type]), f"{name}.{suffix}")
    return builder.call(function, [x])


def _exponential(builder, x):
    """e^x for x ≤ 0, as 2^n e^f with |f| ≤ ln 2 / 2, Taylor's polynomial in f; never below the least normal number.
    NaN stays NaN."""
    single = x.type.element == ir.FloatType()
    integer, mantissa, bias, degree, least = (
        (ir.IntType(32), 23, 127, 7, -87.0) if single else (ir.IntType(64), 52, 1023, 13, -708.0))
    ln2_high, ln2_low = (0.693359375, -2.12194440e-4) if single else (0.6931471803691238, 1.9082149292705877e-10)
    given, x = x, builder.select(builder.fcmp_ordered(">", x, _constant(x.type, least)), x, _constant(x.type, least))
    n = _unary(builder, "llvm.rint", builder.fmul(x, _constant(x.type, 1.4426950408889634)))
    f = _fused_multiply_add(builder, n, _constant(x.type, -ln2_high), x)
    f = _fused_multiply_add(builder, n, _constant(x.type, -ln2_low), f)
    total = _constant(x.type, 1 / math.factorial(degree))
    for k in reversed(range(degree)):
        total = _fused_multiply_add(builder, total, f, _constant(x.type, 1 / math.factorial(k)))
    integers = ir.VectorType(integer, x.type.count)
    exponent = builder.add(builder.fptosi(n, integers), _constant(integers, bias))
    power = builder.fmul(total, builder.bitcast(builder.shl(exponent, _constant(integers, mantissa)), x.type))
    return builder.select(builder.fcmp_unordered("uno", given, given), given, power)


def _class_mask(builder, labels, v):
    """Lanes whose label is class v."""
    single = builder.insert_element(ir.Constant(labels.type, ir.Undefined),
                                    builder.trunc(v, ir.IntType(32)), ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), labels.type.count), [0] * labels.type.count)
    return builder.icmp_signed("==", labels, builder.shuffle_vector(single, single, zeros))


@intrinsic
def _soften_vector(typing, L, y, S, r):
    """One vector of rows of `soften`."""

    def generate(context, builder, signature, arguments):
        logits, labels, stats = (_Matrix(context, builder, kind, value)
                                 for kind, value in zip(signature.args[:3], arguments[:3], strict=True))
        r, kind = arguments[3], logits.vector
        n_classes = cgutils.unpack_tuple(
            builder, context.make_array(signature.args[0])(context, builder, arguments[0]).shape)[0]
        zero = ir.Constant(cgutils.intp_t, 0)
        label = labels.load(zero, r, ir.VectorType(ir.IntType(32), kind.count))
        right, top, rest, own = _accumulators(builder, kind, 4)
        builder.store(_constant(kind, -3e38), top)
        with cgutils.for_range(builder, n_classes) as loop:
            value, mine = logits.load(loop.index, r, kind), _class_mask(builder, label, loop.index)
            builder.store(builder.select(mine, value, builder.load(right)), right)
            higher = builder.fcmp_ordered(">", value, builder.load(top))
            builder.store(builder.select(builder.and_(higher, builder.not_(mine)), value, builder.load(top)), top)
        largest = builder.select(builder.fcmp_ordered(">", builder.load(top), builder.load(right)),
                                 builder.load(top), builder.load(right))
        with cgutils.for_range(builder, n_classes) as loop:
            value = _exponential(builder, builder.fsub(logits.load(loop.index, r, kind), largest))
            mine = _class_mask(builder, label, loop.index)
            logits.store(value, loop.index, r)
            none = _constant(kind, 0.0)
            builder.store(builder.fadd(builder.load(rest), builder.select(mine, none, value)), rest)
            builder.store(builder.select(mine, value, builder.load(own)), own)
        for k, slot in enumerate((right, top, rest, own)):
            stats.store(builder.load(slot), ir.Constant(cgutils.intp_t, k), r)
        return context.get_dummy_value()

    return types.void(L, y, S, types.intp), generate


@intrinsic
def _scale_vector(typing, L, y, S, r):
    """One vector of rows of `scale`."""

    def generate(context, builder, signature, arguments):
        values, labels, stats = (_Matrix(context, builder, kind, value)
                                 for kind, value in zip(signature.args[:3], arguments[:3], strict=True))
        r, kind = arguments[3], values.vector
        n_classes = cgutils.unpack_tuple(
            builder, context.make_array(signature.args[0])(context, builder, arguments[0]).shape)[0]
        zero, one = (ir.Constant(cgutils.intp_t, k) for k in (0, 1))
        label = labels.load(zero, r, ir.VectorType(ir.IntType(32), kind.count))
        factor, right = stats.load(zero, r, kind), stats.load(one, r, kind)
        with cgutils.for_range(builder, n_classes) as loop:
            value = builder.fmul(values.load(loop.index, r, kind), factor)
            mine = _class_mask(builder, label, loop.index)
            values.store(builder.select(mine, right, value), loop.index, r)
        return context.get_dummy_value()

    return types.void(L, y, S, types.intp), generate


@intrinsic
def _exponentiate_vector(typing, A, i, r):
    """One vector of `exponentiate`."""

    def generate(context, builder, signature, arguments):
        a = _Matrix(context, builder, signature.args[0], arguments[0])
        i, r = arguments[1:]
        a.store(_exponential(builder, a.load(i, r, a.vector)), i, r)
        return context.get_dummy_value()

    return types.void(A, types.intp, types.intp), generate


@register_jitable
def exponentiate(A, n):
    """A[:, :n] becomes e^A, for A ≤ 0."""
    for i in range(A.shape[0]):
        for r in range(0, n, VECTOR_BYTES // A.itemsize):
            _exponentiate_vector(A, i, r)


@register_jitable
def soften(L, y, S, n):
    """Logits L (class, row) become exponentials, e^{l − max l}, in place, and S (4, row) is filled with

    the label's logit; the largest other logit; the sum of the others' exponentials; the label's own exponential.
    y (1, row) int32. The others are summed without the label, so nothing is ever subtracted from 1.
    """
    for r in range(0, n, VECTOR_BYTES // L.itemsize):
        _soften_vector(L, y, S, r)


@register_jitable
def scale(L, y, S, n):
    """Every row of L times S[0], but S[1] in the label's place."""
    for r in range(0, n, VECTOR_BYTES // L.itemsize):
        _scale_vector(L, y, S, r)

"""The two matrix products that the CPU engine consists of, in registers, and the vector code that they are written in.

    multiply:    C[o, r] (+)= Σ_i W[o, i] X[i, r]      A B, and with W transposed Aᵀ B
    correlate:   G[i, o]  += Σ_r X[i, r] Y[o, r]       A Bᵀ, summed along the vectors: it pays where the sum is long

W may be strided any way; X, Y and C have unit stride along r (docs/fused.md, 8). Numba's own loops over several arrays
are not vectorised well, since LLVM cannot prove that the arrays do not overlap.
"""

# pyright: reportCallIssue=false
# (an intrinsic is called without its first parameter, the typing context)

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic, register_jitable

from grokbook.training.compiled import X86, inner

FEATURES = binding.get_host_cpu_features()
VECTOR_BYTES = 64 if FEATURES.get("avx512f") else 32 if FEATURES.get("avx2") else 16
"""Bytes of a vector register on this machine."""

LANES = VECTOR_BYTES // 4
"""Numbers in a register, of float32; rows and columns of arrays are padded to multiples of it in any precision."""

INDEX = cgutils.intp_t


class Matrix:
    """Addresses inside a two-dimensional Numba array while LLVM code for it is written."""

    def __init__(self, context, builder, kind, value):
        self.builder = builder
        array = context.make_array(kind)(context, builder, value)
        self.base = builder.ptrtoint(array.data, INDEX)
        self.strides = cgutils.unpack_tuple(builder, array.strides)
        self.shape = cgutils.unpack_tuple(builder, array.shape)
        self.scalar = context.get_data_type(kind.dtype)
        self.itemsize = kind.dtype.bitwidth // 8
        self.vector = ir.VectorType(self.scalar, VECTOR_BYTES // self.itemsize)

    def address(self, i, j, element):
        offset = self.builder.add(self.builder.mul(i, self.strides[0]), self.builder.mul(j, self.strides[1]))
        return self.builder.inttoptr(self.builder.add(self.base, offset), element.as_pointer())

    def load(self, i, j, element=None):
        return self.builder.load(self.address(i, j, element or self.vector), align=self.itemsize)

    def store(self, value, i, j):
        self.builder.store(value, self.address(i, j, value.type), align=self.itemsize)

    def broadcast(self, i, j):
        return spread(self.builder, self.load(i, j, self.scalar), self.vector)


def matrices(context, builder, signature, arguments, n):
    """The first `n` arguments of an intrinsic, as matrices."""
    return [Matrix(context, builder, kind, value)
            for kind, value in zip(signature.args[:n], arguments[:n], strict=True)]


def plus(builder, value, k):
    """An index and a constant."""
    return builder.add(value, ir.Constant(INDEX, k))


def number(k):
    """A constant index."""
    return ir.Constant(INDEX, k)


def constant(kind, value):
    """A vector that holds one value in every lane."""
    return ir.Constant(kind, [value] * kind.count)


def spread(builder, scalar, kind):
    """A vector that holds a scalar in every lane."""
    single = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(single, single, constant(ir.VectorType(ir.IntType(32), kind.count), 0))


def fma(builder, a, b, c):
    """a · b + c, rounded once."""
    kind = a.type
    name = f"llvm.fma.v{kind.count}{'f32' if kind.element == ir.FloatType() else 'f64'}"
    function = ir.FunctionType(kind, [kind] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, function, name), (a, b, c))


def accumulators(builder, vector, count):
    """Slots for vectors that start at zero; LLVM keeps them in registers."""
    slots = [cgutils.alloca_once(builder, vector) for _ in range(count)]
    for slot in slots:
        builder.store(constant(vector, 0.0), slot)
    return slots


def fold(builder, vectors):
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


def transpose(builder, vectors):
    """A square of lanes, turned: log₂ rounds of exchanges between vectors `s` apart."""
    lanes, s, vectors = len(vectors), 1, list(vectors)
    while s < lanes:
        low = [k if not k & s else lanes + k - s for k in range(lanes)]
        high = [k + s if not k & s else lanes + k for k in range(lanes)]
        masks = [ir.Constant(ir.VectorType(ir.IntType(32), lanes), index) for index in (low, high)]
        for i in (i for i in range(lanes) if not i & s):
            pair = vectors[i], vectors[i + s]
            vectors[i], vectors[i + s] = (builder.shuffle_vector(*pair, mask) for mask in masks)
        s *= 2
    return vectors


def padded(n: int) -> int:
    """The least multiple of `LANES` that is not below n."""
    return n + -n % LANES


@register_jitable
def lanes_of(array):
    """Numbers of the array's type in a register."""
    return VECTOR_BYTES // array.itemsize


@intrinsic
def any_layout(typing, array):
    """The array as one whose strides Numba does not know, so that a function is compiled once for all that it gets."""

    def generate(context, builder, signature, arguments):
        return impl_ret_borrowed(context, builder, signature.return_type, arguments[0])

    return types.Array(array.dtype, array.ndim, "A")(array), generate


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

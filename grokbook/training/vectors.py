"""Vector code inside Numba: addresses, loads and stores of whole registers, written as LLVM instructions.

Numba's own loops over several arrays are not vectorised well, since LLVM cannot prove that the arrays do not overlap.
The loops in which the CPU engine spends its time are therefore written as intrinsics: `Matrix` reaches into a
two-dimensional array, the functions below are what is done with the registers.
"""

# pyright: reportCallIssue=false
# (an intrinsic is called without its first parameter, the typing context)

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic, register_jitable

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


def call(builder, name, *vectors):
    """An LLVM intrinsic of one vector type, such as `llvm.fma`."""
    kind = vectors[0].type
    suffix = f"v{kind.count}{'f32' if kind.element == ir.FloatType() else 'f64'}"
    function = ir.FunctionType(kind, [kind] * len(vectors))
    return builder.call(cgutils.get_or_insert_function(builder.module, function, f"{name}.{suffix}"), vectors)


def fma(builder, a, b, c):
    """a · b + c, rounded once."""
    return call(builder, "llvm.fma", a, b, c)


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

"""Subnormal numbers, flushed to zero while a network trains.

Once a network knows its pairs, the probabilities of wrong classes fall below 1.2e-38, the least normal float32, and
Intel processors hand every product with such a number to microcode: a step then takes four to eighteen times as long.
What is lost lies 30 decades below everything else. The processor's setting belongs to a thread, so it is made inside
the compiled code, by whichever thread runs it, and put back afterwards: flags FTZ (results) and DAZ (operands) of MXCSR
on x86, FZ of FPCR on 64-bit Arm. Elsewhere nothing is changed. PyTorch's operations are covered by `flushed`.
"""

# pyright: reportCallIssue=false
# (an intrinsic is called without its first parameter, the typing context)

import platform

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

MACHINE = platform.machine().lower()
X86, ARM = MACHINE in ("x86_64", "amd64"), MACHINE in ("aarch64", "arm64")

FLUSH = 0x8040 if X86 else 1 << 24 if ARM else 0
"""The bits of the control register that flush."""


def _call(builder, name, result, *arguments):
    function = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, function, name), arguments)


@intrinsic
def _control(typing):
    """The thread's floating-point control register, as int64."""

    def generate(context, builder, signature, arguments):
        wide = ir.IntType(64)
        if X86:
            slot = cgutils.alloca_once(builder, ir.IntType(32))
            _call(builder, "llvm.x86.sse.stmxcsr", ir.VoidType(), builder.bitcast(slot, cgutils.voidptr_t))
            return builder.zext(builder.load(slot), wide)
        return _call(builder, "llvm.aarch64.get.fpcr", wide) if ARM else ir.Constant(wide, 0)

    return types.int64(), generate


@intrinsic
def _set_control(typing, value):
    def generate(context, builder, signature, arguments):
        if X86:
            slot = cgutils.alloca_once(builder, ir.IntType(32))
            builder.store(builder.trunc(arguments[0], ir.IntType(32)), slot)
            _call(builder, "llvm.x86.sse.ldmxcsr", ir.VoidType(), builder.bitcast(slot, cgutils.voidptr_t))
        elif ARM:
            _call(builder, "llvm.aarch64.set.fpcr", ir.VoidType(), arguments[0])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@register_jitable
def flush():
    """Flush subnormals on this thread from here on, and return what `restore` takes to undo it."""
    before = _control()
    _set_control(before | FLUSH)
    return before


@register_jitable
def restore(before):
    """Set the thread as it was before `flush`."""
    _set_control(before)

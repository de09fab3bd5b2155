"""A meeting of threads inside compiled code, so that a lone network takes its steps without the interpreter.

Every thread that arrives adds one to a counter and waits until the counter has passed the next multiple of their
number. They look at it without sleeping, since the next arrival is microseconds away; one that has looked in vain for
long offers its core to others, for there may be fewer cores than threads. The processor's own instruction for such a
wait is not used: on a virtual machine it can hand the core to another guest, which took a third of a small step.
"""

# pyright: reportCallIssue=false
# (an intrinsic is called without its first parameter, the typing context)

import os

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

ABANDONED = -(2**62)
"""What a counter is set to when a thread has failed: nobody waits any more."""

PATIENCE = 4096
"""Looks at the counter between two offers of the core."""


def _cell(context, builder, kind, value):
    return context.make_array(kind)(context, builder, value).data


@intrinsic
def _arrive(typing, counter):
    """Add one to counter[0], and return what it was before."""

    def generate(context, builder, signature, arguments):
        one = ir.Constant(ir.IntType(64), 1)
        return builder.atomic_rmw("add", _cell(context, builder, signature.args[0], arguments[0]), one, "seq_cst")

    return types.int64(counter), generate


@intrinsic
def _arrivals(typing, counter):
    """counter[0] as other threads have left it."""

    def generate(context, builder, signature, arguments):
        return builder.load_atomic(_cell(context, builder, signature.args[0], arguments[0]), "acquire", 8)

    return types.int64(counter), generate


@intrinsic
def _offer_core(typing):
    """Let another thread run here, where the system has a call for it."""

    def generate(context, builder, signature, arguments):
        if os.name == "posix":
            kind = ir.FunctionType(ir.IntType(32), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "sched_yield"), [])
        return context.get_dummy_value()

    return types.void(), generate


@register_jitable
def meet(counter, n_threads):
    """Return once `n_threads` threads have called this as often. counter: (1,) int64, zero before the first meeting,

    and `ABANDONED` where one of them will never come.
    """
    if n_threads > 1:
        target = (_arrive(counter) // n_threads + 1) * n_threads
        looks = 0
        while 0 <= _arrivals(counter) < target:
            looks += 1
            if looks % PATIENCE == 0:
                _offer_core()

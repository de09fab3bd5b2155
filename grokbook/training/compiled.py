"""What compiled code needs of Numba and of the processor: kept results, subnormal numbers flushed, threads that meet.

**Kept.** Numba knows only the file that a function stands in. What it calls and the constants it takes from other files
are compiled into it too, so the cache's folder is named by a digest of all of them. Processes write into it one at a
time: two that read its index and wrote at once would leave one's code under the other's name.

**Subnormals** (docs/fused.md, 7). The setting belongs to a thread, so it is made inside the compiled code, by whichever
thread runs it, and put back afterwards: flags FTZ (results) and DAZ (operands) of MXCSR on x86, FZ of FPCR on 64-bit
Arm. Elsewhere nothing is changed. PyTorch's operations are covered by `cohort`.

**Meetings**, so that a lone network takes its steps without the interpreter. The next arrival is microseconds away, so
threads wait without sleeping; one that has looked in vain for long offers its core to others, for there may be fewer
cores than threads. The processor's own instruction for such a wait is not used: on a virtual machine it can hand the
core to another guest, which took a third of a small step.
"""

# pyright: reportAttributeAccessIssue=false, reportCallIssue=false
# (Numba makes the names in its configuration when it is imported; an intrinsic is called without its first parameter)

import contextlib
import hashlib
import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core import config as numba_config
from numba.extending import intrinsic, register_jitable

MACHINE = platform.machine().lower()
X86, ARM = MACHINE in ("x86_64", "amd64"), MACHINE in ("aarch64", "arm64")

FLUSH = 0x8040 if X86 else 1 << 24 if ARM else 0
"""The bits of the control register that flush."""

ABANDONED = -(2**62)
"""What a counter is set to when a thread has failed: nobody waits any more."""

PATIENCE = 4096
"""Looks at the counter between two offers of the core."""

HERE = Path(__file__).parent
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}
"""Free of the interpreter's lock; x / 0 is no exception, for which every loop with a division would be scalar; and
nothing is allocated, so nothing needs its references counted."""

INNER: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""For what only compiled code calls: the way in from Python, which takes long to compile, is left out."""

SOURCES = (*sorted(HERE.glob("*.py")), HERE.parent / "config.py")


def inner(function: Callable) -> Callable:
    """`function` compiled by Numba where a compiled one first calls it."""
    return compiled(function, INNER)


def compiled(function: Callable, more: dict[str, Any] | None = None) -> Callable:
    """`function` compiled by Numba on first use."""
    options = OPTIONS | (more or {})
    if FOLDER is None or numba_config.DISABLE_JIT:
        return njit(**options)(function)
    before, numba_config.CACHE_DIR = numba_config.CACHE_DIR, str(FOLDER)
    try:
        made = njit(cache=True, **options)(function)
    finally:
        numba_config.CACHE_DIR = before
    made._cache.save_overload = _one_at_a_time(made._cache.save_overload, FOLDER / "lock")
    return made


def _one_at_a_time(save: Callable, lock: Path) -> Callable:
    """`save`, which no two processes do at once where the system has locks for that; if it cannot, nothing is saved."""
    def waiting(*arguments):
        with contextlib.suppress(OSError), open(lock, "a") as held:
            if fcntl is not None:
                with contextlib.suppress(OSError):  # some network file systems have none
                    fcntl.flock(held, fcntl.LOCK_EX)  # until the file is closed
            save(*arguments)
    return waiting


def folder(candidates: list[Path]) -> Path | None:
    """The first folder that can be written, under a name that changes with the sources; None if none can."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in SOURCES)).hexdigest()[:16]
    for candidate in candidates:
        path = candidate / f"compiled-{digest}"
        try:
            path.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=path).close()
        except OSError:
            continue
        return path
    return None


def _candidates() -> list[Path]:
    """What NUMBA_CACHE_DIR says, beside the package, among the user's caches."""
    first = [Path(given) for given in (numba_config.CACHE_DIR, HERE / "__pycache__") if given]
    try:
        return [*first, Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "grokbook"]
    except RuntimeError:  # a user without a home, in a container say
        return first


FOLDER = folder(_candidates())


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

"""Compile a function once a machine and keep the result, as long as the code it was made from is the same.

Numba knows only the file a function stands in. What it calls and the constants it takes from other files are compiled
into it too, so the cache's folder is named by a digest of all of them. Where no folder can be written, functions are
compiled anew in each process. Processes write into it one at a time: Numba reads its index, picks a file's name and
writes both, and two that did so at once would leave one's code under the other's name.
"""

# pyright: reportAttributeAccessIssue=false
# (Numba makes the names in its configuration when it is imported)

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None

from numba import njit
from numba.core import config as numba_config

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

"""Compile a function once a machine and keep the result, as long as the code it was made from is the same.

Numba knows only the file a function stands in. What it calls and the constants it takes from other files are compiled
into it too, so the cache's folder is named by a digest of all of them. Where no folder can be written, functions are
compiled anew in each process.
"""

# pyright: reportAttributeAccessIssue=false
# (Numba makes the names in its configuration when it is imported)

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from numba import njit
from numba.core import config as numba_config

HERE = Path(__file__).parent
SOURCES = (HERE / "fused_pass.py", HERE / "tiles.py", HERE.parent / "config.py")


def compiled(function: Callable) -> Callable:
    """`function` compiled by Numba on first use, free of the interpreter's lock."""
    if FOLDER is None:
        return njit(nogil=True)(function)
    before, numba_config.CACHE_DIR = numba_config.CACHE_DIR, str(FOLDER)
    try:
        return njit(nogil=True, cache=True)(function)
    finally:
        numba_config.CACHE_DIR = before


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
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    return [HERE / "__pycache__", home / "grokbook"]


FOLDER = folder(_candidates())

"""Whether this environment can run the book, and for every problem what ends it."""

import importlib.util
import os
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from grokbook.store import Store

CHECKOUT = Path(__file__).resolve().parents[1]  # where the package was cloned to, if it was

PIP = f"{sys.executable} -m pip install"
EXTENSIONS = {"@jupyter-widgets/jupyterlab-manager": "jupyterlab_widgets", "anywidget": "anywidget"}
"""JupyterLab extensions without which no slider and no live figure is drawn, and the packages that bring them."""


class Finding(NamedTuple):
    """What was looked at and seen; `fix` is what ends the problem, mostly a command, and empty where all is well."""

    seen: str
    fix: str = ""


def examine() -> Iterator[Finding]:
    """Every finding, in the order in which a reader meets the problems."""
    yield from _torch()
    if importlib.util.find_spec("jupyter_client") is None:
        yield Finding("Jupyter is not installed: this machine can train and not open chapters", f"{PIP} -e .")
    else:
        yield _kernel()
        yield from (_extension(extension, package) for extension, package in EXTENSIONS.items())
    yield from _store(Store())


def _torch() -> Iterator[Finding]:
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Finding(f"PyTorch cannot be loaded ({error})", f"{PIP} -c constraints.txt torch")
        return
    if not torch.cuda.is_available():
        yield Finding(f"PyTorch {torch.__version__}, no CUDA device, so training uses the CPU")
        return
    yield Finding(f"PyTorch {torch.__version__}, {torch.cuda.get_device_name()}")
    # What Triton compiles its launcher with, at its first kernel: CC or else gcc or clang, and Python's headers.
    why = "which the CUDA engine needs for its first launch"
    if not any(shutil.which(name) for name in (os.environ.get("CC", ""), "gcc", "clang")):
        yield Finding(f"no C compiler, {why}", "apt-get install gcc")
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        yield Finding(f"no headers of Python, {why}", "apt-get install python3-dev")


def _kernel() -> Finding:
    """Whether the kernel that notebooks ask for, python3, is the Python that runs this."""
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    install = f"{sys.executable} -m ipykernel install --sys-prefix"
    try:
        spec = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        return Finding("no Jupyter kernel is called python3", install)
    program = spec.argv[0]
    if program in ("python", "python3", sys.executable):  # Jupyter takes the bare names for its own interpreter
        return Finding(f"kernel python3 is {sys.executable}")
    return Finding(f"kernel python3 is another Python, {program}, as {spec.resource_dir} says",
                   f"jupyter kernelspec remove -f python3 && {install}")


def _extension(extension: str, package: str) -> Finding:
    from jupyter_core.paths import jupyter_path

    if any((Path(folder) / extension / "package.json").is_file() for folder in jupyter_path("labextensions")):
        return Finding(f"JupyterLab has {extension}")
    return Finding(f"JupyterLab lacks {extension}", f"{PIP} -c constraints.txt --force-reinstall --no-deps {package}")


def _store(store: Store) -> Iterator[Finding]:
    for complaint in store.check():
        seen, _, fix = complaint.rpartition("; ")
        yield Finding(seen, fix)
    runs = len(store.frame()) if store.path.is_dir() else 0
    shipped = not os.environ.get("GROKBOOK_DATA") and (CHECKOUT / ".git").exists()
    mend = f"git -C {CHECKOUT} restore data" if shipped else "grokbook sweep grokking"
    yield Finding(f"there are {runs or 'no'} trained runs in {store.path}", "" if runs else mend)

"""From configs to a cohort in training: the engines, the fastest first, and which of them can train what.

    fused_cuda   the one-layer transformer as Triton kernels over (network, tile of rows): CUDA
    fused        the one-layer transformer, full batch, in one compiled pass, one network a thread: CPU
    autograd     any architecture and option in PyTorch over distinct prefixes, one network a thread: CPU
    vmapped      the same with the networks of a cohort stacked: CUDA, and a CPU for tests
"""

import importlib
import importlib.util
import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from grokbook import models
from grokbook.config import IDENTITY, SHARED, RunConfig, check_among
from grokbook.training.loop import Training

Weights = Mapping[str, np.ndarray]

ENGINES = {"fused_cuda": "FusedCuda", "fused": "Fused", "autograd": "Autograd", "vmapped": "Vmapped"}
"""Every engine, the fastest first, and the class that it is in the module of its name.

`cannot(config, device, dtype)` of such a class says in a few words what of a config it cannot train there, as they
follow on "cannot train", and nothing ("") if it can. What it does is said by `loop.Engine`.
"""

NEEDS = {"fused": "numba", "fused_cuda": "triton"}
"""Packages without which an engine's module cannot be imported."""

DEVICES = {"fused": "cpu", "fused_cuda": "cuda", "autograd": "cpu"}
"""The kind of device that an engine is for, where it is for one only."""

ONE_LAYER = frozenset({"task", "p", "D_train", "D_random", "d_h", "n_heads", "seed", "init", "init_scale", "lr",
                       "weight_decay", "n_warmup", "loss", "parent"})
"""Fields that a pass for the book's one-layer transformer knows; of all others it knows what the recipe says."""

RECIPE = RunConfig()


def engine_named(name: str) -> Any:
    """The class of an engine; its module is imported only now, since each needs packages of its own."""
    return getattr(importlib.import_module(f"grokbook.training.{name}"), ENGINES[name])


def unknown_options(config: RunConfig, known: frozenset[str] = ONE_LAYER) -> str:
    """The fields of a config that are not `known` and not as in the book's recipe, with their values; "" if none are.

    An engine that names the fields it knows refuses those that are invented later.
    """
    return ", ".join(f"{name}={getattr(config, name)}" for name in IDENTITY
                     if name not in known and getattr(config, name) != getattr(RECIPE, name))


def reason(name: str, configs: Sequence[RunConfig], device: torch.device, dtype: str = "float32") -> str:
    """Why an engine cannot train these configs on this device in this arithmetic, in a few words; "" if it can.

    With TRITON_INTERPRET=1 in the environment, for tests, the CUDA kernels run on a CPU too.
    """
    interpreted = name == "fused_cuda" and os.environ.get("TRITON_INTERPRET") == "1"
    if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
        return f"without {NEEDS[name]}, which is not installed"
    if DEVICES.get(name, device.type) != device.type and not interpreted:
        return f"on {device.type}"
    cannot = engine_named(name).cannot
    return next(filter(None, (cannot(config, device, dtype) for config in configs)), "")


def able(configs: Sequence[RunConfig], device: torch.device, dtype: str = "float32") -> list[str]:
    """Engines that can train these configs on this device in this arithmetic, the fastest first.

    One that only the interpreter runs, slowly, comes last, so that only asking for it by name chooses it.
    """
    order = sorted(ENGINES, key=lambda name: DEVICES.get(name, device.type) != device.type)
    return [name for name in order if not reason(name, configs, device, dtype)]


def chosen(name: str, configs: Sequence[RunConfig], device: torch.device, dtype: str = "float32") -> Any:
    """The class of the engine of that name, or for `auto` of the fastest one that can train these configs.

    Raises:
        ValueError: there is no such engine, or it cannot train them.
    """
    check_among("engine", name, ("auto", *ENGINES))
    valid = able(configs, device, dtype)
    if name not in ("auto", *valid):
        why_not = reason(name, configs, device, dtype)
        raise ValueError(f"engine={name!r} cannot train {why_not}; valid here: {', '.join(valid)}")
    return engine_named(valid[0] if name == "auto" else name)


def cohorts(configs: Sequence[RunConfig]) -> list[list[RunConfig]]:
    """The configs in groups that can train together, each in the order given."""
    groups: dict[tuple, list[RunConfig]] = {}
    for c in configs:
        groups.setdefault(tuple(getattr(c, name) for name in SHARED), []).append(c)
    return list(groups.values())


def train(configs: Sequence[RunConfig], *, device: str = "auto", engine: str = "auto", dtype: str = "float32",
          parents: Mapping[str, Weights] | None = None) -> Training:
    """Train a cohort: networks of one shape, each with its own D_train, seed, learning rate and weight decay.

    A member's curves do not depend on the others: bit for bit on the fused engines, up to rounding on the others.
    Iterate over the result to train; see `Training`.

    Args:
        configs: the runs; the fields of `config.SHARED` must agree (`cohorts` groups any list so that they do).
        device: `auto` (CUDA where there is one), `cpu`, `cuda`, `cuda:1`, …
        engine: `auto`, or one of `ENGINES`.
        dtype: `float32`, or `float64` for checks.
        parents: weights for configs that name a `parent`, by that name.

    Raises:
        ValueError: no configs, configs of several shapes, an unknown device, an engine that is unknown or cannot train
            them, or a parent without weights.
        MemoryError: more networks than the memory that is free holds; nothing has trained then.
    """
    configs = list(configs)
    _check_cohort(configs)
    where = _device(device)
    check_among("dtype", dtype, ("float32", "float64"))
    kind = chosen(engine, configs, where, dtype)
    start = np.stack([models.flatten(_start(c, parents or {}), c) for c in configs])
    return Training(configs, kind(configs, start, where, dtype), provenance(kind.name, where))


def _check_cohort(configs: list[RunConfig]) -> None:
    if not configs:
        raise ValueError("there is nothing to train; give at least one RunConfig")
    for name in SHARED:
        values = {getattr(c, name) for c in configs}
        if len(values) > 1:
            raise ValueError(f"a cohort has one {name}, not {sorted(values)}; training.cohorts groups any mixture")


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise ValueError(f"device={name!r} is unknown; valid: auto, cpu, cuda, cuda:0, …")
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device={name!r} is not there: PyTorch sees no CUDA device; valid here: cpu")
    return device


def _start(config: RunConfig, parents: Mapping[str, Weights]) -> Weights:
    if not config.parent:
        return models.initial_weights(config)
    if config.parent not in parents:
        raise ValueError(f"parent={config.parent!r} has no weights here; pass parents={{{config.parent!r}: weights}}")
    return parents[config.parent]


def provenance(engine: str, device: torch.device) -> dict[str, str]:
    """The columns of `store.shards.PROVENANCE` that are known before a run has trained."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {"engine": engine, "device": f"{device.type} ({name})", "torch": torch.__version__, "commit": commit()}


def commit(package: Path = Path(__file__).parents[1]) -> str:
    """The commit of the checkout that trains, with + if the package differs from it.

    Empty where the package does not lie at the root of a checkout: one installed inside another project's repository
    has nothing to do with that project's commits.
    """
    try:
        head = _git(package, "rev-parse", "--show-toplevel", "--short=12", "HEAD")
        changes = _git(package, "status", "--porcelain", ".")
    except OSError:
        return ""
    root, _, digits = head.stdout.strip().rpartition("\n")
    if head.returncode or Path(root) != package.resolve().parent:
        return ""
    return digits + ("+" if changes.stdout else "")


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True)

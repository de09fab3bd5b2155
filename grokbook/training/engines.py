"""The engines, the fastest first, and which of them can train what.

    fused_cuda   the one-layer transformer as Triton kernels over (network, tile of rows): CUDA
    fused        the one-layer transformer, full batch, in one compiled pass, one network a thread: CPU
    autograd     any architecture and option in PyTorch over distinct prefixes, one network a thread: CPU
    vmapped      the same with the networks of a cohort stacked: CUDA, and a CPU for tests
"""

import importlib
import importlib.util
import os
from collections.abc import Sequence
from typing import Any

import torch

from grokbook.config import IDENTITY, RunConfig

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

BOOK = RunConfig()


def engine_named(name: str) -> Any:
    """The class of an engine; its module is imported only now, since each needs packages of its own."""
    return getattr(importlib.import_module(f"grokbook.training.{name}"), ENGINES[name])


def unknown_options(config: RunConfig, known: frozenset[str] = ONE_LAYER) -> str:
    """The fields of a config that are not `known` and not as in the book's recipe, with their values; "" if none are.

    An engine that names the fields it knows refuses those that are invented later.
    """
    return ", ".join(f"{name}={getattr(config, name)}" for name in IDENTITY
                     if name not in known and getattr(config, name) != getattr(BOOK, name))


def reason(name: str, configs: Sequence[RunConfig], device: torch.device, dtype: str = "float32") -> str:
    """Why an engine cannot train these configs on this device in this arithmetic, in a few words; "" if it can.

    With TRITON_INTERPRET=1 in the environment, for tests, the CUDA kernels run on a CPU too.
    """
    interpreted = name == "fused_cuda" and os.environ.get("TRITON_INTERPRET") == "1"
    if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
        return f"without {NEEDS[name]}, which is not installed"
    if DEVICES.get(name, device.type) != device.type and not interpreted:
        return f"on {device.type}"
    cannot = getattr(engine_named(name), "cannot", lambda config, device, dtype: unknown_options(config))
    return next(filter(None, (cannot(config, device, dtype) for config in configs)), "")


def reasons(configs: Sequence[RunConfig], device: torch.device, dtype: str = "float32") -> dict[str, str]:
    """Why each engine cannot train these configs, "" for those that can, in the order of choice: the fastest first.

    One that only the interpreter runs, slowly, comes last, so that only asking for it by name chooses it.
    """
    order = sorted(ENGINES, key=lambda name: DEVICES.get(name, device.type) != device.type)
    return {name: reason(name, configs, device, dtype) for name in order}


def able(config: RunConfig, device: torch.device, dtype: str = "float32") -> list[str]:
    """Engines that can train this config on this device in this arithmetic, the fastest first."""
    return [name for name, why_not in reasons([config], device, dtype).items() if not why_not]


def chosen(name: str, configs: Sequence[RunConfig], device: torch.device, dtype: str = "float32") -> Any:
    """The class of the engine of that name, or for `auto` of the fastest one that can train these configs.

    Raises:
        ValueError: there is no such engine, or it cannot train them.
    """
    if name not in ("auto", *ENGINES):
        raise ValueError(f"engine={name!r} is unknown; valid: auto, {', '.join(ENGINES)}")
    why_not = reasons(configs, device, dtype)
    valid = [name for name in why_not if not why_not[name]]
    if name != "auto" and name not in valid:
        raise ValueError(f"engine={name!r} cannot train {why_not[name]}; valid here: {', '.join(valid)}")
    return engine_named(valid[0] if name == "auto" else name)

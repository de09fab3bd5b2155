"""The training core: one loop, and engines behind it that all compute the same thing.

    vmapped      the plain network lifted with torch.func: any architecture, CPU or CUDA; the reference
    fused        the one-layer transformer, full batch, in one compiled pass, one network a thread: CPU
    fused_cuda   the same pass as Triton kernels over (network, tile of rows): CUDA
"""

import importlib.util
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from grokbook import models
from grokbook.config import IDENTITY, SHARED, RunConfig
from grokbook.run import Run
from grokbook.training.loop import Evaluation, Training

__all__ = ["ENGINES", "Evaluation", "Training", "able", "cohorts", "engine_named", "train", "train_all"]

ENGINES = {"vmapped": "Vmapped", "fused": "Fused", "fused_cuda": "FusedCuda"}
"""Every engine, and the class that it is in the module of its name."""

BOOK = RunConfig()

FUSED = ("task", "p", "D_train", "D_random", "d_h", "n_heads", "seed", "init", "init_scale", "lr", "weight_decay",
         "n_warmup", "loss", "parent")
"""Fields that the fused engines know; of the others they know what the book's recipe says."""

Weights = Mapping[str, np.ndarray]


def cohorts(configs: Sequence[RunConfig]) -> list[list[RunConfig]]:
    """The configs in groups that can train together, each in the order given."""
    groups: dict[tuple, list[RunConfig]] = {}
    for c in configs:
        groups.setdefault(tuple(getattr(c, name) for name in SHARED), []).append(c)
    return list(groups.values())


def train(configs: Sequence[RunConfig], *, device: str = "auto", engine: str = "auto", dtype: str = "float32",
          parents: Mapping[str, Weights] | None = None) -> Training:
    """Train a cohort: networks of one shape, each with its own D_train, seed, learning rate and weight decay.

    A member's curves do not depend on the others: bit for bit on the fused engines, up to rounding on the vmapped one,
    whose matrix products may sum in another order in a larger batch. Iterate over the result to train; see `Training`.

    Args:
        configs: the runs; those fields named in `SHARED` must agree (`cohorts` groups any list so that they do).
        device: `auto` (CUDA where there is one), `cpu`, `cuda`, `cuda:1`, …
        engine: `auto`, or one of `ENGINES`.
        dtype: `float32`, or `float64` for checks.
        parents: weights for configs that name a `parent`, by that name.

    Raises:
        ValueError: no configs, configs of several shapes, an unknown engine or device, or a parent without weights.
        MemoryError: more networks than the memory that is free holds; nothing has trained then.
    """
    configs = list(configs)
    _check_cohort(configs)
    where = _device(device)
    if dtype not in ("float32", "float64"):
        raise ValueError(f"dtype={dtype!r} is unknown; valid: float32, float64")
    kind = engine_named(_engine(engine, configs[0], where, dtype))
    start = np.stack([models.flatten(_start(c, parents or {}), c) for c in configs])
    trainer = kind(configs, start, where, dtype)
    return Training(configs, trainer, _provenance(trainer.name, where))


def train_all(configs: Sequence[RunConfig], **options) -> list[Run]:
    """Train configs of any shapes, cohort by cohort, and return the runs in the order given.

    ^C ends it and keeps what was trained: the runs come back as far as they were followed. Options as for `train`.
    """
    runs: dict[RunConfig, Run] = {}
    for config in configs:
        _start(config, options.get("parents") or {})  # a missing parent is found before anything trains
    try:
        for cohort in cohorts(configs):
            training = train(cohort, **options)
            try:
                for _ in training:
                    pass
            finally:
                runs |= {run.config: run for run in training.runs()}
    except KeyboardInterrupt:
        pass
    return [runs[c] for c in configs if c in runs]


def _check_cohort(configs: list[RunConfig]) -> None:
    if not configs:
        raise ValueError("there is nothing to train; give at least one RunConfig")
    for name in SHARED:
        values = {getattr(c, name) for c in configs}
        if len(values) > 1:
            raise ValueError(f"a cohort has one {name}, not {sorted(values)}; train_all takes any mixture")


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"device={name!r} is unknown; valid: auto, cpu, cuda, cuda:0, …") from None
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"device={name!r} is not supported; valid: auto, cpu, cuda, cuda:0, …")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device={name!r} is not there: PyTorch sees no CUDA device; valid here: cpu")
    return device


def able(config: RunConfig, device: torch.device, dtype: str = "float32") -> list[str]:
    """Engines that can train this config on this device in this arithmetic, the fastest first.

    With TRITON_INTERPRET=1 in the environment, for tests, the CUDA kernels run on a CPU too, so slowly that only asking
    for them by name chooses them.
    """
    if any(name not in FUSED and getattr(config, name) != getattr(BOOK, name) for name in IDENTITY):
        return ["vmapped"]
    if device.type == "cuda":
        return ["fused_cuda", "vmapped"] if _fits_kernels(config, dtype) else ["vmapped"]
    fused = ["fused"] if importlib.util.find_spec("numba") else []
    interpreted = os.environ.get("TRITON_INTERPRET") == "1" and _fits_kernels(config, dtype)
    return [*fused, "vmapped", *(["fused_cuda"] if interpreted else [])]


def _fits_kernels(config: RunConfig, dtype: str) -> bool:
    """Whether Triton is there and its kernels hold a network of this size."""
    if importlib.util.find_spec("triton") is None:
        return False
    return importlib.import_module("grokbook.training.fused_cuda").supports(config, dtype)


def engine_named(name: str) -> Any:
    """The class of an engine; its module is imported only now, since each needs packages of its own."""
    return getattr(importlib.import_module(f"grokbook.training.{name}"), ENGINES[name])


def _engine(name: str, config: RunConfig, device: torch.device, dtype: str) -> str:
    choices = able(config, device, dtype)
    if name not in ("auto", *ENGINES):
        raise ValueError(f"engine={name!r} is unknown; valid: auto, {', '.join(ENGINES)}")
    needed = {"fused": "numba", "fused_cuda": "triton"}.get(name)
    if needed and importlib.util.find_spec(needed) is None:
        raise ValueError(f"engine={name!r} needs {needed}, which is not installed; valid here: {', '.join(choices)}")
    if name not in ("auto", *choices):
        shape = ", ".join(f"{field}={getattr(config, field)}" for field in ("n_layers", "d_h", "batch_size", "dropout"))
        raise ValueError(f"engine={name!r} cannot train {config.architecture} with {shape} in {dtype} on "
                         f"{device.type}; valid here: {', '.join(choices)}")
    return choices[0] if name == "auto" else name


def _start(config: RunConfig, parents: Mapping[str, Weights]) -> Weights:
    if not config.parent:
        return models.initial_weights(config)
    if config.parent not in parents:
        raise ValueError(f"parent={config.parent!r} has no weights here; pass parents={{{config.parent!r}: weights}}")
    return parents[config.parent]


def _provenance(engine: str, device: torch.device) -> dict[str, str]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {"engine": engine, "device": f"{device.type} ({name})", "torch": torch.__version__, "commit": _commit()}


def _commit(package: Path = Path(__file__).parents[1]) -> str:
    """The commit of the checkout that trains, with + if the package differs from it.

    Empty where the package does not lie at the root of a checkout: one installed inside another project's repository
    has nothing to do with that project's commits.
    """
    try:
        head = _git(package, "rev-parse", "--show-toplevel", "--short=12", "HEAD")
        changes = _git(package, "status", "--porcelain", ".")
    except OSError:
        return ""
    root, _, commit = head.stdout.strip().rpartition("\n")
    if head.returncode or Path(root) != package.resolve().parent:
        return ""
    return commit + ("+" if changes.stdout else "")


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True)

"""From configs to a cohort in training, which says of its own making: engine, device, versions and commit."""

import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from grokbook import models
from grokbook.config import SHARED, RunConfig
from grokbook.training.engines import chosen
from grokbook.training.loop import Training

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

    A member's curves do not depend on the others: bit for bit on the fused engines, up to rounding on the other one,
    whose matrix products may sum in another order in a larger batch. Iterate over the result to train; see `Training`.

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
    if dtype not in ("float32", "float64"):
        raise ValueError(f"dtype={dtype!r} is unknown; valid: float32, float64")
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
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"device={name!r} is unknown; valid: auto, cpu, cuda, cuda:0, …") from None
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"device={name!r} is not supported; valid: auto, cpu, cuda, cuda:0, …")
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

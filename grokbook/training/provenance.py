"""What a run says of its own making: the engine, the device, the versions and the commit of the code."""

import platform
import subprocess
from pathlib import Path

import torch


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

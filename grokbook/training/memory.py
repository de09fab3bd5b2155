"""How much memory there is to plan with, so that a cohort is cut into groups that fit before it trains.

What the machine has free and what the process may still take are two things: a container or a batch job lives in a
control group with a limit of its own.
"""

import math
import os
from pathlib import Path

import torch

MEMINFO = Path("/proc/meminfo")
"""Where Linux says how its memory is used."""

GROUP, GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
"""Where Linux says which control group the process is in, and what each may use (version 2)."""

UNKNOWN = 2 * 1024**3
"""Taken to be free where the system says nothing."""


def free_bytes(device: torch.device) -> int:
    """Bytes that a tensor on this device could still take, PyTorch's own reserve counted."""
    if device.type == "cuda":
        reserve = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + reserve
    try:
        said = dict(line.split(":") for line in MEMINFO.read_text().splitlines())
    except FileNotFoundError:  # Windows and macOS do not say
        return _built_in() // 2 or UNKNOWN
    available = int(said["MemAvailable"].removesuffix("kB")) * 1024  # with what caches hold and would give up
    return int(min(available, _allowed()))


def _built_in() -> int:
    """Bytes of memory that the machine has, 0 if it does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0


def _allowed() -> float:
    """Bytes that the control groups of the process still let it take; infinite without a limit."""
    try:
        own = next(line.partition("::")[2] for line in GROUP.read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        return math.inf
    inside = GROUPS / own.lstrip("/")
    return min(map(_left, [inside, *inside.parents][: len(Path(own).parts)]), default=math.inf)


def _left(group: Path) -> float:
    """What a group's limit leaves, the files that it caches counted as free."""
    try:
        limit, used = (group / "memory.max").read_text().strip(), int((group / "memory.current").read_text())
        cached = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())["inactive_file"]
    except (OSError, KeyError):
        return math.inf
    return math.inf if limit == "max" else max(0, int(limit) - used + int(cached))

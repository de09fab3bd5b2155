"""How much memory there is to plan with, so that a cohort is cut into groups that fit before it trains."""

from pathlib import Path

import torch

MEMINFO = Path("/proc/meminfo")
"""Where Linux says how its memory is used."""

UNKNOWN = 2 * 1024**3
"""Taken to be free where the system does not say."""


def free_bytes(device: torch.device) -> int:
    """Bytes that a tensor on this device could still take, PyTorch's own reserve counted."""
    if device.type == "cuda":
        reserve = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + reserve
    try:
        said = dict(line.split(":") for line in MEMINFO.read_text().splitlines())
    except FileNotFoundError:  # Windows and macOS do not say
        return UNKNOWN
    return int(said["MemAvailable"].removesuffix("kB")) * 1024  # with what caches hold and would give up

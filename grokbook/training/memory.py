"""How much memory there is to plan with, so that a cohort is cut into groups that fit before it trains."""

import os

import torch

UNKNOWN = 2 * 1024**3
"""Taken to be free where the system does not say."""


def free_bytes(device: torch.device) -> int:
    """Bytes that a tensor on this device could still take, PyTorch's own reserve counted."""
    if device.type == "cuda":
        reserve = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + reserve
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError):  # Windows and macOS do not say
        return UNKNOWN

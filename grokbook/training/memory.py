"""How much memory there is to plan with, so that a cohort is cut into groups that fit before it trains."""

import os

import torch

UNKNOWN = 2 * 1024**3
"""Taken to be free on a CPU whose system does not say how much memory it has."""


def free_bytes(device: torch.device) -> int:
    """Bytes that tensors on this device may still take: on CUDA what is free, PyTorch's own reserve counted.

    On a CPU half of the machine's memory, whatever else runs there: a cohort of the book takes a thousandth.
    """
    if device.type == "cuda":
        reserve = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + reserve
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):  # on Windows
        return UNKNOWN

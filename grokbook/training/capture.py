"""One training step recorded as a CUDA graph: replayed, it launches all its kernels at the price of one."""

import threading
from collections.abc import Callable

import torch

CAPTURING = threading.Lock()
"""CUDA allows one recording at a time in a process."""


def captured(step: Callable[[], None], device: torch.device) -> torch.cuda.CUDAGraph:
    """What `step` does on the device, without doing it. All of it must have run there before, so that it is compiled.

    The stream must be the device's own: recorded on another's, the graph would be empty and replaying it do nothing.
    Another thread may use CUDA meanwhile, a widget's for instance; only this one's calls are recorded.
    """
    graph = torch.cuda.CUDAGraph()
    with CAPTURING, torch.cuda.device(device), torch.cuda.graph(graph, stream=torch.cuda.Stream(device),
                                                                capture_error_mode="thread_local"):
        step()
    return graph

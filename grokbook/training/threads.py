"""Threads that flush subnormal numbers, for engines in PyTorch.

`torch.set_flush_denormal` acts on the calling thread, on x86 and on 64-bit Arm, and a thread inherits it from the one
that starts it. An engine therefore computes on threads of its own, which are flushed from their start: autograd walks
backward over CPU tensors on the thread that asks for it, and the threads of OpenMP with which PyTorch splits a large
operation belong to the thread that does, so they are started flushed. Nothing is set for the caller, and nothing has to
be put back.
"""

import threading
from concurrent.futures import ThreadPoolExecutor

import torch


def flushed_threads(n: int, each: int = 1) -> ThreadPoolExecutor:
    """n threads that flush subnormal numbers, each of which lets PyTorch compute with `each` threads in all.

    How many threads the caller computes with stays as it is, and so do the caller's subnormal numbers.
    """
    # Once a block of nearly 32 MiB was freed, glibc keeps freed blocks up to that size for the next tensor. Before, it
    # gives them back to the system, which clears every page anew: a tenth of a step of the feed-forward network.
    torch.empty(31 * 2**20, dtype=torch.uint8)
    before, ready = torch.get_num_threads(), threading.Barrier(n + 1)

    def begin() -> None:
        torch.set_flush_denormal(True)
        torch.get_num_threads()  # only once it has asked does a thread keep the number that it sets
        torch.set_num_threads(each)
        ready.wait()

    pool = ThreadPoolExecutor(n, thread_name_prefix="grokbook", initializer=begin)
    for _ in range(n):
        pool.submit(int)
    ready.wait()
    torch.set_num_threads(before)  # which threads to come begin with: a thread that sets its number sets that too
    return pool

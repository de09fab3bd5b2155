"""Threads that meet inside compiled code."""

import threading

import numpy as np
import pytest
from numba import njit

from grokbook.training.compiled import meet


@njit(nogil=True)
def race(counter, thread, n_threads, n_rounds, seen, written):
    """Each thread writes its round, meets, reads the others', and meets again before the next."""
    for k in range(1, n_rounds + 1):
        written[thread] = k
        meet(counter, n_threads)
        for other in range(n_threads):
            if written[other] != k:
                seen[thread] += 1
        meet(counter, n_threads)


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_no_thread_runs_ahead_and_none_is_left_behind(n_threads):
    counter, seen, written = np.zeros(1, np.int64), np.zeros(n_threads, np.int64), np.zeros(n_threads, np.int64)
    race(np.zeros(1, np.int64), 0, 1, 1, seen, written)  # compiled before threads need it
    threads = [threading.Thread(target=race, args=(counter, k, n_threads, 300, seen, written))
               for k in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not seen.any() and (written == 300).all()

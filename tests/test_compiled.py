"""Compiled code flushes subnormal numbers and leaves its caller as it was; threads that meet in it wait for all."""

import threading

import numpy as np
import pytest
import torch
from numba import njit

from grokbook import models
from grokbook.config import RunConfig
from grokbook.training import engine_named
from grokbook.training.compiled import FLUSH, flush, meet, restore

TINY = np.float32(1e-30)

flushes = pytest.mark.skipif(not FLUSH, reason="this processor's setting is not known to the package")


@njit(nogil=True)
def products(x):
    total = x.dtype.type(0)
    for k in range(x.size):
        total += x[k] * np.float32(1e-10)
    return total


@njit(nogil=True)
def flushed_products(x):
    before = flush()
    total = products(x)
    restore(before)
    return total


@flushes
@pytest.mark.parametrize("flushing", [False, True])
def test_a_product_is_zero_between_flush_and_restore_and_the_thread_is_as_before(flushing):
    x = np.full(100, TINY)
    try:
        torch.set_flush_denormal(flushing)
        assert flushed_products(x) == 0
        assert (products(x) == 0) == flushing
    finally:
        torch.set_flush_denormal(False)


def confident(config: RunConfig) -> np.ndarray:
    """Weights of a network that answers 0 to everything, e^86 times more likely than anything else."""
    weights = {name: np.zeros_like(w) for name, w in models.initial_weights(config).items()}
    weights["W_E"][-1, 0] = 1
    weights["W_U"][0, 1:] = -86
    return models.flatten(weights, config)


@flushes
@pytest.mark.parametrize("n_models, n_threads", [(1, 1), (1, 2), (1, 4), (3, 2)])
def test_the_gradient_flushes_on_every_thread_that_takes_a_part(n_models, n_threads):
    """`=` is nobody's label: its logit's gradient is e^-86 / 49 a row, a subnormal number, 49 of which are none."""
    configs = [RunConfig(p=7, d_h=4, D_train=49, seed=seed, lr=0.0) for seed in range(n_models)]
    engine = engine_named("fused")(configs, np.stack([confident(c) for c in configs]), n_threads=n_threads)
    exact = engine_named("fused")(configs, np.stack([confident(c) for c in configs]), dtype="float64").gradient()
    engine.advance(1)
    for member, config, whole in zip(engine.members, configs, exact, strict=True):
        ours, exactly = (models.unflatten(vector, config)["W_U"][0] for vector in (member.moments.grad, whole))
        assert ours[-1] == 0 and 3e-38 < exactly[-1] < 6e-38
        np.testing.assert_allclose(ours[:-1], exactly[:-1], rtol=1e-5)


@flushes
@pytest.mark.parametrize("n_models, n_threads", [(1, 1), (1, 2), (3, 2)])
def test_the_optimisers_step_flushes(n_models, n_threads):
    """The first average of a token that no row has shrinks by a tenth a step, from the least normal number to zero."""
    configs = [RunConfig(p=7, d_h=4, D_train=3, seed=seed) for seed in range(n_models)]
    start = np.stack([models.flatten(models.initial_weights(c), c) for c in configs])
    engine = engine_named("fused")(configs, start, n_threads=n_threads)
    for member in engine.members:
        member.moments.m[:] = 1.2e-38
    engine.advance(1)
    for member in engine.members:
        idle = member.moments.grad == 0
        assert idle.any() and not member.moments.m[idle].any()


@flushes
def test_the_caller_of_the_engine_is_left_as_it_was():
    config = RunConfig(p=7, d_h=4, D_train=30)
    engine = engine_named("fused")([config], models.flatten(models.initial_weights(config), config)[None], n_threads=2)
    engine.advance(3)
    engine.evaluate()
    assert products(np.full(10, TINY)) > 0


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

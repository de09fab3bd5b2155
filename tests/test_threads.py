"""Subnormal numbers are zero wherever an engine in PyTorch computes, and as before for whoever called it."""

import threading

import numpy as np
import pytest
import torch
from test_engines import start

from grokbook.config import RunConfig
from grokbook.training import engine_named
from grokbook.training.cohort import AdamW, flushed_threads

SMALL = RunConfig(p=7, d_h=8, D_train=30, n_layers=2)
LARGE = 1 << 20  # numbers that PyTorch splits over its threads


def product(n: int = 1) -> float:
    """The largest of n products that lie between zero and the least normal float32."""
    return (torch.full((n,), 1e-30) * 1e-10).max().item()


def gradient(n: int = 1) -> float:
    """The same, computed on the way back."""
    x = torch.ones(n, requires_grad=True)
    (x * 1e-10).backward(torch.full((n,), 1e-30))
    assert x.grad is not None
    return x.grad.max().item()


@pytest.mark.parametrize("each", [1, 2])
def test_every_thread_flushes_forward_and_back_and_so_do_those_that_it_starts(each):
    pool, meeting = flushed_threads(3, each), threading.Barrier(3)

    def look() -> tuple[int, list[float], int]:
        meeting.wait()  # so that no thread looks twice
        return (threading.get_ident(), [product(), gradient(), product(LARGE), gradient(LARGE)],
                torch.get_num_threads())

    looked = [look.result() for look in [pool.submit(look) for _ in range(3)]]
    assert len({thread for thread, *_ in looked}) == 3
    assert [(values, n) for _, values, n in looked] == 3 * [([0, 0, 0, 0], each)]


@pytest.mark.parametrize("flushing", [False, True])
@pytest.mark.parametrize("engine", ["autograd", "vmapped"])
def test_the_caller_is_left_as_it_was(engine, flushing):
    def call() -> tuple[list[bool], int]:
        torch.set_flush_denormal(flushing)
        torch.set_num_threads(2)
        product(LARGE)  # starts the caller's own threads
        trainer = engine_named(engine)([SMALL], start([SMALL]))
        trainer.advance(3)
        trainer.evaluate()
        products = [product(), gradient(), product(LARGE), gradient(LARGE)]
        return [value > 0 for value in products], torch.get_num_threads()

    before, result = torch.get_num_threads(), []
    caller = threading.Thread(target=lambda: result.append(call()))
    caller.start()
    caller.join()
    torch.set_num_threads(before)
    assert result == [(4 * [not flushing], 2)]


@pytest.mark.parametrize("engine", ["autograd", "vmapped"])
@pytest.mark.parametrize("n_members", [1, 3])
def test_whatever_an_engine_computes_it_computes_where_they_are_zero(engine, n_members, monkeypatch):
    """Seen from within: the forward pass, the way back, the optimiser's step and the evaluation."""
    products: dict[str, list[float]] = {}
    passes, step = engine_named(engine).__init__.__globals__["PASSES"]["transformer"], AdamW.step

    class Spy(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x):
            products.setdefault("forward" if torch.is_grad_enabled() else "evaluation", []).append(product())
            return x.clone()

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

        @staticmethod
        def backward(ctx, g):
            products.setdefault("back", []).append(product())
            return g.clone()

    class Watched(passes):
        def logits(self, w, tables, rows):
            kind = "forward" if w["W_U"].requires_grad or engine == "vmapped" else "evaluation"
            products.setdefault(kind, []).append(product())
            return Spy.apply(super().logits(w, tables, rows))

    def watched_step(self, *arguments, **more):
        products.setdefault("step", []).append(product())
        return step(self, *arguments, **more)

    monkeypatch.setitem(engine_named(engine).__init__.__globals__["PASSES"], "transformer", Watched)
    monkeypatch.setattr(AdamW, "step", watched_step)
    configs = [SMALL.replace(seed=seed) for seed in range(n_members)]
    trainer = engine_named(engine)(configs, start(configs))
    trainer.advance(2)
    trainer.evaluate()
    assert {"forward", "back", "step", "evaluation"} <= products.keys()
    assert not any(np.concatenate(list(products.values())))

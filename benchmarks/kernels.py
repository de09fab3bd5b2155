"""What each kernel of the CUDA engine costs on a card, and which launch options would suit it better.

    python benchmarks/kernels.py                                   # d_h 32, 3,000 pairs, 77 networks together
    python benchmarks/kernels.py --d-h 64 --warps 8 --warps 16 --rows 32 --rows 64 --precision ieee --precision tf32x3

First every kernel of a training step with the options that the engine gives it, then `differentiate`, which has nearly
all of the arithmetic, with each combination of those asked for. Printed a line: registers of a thread, bytes of it that
spill to local memory, shared memory of a program, median milliseconds of a launch for the whole cohort (the level-2
cache emptied before each, which a replayed graph would not do) and, for `differentiate`, model-steps a second if it
were alone, the share of the card's own float32 matrix rate (`products` of training.py, which leaves out what the kernel
computes twice) and the relative error of the gradient, by these very options, against PyTorch in float64.

What came out best belongs into `launch_options` and `Shape`. Options that change how a sum is cut change its rounding,
so they may follow from a network's config alone, never from the cohort.
"""

import dataclasses
import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import click
import numpy as np
import torch
import triton
from training import machine, matrix_rate, products

from grokbook import RunConfig, models
from grokbook.training import fused_cuda
from grokbook.training.fused_cuda import INTERPRETED, FusedCuda, Shape
from grokbook.training.vmapped import Vmapped

Call = tuple[Any, int, tuple, dict[str, int]]
"""A kernel, its programs a model, its arguments and its launch options."""


@contextmanager
def with_options(shape: dict[str, Any], launch: dict[str, int]) -> Iterator[None]:
    """Engines made in here have these fields of `Shape`, and launch `differentiate` with these options."""
    own_shape, own_options = Shape.of, fused_cuda.launch_options

    def options(kernel: Any) -> dict[str, int]:
        return own_options(kernel) | (launch if kernel is fused_cuda.differentiate else {})

    with (patch.object(Shape, "of", lambda config: dataclasses.replace(own_shape(config), **shape)),
          patch.object(fused_cuda, "launch_options", options)):
        yield


def engine_of(configs: list[RunConfig], device: str) -> FusedCuda:
    """The engine with fresh weights."""
    return FusedCuda(configs, weights_of(configs), device)


def weights_of(configs: list[RunConfig]) -> np.ndarray:
    """Fresh weights of each, flat, (member, n_params)."""
    return np.stack([models.flatten(models.initial_weights(c), c) for c in configs])


def launches(engine: FusedCuda) -> list[Call]:
    """What the first batch launches in one step, which is taken."""
    (batch, *_), calls = engine._batches, []
    own = batch._launch

    def launch(kernel, programs, *arguments):
        calls.append((kernel, programs, arguments, fused_cuda.launch_options(kernel)))
        own(kernel, programs, *arguments)

    with patch.object(batch, "_launch", launch):
        batch._step()
    return calls


def timed(engine: FusedCuda, call: Call) -> dict[str, Any]:
    """Options, resources and median milliseconds of one launch, for all members of the first batch."""
    kernel, programs, arguments, options = call
    batch = engine._batches[0]

    def launch():
        return kernel[programs, batch.n](*arguments, batch.shape, **options)

    made, shape = launch(), batch.shape
    used = {} if INTERPRETED else {"registers": made.n_regs, "spilled": 4 * made.n_spills,
                                   "shared": made.metadata.shared}  # Triton counts what spills in words
    return {"kernel": kernel.__name__, "rows": shape.ROWS, "precision": shape.precision} | options | used | {
        "ms": _median_ms(launch)}


def _median_ms(launch: Callable[[], Any]) -> float:
    if not INTERPRETED:
        return triton.testing.do_bench(launch, warmup=50, rep=300, return_mode="median")
    start = time.perf_counter()
    launch()
    return 1e3 * (time.perf_counter() - start)


def variant(configs: list[RunConfig], device: str, reference: np.ndarray) -> dict[str, Any]:
    """`differentiate` as the engine launches it now: checked, then timed."""
    engine, c = engine_of(configs, device), configs[0]
    error = np.linalg.norm(engine.gradient()[0] - reference) / np.linalg.norm(reference)
    found = timed(engine, next(call for call in launches(engine) if call[0] is fused_cuda.differentiate))
    rate = 1e3 / found["ms"] * engine._batches[0].n
    share = 6 * c.D_train * products(c) * rate / matrix_rate(device)
    return found | {"a_second": rate, "share": share, "error": float(error)}


def variants(configs: list[RunConfig], device: str, grid: dict[str, tuple]) -> Iterator[dict[str, Any]]:
    """Each combination of `grid`: what was found, or why it does not run."""
    reference = Vmapped(configs[:1], weights_of(configs[:1]), device, "float64").gradient()[0]
    for rows, precision, warps, stages in itertools.product(*grid.values()):
        with with_options({"ROWS": rows, "precision": precision}, {"num_warps": warps, "num_stages": stages}):
            try:
                yield variant(configs, device, reference)
            except Exception as refusal:  # a compiler's, a driver's, for want of memory: the next may run
                yield {"kernel": "differentiate", "rows": rows, "precision": precision, "num_warps": warps,
                       "num_stages": stages, "refused": f"{type(refusal).__name__}: {_last_line(refusal)}"}


def _last_line(error: Exception) -> str:
    return next((text.strip() for text in reversed(str(error).splitlines()) if text.strip()), "")


def line(found: dict[str, Any]) -> str:
    """One result for the eye."""
    return "  ".join(f"{name} {_short(value)}" for name, value in found.items())


def _short(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if value >= 1e4 else f"{value:.3g}"


@click.command()
@click.option("--d-h", default=32, help="Hidden size.")
@click.option("--D-train", "D_train", default=3000, help="Training pairs.")
@click.option("--p", default=113, help="Modulus.")
@click.option("--models", "n_models", default=77, help="Networks trained together.")
@click.option("--rows", multiple=True, type=click.Choice((16, 32, 64, 128, 256)), default=(32,), help="Rows of a tile.")
@click.option("--precision", multiple=True, type=click.Choice(("ieee", "tf32x3")), default=("ieee",),
              help="Products: float32, or three TF32 ones that add up to nearly it.")
@click.option("--warps", multiple=True, type=click.Choice((1, 2, 4, 8, 16, 32)), default=(4, 8, 16),
              help="Warps of a program.")
@click.option("--stages", multiple=True, type=int, default=(2,), help="How far loads run ahead.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def main(d_h, D_train, p, n_models, rows, precision, warps, stages, as_json):
    """Time the kernels of a step, and `differentiate` with other options."""
    if not (INTERPRETED or torch.cuda.is_available()):
        raise click.ClickException("PyTorch sees no CUDA device; valid without one: TRITON_INTERPRET=1 in the "
                                   "environment, to rehearse with --d-h 8 --D-train 40 --p 7 --models 2")
    device = "cpu" if INTERPRETED else "cuda"
    show = json.dumps if as_json else line
    print(show(machine(device, torch.get_num_threads())))
    configs = [RunConfig(d_h=d_h, D_train=D_train, p=p, seed=seed) for seed in range(n_models)]
    engine = engine_of(configs, device)
    for call in launches(engine):
        print(show(timed(engine, call)), flush=True)
    del engine
    grid = {"rows": rows, "precision": precision, "warps": warps, "stages": stages}
    for found in variants(configs, device, grid):
        print(show(found), flush=True)


if __name__ == "__main__":
    main()

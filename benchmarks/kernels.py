"""What each kernel of the CUDA engine costs on a card, and which launch options would suit it better.

    python benchmarks/kernels.py                                   # d_h 32, 3,000 pairs, 77 networks together
    python benchmarks/kernels.py --d-h 64 --warps 8 --warps 16 --rows 32 --rows 64 --precision ieee --precision tf32x3

First every kernel of a training step with the options that the engine gives it, then `differentiate`, which has nearly
all of the arithmetic, with each combination of those asked for. Printed a line: registers of a thread, bytes of its
that spill, shared memory of a program, median milliseconds of a launch for the whole cohort and, for `differentiate`,
model-steps a second if it were alone, the share of the card's own float32 matrix rate (`products` of training.py, which
leaves out what the kernel computes twice) and the relative error of the gradient against PyTorch in float64.

What came out best belongs into `launch_options` and `Shape`. Options that change how a sum is cut change its rounding,
so they may follow from a network's config alone, never from the cohort.
"""

import dataclasses
import itertools
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import click
import numpy as np
import torch
import triton
from training import machine, matrix_rate, products

from grokbook import RunConfig, models
from grokbook.training import fused_cuda
from grokbook.training.fused_cuda import INTERPRETED, FusedCuda, Shape, launch_options
from grokbook.training.vmapped import Vmapped

Call = tuple[Any, int, tuple]
"""A kernel, its programs a model, and its arguments."""


def engine_of(configs: list[RunConfig], device: str, changes: dict[str, Any]) -> FusedCuda:
    """The engine with fields of its `Shape` changed."""
    own = Shape.of
    try:
        fused_cuda.Shape.of = lambda config: dataclasses.replace(own(config), **changes)
        return FusedCuda(configs, weights_of(configs), device)
    finally:
        fused_cuda.Shape.of = own


def weights_of(configs: list[RunConfig]) -> np.ndarray:
    """Fresh weights of each, flat, (member, n_params)."""
    return np.stack([models.flatten(models.initial_weights(c), c) for c in configs])


def launches(engine: FusedCuda) -> list[Call]:
    """What the first batch launches in one step, which is taken."""
    (batch, *_), calls = engine._batches, []
    own = batch._launch
    batch._launch = lambda kernel, programs, *arguments: (calls.append((kernel, programs, arguments)),
                                                          own(kernel, programs, *arguments))
    batch._step()
    batch._launch = own
    return calls


def timed(engine: FusedCuda, call: Call, options: dict[str, int]) -> dict[str, float]:
    """Resources and median milliseconds of one launch, for all members of the first batch."""
    kernel, programs, arguments = call
    batch = engine._batches[0]

    def launch():
        return kernel[programs, batch.n](*arguments, batch.shape, **options)

    made = launch()
    used = {} if INTERPRETED else {"registers": made.n_regs, "spilled": made.n_spills, "shared": made.metadata.shared}
    return used | {"ms": _median_ms(launch)}


def _median_ms(launch: Callable[[], Any]) -> float:
    if not INTERPRETED:
        return triton.testing.do_bench(launch, warmup=50, rep=300, return_mode="median")
    start = time.perf_counter()
    launch()
    return 1e3 * (time.perf_counter() - start)


def variants(configs: list[RunConfig], device: str, grid: dict[str, tuple]) -> Iterator[dict[str, Any]]:
    """`differentiate` with each combination of `grid`, checked and timed."""
    c = configs[0]
    reference = Vmapped(configs[:1], weights_of(configs[:1]), device, "float64").gradient()[0]
    for rows, precision, warps, stages in itertools.product(*grid.values()):
        tried = dict(kernel="differentiate", rows=rows, precision=precision, warps=warps, stages=stages)
        try:
            engine = engine_of(configs, device, {"ROWS": rows, "precision": precision})
            gradient = engine.gradient()[0]
            call = next(call for call in launches(engine) if call[0] is fused_cuda.differentiate)
            found = timed(engine, call, {"num_warps": warps, "num_stages": stages})
        except (triton.runtime.errors.OutOfResources, triton.compiler.CompilationError) as refusal:
            yield tried | {"refused": str(refusal).splitlines()[0]}
            continue
        rate = 1e3 / found["ms"] * engine._batches[0].n
        flops = 6 * c.D_train * products(c) * rate
        yield tried | found | {"a_second": rate, "share": flops / matrix_rate(device),
                               "error": float(np.linalg.norm(gradient - reference) / np.linalg.norm(reference))}


def line(found: dict[str, Any]) -> str:
    """One result for the eye."""
    return "  ".join(f"{name} {_short(value)}" for name, value in found.items())


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) and value < 1e4 else f"{value:,.0f}" if isinstance(
        value, float) else str(value)


@click.command()
@click.option("--d-h", default=32, help="Hidden size.")
@click.option("--D-train", "D_train", default=3000, help="Training pairs.")
@click.option("--p", default=113, help="Modulus.")
@click.option("--models", "n_models", default=77, help="Networks trained together.")
@click.option("--rows", multiple=True, type=int, default=(32,), help="Rows of a tile.")
@click.option("--precision", multiple=True, type=click.Choice(("ieee", "tf32x3")), default=("ieee",),
              help="Products: float32, or three TF32 ones that add up to nearly it.")
@click.option("--warps", multiple=True, type=int, default=(4, 8, 16), help="Warps of a program.")
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
    engine = engine_of(configs, device, {})
    for call in launches(engine):
        options = launch_options(engine.shape, call[0])
        print(show({"kernel": call[0].__name__} | options | timed(engine, call, options)), flush=True)
    grid = {"rows": rows, "precision": precision, "warps": warps, "stages": stages}
    for found in variants(configs, device, grid):
        print(show(found), flush=True)


if __name__ == "__main__":
    main()

"""The CUDA engine: the fused pass of `kernels` for a whole cohort, a few launches a step, replayed as a CUDA graph.

All state stays on the device, the step's number too; only the sums behind the metrics leave it. A cohort too large for
the device's memory is cut into batches that share one workspace and take their steps one after another. Triton's
interpreter (TRITON_INTERPRET=1) runs the same code on a CPU, slowly, which tests it where there is no GPU.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
import triton
from torch import Tensor

from grokbook.config import BETAS, RunConfig
from grokbook.training.cohort import Cohort, captured, free_bytes, padded
from grokbook.training.engines import unknown_options
from grokbook.training.kernels import Shape, examine, norms, query, tabulate
from grokbook.training.kernels_back import adamw, collect, differentiate, embed, locate, reduce, scatter

INTERPRETED = not isinstance(tabulate, triton.JITFunction)
"""Whether the kernels were made for Triton's interpreter, which TRITON_INTERPRET=1 decides when they are imported."""

LARGEST = 64
"""Hidden size up to which this engine is the faster one; on an H200 `vmapped` takes 2.8 times as many steps at 128."""

SPARE = 0.9
"""Share of the free device memory that is planned with; the rest is for code, graphs and other programs."""

BATCH = 16
"""A cohort is cut at multiples of this, which keep every view of its state aligned to 16 bytes. Code compiled for
another alignment might sum in another order, and a member's result would depend on its place in the cohort."""


def launch_options(kernel: triton.KernelInterface) -> dict[str, int]:
    """Warps of a program and how far its loads run ahead."""
    return {"num_warps": 2 if kernel is scatter else 4, "num_stages": 2}


class FusedCuda:
    """A cohort on a CUDA device.

    Raises:
        ValueError: a network that the kernels cannot hold, or a CPU outside Triton's interpreter.
        MemoryError: not even a batch of `BATCH` members fits beside the cohort's weights.
    """

    name = "fused_cuda"

    @classmethod
    def cannot(cls, config: RunConfig, device: torch.device, dtype: str) -> str:
        """Why it cannot train this config there: it is for one layer, d_h up to `LARGEST`."""
        if config.d_h > LARGEST:
            return f"d_h={config.d_h}, only up to {LARGEST}"
        if device.type != "cuda" and not INTERPRETED:
            return f"on {device.type} unless TRITON_INTERPRET=1 is in the environment before Python starts"
        return unknown_options(config)

    def __init__(self, configs: Sequence[RunConfig], weights: np.ndarray, device: torch.device | str = "cuda",
                 dtype: str = "float32"):
        self.shape, self.device = Shape.of(configs[0]), torch.device(device)
        if why_not := self.cannot(configs[0], self.device, dtype):
            raise ValueError(f"engine='fused_cuda' cannot train {why_not}")
        largest = max(configs, key=_n_rows)
        self._batch_size = _batch_size(largest, len(configs), dtype, self.device)
        self._cohort = Cohort(configs)
        state = _state(self._cohort, weights, dtype)
        self._state = {name: torch.as_tensor(value, device=self.device) for name, value in state.items()}
        self._tokens = torch.as_tensor(_entries(self._cohort), device=self.device)
        self._workspace = {name: torch.empty((self._batch_size, *shape), dtype=self._state["theta"].dtype,
                                             device=self.device)
                           for name, shape in _workspace_shapes(largest).items()}
        self._split(torch.tensor([0.0, 1.0, 1.0], dtype=torch.float64, device=self.device))

    def advance(self, n_steps: int) -> None:
        with self._on_device():
            for batch in self._batches:
                batch.advance(n_steps)
            if self.device.type == "cuda":
                torch.cuda.current_stream().synchronize()  # other threads' streams go on

    def evaluate(self) -> dict[str, np.ndarray]:
        with self._on_device():
            sums, squares = (np.concatenate(part) for part in zip(*(b.examine() for b in self._batches), strict=True))
        return self._cohort.means(sums[:, 0, :3], sums[:, 1, :3], np.sqrt(squares))

    def weights(self, member: int) -> np.ndarray:
        return self._state["theta"][member].cpu().numpy().copy()

    def keep(self, members: Sequence[int]) -> None:
        rows, clock = torch.as_tensor(members, device=self.device), self._batches[0].clock
        self._batches = []  # they hold on to the memory that the next lines give back, array by array
        for name in self._state:
            self._state[name] = self._state[name][rows]
        self._cohort.keep(members)
        self._split(clock)

    def gradient(self) -> np.ndarray:
        """The gradient of the training loss at the present weights, (member, n_params)."""
        with self._on_device():
            return np.concatenate([batch.gradient() for batch in self._batches])

    def _split(self, clock: Tensor) -> None:
        """Cut the members into batches, each with a clock of its own that goes on from this one."""
        size = self._batch_size
        self._batches = [_Batch(self.shape, {k: v[at : at + size] for k, v in self._state.items()}, self._tokens,
                                self._workspace, clock.clone()) for at in range(0, len(self._cohort), size)]

    def _on_device(self) -> AbstractContextManager:
        return torch.cuda.device(self.device) if self.device.type == "cuda" else nullcontext()


class _Batch:
    """Members that step together: their views of the state, their clock, and the graph of one step."""

    def __init__(self, shape: Shape, state: dict[str, Tensor], tokens: Tensor, work: dict[str, Tensor], clock: Tensor):
        self.shape, self.state, self.tokens, self.work, self.clock = shape, state, tokens, work, clock
        self.n, self.n_table = state["labels"].shape
        self.max_rows, self.max_groups = state["rows"].shape[1], work["groups"].shape[1]
        self.rates, self.tick = clock.new_tensor([1.0, *BETAS]), clock.new_tensor([1.0, 0.0, 0.0])
        self.graph: torch.cuda.CUDAGraph | None = None

    def advance(self, n_steps: int) -> None:
        if n_steps > 1 and self.graph is None and self.clock.is_cuda and not INTERPRETED:
            # The first step runs as it is, for a launch compiles what it needs; recording a graph runs nothing.
            self._step()
            n_steps, self.graph = n_steps - 1, captured(self._step, self.clock.device)
        for _ in range(n_steps):
            self.graph.replay() if self.graph else self._step()

    def gradient(self) -> np.ndarray:
        self._differentiate()
        return self.work["grad"][: self.n, : self.shape.n_params].cpu().numpy()

    def examine(self) -> tuple[np.ndarray, np.ndarray]:
        """Sums of losses and of right answers, (member, 2, mask), and of squared weights, (member,)."""
        S, state = self.shape, self.state
        found = self.clock.new_empty(self.n, _blocks(self.n_table, S.GROUP), 2, 4)
        squares = self.clock.new_empty(self.n, _blocks(S.n_params, S.BLOCK))
        self._tabulate()
        self._launch(examine, found.shape[1], state["theta"], self.work["table"], self.tokens, state["labels"],
                     state["masks"], found, self.n_table)
        self._launch(norms, squares.shape[1], state["theta"], squares)
        # Few enough to sum here: how a library's reduction groups them may depend on the size of the batch.
        return found.cpu().numpy().cumsum(1)[:, -1], squares.cpu().numpy().cumsum(1)[:, -1]

    def _launch(self, kernel, programs: int, *arguments) -> None:
        kernel[programs, self.n](*arguments, self.shape, **launch_options(kernel))

    def _step(self) -> None:
        state = self.state
        torch.addcmul(self.tick, self.clock, self.rates, out=self.clock)
        self._differentiate()
        self._launch(adamw, _blocks(self.shape.n_params, self.shape.BLOCK), state["theta"], state["m"], state["v"],
                     self.work["grad"], self.clock, state["optimiser"])

    def _tabulate(self) -> None:
        S, theta, work = self.shape, self.state["theta"], self.work
        self._launch(query, S.n_heads, theta, work["heads"])
        self._launch(tabulate, _blocks(S.n_entries, S.TOKENS), theta, work["heads"], work["table"])

    def _differentiate(self) -> None:
        S, state, work = self.shape, self.state, self.work
        theta, grad = state["theta"], work["grad"]
        self._tabulate()
        self._launch(differentiate, self.max_groups, theta, work["table"], self.tokens, state["labels"], state["rows"],
                     state["n_rows"], work["groups"], work["dz_rows"], work["mixes"], self.n_table, self.max_rows,
                     self.max_groups)
        self._launch(scatter, S.n_entries - 1, work["dz_rows"], work["mixes"], state["order"], state["starts"], grad,
                     self.max_rows)
        self._launch(reduce, _blocks(S.n_sums, S.BLOCK), work["groups"], state["n_rows"], grad, self.max_groups)
        self._launch(collect, S.n_heads, theta, work["heads"], grad)
        self._launch(embed, _blocks(S.n_vocab, S.TOKENS), theta, work["heads"], grad)
        self._launch(locate, S.n_ctx, theta, work["heads"], grad)


def _batch_size(config: RunConfig, n_models: int, dtype: str, device: torch.device) -> int:
    """How many models like `config` can step together beside the state of all."""
    free, state = SPARE * free_bytes(device), n_models * _state_bytes(config, dtype)
    work = _workspace_bytes(config, dtype)
    if state + n_models * work <= free:
        return n_models
    fit = int((free - state) // work) // BATCH * BATCH
    if fit < BATCH:
        least = state + min(n_models, BATCH) * work
        raise MemoryError(f"{n_models} models of d_h={config.d_h} and {_n_rows(config)} training pairs need "
                          f"{least / 1e9:.1f} GB on {device}, which has {free / 1e9:.1f} GB to spare; train fewer")
    return fit


_blocks: Callable[[int, int], int] = triton.cdiv  # pyright: ignore


def _n_rows(config: RunConfig) -> int:
    return config.D_train + config.D_random


def _workspace_shapes(config: RunConfig) -> dict[str, tuple[int, ...]]:
    """What one model needs during a step and nothing needs after it."""
    S, n_rows = Shape.of(config), _n_rows(config)
    return {"heads": (S.n_heads + 2, S.d), "table": (S.n_entries, S.width), "dz_rows": (n_rows, S.d),
            "mixes": (S.n_ctx - 1, n_rows, 2 * S.n_heads), "groups": (_blocks(n_rows, S.GROUP), S.n_sums),
            "grad": (S.n_grad,)}


def _workspace_bytes(config: RunConfig, dtype: str) -> int:
    return np.dtype(dtype).itemsize * sum(math.prod(shape) for shape in _workspace_shapes(config).values())


def _state_bytes(config: RunConfig, dtype: str) -> int:
    """Weights, both averages of AdamW, labels and masks of the table, and the indices of one model.

    Weights count twice, since `keep` copies one array while the old one is still there.
    """
    S, n_table = Shape.of(config), config.n_pairs * (2 if config.n_ctx == 4 else 1)
    return 4 * np.dtype(dtype).itemsize * S.n_params + 5 * n_table + 4 * (S.n_ctx * _n_rows(config) + S.n_entries + 7)


def _entries(cohort: Cohort) -> np.ndarray:
    """The entry that each row of the table holds at each position but the last, (n_ctx − 1, row) int32."""
    tokens = cohort.tokens[:, :-1].T
    return (1 + np.arange(len(tokens))[:, None] * cohort.config.d_vocab + tokens).astype(np.int32, order="C")


def _state(cohort: Cohort, weights: np.ndarray, dtype: str) -> dict[str, np.ndarray]:
    """What the device keeps of each member, by name."""
    entries, n_entries = _entries(cohort), Shape.of(cohort.config).n_entries
    rows = cohort.train_rows
    held = [entries[:, r].ravel() for r in rows]
    order = [np.argsort(h, kind="stable") % len(r) for h, r in zip(held, rows, strict=True)]
    starts = [np.searchsorted(np.sort(h), np.arange(1, n_entries + 1)) for h in held]
    theta = weights.astype(dtype)
    return {
        "theta": theta, "m": np.zeros_like(theta), "v": np.zeros_like(theta),
        "optimiser": cohort.rates[:, :3].copy(),
        "labels": cohort.labels.astype(np.int32),
        "masks": (cohort.masks * np.array([1, 2, 4])[:, None]).sum(1).astype(np.uint8),
        "rows": padded(rows).astype(np.int32), "n_rows": np.array([len(r) for r in rows], np.int32),
        "order": padded(order).astype(np.int32), "starts": np.stack(starts).astype(np.int32),
    }

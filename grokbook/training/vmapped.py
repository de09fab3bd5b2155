"""A cohort as one stack, lifted by `torch.func`: any architecture and option, for CUDA; on a CPU for tests.

All weights of a member are one vector, so the cohort is one matrix (member, n_params) and AdamW is a few operations on
it. On CUDA one step is captured as a graph and replayed, since launching its hundred small kernels takes longer than
running them; the step number lives on the device for that. TF32 stays off unless PyTorch is told otherwise. A cohort
whose activations would not fit into memory goes through in groups of members.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

from grokbook.config import RunConfig
from grokbook.training.autograd import CROSS_ENTROPY, judge
from grokbook.training.cohort import State, captured, flushed_threads, free_bytes, noise, padded, step_keys
from grokbook.training.prefixes import PASSES, named

ROWS = 4096
"""Table rows evaluated at a time, to bound memory."""

SHARE_OF_MEMORY = 0.6
"""Of the memory that is free when training starts, what activations may take."""


class Vmapped(State):
    """A cohort of same-shape networks stepping together."""

    name = "vmapped"

    def __init__(self, configs: Sequence[RunConfig], weights: np.ndarray, device: torch.device | str = "cpu",
                 dtype: str = "float32"):
        super().__init__(configs, weights, device, dtype)
        self._step_number = torch.zeros((), dtype=torch.float64, device=self.device)
        self._passes = PASSES[self.config.architecture](self.config, self._cohort.tokens, self.device)
        self._gradient = vmap(grad(self._loss))
        self._examine = vmap(self._judge, in_dims=(0, None, 0))
        self._pool = flushed_threads(1, torch.get_num_threads()) if self.device.type == "cpu" else None
        self._prepare()

    def advance(self, n_steps: int) -> None:
        self._run(self._advance, n_steps)

    def _advance(self, n_steps: int) -> None:
        step = self._step
        if self.device.type == "cuda":
            self._graph = self._graph or self._captured()
            step = self._graph.replay
        for _ in range(n_steps):
            self._deal()
            step()
        if self.device.type == "cuda":
            torch.cuda.current_stream(self.device).synchronize()

    def evaluate(self) -> dict[str, np.ndarray]:
        judged = self._run(lambda: [self._judgements(group) for group in self._groups])
        loss, right = (torch.cat(parts) for parts in zip(*judged, strict=True))
        return self._metrics(loss, right)

    def gradient(self) -> np.ndarray:
        """The gradient of the loss on the training rows, or on the last batch, at these weights, (member, n_params)."""
        self._run(self._differentiate)
        return self._gradients.cpu().numpy()  # pyright: ignore

    def _run(self, function: Callable, *arguments) -> Any:
        """The function's result; on a CPU from a thread that flushes subnormal numbers."""
        return self._pool.submit(function, *arguments).result() if self._pool else function(*arguments)

    def _prepare(self) -> None:
        self._graph: torch.cuda.CUDAGraph | None = None
        self._rows, self._share = self._train_rows()
        at_once = max(1, int(SHARE_OF_MEMORY * free_bytes(self.device) // self._bytes_per_member()))
        self._groups = [slice(i, i + at_once) for i in range(0, len(self.theta), at_once)]

    def _bytes_per_member(self) -> int:
        """Activations and their gradients for one member's training rows, estimated generously."""
        c, rows = self.config, max(self._rows.shape[1], ROWS)
        per_row = 32 * c.n_layers * c.n_ctx * c.d_h + 8 * c.d_vocab
        return (rows * per_row + 8 * c.n_params) * self.theta.element_size()

    def _deal(self) -> None:
        """Put the next batches where the step, perhaps recorded on the device, looks for its rows.

        From pinned memory the device fetches them by itself, while the next ones are dealt.
        """
        if self._batches:
            rows = torch.from_numpy(np.stack([next(batches) for batches in self._batches]))
            self._rows.copy_(rows.pin_memory() if self._rows.is_cuda else rows, non_blocking=True)

    def _step(self) -> None:
        self._step_number += 1
        self._differentiate()
        added = noise("update_noise", self.config, step_keys(self._seeds, self._step_number), self.theta)
        self._optimiser.step(self.theta, self._gradients, self._step_number, noise=added)

    def _captured(self) -> torch.cuda.CUDAGraph:
        """One step as a CUDA graph. The warm-up that a capture needs takes steps, so the state is put back after."""
        state = (self.theta, self._optimiser.m, self._optimiser.v, self._step_number)
        before = [tensor.clone() for tensor in state]
        stream = torch.cuda.Stream(self.device)
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(stream):
            for _ in range(3):
                self._step()
        torch.cuda.current_stream(self.device).wait_stream(stream)
        graph = captured(self._step, self.device)
        for tensor, value in zip(state, before, strict=True):
            tensor.copy_(value)
        return graph

    def _differentiate(self) -> None:
        keys = step_keys(self._seeds, self._step_number)
        added = noise("weight_noise", self.config, keys, self.theta)
        theta = self.theta if added is None else self.theta + added
        for group in self._groups:
            labels = self._labels[group].gather(1, self._rows[group])
            self._gradients[group] = self._gradient(theta[group], self._rows[group], labels, self._share[group],
                                                    keys[group])
        added = noise("gradient_noise", self.config, keys, self.theta)
        if added is not None:
            self._gradients += added

    @torch.no_grad()
    def _judgements(self, group: slice) -> tuple[Tensor, Tensor]:
        parts = [self._examine(self.theta[group], rows, self._labels[group][:, rows])
                 for rows in torch.arange(len(self._tokens), device=self.device).split(ROWS)]
        return torch.cat([loss for loss, _ in parts], 1), torch.cat([right for _, right in parts], 1)

    def _train_rows(self) -> tuple[Tensor, Tensor]:
        """Row numbers that a step trains each member on, padded to the longest, and each one's share of the mean."""
        if self.config.batch_size:
            shape = (len(self.theta), self.config.batch_size)
            return (torch.zeros(shape, dtype=torch.int64, device=self.device),
                    torch.full(shape, 1 / shape[1], dtype=self.theta.dtype, device=self.device))
        rows = self._cohort.train_rows
        n = torch.as_tensor([len(r) for r in rows], device=self.device)
        padded_rows = torch.as_tensor(padded(rows), device=self.device)
        inside = torch.arange(padded_rows.shape[1], device=self.device) < n[:, None]
        return padded_rows, inside.to(self.theta.dtype) / n[:, None]

    def _loss(self, theta: Tensor, rows: Tensor, labels: Tensor, share: Tensor, key: Tensor) -> Tensor:
        w = named(theta, self.config)
        if self.config.dropout:  # which drops other entries of every example: nothing is shared
            logits = functional_call(self._network, w, (self._tokens[rows], key))
        else:
            logits = self._passes.logits(w, self._passes.tables(w), self._passes.rows.at(rows))
        return (share * CROSS_ENTROPY[self.config.loss](logits, labels)).sum()

    def _judge(self, theta: Tensor, rows: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        w = named(theta, self.config)
        return judge(self._passes.logits(w, self._passes.tables(w), self._passes.rows.at(rows)), labels)

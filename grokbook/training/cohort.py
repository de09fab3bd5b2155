"""What engines share. All: tokens, labels, masks, rows, batches and metrics of the runs trained together. Those in
PyTorch: weights, AdamW and noise of a cohort, threads that flush, free memory, recorded steps.

With learning rate η (after warm-up), weight decay λ and the point w that it pulls towards, 0 or where the run started:

    θ ← θ − η λ (θ − w);   m ← β₁ m + (1 − β₁) g;   v ← β₂ v + (1 − β₂) g²;   θ ← θ − η (m̂ / (√v̂ + ε) + σ n)

Three kinds of noise, each n ~ N(0, 1) for every weight anew, follow from a run's seed and the step alone: on the
gradient, g + σ n, and on the weights at which it is taken, θ + σ n, beside that on the update. The second and third,
and decay towards the start, are as the authors of Power et al. 2022 have them in their code (github.com/openai/grok:
`CustomAdamW` in grok/training.py, the layers of grok/transformer.py); Fig 4 of "Towards Understanding the Mystery
behind Grokking Phenomenon" repeats their list. Two things are ours: they divide the noise on the update by 1 − β₁ᵗ, as
m, so theirs is larger for the first forty steps; and their positions are not learned, so have none. Noise on the
gradient is that of Neelakantan et al. 2015, which the text at Fig 4 names, but for σ, which here does not fall.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from grokbook import models, tasks
from grokbook.config import BETAS, EPS, RunConfig
from grokbook.run import METRICS


class Cohort:
    """Runs that agree in every field of `config.SHARED`, as NumPy arrays.

    `configs` are the members, `config` the first, for what they share. `tokens` (row, n_ctx) int64: the task's whole
    table, the same for all. `labels` (member, row) int64. `masks` (member, 3, row) bool: train, validation, and its
    twin-free part (`tasks.Split`).
    """

    def __init__(self, configs: Sequence[RunConfig]):
        self.configs, self.config = list(configs), configs[0]
        tables, splits = [tasks.table(c) for c in configs], [tasks.split(c) for c in configs]
        self.tokens = tables[0].tokens
        self.labels = np.stack([table.labels for table in tables])
        self.masks = np.stack([[split.train, split.val, split.twin_free_val] for split in splits])

    def __len__(self) -> int:
        return len(self.configs)

    @property
    def train_rows(self) -> list[np.ndarray]:
        """Each member's training rows in the table, ascending int64."""
        return [np.flatnonzero(mask) for mask in self.masks[:, 0]]

    @property
    def rates(self) -> np.ndarray:
        """What AdamW takes of each member: lr, weight decay, steps of warm-up (1 or more), β₂. (member, 4) float64."""
        return np.array([[c.lr, c.weight_decay, max(c.n_warmup, 1), c.beta2] for c in self.configs], np.float64)

    def keep(self, members: Sequence[int]) -> None:
        """Go on with these members only, in this order."""
        members = list(members)
        self.configs = [self.configs[k] for k in members]
        self.labels, self.masks = self.labels[members], self.masks[members]

    def metrics(self, loss: np.ndarray, right: np.ndarray, norm: np.ndarray) -> dict[str, np.ndarray]:
        """The six metrics, each (member,) float64, NaN where there are no rows to average over.

        Args:
            loss, right: of each row of the table, in nats, and whether the answer is the label; (member, row).
            norm: of all weights, (member,).
        """
        def sums(values: np.ndarray) -> np.ndarray:  # member by member, so that a cohort sums as one alone
            return np.array([mask @ value.astype(np.float64) for mask, value in zip(self.masks, values, strict=True)])
        return self.means(sums(loss), sums(right), norm)

    def means(self, losses: np.ndarray, rights: np.ndarray, norm: np.ndarray) -> dict[str, np.ndarray]:
        """The same from sums over the rows of each mask, (member, 3)."""
        n = self.masks.sum(2)
        with np.errstate(invalid="ignore"):  # 0 / 0 where a mask is empty
            loss, accuracy = losses / n, rights / n
        values = (loss[:, 0], accuracy[:, 0], loss[:, 1], accuracy[:, 1], accuracy[:, 2], norm)
        return dict(zip(METRICS, np.array(values, np.float64), strict=True))


def padded(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Arrays of one axis as rows of one length, filled up with 0. (member, longest)"""
    longest = max(len(column) for column in columns)
    return np.stack([np.pad(column, (0, longest - len(column))) for column in columns])


def batches(config: RunConfig) -> Iterator[np.ndarray]:
    """Mini-batches of one run, without end: the table rows of each step, (batch_size,) int64.

    They are its training rows in an order drawn anew for every epoch, which follows from the seed alone. A batch may
    reach from one epoch into the next, so all have one size and every row is seen exactly once an epoch.
    """
    rows, generator = np.flatnonzero(tasks.split(config).train), tasks.rng(config.seed, "batches")
    ahead = rows[:0]
    while True:
        while len(ahead) < config.batch_size:
            ahead = np.concatenate([ahead, generator.permutation(rows)])
        yield ahead[: config.batch_size]
        ahead = ahead[config.batch_size :]


NOISES = ("gradient_noise", "update_noise", "weight_noise")
"""Fields of `RunConfig`, in the order that tells their random numbers apart."""

UNKNOWN = 2 * 1024**3
"""Bytes taken to be free on a CPU whose system does not say how much memory it has."""

CAPTURING = threading.Lock()
"""CUDA allows one recording at a time in a process."""


class State:
    """Weights and optimiser of a cohort of any architecture and option, and what its members' examples are.

    `theta` and `_gradients` are (member, n_params), `_tokens` (row, n_ctx) and `_labels` (member, row) of the table.
    """

    def __init__(self, configs: Sequence[RunConfig], weights: np.ndarray, device: torch.device | str, dtype: str):
        self._cohort, self.config, self.device = Cohort(configs), configs[0], torch.device(device)
        self.theta = torch.as_tensor(np.asarray(weights), device=self.device).to(getattr(torch, dtype)).clone()
        self._gradients = torch.zeros_like(self.theta)
        self._optimiser = AdamW(self._cohort, self.theta)
        self._network = models.build(self.config, dtype=self.theta.dtype).to(self.device)
        self._tokens, self._labels, self._seeds = (
            torch.as_tensor(values, device=self.device)
            for values in (self._cohort.tokens, self._cohort.labels, [c.seed for c in configs]))
        self._batches = [batches(c) for c in configs] if self.config.batch_size else []

    @classmethod
    def cannot(cls, config: RunConfig, device: torch.device, dtype: str) -> str:
        """It can train every config."""
        return ""

    def weights(self, member: int) -> np.ndarray:
        return self.theta[member].cpu().numpy().copy()

    def keep(self, members: Sequence[int]) -> None:
        rows = torch.as_tensor(members, device=self.device)
        for name in ("theta", "_gradients", "_seeds", "_labels"):
            setattr(self, name, getattr(self, name)[rows])
        self._optimiser.keep(rows)
        self._cohort.keep(members)
        self._batches = [self._batches[member] for member in members] if self._batches else []
        self._prepare()

    def _prepare(self) -> None:
        """What follows from the members that are left."""
        raise NotImplementedError

    def _metrics(self, loss: Tensor, right: Tensor) -> dict[str, np.ndarray]:
        """The six metrics from each row's loss and rightness, (member, row)."""
        norm = self.theta.double().norm(dim=1)
        return self._cohort.metrics(loss.cpu().numpy(), right.cpu().numpy(), norm.cpu().numpy())


class AdamW:
    """The optimiser's state of a cohort: `m` and `v`, (member, n_params), and its rates, (member, 1) float64."""

    def __init__(self, cohort: Cohort, theta: Tensor):
        self.m, self.v = torch.zeros_like(theta), torch.zeros_like(theta)
        self.anchor = theta.clone() if cohort.config.decay_towards == "init" else None
        self.rates = torch.as_tensor(cohort.rates, device=theta.device)

    def step(self, theta: Tensor, gradient: Tensor, t: Tensor, members: slice = slice(None),
             noise: Tensor | None = None) -> None:
        """Update `theta` (member, n_params) of those members in place; this is step number `t`, scalar float64, from 1.

        `noise` (member, n_params) is added to the update.
        """
        beta1, dtype = BETAS[0], theta.dtype
        lr, decay, n_warmup, beta2 = self.rates[members].split(1, dim=1)  # each (member, 1)
        m, v, lr = self.m[members], self.v[members], lr * (t / n_warmup).clamp(max=1)
        pull = (lr * decay).to(dtype)
        if self.anchor is None:
            theta.mul_(1 - pull)
        else:
            theta.sub_(pull * (theta - self.anchor[members]))
        m.lerp_(gradient, 1 - beta1)
        v.mul_(beta2.to(dtype)).addcmul_(gradient, gradient * (1 - beta2).to(dtype))
        root = (1 - beta2**t).sqrt().to(dtype)
        theta.sub_((lr / (1 - beta1**t)).to(dtype) * m / (v.sqrt() / root + EPS))
        if noise is not None:
            theta.add_(lr.to(dtype) * noise)

    def keep(self, members: Tensor) -> None:
        self.m, self.v, self.rates = self.m[members], self.v[members], self.rates[members]
        self.anchor = None if self.anchor is None else self.anchor[members]


def step_keys(seeds: Tensor, t: Tensor) -> Tensor:
    """What the random numbers of step `t` follow from, for each seed: (member,) int64."""
    return models.splitmix64(seeds) + models.splitmix64(t.long())


def noise(kind: str, config: RunConfig, keys: Tensor, like: Tensor) -> Tensor | None:
    """Noise of that kind for every weight, (member, n_params), or None where the config asks for none."""
    if not getattr(config, kind):
        return None
    drawn = vmap(lambda key: models.gaussian(models.splitmix64(key) + NOISES.index(kind), like.shape[1]))(keys)
    return (getattr(config, kind) * drawn).to(like.dtype)


def flushed_threads(n: int, each: int = 1) -> ThreadPoolExecutor:
    """n threads that flush subnormal numbers, each of which lets PyTorch compute with `each` threads in all.

    `torch.set_flush_denormal` acts on the calling thread, on x86 and on 64-bit Arm, and a thread inherits it from the
    one that starts it. Threads flushed from their start cover all that is computed for them: autograd walks backward
    over CPU tensors on the thread that asks for it, and the threads of OpenMP with which PyTorch splits a large
    operation belong to the thread that does. The caller's subnormal numbers and number of threads stay as they are.
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


def results(futures: Sequence[Future]) -> list:
    """What threads of an engine have come to; on ^C too they are waited for, so no state is torn."""
    try:
        return [future.result() for future in futures]
    finally:
        wait(futures)


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

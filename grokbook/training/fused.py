"""The CPU engine: the fused pass of `fused_pass`, one network a thread.

Of a cohort of fewer networks than threads, up to three, each is split by rows over up to `PARTS` threads. A larger one
is shared out in whole steps, a network at the border between two threads first by one and then by the other, so that
threads end about together where there are several networks for each.
"""

import math
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch

from grokbook import tasks
from grokbook.config import RunConfig
from grokbook.run import METRICS
from grokbook.training.fused_pass import PARTS, adamw, advance, collect, differentiate, examine, tabulate
from grokbook.training.memory import free_bytes
from grokbook.training.tiles import ROWS, VECTOR_BYTES

CACHE_BYTES = 768 * 1024
"""Space for a tile's activations: most of a core's second-level cache."""

SPARE = 0.9
"""Share of the free memory that a cohort may take."""


class Member:
    """One network of the cohort: weights, optimiser state, its rows and the space for its gradient."""

    def __init__(self, config: RunConfig, weights: np.ndarray, dtype: type):
        self.config, self.step, self.plain = config, 0, config.loss == "plain"
        self._turn = threading.Lock()
        table, split = tasks.table(config), tasks.split(config)
        entries, rows = _entries(table.tokens)
        train = np.flatnonzero(split.train)
        self.masks = np.stack([split.train, split.val, split.twin_free_val])
        self.entries = entries
        self.train_rows, self.train_y = _padded(rows[:, train]), _padded(table.labels[None, train])
        self.all_rows, self.all_y = _padded(rows), _padded(table.labels[None])
        self.share = np.zeros(self.train_rows.shape[1], dtype)
        self.share[: len(train)] = 1 / len(train)
        blocks = self.train_rows.shape[1] // ROWS
        edges = [ROWS * (blocks * k // PARTS) for k in range(PARTS + 1)]
        self.bounds = np.array(list(zip(edges, edges[1:], strict=False)))
        self.theta = weights.astype(dtype)
        self.m, self.v = np.zeros_like(self.theta), np.zeros_like(self.theta)
        self.optimiser = np.array([config.lr, config.weight_decay, max(config.n_warmup, 1)])
        d, n_heads, n = config.d_h, config.n_heads, entries.shape[1]
        lanes = VECTOR_BYTES // np.dtype(dtype).itemsize
        width = d + n_heads + -(d + n_heads) % lanes
        self.sizes = np.array([config.d_vocab, config.n_ctx, n_heads, d, width])
        self.shared = tuple(np.zeros(shape, dtype) for shape in ((d, n + -n % ROWS), (n_heads, d), (n, width)))
        self.partials = tuple(np.zeros((PARTS, *shape), dtype) for shape in (self.theta.shape, (n, width), (1, d)))

    @property
    def n_bytes(self) -> int:
        """What the arrays take once they have all been written to."""
        arrays = [part for value in vars(self).values() for part in (value if isinstance(value, tuple) else [value])]
        return sum(array.nbytes for array in arrays if isinstance(array, np.ndarray))

    @property
    def n_features(self) -> int:
        """Numbers that the workspace holds for one row."""
        n_vocab, n_ctx, n_heads, d, width = self.sizes
        return int((n_ctx - 1) * width + n_ctx * n_heads + 12 * d + n_vocab + 4)

    def advance(self, n_steps: int, work: np.ndarray) -> None:
        """Steps on the calling thread, once no other thread takes steps of this member."""
        with self._turn:
            advance(self.theta, self.m, self.v, self.sizes, self.entries, self.train_rows, self.train_y, self.share,
                    self.bounds, self.shared, self.partials, work, _ones(work), self.optimiser, self.step, n_steps,
                    self.plain)
            self.step += n_steps

    def tabulate(self) -> None:
        """The first third of a step split over threads: what the rows share."""
        tabulate(self.theta, self.sizes, self.entries, *self.shared)

    def part(self, k: int, work: np.ndarray) -> None:
        """The second: the gradient of one part of the rows."""
        x, _, table = self.shared
        grads, d_tables, dx_lasts = self.partials
        differentiate(self.theta, self.sizes, self.train_rows, self.train_y, self.share, self.bounds[k],
                      self.entries.shape[1] - 1, x, table, work, _ones(work), grads[k], d_tables[k], dx_lasts[k],
                      self.plain)

    def gradient(self) -> np.ndarray:
        """The last: the parts together, (n_params,)."""
        x, u, _ = self.shared
        collect(self.theta, self.sizes, self.entries, x, u, *self.partials)
        return self.partials[0][0]

    def descend(self) -> None:
        """AdamW with the collected gradient."""
        adamw(self.theta, self.m, self.v, self.gradient(), self.step + 1, *self.optimiser)
        self.step += 1

    def evaluate(self, work: np.ndarray) -> list[float]:
        """The six metrics, in the order of METRICS."""
        loss, right = np.zeros(self.all_rows.shape[1], self.theta.dtype), np.zeros(self.all_rows.shape[1], np.bool_)
        examine(self.theta, self.sizes, self.entries, self.all_rows, self.all_y, self.shared, work, loss, right)
        n = self.masks.sum(1)
        with np.errstate(invalid="ignore"):
            losses = self.masks @ loss[: self.masks.shape[1]].astype(np.float64) / n
            accuracies = self.masks @ right[: self.masks.shape[1]].astype(np.float64) / n
        norm = float(np.linalg.norm(self.theta.astype(np.float64)))
        return [losses[0], accuracies[0], losses[1], accuracies[1], accuracies[2], norm]


def _members(configs: Sequence[RunConfig], weights: np.ndarray, dtype: str) -> list[Member]:
    """All networks, unless they would run out of memory while they train, for arrays take room when written to."""
    free = room = SPARE * free_bytes(torch.device("cpu"))
    members: list[Member] = []
    for config, theta in zip(configs, weights, strict=True):
        member = Member(config, theta, np.dtype(dtype).type)
        room -= member.n_bytes
        if room < 0:
            raise MemoryError(f"of {len(configs)} models of d_h={config.d_h}, {len(members)} fit into the "
                              f"{free / 1e9:.1f} GB that there are to spare; train no more at a time")
        members.append(member)
    return members


def _entries(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct (token, position) pairs, (2, entry) int64 with the one read last, and each row's, (n_ctx, row)."""
    columns = [np.unique(column, return_inverse=True) for column in tokens.T]
    starts = np.cumsum([0] + [len(values) for values, _ in columns])
    entries = np.concatenate([[values, np.full(len(values), i)] for i, (values, _) in enumerate(columns)], axis=1)
    rows = np.stack([start + inverse for start, (_, inverse) in zip(starts, columns, strict=False)])
    return entries.astype(np.int64), rows


def _cores() -> int:
    """Cores that this process may use, as far as the system says."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _ones(work: np.ndarray) -> np.ndarray:
    """A row of ones, which turns a product into a sum."""
    return np.ones((1, work.shape[1]), work.dtype)


def _padded(columns: np.ndarray) -> np.ndarray:
    """int32 columns repeated at the end until their number is a multiple of ROWS."""
    extra = -columns.shape[1] % ROWS
    return np.concatenate([columns, np.repeat(columns[:, :1], extra, axis=1)], axis=1).astype(np.int32)


def shares(costs: Sequence[float], n_steps: int, n_threads: int) -> list[list[tuple[int, int]]]:
    """For each thread the (member, steps) that it takes, in order, where a step of each member costs so much.

    McNaughton's wrap-around rule (1959): fill one thread after the other, and where one is full let the next begin with
    what is left of the member. It begins at once, and the first thread comes to that member last, so they seldom meet.
    """
    quota = n_steps * sum(costs) / n_threads
    filled: list[list[tuple[int, int]]] = [[]]
    room = quota
    for member, cost in enumerate(costs):
        left = n_steps
        while left:
            taken = left if len(filled) == n_threads else min(left, math.ceil(room / cost))
            filled[-1].append((member, taken))
            left, room = left - taken, room - taken * cost
            if room <= 0 and len(filled) < n_threads:
                filled.append([])
                room += quota
    return filled


class Fused:
    """A cohort on the CPU, shared out to the threads.

    Raises:
        MemoryError: it would not fit into the memory that is free.
    """

    name = "fused"

    def __init__(self, configs: Sequence[RunConfig], weights: np.ndarray, device: Any = "cpu",
                 dtype: str = "float32", n_threads: int | None = None):
        self.n_threads = n_threads or _cores()
        self.members = _members(configs, weights, dtype)
        n_features = self.members[0].n_features
        tile = ROWS * max(1, min(CACHE_BYTES // (n_features * np.dtype(dtype).itemsize), 1024) // ROWS)
        self._spaces: SimpleQueue[np.ndarray] = SimpleQueue()
        for _ in range(self.n_threads):
            self._spaces.put(np.zeros((n_features, tile), dtype))
        self._pool = ThreadPoolExecutor(self.n_threads, thread_name_prefix="grokbook")

    def advance(self, n_steps: int) -> None:
        """Take that many steps of AdamW."""
        if len(self.members) < min(PARTS, self.n_threads):  # one after the other, each on all threads
            for member in self.members:
                for _ in range(n_steps):
                    self._split_step(member)
            return
        costs = [member.train_rows.shape[1] for member in self.members]
        self._together([(self._take, share) for share in shares(costs, n_steps, self.n_threads)])

    def evaluate(self) -> dict[str, np.ndarray]:
        """The six metrics now, each (member,) float64."""
        values = self._together([(member.evaluate,) for member in self.members])
        return dict(zip(METRICS, np.array(values, np.float64).T, strict=True))

    def weights(self, member: int) -> np.ndarray:
        """The flat weights of one member, (n_params,)."""
        return self.members[member].theta.copy()

    def keep(self, members: Sequence[int]) -> None:
        """Go on with these members only, in this order."""
        self.members = [self.members[k] for k in members]

    def gradient(self) -> np.ndarray:
        """The gradient of the training loss at the present weights, (member, n_params)."""
        for member in self.members:
            member.tabulate()
            self._together([(member.part, k) for k in range(PARTS)])
        return np.array([member.gradient() for member in self.members])

    def _take(self, share: Sequence[tuple[int, int]], work: np.ndarray) -> None:
        for member, n_steps in share:
            self.members[member].advance(n_steps, work)

    def _split_step(self, member: Member) -> None:
        member.tabulate()
        self._together([(member.part, k) for k in range(PARTS)])
        member.descend()

    def _together(self, calls: list[tuple]) -> list[Any]:
        """Run the calls on the pool, each with a workspace of its own; on ^C, wait for them, so no state is torn."""
        futures = [self._pool.submit(self._with_space, *call) for call in calls]
        try:
            return [future.result() for future in futures]
        finally:
            wait(futures)

    def _with_space(self, function, *arguments):
        space = self._spaces.get()
        try:
            return function(*arguments, space)
        finally:
            self._spaces.put(space)

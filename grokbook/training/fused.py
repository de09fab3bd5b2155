"""The CPU engine: the fused pass of `fused_pass`, one network a thread.

Of a cohort of fewer networks than threads, up to three, each is split by rows over up to `PARTS` threads, which take
their steps together inside compiled code. A larger one is shared out in whole steps, a network at the border between
two threads first by one and then by the other, so that threads end about together where there are several networks
for each.
"""

import math
import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from queue import SimpleQueue
from typing import Any, NamedTuple

import numpy as np

from grokbook import tasks
from grokbook.config import BETAS, RunConfig
from grokbook.run import METRICS
from grokbook.training.fused_pass import Moments, Rates, advance, evaluate
from grokbook.training.layout import (PARTS, Operands, Sizes, Sums, Table, Tile, all_rows_of, entries_of, operands_of,
                                      rows_of, sizes_of, sums_of, table_of, tile_of, views)


class Member:
    """One network of the cohort: weights, optimiser state and its rows."""

    def __init__(self, config: RunConfig, weights: np.ndarray, dtype: type):
        self.config, self.step, self.plain = config, 0, config.loss == "plain"
        self._turn = threading.Lock()
        table, split = tasks.table(config), tasks.split(config)
        names, entries = entries_of(table.tokens, config.d_vocab)
        self.masks = np.stack([split.train, split.val, split.twin_free_val])
        self.rows = rows_of(names, entries[:, split.train], table.labels[split.train], dtype)
        self.all_rows = all_rows_of(names, entries, table.labels, dtype)
        self.moments = Moments(weights.astype(dtype), *(np.zeros(len(weights), dtype) for _ in range(3)))
        self.weights, self.gradient = views(self.moments.theta, config), views(self.moments.grad, config)
        self.rates = Rates(config.lr, config.weight_decay, float(max(config.n_warmup, 1)), *BETAS)

    def advance(self, n_steps: int, room: "Room") -> None:
        """Steps by this thread, once no other takes steps of this member."""
        with self._turn:
            self.advance_with(n_steps, room, 0, (room.tile,))
            self.step += n_steps

    def advance_with(self, n_steps: int, room: "Room", thread: int, tiles: tuple[Tile, ...]) -> None:
        """Steps by as many threads as there are tiles; this is one of them."""
        advance(n_steps, self.step, thread, len(tiles), room.counter, room.sizes, self.weights, self.gradient,
                self.moments, self.rates, room.operands, room.table, self.rows, tiles[thread], room.parts, room.total,
                self.plain)

    def differentiate(self, room: "Room") -> np.ndarray:
        """The gradient of the training loss at the present weights, (n_params,)."""
        self.advance(0, room)
        return self.moments.grad.copy()

    def evaluate(self, room: "Room") -> list[float]:
        """The six metrics, in the order of METRICS."""
        n_rows = self.all_rows.entries.shape[1]
        loss, right = np.zeros(n_rows, self.moments.theta.dtype), np.zeros(n_rows, np.bool_)
        evaluate(room.sizes, self.weights, room.operands, room.table, self.all_rows, room.tile, loss, right)
        n = self.masks.sum(1)
        with np.errstate(invalid="ignore"):
            losses = self.masks @ loss[: self.masks.shape[1]].astype(np.float64) / n
            accuracies = self.masks @ right[: self.masks.shape[1]].astype(np.float64) / n
        norm = float(np.linalg.norm(self.moments.theta.astype(np.float64)))
        return [losses[0], accuracies[0], losses[1], accuracies[1], accuracies[2], norm]


class Room(NamedTuple):
    """Where one network after another is trained, by a thread or by several."""

    sizes: Sizes
    operands: Operands
    table: Table
    parts: Sums
    total: Sums
    tile: Tile
    counter: np.ndarray


def _room(config: RunConfig, n_entries: int, n_slots: int, dtype: type) -> Room:
    sizes = sizes_of(config)
    return Room(sizes, operands_of(sizes, dtype), table_of(sizes, n_entries, dtype),
                sums_of(sizes, n_entries, n_slots, dtype), sums_of(sizes, n_entries, 1, dtype), tile_of(sizes, dtype),
                np.zeros(1, np.int64))


def _cores() -> int:
    """Cores that this process may use, as far as the system says."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
    """A cohort on the CPU, shared out to the threads."""

    name = "fused"

    def __init__(self, configs: Sequence[RunConfig], weights: np.ndarray, device: Any = "cpu",
                 dtype: str = "float32", n_threads: int | None = None):
        kind = np.dtype(dtype).type
        self.n_threads = n_threads or _cores()
        self.members = [Member(config, theta, kind) for config, theta in zip(configs, weights, strict=True)]
        n_entries = self.members[0].rows.names.shape[1]
        rooms = [_room(self.members[0].config, n_entries, 1 if k else PARTS, kind) for k in range(self.n_threads)]
        self._first, self._tiles = rooms[0], tuple(room.tile for room in rooms[:PARTS])
        self._rooms: SimpleQueue[Room] = SimpleQueue()
        for room in rooms:
            self._rooms.put(room)
        self._pool = ThreadPoolExecutor(self.n_threads, thread_name_prefix="grokbook")

    def advance(self, n_steps: int) -> None:
        """Take that many steps of AdamW."""
        if len(self.members) < min(PARTS, self.n_threads):  # one after the other, each on all threads
            for member in self.members:
                self._take_together(member, n_steps)
            return
        costs = [member.rows.entries.shape[1] for member in self.members]
        self._finish([self._pool.submit(self._in_room, self._take, share)
                      for share in shares(costs, n_steps, self.n_threads)])

    def evaluate(self) -> dict[str, np.ndarray]:
        """The six metrics now, each (member,) float64."""
        values = self._finish([self._pool.submit(self._in_room, member.evaluate) for member in self.members])
        return dict(zip(METRICS, np.array(values, np.float64).T, strict=True))

    def weights(self, member: int) -> np.ndarray:
        """The flat weights of one member, (n_params,)."""
        return self.members[member].moments.theta.copy()

    def keep(self, members: Sequence[int]) -> None:
        """Go on with these members only, in this order."""
        self.members = [self.members[k] for k in members]

    def gradient(self) -> np.ndarray:
        """The gradient of the training loss at the present weights, (member, n_params)."""
        return np.array(self._finish([self._pool.submit(self._in_room, member.differentiate)
                                      for member in self.members]))

    def _take(self, share: Sequence[tuple[int, int]], room: Room) -> None:
        for member, n_steps in share:
            self.members[member].advance(n_steps, room)

    def _take_together(self, member: Member, n_steps: int) -> None:
        """All threads in step, each with a tile of its own; one hand-over for all the steps."""
        self._first.counter[0] = 0
        self._finish([self._pool.submit(member.advance_with, n_steps, self._first, thread, self._tiles)
                      for thread in range(len(self._tiles))])
        member.step += n_steps

    def _in_room(self, function, *arguments):
        room = self._rooms.get()
        try:
            return function(*arguments, room)
        finally:
            self._rooms.put(room)

    @staticmethod
    def _finish(futures: list[Future]) -> list[Any]:
        """Their results; on ^C, wait for them, so no state is torn."""
        try:
            return [future.result() for future in futures]
        finally:
            wait(futures)

"""The CPU engine: the fused pass of `fused_pass`, one network a thread.

Of a cohort of fewer networks than threads, up to three, each is split by rows over up to `PARTS` threads, which take
their steps together inside compiled code. A larger one is shared out in whole steps, a network at the border between
two threads first by one and then by the other, so that threads end about together where there are several networks
for each.
"""

import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from typing import Any

import numpy as np
from numba.core import config as numba_config

from grokbook.config import BETAS, RunConfig
from grokbook.training import layout
from grokbook.training.cohort import Cohort, results
from grokbook.training.compiled import ABANDONED
from grokbook.training.engines import ONE_LAYER, unknown_options
from grokbook.training.fused_pass import Moments, Rates, advance, evaluate
from grokbook.training.layout import PARTS, Room, Tile


class Member:
    """One network of the cohort: weights, optimiser state and its rows."""

    def __init__(self, config: RunConfig, weights: np.ndarray, names: np.ndarray, entries: np.ndarray,
                 labels: np.ndarray, is_train: np.ndarray, dtype: type):
        self.step, self.plain = 0, config.loss == "plain"
        self._turn = threading.Lock()
        self.rows = layout.rows_of(names, entries[:, is_train], labels[is_train], dtype)
        self.all_rows = layout.all_rows_of(names, entries, labels, dtype)
        self.moments = Moments(weights.astype(dtype), *(np.zeros(len(weights), dtype) for _ in range(3)))
        self.weights, self.gradient = layout.views(self.moments.theta, config), layout.views(self.moments.grad, config)
        self.rates = Rates(config.lr, config.weight_decay, float(max(config.n_warmup, 1)), BETAS[0], config.beta2)

    def advance(self, n_steps: int, room: Room) -> None:
        """Steps by this thread, once no other thread takes steps of this member; 0 of them leave the gradient alone."""
        with self._turn:
            self.advance_with(n_steps, room, 0, (room.tile,))
            self.step += n_steps

    def advance_with(self, n_steps: int, room: Room, thread: int, tiles: tuple[Tile, ...]) -> None:
        """Steps by as many threads as there are tiles; this is one of them."""
        try:
            advance(n_steps, self.step, thread, len(tiles), room.counter, room.sizes, self.weights, self.gradient,
                    self.moments, self.rates, room.operands, room.table, self.rows, tiles[thread], room.parts,
                    room.total, self.plain)
        except BaseException:
            room.counter[0] = ABANDONED
            raise

    def evaluate(self, room: Room) -> tuple[np.ndarray, np.ndarray, float]:
        """Loss of each row of the table, whether its answer is right, and the norm of all weights."""
        n_rows = self.all_rows.entries.shape[1]
        loss, right = np.zeros(n_rows, self.moments.theta.dtype), np.zeros(n_rows, np.bool_)
        evaluate(room.sizes, self.weights, room.operands, room.table, self.all_rows, room.tile, loss, right)
        return loss, right, float(np.linalg.norm(self.moments.theta.astype(np.float64)))


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
        self._cohort = cohort = Cohort(configs)
        kind = np.dtype(dtype).type
        names, entries = layout.entries_of(cohort.tokens, cohort.config.d_vocab)
        self.members = [Member(config, theta, names, entries, labels, masks[0], kind) for config, theta, labels, masks
                        in zip(configs, weights, cohort.labels, cohort.masks, strict=True)]
        self.n_threads = n_threads or numba_config.NUMBA_DEFAULT_NUM_THREADS  # pyright: ignore[reportAttributeAccessIssue]
        rooms = [layout.room_of(cohort.config, names.shape[1], 1 if k else PARTS, kind) for k in range(self.n_threads)]
        self._first, self._tiles = rooms[0], tuple(room.tile for room in rooms[:PARTS])
        self._rooms: SimpleQueue[Room] = SimpleQueue()
        for room in rooms:
            self._rooms.put(room)
        self._pool = ThreadPoolExecutor(self.n_threads, thread_name_prefix="grokbook")

    @classmethod
    def cannot(cls, config: RunConfig, device: Any, dtype: str) -> str:
        """What of a config it does not train (`engines.reason`)."""
        if numba_config.DISABLE_JIT:  # pyright: ignore[reportAttributeAccessIssue]
            return "with NUMBA_DISABLE_JIT set, which leaves its code uncompiled"
        return unknown_options(config, ONE_LAYER | {"beta2"})

    def advance(self, n_steps: int) -> None:
        if len(self.members) < min(PARTS, self.n_threads):  # one after the other, each on all threads
            for member in self.members:
                self._take_together(member, n_steps)
            return
        costs = [member.rows.entries.shape[1] for member in self.members]
        self._in_rooms([partial(self._take, share) for share in shares(costs, n_steps, self.n_threads)])

    def evaluate(self) -> dict[str, np.ndarray]:
        loss, right, norm = zip(*self._in_rooms([member.evaluate for member in self.members]), strict=True)
        n_rows = len(self._cohort.tokens)
        return self._cohort.metrics(np.array(loss)[:, :n_rows], np.array(right)[:, :n_rows], np.array(norm))

    def weights(self, member: int) -> np.ndarray:
        return self.members[member].moments.theta.copy()

    def keep(self, members: Sequence[int]) -> None:
        self.members = [self.members[k] for k in members]
        self._cohort.keep(members)

    def gradient(self) -> np.ndarray:
        """The gradient of the training loss at the present weights, (member, n_params)."""
        self._in_rooms([partial(member.advance, 0) for member in self.members])
        return np.array([member.moments.grad for member in self.members])

    def _take(self, share: Sequence[tuple[int, int]], room: Room) -> None:
        for member, n_steps in share:
            self.members[member].advance(n_steps, room)

    def _take_together(self, member: Member, n_steps: int) -> None:
        """All threads in step, each with a tile of its own; one hand-over for all the steps."""
        self._first.counter[0] = 0
        futures = []
        try:
            for thread in range(len(self._tiles)):
                futures.append(self._pool.submit(member.advance_with, n_steps, self._first, thread, self._tiles))
        except BaseException:
            self._first.counter[0] = ABANDONED
            raise
        try:
            results(futures)
        finally:  # they are all taken by now, whoever interrupted
            member.step += n_steps

    def _in_rooms(self, calls: Sequence[Callable[[Room], Any]]) -> list[Any]:
        """What the calls give, each on a thread and with a room of its own."""
        def in_room(call):
            room = self._rooms.get()
            try:
                return call(room)
            finally:
                self._rooms.put(room)

        return results([self._pool.submit(in_room, call) for call in calls])

"""Which copy of a run to read, where a run is stored several times.

Copies come about by a longer budget, by training on after the early stop, or by two writers at once. The order is: a
settled copy first (it reaches any budget that may stop early), then the longer, then the one trained first.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from grokbook.config import RunConfig
from grokbook.run import reaches
from grokbook.store.shards import COLUMNS

COPY_COLUMNS = ["run_id", "last_step", "settled", "trained_at"]


class Copy(NamedTuple):
    """A stored run: how far it goes, and where it lies."""

    run_id: str
    last_step: int
    settled: bool
    trained_at: str
    shard: Path
    row: int


def by_run(tables: Iterable[tuple[Path, pa.Table]]) -> dict[str, list[Copy]]:
    """The copies of every run in these shards by run_id, best first; equals stay in the order of the shards."""
    found: dict[str, list[Copy]] = defaultdict(list)
    for shard, table in tables:
        for row, values in enumerate(table.select(COPY_COLUMNS).to_pylist()):
            found[values["run_id"]].append(Copy(shard=shard, row=row, **values))
    for copies in found.values():
        copies.sort(key=lambda c: (not c.settled, -c.last_step, c.trained_at))
    return found


def answer(copies: Sequence[Copy], wish: RunConfig) -> Copy | None:
    """The best of a run's copies that was followed as far as the wish asks."""
    return next((c for c in copies if reaches(wish, c.last_step, c.settled)), None)


def needed(copies: Sequence[Copy]) -> list[Copy]:
    """A run's copies without those that a better one replaces for every wish.

    Two can stay: one that settled, and a longer one that was trained on regardless.
    """
    kept: list[Copy] = []
    for copy in copies:
        if all(copy.last_step > other.last_step for other in kept):
            kept.append(copy)
    return kept


def gather(copies: Sequence[Copy], columns: Sequence[str], read: Callable[[Path], pa.Table | None]) -> pa.Table:
    """The rows of these copies as one table, in their order, without those whose shard `read` gives as None."""
    places: dict[Path, list[int]] = defaultdict(list)
    for place, copy in enumerate(copies):
        places[copy.shard].append(place)
    parts, order = [COLUMNS.empty_table().select(list(columns))], []
    for shard, mine in places.items():
        table = read(shard)
        if table is not None:
            parts.append(table.take([copies[place].row for place in mine]))
            order += mine
    return pa.concat_tables(parts).combine_chunks().take(np.argsort(order))

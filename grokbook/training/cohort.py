"""What every engine needs of the runs it trains together: tokens, labels, masks, rows, batches and metrics."""

from collections.abc import Sequence

import numpy as np

from grokbook import tasks
from grokbook.config import RunConfig
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


class Batches:
    """Mini-batches of one run: `next(batches)` gives the table rows of the next step, (batch_size,) int64.

    They are its training rows in an order drawn anew for every epoch, which follows from the seed alone. A batch may
    reach from one epoch into the next, so all have one size and every row is seen exactly once an epoch.
    """

    def __init__(self, config: RunConfig):
        self._size = config.batch_size
        self._rows = np.flatnonzero(tasks.split(config).train)
        self._generator = tasks.rng(config.seed, "batches")
        self._ahead = self._rows[:0]

    def __iter__(self) -> "Batches":
        return self

    def __next__(self) -> np.ndarray:
        while len(self._ahead) < self._size:
            self._ahead = np.concatenate([self._ahead, self._generator.permutation(self._rows)])
        batch, self._ahead = self._ahead[: self._size], self._ahead[self._size :]
        return batch

"""Mini-batches: the training rows in an order drawn anew for every epoch, cut into steps.

The order depends on the run's seed alone. A batch may reach from one epoch into the next, so all have the same size and
every row is seen exactly once an epoch.
"""

import numpy as np

from grokbook import tasks
from grokbook.config import RunConfig


class Batches:
    """The batches of one run, one after the other.

    `next(batches)` gives the table rows of the next step, (batch_size,) int64.
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

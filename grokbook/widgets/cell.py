"""What a live training starts from, and how often it is drawn."""

import numpy as np

from grokbook.config import RunConfig
from grokbook.run import METRICS, Run

EVERY = 0.5
"""Seconds between redraws: a page that redraws more often is slow to answer the mouse."""


def at_start(config: RunConfig) -> Run:
    """A run of which nothing is known yet."""
    return Run(config, {"step": np.zeros(1, np.int64)} | {name: np.full(1, np.nan, np.float32) for name in METRICS})

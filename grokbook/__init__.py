"""grokbook: grokking, double descent and emergence, measured on networks that are trained here.

`import grokbook as gb` is quick: nothing of PyTorch is loaded until something is trained.
"""

import importlib
from typing import Any

from grokbook.config import RunConfig
from grokbook.run import METRICS, Run

__version__ = "0.1.0"
__all__ = ["METRICS", "Run", "RunConfig", "Store", "analysis", "plots", "train", "training"]

_LAZY = {"train": "grokbook.training", "Store": "grokbook.store"}


def __getattr__(name: str) -> Any:
    """Load the rest on first use: `gb.train`, `gb.Store`, and submodules such as `gb.plots`."""
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name in __all__:
        return importlib.import_module(f"grokbook.{name}")
    raise AttributeError(f"module 'grokbook' has no attribute {name!r}")

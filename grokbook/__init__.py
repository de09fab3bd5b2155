"""grokbook: grokking, double descent and emergence, measured on networks that are trained here.

`import grokbook as gb` is quick: nothing of PyTorch is loaded until something is trained.
"""

import importlib
from typing import TYPE_CHECKING, Any

from grokbook.config import RunConfig

if TYPE_CHECKING:
    from grokbook import analysis, claims, exercises, plots, studies, tasks, widgets
    from grokbook.store import Store
    from grokbook.studies import load
    from grokbook.training import train

__version__ = "0.1.0"
__all__ = ["RunConfig", "Store", "analysis", "claims", "exercises", "load", "plots", "studies", "tasks", "train",
           "widgets"]

_FROM = {"train": "grokbook.training", "Store": "grokbook.store", "load": "grokbook.studies"}


def __getattr__(name: str) -> Any:
    """Load the rest on first use: `gb.train`, `gb.Store`, and submodules such as `gb.plots`."""
    if name in _FROM:
        return getattr(importlib.import_module(_FROM[name]), name)
    if name in __all__:
        return importlib.import_module(f"grokbook.{name}")
    raise AttributeError(f"module 'grokbook' has no attribute {name!r}; it has: {', '.join(__all__)}")

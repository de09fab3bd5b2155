"""The training core: one loop, and engines behind it that all compute the same thing."""

from grokbook.training.engines import ENGINES, able, engine_named
from grokbook.training.loop import Evaluation, Training
from grokbook.training.start import cohorts, train

__all__ = ["ENGINES", "Evaluation", "Training", "able", "cohorts", "engine_named", "train"]

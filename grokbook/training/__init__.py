"""The training core: one loop, and engines behind it that all compute the same thing."""

from grokbook.training.engines import ENGINES, able, cohorts, engine_named, train
from grokbook.training.loop import Evaluation, Training

__all__ = ["ENGINES", "Evaluation", "Training", "able", "cohorts", "engine_named", "train"]

"""What a reader moves and watches. Thin: layout and events here, numbers in `analysis`, pictures in `plots`.

A widget is shown as the last expression of its cell.
"""

from grokbook.widgets.explorer import Explorer
from grokbook.widgets.live import LiveRun
from grokbook.widgets.scripted import CircuitExplorer, Guess, MixtureExplorer, PatternExplorer, Scorecard

__all__ = ["CircuitExplorer", "Explorer", "Guess", "LiveRun", "MixtureExplorer", "PatternExplorer", "Scorecard"]

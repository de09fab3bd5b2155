"""What a reader moves and watches. Thin: layout and events here, numbers in `analysis`, pictures in `plots`.

A widget is shown as the last expression of its cell.
"""

from grokbook.widgets.circuit import CircuitExplorer
from grokbook.widgets.explorer import Explorer
from grokbook.widgets.guess import Guess
from grokbook.widgets.live import LiveRun
from grokbook.widgets.mixture import MixtureExplorer
from grokbook.widgets.patterns import PatternExplorer
from grokbook.widgets.scorecard import Scorecard

__all__ = ["CircuitExplorer", "Explorer", "Guess", "LiveRun", "MixtureExplorer", "PatternExplorer", "Scorecard"]

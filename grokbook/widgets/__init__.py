"""What a reader moves and watches. Thin: layout and events here, numbers in `analysis`, pictures in `plots`."""

from grokbook.widgets.cell import watch
from grokbook.widgets.live import LiveRun
from grokbook.widgets.patterns import PatternExplorer

__all__ = ["LiveRun", "PatternExplorer", "watch"]

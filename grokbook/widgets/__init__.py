"""What a reader moves and watches. Thin: layout and events here, numbers in `analysis`, pictures in `plots`."""

from grokbook.widgets.live import watch
from grokbook.widgets.patterns import PatternExplorer

__all__ = ["PatternExplorer", "watch"]

"""What a reader moves and watches. Thin: layout and events here, numbers in `analysis`, pictures in `plots`."""

from grokbook.widgets.cell import watch
from grokbook.widgets.descent import DescentExplorer
from grokbook.widgets.live import LiveRun
from grokbook.widgets.patterns import PatternExplorer
from grokbook.widgets.zones import ZoneExplorer

__all__ = ["DescentExplorer", "LiveRun", "PatternExplorer", "ZoneExplorer", "watch"]

"""What a reader moves and watches. Thin: layout and events here, numbers in `analysis`, pictures in `plots`."""

import warnings

from grokbook.widgets.descent import DescentExplorer
from grokbook.widgets.live import LiveRun
from grokbook.widgets.patterns import PatternExplorer
from grokbook.widgets.zones import ZoneExplorer

__all__ = ["DescentExplorer", "LiveRun", "PatternExplorer", "ZoneExplorer"]

# Where nothing was trained there is nothing to average, and xarray mutes what numpy says of that. Widgets compute on
# threads, and there what one mutes another brings back now and then: `warnings.catch_warnings` is one for all of them.
warnings.filterwarnings("ignore", "All-NaN slice encountered|Mean of empty slice|Degrees of freedom <= 0 for slice",
                        RuntimeWarning, module=r"(xarray|numpy)\.")

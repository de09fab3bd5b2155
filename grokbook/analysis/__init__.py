"""Curves to numbers: events, final values, intervals over seeds, critical sizes.

Everything takes the `xarray.Dataset` that the store loads (dimensions of varying config fields, `step` last) and
returns labelled arrays or tables. What was not observed is NaN, and beside it stands how far the run was followed.
"""

from grokbook.analysis.critical import critical_size
from grokbook.analysis.events import (
    GENERALISED,
    MEMORISED,
    SUSTAINED,
    carried,
    crossing,
    events,
    final,
    typical_seed,
)
from grokbook.analysis.statistics import interval, rate
from grokbook.analysis.twins import twin_accuracy, twin_share

__all__ = ["GENERALISED", "MEMORISED", "SUSTAINED", "carried", "critical_size", "crossing", "events", "final",
           "interval", "rate", "twin_accuracy", "twin_share", "typical_seed"]

"""Curves to numbers: events, final values, intervals over seeds, critical sizes.

Everything takes the `xarray.Dataset` that the store loads (dimensions of varying config fields, `step` last) and
returns labelled arrays or tables. What was not observed is NaN, and beside it stands how far the run was followed.
"""

from grokbook.analysis import circuit, duality, kinds, patterns, shortcut
from grokbook.analysis.capacity import border_errors, capacity
from grokbook.analysis.critical import critical_size, nearest_budget, partial_range
from grokbook.analysis.descent import double_descent
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
from grokbook.analysis.norms import norm_change
from grokbook.analysis.outcomes import describe, describe_valley, outcomes, runs_until
from grokbook.analysis.pattern_fit import Fit, fit_patterns
from grokbook.analysis.patterns import Pattern
from grokbook.analysis.recipes import filtered_recipes, recipe_zones
from grokbook.analysis.star import star
from grokbook.analysis.statistics import interval, rate
from grokbook.analysis.twins import twin_accuracy, twin_share
from grokbook.analysis.zones import NEGLIGIBLE, UNDECIDED, Zone, main_zone, zone_label, zone_shares, zones

__all__ = ["GENERALISED", "MEMORISED", "NEGLIGIBLE", "SUSTAINED", "UNDECIDED", "Fit", "Pattern", "Zone",
           "border_errors", "capacity", "carried", "circuit", "critical_size", "crossing", "describe",
           "describe_valley", "double_descent", "duality", "events", "final", "filtered_recipes", "fit_patterns",
           "interval", "kinds", "main_zone", "nearest_budget", "norm_change", "outcomes", "partial_range",
           "patterns", "rate", "recipe_zones", "runs_until", "shortcut", "star", "twin_accuracy", "twin_share",
           "typical_seed", "zone_label", "zone_shares", "zones"]

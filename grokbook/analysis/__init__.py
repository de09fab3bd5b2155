"""Curves to numbers: events, final values, intervals over seeds, critical sizes.

Everything takes the `xarray.Dataset` that the store loads (dimensions of varying config fields, `step` last) and
returns labelled arrays or tables. What was not observed is NaN, and beside it stands how far the run was followed.
"""

from grokbook.analysis import circuit, efficiency, emergence, kinds, patterns, universality
from grokbook.analysis.capacity import border_errors, capacity
from grokbook.analysis.critical import critical_size, nearest_budget
from grokbook.analysis.descent import double_descent
from grokbook.analysis.efficiency import norm_change
from grokbook.analysis.events import GENERALISED, carried, events, final, twin_accuracy
from grokbook.analysis.patterns import fit_patterns
from grokbook.analysis.recipes import filtered_recipes
from grokbook.analysis.statistics import interval
from grokbook.analysis.zones import NEGLIGIBLE, describe, outcomes, zones

__all__ = ["GENERALISED", "NEGLIGIBLE", "border_errors", "capacity", "carried", "circuit", "critical_size", "describe",
           "double_descent", "efficiency", "emergence", "events", "filtered_recipes", "final", "fit_patterns",
           "interval", "kinds", "nearest_budget", "norm_change", "outcomes", "patterns", "twin_accuracy",
           "universality", "zones"]

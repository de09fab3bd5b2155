"""Numbers to plotly figures: data first, everything else by keyword, and always a `go.Figure` back.

A figure says in its caption how many runs it shows and what it does not show. Importing this makes the book's template
plotly's default, and in a notebook its way to display a figure too: with a picture, and the caption as text below.
"""

from grokbook.plots import picture as picture  # plotly's way to display a figure in a notebook from here on
from grokbook.plots.circuit import circuit_clock, circuit_growth, circuit_spectra
from grokbook.plots.curves import grokking_panels, seed_panels, table_and_split
from grokbook.plots.division import three_views, width_cut, width_maps, zero_counts
from grokbook.plots.emergence import competition, emergence, forgetting, two_tasks
from grokbook.plots.maps import atlas, zone_map
from grokbook.plots.networks import (
    circuit_costs,
    delay_by_share,
    mixture_panels,
    mixture_scan,
    network_panels,
    settings_by_share,
    unlearning,
)
from grokbook.plots.patterns import pattern_curves, pattern_fit, pattern_map, pattern_morph, two_pattern_squares
from grokbook.plots.scorecard import verdicts
from grokbook.plots.sizes import (
    accuracy_by_size,
    compare_by_size,
    costs_by_size,
    critical_by_budget,
    final_accuracy,
    memory,
    recipe_filter,
)
from grokbook.plots.traces import find

__all__ = ["accuracy_by_size", "atlas", "circuit_clock", "circuit_costs", "circuit_growth", "circuit_spectra",
           "compare_by_size", "competition", "costs_by_size", "critical_by_budget", "delay_by_share", "emergence",
           "final_accuracy", "find", "forgetting", "grokking_panels", "memory", "mixture_panels", "mixture_scan",
           "network_panels", "pattern_curves", "pattern_fit", "pattern_map", "pattern_morph",
           "recipe_filter", "seed_panels", "settings_by_share", "table_and_split", "three_views", "two_pattern_squares",
           "two_tasks", "unlearning", "verdicts", "width_cut", "width_maps", "zero_counts", "zone_map"]

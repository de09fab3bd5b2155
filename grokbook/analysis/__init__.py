"""Curves to numbers: events, final values, intervals over seeds, critical sizes.

Everything takes the `xarray.Dataset` that the store loads (dimensions of varying config fields, `step` last) and
returns labelled arrays or tables. What was not observed is NaN, and beside it stands how far the run was followed.
Importing this makes a notebook show tables as `_html` does.
"""

import re
import sys

import numpy as np
import pandas as pd

from grokbook.analysis import circuit, efficiency, emergence, kinds, patterns, universality
from grokbook.analysis.descent import double_descent
from grokbook.analysis.efficiency import norm_change
from grokbook.analysis.events import GENERALISED, carried, events, final, twin_accuracy
from grokbook.analysis.patterns import fit_patterns
from grokbook.analysis.recipes import filtered_recipes
from grokbook.analysis.sizes import border_errors, capacity, critical_size, nearest_budget
from grokbook.analysis.statistics import interval
from grokbook.analysis.zones import NEGLIGIBLE, describe, outcomes, zones

__all__ = ["GENERALISED", "NEGLIGIBLE", "border_errors", "capacity", "carried", "circuit", "critical_size", "describe",
           "double_descent", "efficiency", "emergence", "events", "filtered_recipes", "final", "fit_patterns",
           "interval", "kinds", "nearest_budget", "norm_change", "outcomes", "patterns", "twin_accuracy",
           "universality", "zones"]


def _html(table: pd.DataFrame) -> str:
    """A table for readers: no empty column, no index that only counts, `–` for NaN, `open` for an end not measured,
    no decimals in a column of whole numbers, commas between thousands (not in the index), and no -0."""
    empty = (table.isna() | (table == "")).all() & (len(table) > 0)
    counted = table.index.name is table.columns.name is None and pd.api.types.is_integer_dtype(table.index)
    shown = table.loc[:, ~empty]
    whole = ["{:,.0f}".format if kind.kind in "iuf" and (values.dropna() % 1).isin([0, np.nan]).all() else None
             for kind, (_, values) in zip(shown.dtypes, shown.items(), strict=True)]
    html = shown.to_html(index=not counted, na_rep="–", border=0, max_rows=pd.options.display.max_rows,
                         formatters=whole)  # pyright: ignore[reportArgumentType]
    return re.sub("<td>-(0[.0]*)</td>", r"<td>\1</td>", re.sub("<td>-?inf</td>", "<td>open</td>", html))


if "IPython" in sys.modules and (shell := sys.modules["IPython"].get_ipython()):
    shell.display_formatter.formatters["text/html"].for_type(pd.DataFrame, _html)

# pyright: reportAttributeAccessIssue=false
# plotly's own types do not know what a layout or an axis holds.
"""The figure of the example cells under other recipes, by what it holds."""

import numpy as np
import pytest
from recipes import NAMED, RECIPE, four, recipes

from grokbook import plots
from grokbook.analysis.zones import Zone
from grokbook.studies import CHANGES, EXAMPLES


def drawn(zone_of, trained=lambda change, cell, seed: True):
    usual = four(lambda cell, seed: NAMED[cell], n_seeds=3).assign_attrs(RECIPE)
    return plots.recipe_check(recipes(zone_of, trained), usual)


def cells(fig):
    (trace,) = plots.find(fig, role="cells")
    return trace


def test_a_row_is_a_changed_setting_below_the_books_own_and_a_column_a_cell_of_the_paper():
    trace = cells(drawn(lambda change, cell, seed: NAMED[cell]))
    assert trace.x == tuple(f"{example}<br>{at}" for example, at in EXAMPLES.items())
    assert trace.y[:3] == ("as in the book", "learning rate 0.0003", "learning rate 0.003")
    assert trace.y[-1] == "cross entropy plain" and len(trace.y) == len(CHANGES) + 1
    named = [list(Zone).index(Zone(zone)) for zone in NAMED.values()]
    np.testing.assert_array_equal(trace.z, [named] * len(trace.y))


def test_a_cell_that_moves_has_another_colour_and_says_how_many_seeds_agree():
    trace = cells(drawn(lambda change, cell, seed: "UNGROKKING" if cell[0] == 64 and change == {"lr": 3e-3}
                        else NAMED[cell]))
    row, column = trace.y.index("learning rate 0.003"), list(EXAMPLES.values()).index((64, 3000))
    assert trace.z[row][column] == list(Zone).index(Zone.UNGROKKING)
    assert (trace.text[row][column], trace.text[0][column]) == ("2/2 · 0.02", "3/3 · 1.00")
    assert "ungrokking: 2 of 2 seeds" in trace.customdata[row][column]


@pytest.mark.parametrize("trained, white", [(lambda change, cell, seed: cell != (64, 3000), len(CHANGES)),
                                            (lambda change, cell, seed: "lr" not in change, 8)])
def test_cells_that_nobody_trained_are_white_and_counted(trained, white):
    fig = drawn(lambda change, cell, seed: NAMED[cell], trained)
    assert np.isnan(cells(fig).z.astype(float)).sum() == white
    assert f"White: {white} cells" in fig.layout.meta["caption"]

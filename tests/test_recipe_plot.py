# pyright: reportAttributeAccessIssue=false
# plotly's own types do not know what a layout or an axis holds.
"""The figures on recipes and on what the settings change, by what they hold."""

import numpy as np
import pytest
from maps import cube, rise
from recipes import NAMED, RECIPE, four, recipes

from grokbook import RunConfig, Store, plots, tasks
from grokbook.analysis import filtered_recipes, nearest_budget
from grokbook.analysis.zones import Zone
from grokbook.studies import CANDIDATES, CHANGES, EXAMPLES


def drawn(zone_of, trained=lambda change, cell, seed: True):
    usual = four(lambda cell, seed: NAMED[cell], n_seeds=3).assign_attrs(RECIPE)
    return plots.recipe_check(recipes(zone_of, trained), usual)


def cells(fig):
    (trace,) = plots.find(fig, role="cells")
    return trace


def test_a_row_is_a_changed_setting_below_the_usual_and_a_column_a_cell_of_the_paper():
    trace = cells(drawn(lambda change, cell, seed: NAMED[cell]))
    assert trace.x == tuple(f"{example}<br>{at}" for example, at in EXAMPLES.items())
    assert trace.y[:3] == ("usual recipe", "learning rate 0.0003", "learning rate 0.003")
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


def test_the_filter_shows_a_row_a_candidate_and_what_was_not_trained(tmp_path):
    table = filtered_recipes(30_000, Store(tmp_path))
    trace = cells(plots.recipe_filter(table, n_steps=30_000))
    assert np.shape(trace.z) == (len(CANDIDATES), 6) and set(np.ravel(trace.text)) == {""}
    table.loc[2, ["grokking", "n_grokking"]] = True, 4
    assert cells(plots.recipe_filter(table, n_steps=30_000)).text[2][0] == "yes<br>(4)"


def moving(d_h, D, seed):
    """A border that falls from 3,200 at step 1,000 to 2,400 at 10,000."""
    return {"val_acc": rise(1_000 if D >= 3200 else 10_000 if D >= 2400 else np.inf)}


def test_the_border_is_drawn_at_each_budget_and_the_nearest_named():
    runs = cube([32, 64], list(range(2000, 4001, 400)), 3, moving)
    fig = plots.critical_by_budget({"a": runs, "b": runs}, (2_000, 20_000), paper={32: 2200.0})
    drawn = [trace.y for trace in plots.find(fig, role="border")]
    assert len(drawn) == 4 and all(y[0] == pytest.approx(3000, abs=10) and y[1] == pytest.approx(2200, abs=10)
                                   for y in drawn)
    near = nearest_budget(runs, (500, 2_000, 20_000), {32: 3000, 64: 3000})
    assert near["n_steps"] == 2_000 and near["off"] == pytest.approx(0, abs=20)
    assert np.isnan(nearest_budget(runs, (500,), {32: 3000})["n_steps"])


def test_costs_are_drawn_from_scratch_and_retrained():
    scratch = cube([64], [500, 1000, 3000], 3, lambda d_h, D, seed: {
        "train_acc": rise(100), "val_acc": rise(100) * (D > 2000), "param_norm": D / 100})
    again = cube([64], [500, 1000], 3, lambda d_h, D, seed: {
        "train_acc": rise(100), "val_acc": rise(100), "param_norm": 7.0})
    runs = {trace.name: trace for trace in plots.find(plots.costs_by_size(scratch, again), role="runs")}
    assert set(runs["from scratch, know their pairs only"].y) == {5, 10}
    assert set(runs["retrained, know all pairs"].y) == {7}


def test_the_table_and_its_split():
    config = RunConfig(p=7, D_train=20, d_h=8)
    fig, split = plots.table_and_split(config), tasks.split(config)
    (answers,), (kinds,) = plots.find(fig, role="answers"), plots.find(fig, role="split")
    assert all(answers.z[b][a] == (a + b) % 7 for a in range(7) for b in range(7))
    assert np.sum(kinds.z == 0) == 20 and np.sum(kinds.z == 2) == split.twin_free_val.sum()
    assert all(kinds.z[a][b] == 0 for b, a in np.argwhere(kinds.z == 1))  # whose mirror is shown

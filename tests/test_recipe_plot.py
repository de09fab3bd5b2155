# pyright: reportAttributeAccessIssue=false
# plotly's own types do not know what a layout or an axis holds.
"""The figures on recipes and on what the settings change, by what they hold."""

import numpy as np
import pytest
from maps import cube, rise

from grokbook import RunConfig, Store, plots, tasks
from grokbook.analysis import filtered_recipes, nearest_budget
from grokbook.studies import CANDIDATES


def cells(fig):
    (trace,) = plots.find(fig, role="cells")
    return trace


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

# pyright: reportAttributeAccessIssue=false, reportCallIssue=false
# plotly's own types do not know what a layout or an axis holds.
"""Figures by what they hold: traces, axes, captions. Not by their pixels."""

from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
import xarray as xr
from scipy.special import expit

from grokbook import RunConfig, analysis, plots
from grokbook.plots import template
from grokbook.plots.cells import as_dataset, choose
from grokbook.plots.curves import loss_ticks
from grokbook.plots.template import caption, d_h_color
from grokbook.plots.traces import summary
from grokbook.run import METRICS, Run, evaluation_steps

SEEDS = (0, 1, 2, 4)


def grokking(d_h: int, D_train: int, t_gen: float, seed: int = 0, n_steps: int = 10_000, **fields) -> Run:
    """A run that memorises near step 300 and generalises near `t_gen`, with smooth curves and a jagged norm."""
    step = evaluation_steps(n_steps)
    age = np.log10(np.maximum(step, 1))
    train, val = 0.999 * expit((age - 2.3) * 30), 0.999 * expit((age - np.log10(t_gen) + 0.2) * 30)
    norm = 30 + 20 * train - 10 * val + np.random.default_rng(seed).normal(size=len(step)) / 10
    curves = dict(zip(METRICS, (np.exp(-6 * train), train, np.exp(2 - 6 * val), val, val**2, norm), strict=True))
    curves = {name: curve.astype(np.float32) for name, curve in curves.items()}
    return Run(RunConfig(d_h=d_h, D_train=D_train, seed=seed, n_steps=n_steps, **fields), {"step": step, **curves})


@pytest.fixture(scope="module")
def runs() -> xr.Dataset:
    """Three cells; in (64, 2000) nothing generalises, (32, 2000) was not trained."""
    cells = ((64, 4000, 500), (32, 4000, 900), (64, 2000, 1e9))
    return as_dataset([grokking(*cell, t_gen * (1 + seed), seed=seed) for *cell, t_gen in cells for seed in SEEDS])


def only(fig: go.Figure, **meta) -> Any:
    (trace,) = plots.find(fig, **meta)
    return trace


def curves(runs, d_h: int = 64, D_train: int = 4000, row: str = "accuracy", **options) -> go.Figure:
    """One panel of one cell."""
    return plots.grokking_panels(runs, cells=[(d_h, D_train)], rows=(row,), **options)


def means(values: xr.DataArray, **options) -> list[Any]:
    return [*summary(values, name="a name", label="a label", color="#0072B2", meta={}, **options)]


def words(fig: go.Figure) -> str:
    return fig.layout.meta["caption"]


# Curves of a cell


def test_every_seed_is_a_thin_line_and_the_middle_one_is_thick(runs: xr.Dataset):
    fig = curves(runs)
    for metric in ("train_acc", "val_acc", "twin_free_val_acc"):
        thin, thick = only(fig, metric=metric, role="seeds"), only(fig, metric=metric, role="line")
        assert set(thin.customdata) == set(SEEDS) and set(thick.customdata) == {1}
        assert thin.line.width < thick.line.width
    assert {axis.type for axis in fig.select_xaxes()} == {"log"}


def test_the_thick_line_is_the_run_that_was_asked_for_point_by_point(runs: xr.Dataset):
    line = only(curves(runs, seed=4), metric="val_acc", role="line")
    curve = runs.val_acc.sel(d_h=64, D_train=4000, seed=4)
    np.testing.assert_array_equal(line.y[:-1], curve)
    np.testing.assert_array_equal(line.x[:-1], np.where(curve.step == 0, np.float32(template.STEP_0_AT), curve.step))


@pytest.mark.parametrize("row", ["accuracy", "loss", "norm"])
def test_thin_lines_pass_within_a_pixel_of_every_measured_point(runs: xr.Dataset, row: str):
    fig = curves(runs, row=row)
    for thin in plots.find(fig, role="seeds"):
        seed = thin.customdata == 2
        x, y = thin.x[seed][:-1], thin.y[seed][:-1]
        curve = runs[thin.meta["metric"]].sel(d_h=64, D_train=4000, seed=2).values
        measured, drawn = (np.log(curve), np.log(y)) if row == "loss" else (curve, y)
        between = np.interp(np.log(template.shown_steps(runs.step)), np.log(x), drawn)
        assert np.abs(between - measured).max() <= 0.005 * np.ptp(measured)
        assert len(x) < len(curve)


def test_marks_stand_where_runs_memorised_and_generalised(runs: xr.Dataset):
    fig = curves(runs, seed=2)
    when = analysis.events(runs.sel(d_h=64, D_train=4000))
    for event, metric in (("t_mem", "train_acc"), ("t_gen", "val_acc")):
        marks = only(fig, role="event", event=event)
        np.testing.assert_array_equal(marks.x, when[event])
        np.testing.assert_array_equal(marks.customdata, SEEDS)
        assert (marks.y >= 0.99).all() and marks.meta["metric"] == metric
        assert np.argmax(marks.marker.size) == SEEDS.index(2)


def test_a_run_that_never_generalised_has_no_diamond_and_is_counted(runs: xr.Dataset):
    fig = curves(runs, D_train=2000)
    assert plots.find(fig, event="t_mem") and not plots.find(fig, event="t_gen")
    assert "4 of 4 had not generalised by the end." in words(fig)


def test_networks_that_go_on_from_others_had_been_through_both(runs: xr.Dataset):
    cell = runs.sel(d_h=[64], D_train=[2000]).assign_coords(parent="abc@100")
    for fig in (plots.unlearning({"few pairs": cell}), plots.grokking_panels(cell, cells=[(64, 2000)])):
        assert "Followed for" in words(fig) and "had not" not in words(fig)


def test_one_seed_is_no_reason_to_speak_of_thin_lines(runs: xr.Dataset):
    fig = curves(runs.sel(seed=[2]))
    assert words(fig).startswith("n = 1 run (seed 2).") and "Thin" not in words(fig)


def test_rows_of_panels_stand_above_each_other(runs: xr.Dataset):
    fig = plots.grokking_panels(runs, cells=[(64, 4000)], rows=("loss", "norm"))
    assert fig.layout.yaxis.type == "log" and fig.layout.yaxis2.type is None
    assert fig.layout.yaxis.domain[0] > fig.layout.yaxis2.domain[1]
    assert only(fig, metric="val_loss", role="line").yaxis == "y"
    assert only(fig, metric="param_norm", role="line").yaxis == "y2"


@pytest.mark.parametrize("first", [(-0.1, 0), (-1, 0.5), (-5, 1)])
@pytest.mark.parametrize("last", [(-0.1, 0), (-1, 0.5), (-5, 1)])
def test_the_ticks_of_a_loss_are_those_of_its_last_range(first: tuple, last: tuple):
    fig, anew = go.Figure(), go.Figure().update_layout(yaxis=loss_ticks(*last))
    fig.update_layout(yaxis=loss_ticks(*first)).update_layout(yaxis=loss_ticks(*last))
    assert fig.layout.yaxis == anew.layout.yaxis


@pytest.mark.parametrize("draw, sentence", [
    (lambda runs: plots.final_accuracy([]), "there are no runs to show"),
    (lambda runs: plots.grokking_panels(runs, cells=[]), "leave nothing to show"),
    (lambda runs: plots.grokking_panels(runs, rows=()), "leave nothing to show"),
    (lambda runs: plots.atlas(runs, budgets=[]), "budgets=.* is not valid"),
    (lambda runs: plots.atlas(runs, budgets=[-3]), "budgets=.* is not valid")])
def test_a_figure_of_nothing_is_refused_in_a_sentence(runs: xr.Dataset, draw, sentence: str):
    with pytest.raises(ValueError, match=sentence):
        draw(runs)


def test_panels_have_a_column_a_cell_and_a_row_a_metric(runs: xr.Dataset):
    fig = plots.grokking_panels(runs, cells=[(64, 4000), (32, 4000)])
    where = {(t.meta["d_h"], t.meta["metric"]): (t.xaxis, t.yaxis) for t in plots.find(fig, role="line")}
    assert where[64, "val_acc"] == where[64, "train_acc"] == ("x", "y") and where[32, "val_acc"] == ("x2", "y2")
    assert where[64, "val_loss"] == ("x3", "y3") and where[32, "param_norm"] == ("x6", "y6")
    assert {axis.matches for axis in fig.select_xaxes()} == {"x"}
    assert fig.layout.yaxis4.matches == "y3" and fig.layout.yaxis3.range is not None
    assert len({tuple(axis.range) for axis in fig.select_xaxes()}) == 1


def test_no_curve_leaves_its_panel(runs: xr.Dataset):
    fig = plots.grokking_panels(runs, cells=[(64, 4000), (64, 2000)])
    for trace in plots.find(fig, role="seeds"):
        axis = fig.layout[trace.yaxis.replace("y", "yaxis")]
        low, high = 10 ** np.array(axis.range) if axis.type == "log" else axis.range
        assert low < np.nanmin(trace.y) and np.nanmax(trace.y) < high


def test_a_legend_names_each_thing_once(runs: xr.Dataset):
    fig = plots.grokking_panels(runs, cells=[(64, 4000), (32, 4000)])
    named = [trace.name for trace in fig.data if trace.showlegend]
    assert sorted(named) == ["generalised", "memorised", "train", "twin-free validation", "validation"]


def test_hovering_names_the_run(runs: xr.Dataset):
    for fig in (curves(runs), plots.grokking_panels(runs, cells=[(64, 4000)])):
        for trace in fig.data:
            assert "d_h 64, D_train 4000, seed %{customdata}" in trace.hovertemplate
            assert "step %{x:,.0f}" in trace.hovertemplate and len(trace.customdata) == len(trace.x)


def test_a_list_of_runs_gives_the_same_figure_as_the_stored_runs(runs: xr.Dataset):
    trained = [grokking(64, 4000, 500 * (1 + seed), seed) for seed in SEEDS]
    assert curves(trained) == curves(runs)


def test_a_run_is_named_by_its_seed_however_large():
    fig = curves([grokking(64, 4000, 500, seed=2**40)])
    assert set(only(fig, metric="val_acc", role="line").customdata) == {2**40}


def test_a_metric_without_any_pairs_draws_nothing_and_counts_nobody_as_late(runs: xr.Dataset):
    cell = runs.sel(d_h=[64], D_train=[4000])
    blind = cell.assign({name: cell[name] * np.nan for name in ("val_acc", "val_loss", "twin_free_val_acc")})
    fig = curves(blind)
    assert plots.find(fig, metric="train_acc", event="t_mem") and not plots.find(fig, event="t_gen")
    assert "had not" not in words(fig)


# What is missing, and what is wrong


def test_a_cell_on_the_grid_that_was_not_trained_says_so(runs: xr.Dataset):
    fig = curves(runs, 32, 2000)
    assert [note.text for note in fig.layout.annotations] == ["not trained:<br>d_h 32, D_train 2000"]
    assert "n = 0" in words(fig) and "Not trained: d_h 32, D_train 2000." in words(fig)


def test_a_panel_that_was_not_trained_keeps_its_place_and_says_so(runs: xr.Dataset):
    fig = plots.grokking_panels(runs, cells=[(64, 4000), (64, 3000), (32, 2000)])
    notes = {a.xref: a.text for a in fig.layout.annotations if a.name == "missing"}
    assert notes == {"x2 domain": "not trained:<br>d_h 64, D_train 3000",
                    "x3 domain": "not trained:<br>d_h 32, D_train 2000"}
    assert "Not trained: d_h 64, D_train 3000; d_h 32, D_train 2000." in words(fig)
    assert {t.xaxis for t in plots.find(fig, role="missing")} >= {"x2", "x3"}


@pytest.mark.parametrize(("draw", "complaint"), [
    (lambda runs: choose(runs, d_h=64), "2 values of D_train; choose one of 2000, 4000"),
    (lambda runs: plots.seed_panels(runs, d_h=48, D_train=4000), "d_h=48 is not among the runs; valid: 32, 64"),
    (lambda runs: plots.seed_panels(runs, d_h=32, D_train=2000), "no seed of d_h 32, D_train 2000 was trained"),
    (lambda runs: curves(runs, row="speed"), "rows='speed'.*valid: accuracy, loss, norm"),
    (lambda runs: curves(runs, seed=3), "seed=3.*valid: 0, 1, 2, 4"),
])
def test_a_wrong_choice_is_answered_with_the_right_ones(runs: xr.Dataset, draw, complaint: str):
    with pytest.raises(ValueError, match=complaint):
        draw(runs)


def test_another_field_that_varies_must_be_chosen_first():
    two = [grokking(64, 4000, 500, weight_decay=decay) for decay in (0.5, 1.0)]
    with pytest.raises(ValueError, match="2 values of weight_decay; choose one of 0.5, 1"):
        curves(two)
    with pytest.raises(ValueError, match="vary over weight_decay too"):
        plots.final_accuracy(two)
    chosen = curves(as_dataset(two).sel(weight_decay=0.5))
    assert "weight decay 0.5" in words(chosen)


# Means over seeds


def test_the_band_is_the_interval_over_seeds_behind_the_mean_and_every_run_a_dot(runs: xr.Dataset):
    values = runs["val_acc"].sel(d_h=64, D_train=4000)
    (band, mean), (alone, dots) = means(values), means(values, dots=True)  # of four seeds each run tells more
    expected, n = analysis.interval(values, within=(0, 1)), runs.sizes["step"]
    np.testing.assert_allclose(mean.y, expected["mean"], atol=1e-6)
    np.testing.assert_allclose(band.y[:-1], [*expected["hi"], *expected["lo"][::-1]], atol=1e-6)
    np.testing.assert_array_equal(band.x[:-1], [*mean.x, *mean.x[::-1]])
    assert mean.x[0] == np.float32(template.STEP_0_AT) and (mean.x[1:] == runs["step"][1:]).all()
    for i, seed in enumerate(SEEDS):
        np.testing.assert_array_equal(dots.y[i * n:(i + 1) * n], values.sel(seed=seed))
        assert set(dots.customdata[i * n:(i + 1) * n]) == {seed}
    assert [trace.meta["role"] for trace in (band, mean, alone, dots)] == ["band", "mean", "mean", "runs"]
    many = xr.concat([values, values.sel(seed=[0]).assign_coords(seed=[9])], "seed")
    assert [trace.meta["role"] for trace in means(many, dots=True)] == ["band", "mean", "runs"]


def test_one_seed_has_a_mean_and_no_band(runs: xr.Dataset):
    (mean,) = means(runs["val_acc"].sel(d_h=64, D_train=4000, seed=[2]))
    assert mean.meta["role"] == "mean"


def test_the_mean_of_losses_is_geometric_and_survives_a_loss_of_zero(runs: xr.Dataset):
    loss = runs["val_loss"].sel(d_h=64, D_train=4000).copy(deep=True)
    band, mean = means(loss, log=True)
    np.testing.assert_allclose(mean.y, np.exp(np.log(loss.values).mean(0)), rtol=1e-4)
    assert (band.y[:len(mean.y)] >= mean.y).all() and (mean.y >= band.y[len(mean.y):-1][::-1]).all()
    loss[..., -1] = 0
    assert np.isfinite(means(loss, log=True)[1].y).all()


# Final accuracy


def test_final_accuracy_has_a_line_and_a_band_a_size(runs: xr.Dataset):
    early = runs.sel(step=slice(None, 1_000))
    fig = plots.final_accuracy(early)
    assert [trace.name for trace in plots.find(fig, role="mean")] == ["32", "64"]
    line, band = only(fig, d_h=64, role="mean"), only(fig, d_h=64, role="band")
    expected = analysis.interval(analysis.final(early, "val_acc"), within=(0, 1)).sel(d_h=64)
    assert expected.hi.max() == 1
    np.testing.assert_array_equal(line.x, [2000, 4000])
    np.testing.assert_allclose(line.y, expected["mean"], atol=1e-6)
    np.testing.assert_allclose(line.customdata[:, 2], 4)
    np.testing.assert_allclose(band.y[:-1], [*expected.hi, *expected.lo[::-1]], atol=1e-6)
    assert line.line.color == d_h_color(64, [32, 64]) != only(fig, d_h=32, role="mean").line.color


def test_final_accuracy_names_the_cells_that_are_missing_and_leaves_a_gap(runs: xr.Dataset):
    fig = plots.final_accuracy(runs)
    assert "Not trained: d_h 32 at D_train 2000." in words(fig)
    np.testing.assert_array_equal(np.isnan(only(fig, d_h=32, role="mean").y), [True, False])
    assert not only(fig, d_h=32, role="mean").connectgaps


def test_final_accuracy_of_one_seed_has_no_bands(runs: xr.Dataset):
    fig = plots.final_accuracy(runs.sel(seed=[0]))
    assert plots.find(fig, role="mean") and not plots.find(fig, role="band")
    assert "95 %" not in words(fig)


def test_final_accuracy_of_something_else_is_refused(runs: xr.Dataset):
    with pytest.raises(ValueError, match="metric='val_loss'.*valid: train_acc, val_acc, twin_free_val_acc"):
        plots.final_accuracy(runs, metric="val_loss")


# Captions


def test_a_caption_counts_runs_and_seeds_and_says_which_settings_are_ours(runs: xr.Dataset):
    words = caption(runs.sel(d_h=64, D_train=4000))
    assert words.startswith("n = 4 runs (seeds 0–2, 4). Followed for 10,000 steps.")
    assert "learning rate 0.003, weight decay 1, warm-up steps 10, initial scale 2, cross entropy exact" in words
    assert "n = 4 runs a cell (seeds 0–2, 4), 12 in all." in caption(runs)


def test_a_caption_names_a_network_that_is_no_transformer(runs: xr.Dataset):
    assert "Networks" not in caption(runs)
    assert "Networks: LSTM, layers 2." in caption(runs.assign_coords(architecture="lstm", n_layers=2))
    assert "Networks: feed-forward (MLP), layers 3." in caption(runs.assign_coords(architecture="mlp", n_layers=3))


def test_a_caption_tells_unequal_counts_and_early_stops(runs: xr.Dataset):
    some, settled = runs.copy(deep=True), {"d_h": 32, "D_train": 4000, "seed": 0}
    some.trained.loc[{"d_h": 64, "D_train": 4000, "seed": [0, 1]}] = False
    some.settled.loc[settled], some.last_step.loc[settled], some.val_acc.loc[settled] = True, 2_000, 1
    words = caption(some, "A note.")
    assert "n = 2 to 4 runs a cell (seeds 0–2, 4), 10 in all." in words
    assert "Followed for 2,000 to 10,000 steps, by when every accuracy of 1 of 10 had settled at 1. A note." in words
    some.val_acc.loc[settled] = 0.5
    assert "settled" not in caption(some)


def test_runs_cut_at_a_step_are_described_as_cut_there(runs: xr.Dataset):
    some = runs.sel(d_h=[64], D_train=[4000]).copy(deep=True)
    some.settled[...] = True
    fig = curves(some.sel(step=slice(None, 1_000)))
    assert "Followed for 1,000 steps." in words(fig) and "early" not in words(fig)
    assert fig.layout.xaxis.range[1] == pytest.approx(3, abs=0.1)


def test_every_figure_carries_its_caption_as_words_and_not_in_its_pixels(runs: xr.Dataset):
    for fig in (curves(runs), plots.grokking_panels(runs), plots.final_accuracy(runs), plots.accuracy_by_size(runs)):
        assert words(fig).startswith("n = 4 runs") and "<br>" not in words(fig)
        assert not any("n = " in note.text for note in fig.layout.annotations)

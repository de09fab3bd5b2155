# pyright: reportAttributeAccessIssue=false
"""Figures of the pattern model by what they hold."""

import itertools

import numpy as np
import pytest
import xarray as xr

from grokbook import analysis, load, plots
from grokbook.analysis import kinds, patterns
from grokbook.plots.patterns import KIND_COLORS, PATTERN_COLORS, SPLITS
from grokbook.plots.template import METRIC_COLORS

SETS = {"double descent": patterns.DOUBLE_DESCENT, "grokking": patterns.GROKKING}


def test_figure_2_has_a_column_a_set_and_the_models_curves():
    fig = plots.pattern_curves(SETS, names=patterns.TYPES)
    for column, shown in enumerate(SETS.values()):
        for i, p in enumerate(patterns.predictiveness(shown, patterns.TIMES)):
            np.testing.assert_allclose(plots.find(fig, role="pattern", pattern=i)[column].y, p, atol=1e-6)
        for metric, curve in (("train_acc", patterns.train_accuracy), ("val_acc", patterns.test_accuracy)):
            drawn = plots.find(fig, metric=metric)[column]
            np.testing.assert_allclose(drawn.y, curve(shown, patterns.TIMES), atol=1e-6)
    assert [trace.name for trace in fig.data if trace.showlegend] == [
        "heuristic (g = 1)", "overfitting (g = 0)", "slow (g = 1)", "train", "test"]
    assert {trace.line.dash for trace in plots.find(fig, pattern=2)} == {"dash"}
    assert "(0.2, 0.05, 200, 1) preferred" in fig.layout.meta["caption"]
    assert "no network is trained" in fig.layout.meta["caption"]


@pytest.mark.parametrize("t", [60.0, 150.0, 300.0])
def test_the_areas_drawn_in_the_squares_add_up_to_the_models_accuracy(t: float):
    fig = plots.two_pattern_squares(t=t)
    two, preferred = patterns.PRESETS["two patterns"], patterns.PRESETS["two patterns, the first preferred"]
    expected = {"train accuracy": patterns.train_accuracy(two, t), "test accuracy": patterns.test_accuracy(two, t),
                "test, 1 preferred": patterns.test_accuracy(preferred, t)}
    for name, accuracy in expected.items():
        (square,) = plots.find(fig, shows=name)
        area = np.outer(np.diff(square.y), np.diff(square.x))
        assert (area * np.array(square.z)).sum() == pytest.approx(float(accuracy))
        assert f"{name} {accuracy:.3f}" in [note.text for note in fig.layout.annotations]
    (covered,) = plots.find(fig, shows="covered by")
    assert (covered.x[1], covered.y[1]) == pytest.approx(patterns.predictiveness(two, t).tolist())


def test_squares_take_two_patterns():
    with pytest.raises(ValueError, match="3 patterns make no square; valid: two patterns"):
        plots.two_pattern_squares(patterns.GROKKING)


def test_every_path_of_the_morph_starts_and_ends_as_figure_2():
    fig = plots.pattern_morph(n_steps=5)
    for path in patterns.PATHS:
        stops = plots.find(fig, role="stop", path=path)
        assert [stop.meta["share"] for stop in stops] == [0, 0.25, 0.5, 0.75, 1]
        for stop, end in ((stops[0], patterns.DOUBLE_DESCENT), (stops[-1], patterns.GROKKING)):
            np.testing.assert_allclose(stop.y, patterns.test_accuracy(end, patterns.TIMES), atol=1e-6)
            assert stop.line.color == KIND_COLORS[stop.meta["kind"]] and stop.meta["kind"] == kinds.kind_of(end)


def test_the_map_is_drawn_with_gamma_1_to_the_right_and_says_its_thresholds():
    fig = plots.pattern_map(paths=patterns.PATHS, size=9)
    (heat,), (ring,) = plots.find(fig, role="map"), plots.find(fig, role="here")
    np.testing.assert_array_equal(heat.z, kinds.kind_map(size=9).T)
    assert (ring.x[0], ring.y[0]) == (0.7, 0.2) and len(plots.find(fig, role="path")) == 3
    keys = [trace.name for trace in plots.find(fig, role="key")]
    counts = [np.mean(heat.z == i) for i in range(4)]
    assert keys == [f"{kind} ({share:.0%})" for kind, share in zip(kinds.KINDS, counts, strict=True) if share]
    assert f"{kinds.DIP:g} or more" in fig.layout.meta["caption"]


def test_kinds_and_patterns_have_colours_of_their_own():
    assert set(KIND_COLORS) == set(kinds.KINDS)
    assert all(a != b for a, b in itertools.combinations([*PATTERN_COLORS, *METRIC_COLORS.values()][:7], 2))


@pytest.fixture(scope="module")
def run() -> xr.Dataset:
    return load("grokking").sel(d_h=64, D_train=4000, seed=1)


def test_a_fit_is_drawn_beside_what_was_measured_with_the_rest(run: xr.Dataset):
    fit = analysis.fit_patterns(run, n_patterns=2)
    fig = plots.pattern_fit(run, fit)
    for metric, name in SPLITS.items():
        dots, line, rest = (plots.find(fig, role=role, metric=metric)[0] for role in ("measured", "line", "residual"))
        np.testing.assert_array_equal(dots.y, run[metric].dropna("step"))
        np.testing.assert_allclose(dots.y - line.y, rest.y, atol=1e-6)
        assert line.name == f"{name}, fitted" and f"{fit.rms[metric]:.4f} ({name})" in fig.layout.meta["caption"]
    words = fig.layout.meta["caption"]
    assert words.startswith("n = 1 run (seed 1).")
    assert "2 patterns, 8 parameters" in words and "time is the step;" in words
    assert len(plots.find(fig, role="pattern")) == 2

"""What curves are called, and the model fitted to curves that it made itself."""

from dataclasses import astuple, replace

import numpy as np
import pytest
import xarray as xr
from maps import cube, rise

from grokbook.analysis import fit_patterns, kinds
from grokbook.analysis.kinds import KINDS
from grokbook.analysis.patterns import DOUBLE_DESCENT, GROKKING, PRESETS, Pattern, train_accuracy
from grokbook.analysis.patterns import test_accuracy as accuracy

T = np.arange(101.0)


def kind(train, test) -> str:
    """The kind of curves through points (t, accuracy), joined by straight lines."""
    train, test = (np.interp(T, *np.transpose(points)) for points in (train, test))
    return KINDS[int(kinds.shape(T, train, test).kind())]


FAST = [(0, 0), (10, 1)]


@pytest.mark.parametrize("train, test, expected", [
    (FAST, [(40, 0), (60, 1)], "grokking"),
    (FAST, [(0, 0), (12, 1)], "neither"),
    (FAST, [(40, 0), (60, 0.8)], "neither"),
    (FAST, [(0, 0.2), (40, 0.2), (60, 1)], "neither"),
    ([(0, 0), (100, 0.9)], [(90, 0), (100, 1)], "neither"),
    (FAST, [(0, 0), (5, 0.5), (20, 0.3), (60, 0.6)], "double descent"),
    (FAST, [(0, 0), (5, 0.5), (20, 0.46), (60, 1)], "neither"),
    (FAST, [(0, 0), (5, 0.5), (20, 0.3), (60, 0.34)], "neither"),
    (FAST, [(0, 0.5), (20, 0.3), (60, 1)], "neither"),
    ([(0, 0), (5, 0.9), (20, 0.5), (60, 1)], [(0, 0), (5, 0.5), (20, 0.3), (60, 0.6)], "neither"),
    (FAST, [(0, 0), (4, 0.09), (9, 0.01), (40, 0.01), (60, 1)], "both"),
], ids=["late", "too soon", "not high", "not low", "never memorised", "dip", "shallow fall", "shallow return",
        "no first rise", "train falls too", "both"])
def test_curves_get_the_name_that_they_deserve(train, test, expected: str):
    assert kind(train, test) == expected


def test_peak_and_valley_are_those_of_the_deepest_dip():
    test = np.interp(T, [0, 10, 20, 30, 60, 100], [0, 0.3, 0.2, 0.6, 0.1, 0.9])
    seen = kinds.shape(T, np.minimum(T / 10, 1), test)
    np.testing.assert_allclose([seen.peak, seen.valley, seen.dip, seen.t_mem, seen.t_gen], [0.6, 0.1, 0.5, 10, 100])


def test_dips_of_runs_with_and_without_a_fall_of_train_accuracy():
    """Seed 0 dips by 0.2 while train accuracy holds, seed 1 by 0.3 as train accuracy falls; seed 2 was not trained."""
    def curves(d_h: int, D_train: int, seed: int) -> dict | None:
        dip = rise(10, 0.5) - (rise(100) - rise(1000)) * [0.2, 0.3, 0][seed]
        return None if seed == 2 else {"val_acc": dip, "train_acc": [rise(5), dip][seed]}
    dips = kinds.dips(cube((8,), (3000,), 3, curves).squeeze("D_train"))
    assert list(dips.columns) == ["d_h", "seed", "dip", "with_train"]
    np.testing.assert_allclose(dips, [[8, 0, 0.2, 0.2], [8, 1, 0, 0.3]], atol=1e-6)


def test_many_curves_at_once_are_judged_as_one_by_one():
    train, test = (np.stack([curve(PRESETS[name], T) for name in PRESETS]) for curve in (train_accuracy, accuracy))
    together = kinds.shape(T, train, test)
    for i, patterns in enumerate(PRESETS.values()):
        assert together.kind()[i] == kinds.shape_of(patterns, T).kind()
        np.testing.assert_equal(together.t_gen[i], kinds.shape_of(patterns, T).t_gen)


def test_figure_2_shows_double_descent_and_grokking():
    assert (kinds.kind_of(DOUBLE_DESCENT), kinds.kind_of(GROKKING)) == ("double descent", "grokking")


def test_the_map_says_of_every_place_what_its_patterns_show():
    map_ = kinds.kind_map(size=5)
    for i, j in np.ndindex(5, 5):
        patterns = (replace(DOUBLE_DESCENT[0], gamma=i / 4), DOUBLE_DESCENT[1], replace(DOUBLE_DESCENT[2], gamma=j / 4))
        assert KINDS[map_[i, j]] == kinds.kind_of(patterns)
    assert set(map_.ravel()) == {0, 1, 2}


def test_the_map_needs_two_patterns():
    with pytest.raises(ValueError, match="there is 1; valid: two or more"):
        kinds.kind_map(GROKKING[:1])


def made_up(patterns, step, clock) -> xr.Dataset:
    t = np.log10(1 + step) if clock == "log" else step
    curves = {"train_acc": train_accuracy(patterns, t), "val_acc": accuracy(patterns, t)}
    return xr.Dataset({name: ("step", curve) for name, curve in curves.items()}, coords={"step": step})


STEP = np.unique(np.round(np.geomspace(1, 20_000, 120)))


@pytest.mark.parametrize("clock, patterns", [
    ("log", (Pattern(0.9, 12, 2, 0.1), Pattern(1, 20, 3.8, 0.95, preferred=True))),
    ("linear", (Pattern(0.95, 0.02, 300, 0.05), Pattern(0.9, 0.001, 12_000, 1, preferred=True))),
])
def test_a_fit_finds_the_patterns_that_made_the_curves(clock: str, patterns):
    fit = fit_patterns(made_up(patterns, STEP, clock), n_patterns=2, clock=clock)
    assert max(fit.rms.values()) < 1e-6
    for fitted, true in zip(fit.patterns, patterns, strict=True):
        assert astuple(fitted) == pytest.approx(astuple(true), rel=1e-3)


def test_one_pattern_cannot_delay_anything_and_residuals_say_so():
    run = made_up(GROKKING, np.arange(301.0), "linear")
    single, double = (fit_patterns(run, n_patterns=n) for n in (1, 2))
    assert single.rms["val_acc"] > 0.1 > 1e-3 > double.rms["val_acc"] and not single.patterns[0].preferred
    left = single.residuals["val_acc"]
    np.testing.assert_allclose(run["val_acc"] - left, accuracy(single.patterns, single.t))
    assert single.rms["val_acc"] == pytest.approx(np.sqrt((left**2).mean()))


def test_steps_that_were_not_evaluated_are_left_out():
    run = made_up(GROKKING, np.arange(301.0), "linear")
    cut = run.where(run["step"] < 250)
    assert fit_patterns(cut, n_patterns=1).step[-1] == 249


@pytest.mark.parametrize("change, complaint", [
    ({"clock": "sun"}, "clock='sun' is unknown; valid: log, linear"),
    ({"n_patterns": 0}, "n_patterns=0 cannot be fitted"),
    ({"n_patterns": 9}, "n_patterns=9 cannot be fitted to 11 evaluations of two accuracies; valid: 1 to 5"),
])
def test_what_cannot_be_fitted_is_refused(change: dict, complaint: str):
    with pytest.raises(ValueError, match=complaint):
        fit_patterns(made_up(GROKKING, np.arange(11.0), "linear"), **change)
    with pytest.raises(ValueError, match="the run varies over seed, step; valid: step alone"):
        fit_patterns(made_up(GROKKING, T, "linear").expand_dims("seed"))

"""Size and time on one map, and the shortcut of division: curves with known answers."""

from dataclasses import asdict

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from grokbook.analysis import descent
from grokbook.analysis.events import correct_counts, early_peak
from grokbook.config import RunConfig
from grokbook.tasks import split, table

STEPS = np.unique(np.round(np.geomspace(1, 10_000, 120)).astype(int))
SIZES = np.array([8, 16, 32, 64])


def made(curve, *, seeds=3, noise=0.0, **metrics) -> xr.Dataset:
    """Runs whose val_loss is `curve(d_h, step)` in every seed, times noise; other metrics likewise."""
    rng = np.random.default_rng(0)
    axes = {"d_h": SIZES, "seed": np.arange(seeds), "step": STEPS}

    def values(f):
        plain = np.broadcast_to(f(SIZES[:, None, None], STEPS), (len(SIZES), seeds, len(STEPS)))
        return (("d_h", "seed", "step"), plain * np.exp(noise * rng.standard_normal((len(SIZES), seeds, 1))))
    data = {name: values(f) for name, f in {"val_loss": curve, **metrics}.items()}
    last_step = np.full((len(SIZES), seeds), STEPS[-1])
    return xr.Dataset(data | {"last_step": (("d_h", "seed"), last_step), "settled": (("d_h", "seed"), last_step < 0),
                              "trained": (("d_h", "seed"), last_step > 0)}, axes)


@given(st.floats(0.1, 3), st.floats(0.1, 3), st.floats(0.1, 3))
def test_a_hill_is_as_high_as_its_lower_side(start, top, end):
    loss = xr.DataArray(np.exp([start, start / 2, start / 2 + top, start / 2 + top - end]), {"step": [1, 2, 3, 4]})
    hill = descent.hill(loss, "step")
    assert float(hill["height"]) == pytest.approx(min(top, end))
    assert float(hill["at"]) == 3


@pytest.mark.parametrize("curve", [[4, 3, 2, 1], [1, 2, 3, 4], [4, 1, 2, 3], [1, 1, 1, 1]])
def test_what_does_not_rise_and_fall_has_no_hill(curve):
    hill = descent.hill(xr.DataArray(np.exp(curve), {"d_h": [1, 2, 3, 4]}, ["d_h"]), "d_h")
    assert float(hill["height"]) == 0 and np.isnan(hill["at"])


def test_a_hill_leaves_out_what_was_not_measured():
    loss = xr.DataArray([1.0, np.nan, 8.0, np.nan, 2.0], {"step": range(5)}, ["step"])
    assert float(descent.hill(loss, "step")["height"]) == pytest.approx(np.log(4))
    assert np.isnan(descent.hill(loss[:2], "step")["height"])


def test_a_spike_of_a_network_that_has_understood_is_no_hill():
    def loss(d_h, t):
        return np.where(t < 100, 4.0, np.where(t < 1000, 8.0, np.where((t > 5000) & (t < 6000), 2.0, 0.01))) + 0.0 * d_h
    runs = made(loss, val_acc=lambda d_h, t: (t >= 1000) + 0.0 * d_h)
    hill = descent.hill_in_time(runs)
    np.testing.assert_allclose(hill["height"], np.log(2))
    assert (hill["at"] < 1000).all()
    assert (descent.hill(runs["val_loss"], "step")["height"] > 5).all()


@pytest.mark.parametrize("gamma", [1.0, 2.0, 3.5])
def test_the_exponent_of_a_loss_of_one_variable_is_found(gamma):
    runs = made(lambda d, t: 2 + np.sin(np.log(t) / 2 + gamma * np.log(d) / 2), noise=0.02)
    fit = descent.collapse(runs)
    assert fit["gamma"] == pytest.approx(gamma, abs=0.21)
    assert fit["lo"] <= fit["gamma"] <= fit["hi"]
    assert fit["explained"] > 0.95 > fit["by_step"]


def test_a_seed_that_some_size_lacks_does_not_count():
    runs = made(lambda d, t: 2 + np.sin(np.log(t) / 2 + np.log(d)), seeds=4, noise=0.02)
    whole = descent.collapse(runs.isel(seed=slice(3)))
    runs["val_loss"][{"d_h": 0, "seed": 3}] = np.nan
    assert descent.collapse(runs) == whole and whole["n"] == 3
    with pytest.raises(ValueError, match="no seed was trained at every d_h"):
        descent.collapse(runs.isel(seed=[3]))


def test_a_loss_of_the_step_alone_needs_no_size_and_one_of_the_size_alone_no_step():
    by_step = descent.collapse(made(lambda d, t: 2 + np.sin(np.log(t)) + 0 * d))
    assert by_step["gamma"] == 0 and by_step["by_step"] > 0.95 and by_step["by_size"] == pytest.approx(0, abs=1e-9)
    assert descent.collapse(made(lambda d, t: d + 0.0 * t))["by_size"] == pytest.approx(1)


def test_levels_of_width_and_step_that_add_up_are_told_apart_from_one_variable():
    fit = descent.collapse(made(lambda d, t: np.exp(np.sin(np.log(t)) + np.log(d))))
    assert fit["apart"] == pytest.approx(1) and fit["explained"] < fit["apart"]
    fit = descent.collapse(made(lambda d, t: 2 + np.sin(np.log(t) + 2 * np.log(d))))
    assert fit["apart"] < 0.9 < fit["explained"]


def test_a_hill_along_the_width_is_measured_in_seeds_that_did_not_choose_it():
    real = descent.held_out_hill(made(lambda d, t: np.where(d == 16, 6.0, 2.0) + 0.0 * t, noise=0.05))
    assert (abs(real["height"] - np.log(3)) < 0.4).all() and (real["at"] == 16).all()
    rng = np.random.default_rng(1)
    chance = []
    for _ in range(40):
        runs = made(lambda d, t: 4.0 * t**-0.1 + 0.0 * d)
        runs["val_loss"] *= np.exp(0.3 * rng.standard_normal((len(SIZES), 3, 1)))
        chance += descent.held_out_hill(runs)["height"].values.tolist()
    assert np.mean(chance) < 0.1  # while the hill of the mean is above 0 in most of them
    with pytest.raises(ValueError, match="1 seeds have all of 4 d_h"):
        descent.held_out_hill(made(lambda d, t: 1.0 + 0 * d * t, seeds=1))


def test_means_of_losses_are_geometric_and_stop_where_a_seed_does():
    runs = made(lambda d, t: 1.0 * d + 0 * t, train_acc=lambda d, t: np.minimum(t / 1000, 1) + 0.0 * d)
    runs["val_loss"][{"seed": 0}] *= 8
    runs["val_loss"][{"seed": 1, "step": slice(50, None)}] = np.nan
    runs["last_step"][{"seed": 1}] = STEPS[49]
    mean = descent.surface(runs, "val_loss")
    np.testing.assert_allclose(mean.values[:, :50], np.repeat(2.0 * SIZES[:, None], 50, axis=1), rtol=1e-6)
    assert mean[:, 50:].isnull().all()
    runs["settled"][{"seed": 1}] = True
    np.testing.assert_allclose(descent.surface(runs, "val_loss").values[:, -1], 2.0 * SIZES, rtol=1e-6)


def test_steps_to_fit_and_their_trend_over_the_sizes():
    runs = made(lambda d, t: 1.0 + 0 * d * t, train_acc=lambda d, t: np.minimum(t * d / 50_000, 1.0))
    fit = descent.fit_step(runs)
    for d_h in SIZES[1:]:
        first = STEPS[np.searchsorted(STEPS, 45_000 / d_h)]
        assert (fit.sel(d_h=d_h) == first).all()
    assert descent.size_and_time(runs, fit)[0] == pytest.approx(-1)
    assert np.isnan(descent.size_and_time(runs.isel(d_h=[0, 1]), fit.isel(d_h=[0, 1]))[0])


def division_run(known) -> tuple[xr.Dataset, RunConfig]:
    """One run of division mod 7 that is right on the validation pairs `known(t, a, b)` says, t = 0, 1, …"""
    config = RunConfig(task="divide", p=7, D_train=21)
    a, b = table(config).tokens[:, 0], table(config).tokens[:, 1]
    chosen, n = split(config), 12
    right = np.array([[known(t, *pair) for pair in zip(a, b, strict=True)] for t in range(n)])
    curves = {name: (("seed", "step"), [(right & mask).sum(1) / mask.sum()])
              for name, mask in (("val_acc", chosen.val), ("twin_free_val_acc", chosen.twin_free_val))}
    train = np.array([[0.0] * 6 + [0.2] * 3 + [0.9] * 3])
    curves |= {"train_acc": (("seed", "step"), train), "last_step": (("seed",), [n]), "settled": (("seed",), [False]),
               "trained": (("seed",), [True])}
    shared = {name: value for name, value in asdict(config).items() if name not in ("seed", "n_steps", "stop_early")}
    return xr.Dataset(curves, shared | {"seed": [0], "step": np.arange(n)}), config


def test_right_answers_are_counted_apart_and_the_early_peak_is_found():
    def known(t, a, b):
        return (a == 0 and t >= 3) or (a == 1 and t in (4, 5)) or (a == 2 and t in (5, 8, 9)) or t >= 10
    runs, config = division_run(known)
    chosen, a = split(config), table(config).tokens[:, 0]
    n = {k: int((chosen.val & (a == k)).sum()) for k in range(3)}
    counts = correct_counts(runs)
    assert counts["n_zero"] == n[0] and counts["n_others"] == chosen.val.sum() - n[0]
    np.testing.assert_array_equal(counts["zero"].values[0], [0] * 3 + [n[0]] * 9)
    np.testing.assert_array_equal(counts["others"].values[0][:10], [0] * 4 + [n[1], n[1] + n[2], 0, 0, n[2], n[2]])
    peak = early_peak(runs).squeeze("seed")
    assert (int(peak["step"]), int(peak["zero"]), int(peak["others"])) == (5, n[0], n[1] + n[2])
    assert float(peak["others_after"]) == pytest.approx(n[2] / 3)  # steps 6, 7 and 8


def test_other_tasks_have_no_such_shortcut():
    runs, _ = division_run(lambda t, a, b: True)
    with pytest.raises(ValueError, match="task='add' has no 0/b"):
        correct_counts(runs.assign_coords(task="add"))

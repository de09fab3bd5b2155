"""Double descent found where it was planted, and not where it was not."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from maps import cube

from grokbook import analysis
from grokbook.analysis.descent import depth, held_out_depth, held_out_fall

SIZES = [4, 8, 12, 16, 24, 32, 48, 64]
VALLEY = [0.2, 0.5, 0.4, 0.1, 0.02, 0.1, 0.6, 0.9]
RISING = [0.2, 0.4, 0.5, 0.5, 0.55, 0.6, 0.8, 1.0]


def noisy(means, rng, n_seeds: int = 5, spread: float = 0.08):
    accuracy = np.clip(np.array(means)[:, None] + rng.normal(size=(len(SIZES), n_seeds)) * spread, 0, 1)
    return cube(SIZES, [3000], n_seeds, lambda d_h, D, seed: {"val_acc": accuracy[SIZES.index(d_h), seed]})


def depth_by_hand(m) -> float:
    n = len(m)
    return max((min(m[i], m[k]) - m[j] for i in range(n) for j in range(i, n) for k in range(j, n)), default=0.0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_depth_is_its_definition(means):
    assert depth(np.array(means)) == pytest.approx(depth_by_hand(means))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_curves_that_only_rise_or_only_fall_have_no_depth(means):
    assert depth(np.sort(means)) == depth(np.sort(means)[::-1]) == 0


def test_a_planted_valley_is_found_where_it_is():
    row = analysis.double_descent(noisy(VALLEY, np.random.default_rng(1))).iloc[0]
    assert row["at"] == 24 and row["depth"] == pytest.approx(0.48, abs=0.1)
    assert row["p"] < 0.01 and row["n"] == 40 and row["sizes"] == 8


def test_a_rising_curve_is_rarely_called_a_descent():
    """The rate of false alarms at p < 0.05, over 200 noisy rising curves of three seeds."""
    rng = np.random.default_rng(2)
    alarms = [analysis.double_descent(noisy(RISING, rng, n_seeds=3)).iloc[0]["p"] < 0.05 for _ in range(200)]
    assert np.mean(alarms) < 0.12


def share_of_falls(means, n_seeds: int, n_draws: int = 400) -> float:
    """Share of draws of noisy runs in which the 95 % interval of the held-out fall lies above zero."""
    noise = 0.1 * np.random.default_rng(3).normal(size=(n_draws, len(means), n_seeds))
    runs = xr.DataArray(np.clip(np.array(means)[:, None] + noise, 0, 1), dims=("draw", "d_h", "seed"))
    return float((analysis.interval(xr.concat([held_out_fall(draw) for draw in runs], "draw"))["lo"] > 0).mean())


@pytest.mark.parametrize("means", [[0.4] * 6, [0.05] * 6, [0.1, 0.2, 0.3, 0.4, 0.4, 0.4]],
                         ids=["flat", "low", "rising"])
@pytest.mark.parametrize("n_seeds", [3, 11])
def test_a_curve_that_never_falls_is_rarely_called_a_fall(means, n_seeds):
    assert share_of_falls(means, n_seeds) < 0.08


def test_a_planted_fall_is_found_in_most_draws_of_three_seeds():
    assert share_of_falls([0.1, 0.7, 0.6, 0.4, 0.3, 0.2], 3) > 0.6


def test_the_peak_is_that_of_the_other_seeds():
    values = xr.DataArray([[0.0, 0.0, 0.9], [0.5, 0.5, 0.0], [0.1, 0.2, 0.3]], dims=("d_h", "seed"))
    assert held_out_fall(values).values == pytest.approx([0.0 - 0.1, 0.0 - 0.2, 0.0 - 0.3])
    with pytest.raises(ValueError, match="1 seeds have every d_h; valid: two or more"):
        held_out_fall(values.isel(seed=[1]))


def held_out_depths(means, n_seeds: int = 5) -> xr.DataArray:
    noise = 0.15 * np.random.default_rng(4).normal(size=(200, len(means), n_seeds))
    runs = xr.DataArray(np.array(means)[:, None] + noise, dims=("draw", "d_h", "seed"))
    return xr.concat([held_out_depth(one) for one in runs], "draw")


def test_noise_deepens_no_valley_of_a_seed_that_did_not_choose_it():
    assert abs(held_out_depths([0.5] * 8).mean()) < 0.02
    assert held_out_depths(VALLEY).mean() == pytest.approx(0.48, abs=0.06)


def test_cells_without_runs_are_left_out_and_one_seed_is_not_tested():
    runs = cube(SIZES, [3000], 2, lambda d_h, D, seed: None if d_h == 24 or seed else {"val_acc": d_h / 64})
    row = analysis.double_descent(runs).iloc[0]
    assert row["sizes"] == 7 and row["depth"] == 0 and np.isnan(row["p"])


def test_two_sizes_have_no_valley():
    runs = cube([8, 16], [3000], 2, lambda *_: {"val_acc": 0.5})
    assert np.isnan(analysis.double_descent(runs).iloc[0]["depth"])


def test_runs_that_vary_otherwise_are_refused():
    runs = cube([8, 16], [3000], 2, lambda *_: {"val_acc": 0.5}).expand_dims(lr=[0.1])
    with pytest.raises(ValueError, match="valid: d_h, D_train, seed, step"):
        analysis.double_descent(runs)

"""The seed is the unit: verdicts on many runs of few seeds, which agree or contradict each other by seed."""


import numpy as np
import pytest
import xarray as xr
from maps import STEPS, cube, rise, said
from scipy.special import expit

from grokbook import claims
from grokbook.analysis import descent
from grokbook.analysis.statistics import by_seed, resampled_interval
from grokbook.claims import division, grokking, zones
from grokbook.claims.card import TooLittle
from grokbook.claims.grokking import critical

DD = [2600, 3000, 4000, 5000]


def test_a_seed_is_the_mean_of_what_its_runs_gave():
    values = xr.DataArray([[1.0, np.nan], [3.0, np.nan]], dims=("d_h", "seed"))
    np.testing.assert_array_equal(by_seed(values), [2.0, np.nan])
    np.testing.assert_array_equal(by_seed(values.isel(d_h=0)), [1.0, np.nan])


@pytest.mark.parametrize("n", [2, 3, 5, 11])
def test_a_resampled_interval_of_a_mean_holds_the_truth_as_often_as_it_says(n):
    rng = np.random.default_rng(n)
    draws = rng.integers(n, size=(1000, n))
    ends = np.array([resampled_interval(values.mean(), values[draws].mean(axis=1), n)
                     for values in rng.normal(size=(500, n))])
    assert 0.90 < np.mean((ends[:, 0] <= 0) & (ends[:, 1] >= 0)) < 0.99


def test_a_resampled_interval_holds_the_estimate_and_may_be_open():
    assert resampled_interval(1.0, np.array([2.0, 3.0]), 3)[0] == 1.0
    assert resampled_interval(1.0, np.array([1.0, np.inf]), 3)[1] == np.inf
    assert resampled_interval(1.0, np.array([1.0, 1.0]), 3) == (1.0, 1.0)


@pytest.mark.parametrize("shared, verdict", [(False, "not yet measured"), (True, "reproduced")])
def test_seeds_whose_critical_sizes_scatter_show_a_fall_only_if_they_scatter_together(shared, verdict):
    """Seeds share their split over sizes, so they are resampled together: what counts is the fall of each seed."""
    def curves(d_h, D, seed):
        centre = 3500 + 200 * (seed - 1) if d_h == 32 else 3200 + 200 * (seed - 1) * (1 if shared else -1)
        return {"train_acc": 1.0, "val_acc": float(expit((D - centre) / 40))}
    assert grokking.critical_size(cube([32, 64], range(2000, 4200, 100), 3, curves)).verdict == verdict


def late(d_h, D, seed):
    return {"train_acc": rise(100), "val_acc": rise(5000)}


def test_three_runs_of_one_seed_are_no_three_seeds():
    with pytest.raises(TooLittle, match="4 runs of 1 seeds have generalised"):
        grokking.delay(cube([64], DD, 1, late))
    assert grokking.delay(cube([64], DD[:1], 3, late)).verdict == "reproduced"


def flattering(gaps):
    """Memorisers that know so much more of all pairs than of those without a twin, by (D_train, seed)."""
    return cube([64], DD, len(gaps[0]), lambda d_h, D, seed: None if gaps[DD.index(D)][seed] is None else {
        "train_acc": rise(100), "val_acc": gaps[DD.index(D)][seed], "twin_free_val_acc": 0.0})


def test_a_gap_that_one_seed_has_in_many_runs_is_no_gap():
    with pytest.raises(TooLittle, match="4 runs of 1 seeds only know their pairs"):
        grokking.twin_free(flattering([[0.1]] * 4))
    one_sided = [[0.1, None, None]] * 3 + [[0.1, 0.0, 0.0]]
    assert grokking.twin_free(flattering(one_sided)).verdict == "not yet measured"
    assert grokking.twin_free(flattering([[0.0, 0.002, 0.001]] * 4)).verdict == "not reproduced"
    assert grokking.twin_free(flattering([[0.1, 0.12, 0.09]] * 4)).verdict == "reproduced"


def moving_norms(change):
    """Grokking at d_h 64 while the norm changes by `change(seed)`, progression at d_h 8 while it rises."""
    way = np.clip((np.log10(np.maximum(STEPS, 1)) - 3) / 1.2, 0, 1)

    def curves(d_h, D, seed):
        if d_h == 8:
            return {"train_acc": 0.9 * way, "val_acc": 0.5 * way, "param_norm": 20 + 10 * way}
        return {"train_acc": rise(100), "val_acc": way, "param_norm": 50 + change(seed) * way}
    return curves


def test_norms_are_counted_by_seed_and_four_seeds_are_too_few():
    sizes = range(2000, 5000, 250)
    most = zones.norm(cube([8, 64], sizes, 5, moving_norms(lambda seed: 10 if seed == 3 else -10)))
    assert most.verdict == "partly" and "(60 runs of 5 seeds) 80% [" in said(most)
    assert zones.norm(cube([8, 64], sizes, 4, moving_norms(lambda seed: -10))).verdict == "not yet measured"
    assert zones.norm(cube([8, 64], sizes, 5, moving_norms(lambda seed: -10))).verdict == "reproduced"


@pytest.mark.parametrize("n_seeds", [1, 3])
def test_three_seeds_that_agree_do_not_tell_a_share_from_one_half(n_seeds):
    measured = zones.norm(cube([8, 64], DD, n_seeds, moving_norms(lambda seed: -10)))
    assert measured.verdict == "not yet measured" and f"{4 * n_seeds} runs of {n_seeds} seeds" in said(measured)


def fitting(at, n_seeds):
    """Division runs over the width that fit at the step `at(d_h, seed)`."""
    return cube([8, 16, 32, 64], [4656], n_seeds, lambda d_h, D, seed: {
        "train_acc": rise(at(d_h, seed)), "val_loss": 4.0 + 0.1 * seed, "train_loss": 1.0}, task="divide", p=97)


def test_a_trend_is_judged_over_seeds_and_not_over_their_runs():
    runs = fitting(lambda d_h, seed: 100 * d_h if seed == 4 else 40_000 / d_h, 5)
    assert "step of fit against width -0.60 [-1.00, 0.51] n = 5" in said(division.model_wise_map(runs))
    agreed = fitting(lambda d_h, seed: 40_000 / d_h, 3)
    assert "step of fit against width -1.00 [-1.00, -1.00] n = 3" in said(division.model_wise_map(agreed))


def test_a_run_that_never_fits_counts_as_the_last():
    runs = fitting(lambda d_h, seed: np.inf if d_h == 64 else 40_000 / d_h, 1).squeeze("D_train")
    ranks = descent.size_and_time(runs, descent.fit_step(runs))
    assert ranks.item() == pytest.approx(0.2)  # 3, 2, 1, 4 for four widths
    two = fitting(lambda d_h, seed: 40_000 / d_h if seed or d_h > 16 else np.inf, 3)
    assert "three widths get there in 2 seeds, too few for a trend" in said(division.model_wise_map(two))
    absent = runs.assign(trained=runs["trained"] & (runs["d_h"] != 64))
    assert descent.size_and_time(absent, descent.fit_step(runs)).item() == -1


def test_runs_of_one_seed_that_fit_are_no_map():
    with pytest.raises(TooLittle, match="4 runs of 1 seeds reach a train accuracy"):
        division.model_wise_map(fitting(lambda d_h, seed: np.inf if seed else 40_000 / d_h, 3))


def test_an_error_in_a_measurement_is_not_called_missing_data(monkeypatch):
    claim = claims.CLAIMS["pattern-model"]

    def broken():
        raise KeyError("a bug")
    monkeypatch.setitem(claims.CLAIMS, claim.id, claim._replace(measure=broken))
    with pytest.raises(KeyError, match="a bug"):
        claims.judge(claim.id)


def test_an_example_cell_that_was_not_trained_is_named():
    runs = cube([64], [3000], 5, late)
    with pytest.raises(TooLittle, match=r"The cell \(8, 3000\) has 0 seeds; it takes 3"):
        zones.four_dynamics(runs)
    with pytest.raises(TooLittle, match=r"The cell \(8, 3000\) has 0 seeds; it takes 5"):
        zones.progression_varies(runs)


@pytest.mark.parametrize("censored, words", [
    ("falling", "accuracy falls over the sizes measured"), ("no data", "no run"),
    ("above", "it lies above the sizes measured"),
])
def test_a_critical_size_that_is_not_known_says_why_in_english(censored, words):
    row = {"d_h": 8, "D_crit": np.nan, "lo": np.nan, "hi": np.nan, "n": 3, "censored": censored}
    assert critical(row) == ("D_crit of d_h 8", f"no crossing ({words})", "", 3)
    assert critical(row | {"D_crit": 3000.0, "lo": 2600.0, "hi": np.inf})[1:] == ("3,000", "[2,600, open]", 3)

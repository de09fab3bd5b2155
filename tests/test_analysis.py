"""Numbers read off curves whose answers are known because the curves were made for it."""

import math
import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import expit

from grokbook import analysis
from grokbook.analysis.events import carried, crossing, typical_seed
from grokbook.analysis.statistics import rate
from grokbook.run import METRICS, evaluation_steps, has_settled

NAN = math.nan
STEPS = np.array([0, 1, 2, 5, 10, 20, 50, 100, 200, 500])

curves = st.lists(st.sampled_from([0.0, 0.5, 0.98, 0.99, 1.0, NAN]), min_size=1, max_size=60)


def dataset(train_acc, val_acc, steps=STEPS, **more) -> xr.Dataset:
    """Runs of one cell from accuracies (seed, step), NaN behind a run's end and all along where none was trained."""
    train_acc, val_acc = np.atleast_2d(train_acc), np.atleast_2d(val_acc)
    data = dict.fromkeys(METRICS, train_acc) | {"train_acc": train_acc, "val_acc": val_acc,
                                                "twin_free_val_acc": val_acc} | more
    data = {name: (("seed", "step"), np.asarray(values, np.float32)) for name, values in data.items()}
    last_step = [max(steps[~np.isnan(curve)], default=-1) for curve in train_acc]
    runs = xr.Dataset(data, coords={"seed": np.arange(len(train_acc)), "step": steps, "p": 113})
    return runs.assign(last_step=("seed", last_step), trained=("seed", np.array(last_step) >= 0),
                       settled=("seed", np.zeros(len(train_acc), bool)))


def rising(at: int, steps=STEPS) -> np.ndarray:
    """0 before the step `at`, 1 from there on."""
    return np.where(steps >= at, 1.0, 0.0)


def crossed(step, values, level: float, **options) -> np.ndarray:
    """`crossing` of plain arrays."""
    curve = xr.DataArray(values, coords={"step": step}, dims=[*"abc"[: np.ndim(values) - 1], "step"])
    return crossing(curve, level, **options).values


def crossing_by_hand(step, values, level: float, sustained: int) -> float:
    """The definition read aloud: go through the evaluations that exist, count how many in a row are high enough."""
    row = []
    for at, value in zip(step, values, strict=True):
        if math.isnan(value):
            continue
        row = [*row, at] if value >= level else []
        if len(row) == sustained:
            return row[0]
    return NAN


# Crossings


def test_a_crossing_is_the_first_step_of_its_row():
    assert crossed(STEPS, rising(10), 0.99) == 10


def test_a_single_high_evaluation_is_no_crossing():
    lucky = np.where(STEPS == 5, 1.0, 0.0)
    assert np.isnan(crossed(STEPS, lucky, 0.99))


def test_a_curve_that_crosses_falls_back_and_crosses_again_counts_the_time_it_stayed():
    values = [0, 1, 1, 0.2, 0.2, 1, 1, 1, 1, 1]
    assert crossed(STEPS, values, 0.99) == 20


def test_a_fall_after_the_row_does_not_postpone_the_event():
    values = [0, 1, 1, 1, 1, 1, 0, 0, 1, 0]
    assert crossed(STEPS, values, 0.99) == 1


def test_a_row_cut_short_by_the_end_is_no_crossing_yet():
    assert np.isnan(crossed(STEPS, rising(50), 0.99))
    assert crossed(STEPS, rising(50), 0.99, sustained=4) == 50


def test_noise_under_the_level_does_not_hide_an_event_and_noise_across_it_does():
    steps = evaluation_steps(10_000)
    ripple = np.where(np.arange(len(steps)) % 2, 1.0, -1.0)
    smooth = expit((np.log10(np.maximum(steps, 1)) - 3) * 20) * 0.995
    t = crossed(steps, smooth + 0.002 * ripple, 0.99)
    assert 1_000 < t < 2_500
    assert np.isnan(crossed(steps, smooth + 0.01 * ripple, 0.99))


@given(curves, st.integers(1, 8))
def test_a_crossing_is_what_its_definition_says(values: list[float], sustained: int):
    step = np.arange(len(values)) ** 2
    first = crossed(step, np.array(values), 0.99, sustained=sustained)
    np.testing.assert_equal(float(first), float(crossing_by_hand(step, values, 0.99, sustained)))


@given(curves, st.integers(1, 20))
def test_a_curve_that_comes_later_has_its_event_later(values: list[float], delay: int):
    step = np.arange(len(values) + delay)
    early = crossed(step, np.array(values + [0.0] * delay), 0.99)
    late = crossed(step, np.array([0.0] * delay + values), 0.99)
    np.testing.assert_equal(float(late), float(early + delay))


@given(curves, st.data())
def test_steps_at_which_only_other_runs_were_evaluated_change_nothing(values: list[float], data):
    step, full = np.arange(1.0, len(values) + 1), np.array(values)
    at = np.array(data.draw(st.lists(st.integers(0, len(values)), unique=True).map(sorted)), dtype=int)
    more, holes = np.insert(step, at, at + 0.5), np.insert(full, at, NAN)
    np.testing.assert_equal(crossed(more, holes, 0.99), crossed(step, full, 0.99))


@given(curves)
def test_a_higher_level_is_never_reached_earlier(values: list[float]):
    step = np.arange(len(values))
    low, high = (np.nan_to_num(crossed(step, np.array(values), level), nan=np.inf) for level in (0.5, 0.99))
    assert low <= high


def test_many_curves_at_once_are_each_what_they_are_alone():
    values = np.random.default_rng(0).choice([0.9, 1.0, NAN], p=[0.1, 0.8, 0.1], size=(4, 3, len(STEPS)))
    together = crossed(STEPS, values, 0.99)
    assert together.shape == (4, 3) and 0 < np.isnan(together).sum() < 12
    for i in np.ndindex(4, 3):
        np.testing.assert_equal(together[i], crossed(STEPS, values[i], 0.99))


# Events


def test_a_grokking_run_memorises_long_before_it_generalises():
    when = analysis.events(dataset(rising(5), rising(20))).isel(seed=0)
    assert (when.t_mem, when.t_gen, when.t_gen_twin_free, when.delay) == (5, 20, 20, 15)


def test_a_run_whose_accuracies_rise_together_has_no_delay():
    accuracy = expit((np.arange(len(STEPS)) - 3) * 4.0)
    assert analysis.events(dataset(accuracy, accuracy)).delay == 0


def test_what_did_not_happen_is_told_apart_from_what_was_not_trained():
    when = analysis.events(dataset([rising(5), np.full(10, NAN)], [np.zeros(10), np.full(10, NAN)]))
    np.testing.assert_array_equal(when.t_mem, [5, NAN])
    assert np.isnan(when.t_gen).all() and np.isnan(when.delay).all()
    np.testing.assert_array_equal(when.last_step, [500, -1])


def test_a_table_shown_to_readers_has_no_empty_column_and_says_in_words_what_is_not_a_number():
    table = pd.DataFrame({"d_h": [8, 16], "lo": [-np.inf, 3.5], "mean": [np.nan, 4], "hi": [np.inf] * 2,
                          "censored": ["", ""], "p": [np.nan] * 2}, index=[3, 5])
    html = analysis._html(table)
    assert [re.findall(r">([^<>\s]+)<", row) for row in html.split("<tr")[1:]] == [
        ["d_h", "lo", "mean", "hi"], ["8", "open", "–", "open"], ["16", "3.5", "4", "open"]]
    numbers = analysis._html(pd.DataFrame({"n_params": [226816, 4560], "fall": [-0.001, -0.25]}).round(2))
    assert re.findall("<td>(.*)</td>", numbers) == ["226,816", "0.00", "4,560", "-0.25"]
    assert "<th>16</th>" in analysis._html(table.set_index("d_h")) and "censored" in analysis._html(table.head(0))


def test_a_dataset_cut_at_a_step_is_censored_at_that_step():
    runs = dataset(rising(1), rising(20))
    when = analysis.events(runs.sel(step=slice(None, 50)))
    assert when.t_mem == 1 and np.isnan(when.t_gen) and when.last_step == 50


def test_events_keep_every_other_dimension():
    cell = dataset([rising(5), rising(10)], [rising(10), rising(20)])
    runs = xr.concat([cell, cell, cell], xr.DataArray([0.1, 1.0, 3.0], dims="weight_decay", name="weight_decay"))
    when = analysis.events(runs)
    assert dict(when.t_gen.sizes) == {"weight_decay": 3, "seed": 2}
    np.testing.assert_array_equal(when.t_gen.sel(weight_decay=3.0), [10, 20])


@given(st.integers(0, 150), st.integers(0, 150))
def test_a_run_that_stopped_early_has_all_its_events(memorised_at: int, generalised_at: int):
    steps = evaluation_steps(100_000)
    train, val = rising(steps[memorised_at], steps), rising(steps[generalised_at], steps)
    accuracies = np.stack([train, val, val], axis=1)
    end = next(n for n in range(1, len(steps) + 1) if has_settled(accuracies[:n]))
    when = analysis.events(dataset(train[:end], val[:end], steps[:end]))
    assert (when.t_mem, when.t_gen) == (steps[memorised_at], steps[generalised_at])


# Single runs


def test_the_final_value_is_the_last_one_that_was_evaluated():
    runs = dataset([[0.1, 0.2, 0.3], [0.4, 0.5, NAN], [NAN, NAN, NAN]], np.zeros((3, 3)), steps=np.array([0, 1, 2]))
    np.testing.assert_allclose(analysis.final(runs, "train_acc"), [0.3, 0.5, NAN])
    np.testing.assert_allclose(analysis.final(runs.sel(step=slice(0, 1)), "train_acc"), [0.2, 0.5, NAN])


@pytest.mark.parametrize("metric", ["accuracy", "last_step"])
def test_a_final_value_of_something_that_is_no_curve_is_refused(metric: str):
    with pytest.raises(ValueError, match=f"{metric}.*valid: train_loss, train_acc"):
        analysis.final(dataset(rising(1), rising(1)), metric)


def test_a_settled_run_keeps_its_accuracy_and_one_that_ran_out_of_budget_does_not():
    runs = dataset([[0.5, 1, NAN], [0.5, 1, NAN], [0, 0, 0.5]], np.zeros((3, 3)), steps=np.array([0, 1, 2]))
    runs = runs.assign(settled=("seed", [True, False, False]))
    np.testing.assert_array_equal(carried(runs, "train_acc"), [[0.5, 1, 1], [0.5, 1, NAN], [0, 0, 0.5]])


def test_the_typical_seed_generalises_in_the_middle_and_never_comes_last():
    val = [np.zeros(10), rising(20), rising(1), rising(10), np.full(10, 0.5), np.full(10, NAN)]
    runs = dataset([rising(1)] * 5 + [np.full(10, NAN)], val)
    assert typical_seed(runs) == 1
    assert typical_seed(runs.isel(seed=[0, 4, 5])) == 4
    with pytest.raises(ValueError, match="no seed"):
        typical_seed(runs.isel(seed=[5]))


# Intervals


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=12))
def test_the_interval_of_a_mean_is_students(values: list[float]):
    summary = analysis.interval(xr.DataArray(values, dims="seed"))
    spread = stats.sem(values)
    assert summary.n == len(values) and summary["mean"] == pytest.approx(np.mean(values))
    if spread > 1e-6:
        expected = stats.t.interval(0.95, len(values) - 1, np.mean(values), spread)
        np.testing.assert_allclose([summary.lo, summary.hi], expected, rtol=1e-6)


def test_the_interval_of_a_mean_holds_it_as_often_as_it_says():
    samples = xr.DataArray(np.random.default_rng(0).normal(3, 2, size=(4000, 4)), dims=("sample", "seed"))
    summary = analysis.interval(samples)
    assert ((summary.lo < 3) & (summary.hi > 3)).mean() == pytest.approx(0.95, abs=0.01)


def test_missing_seeds_are_left_out_and_one_seed_has_no_interval():
    values = xr.DataArray([[0.2, 0.4, NAN], [0.2, NAN, NAN], [NAN, NAN, NAN]], dims=("D_train", "seed"))
    summary = analysis.interval(values)
    np.testing.assert_array_equal(summary.n, [2, 1, 0])
    np.testing.assert_allclose(summary["mean"], [0.3, 0.2, NAN])
    np.testing.assert_array_equal(np.isnan(summary.lo), [False, True, True])
    np.testing.assert_array_equal(np.isnan(summary.hi), [False, True, True])


def test_an_interval_can_be_kept_where_a_mean_can_be():
    summary = analysis.interval(xr.DataArray([1.0, 0.0, 1.0], dims="seed"), within=(0, 1))
    assert (summary.lo, summary.hi) == (0, 1)


@given(st.integers(0, 20), st.integers(1, 20))
def test_the_interval_of_a_rate_is_wilsons(successes: int, failures: int):
    happened = xr.DataArray([True] * successes + [False] * failures, dims="seed")
    share = rate(happened)
    expected = stats.binomtest(successes, successes + failures).proportion_ci(method="wilson")
    assert (share.lo, share.hi) == (pytest.approx(expected.low, abs=1e-12), pytest.approx(expected.high))
    assert share.n == successes + failures


def test_a_rate_leaves_missing_runs_out_and_is_unknown_without_any():
    share = rate(xr.DataArray([[1.0, 0.0, NAN], [NAN, NAN, NAN]], dims=("d_h", "seed")))
    np.testing.assert_array_equal(share["mean"], [0.5, NAN])
    np.testing.assert_array_equal(share.n, [2, 0])
    assert np.isnan(share.hi[1])


# Critical sizes

SIZES = np.arange(2000, 4001, 200)


def ending_at(accuracy: np.ndarray, sizes=SIZES) -> xr.Dataset:
    """Runs whose final validation accuracies are `accuracy` (d_h, D_train, seed)."""
    d_h = [32, 48, 64][: len(accuracy)]
    coords = {"d_h": d_h, "D_train": sizes, "seed": np.arange(accuracy.shape[-1]), "step": [0, 100]}
    curve = np.stack([np.where(np.isnan(accuracy), NAN, 0), accuracy], axis=-1)
    return xr.Dataset({"val_acc": (("d_h", "D_train", "seed", "step"), curve.astype(np.float32))}, coords)


def logistic(centre: float, n_seeds: int = 1, spread: float = 0) -> np.ndarray:
    """Accuracies (D_train, seed) that cross one half at `centre`, every seed at a place of its own."""
    centres = centre + spread * np.random.default_rng(0).normal(size=n_seeds)
    return expit((SIZES[:, None] - centres) / 150)


def test_the_critical_size_is_where_the_curve_crosses_one_half():
    table = analysis.critical_size(ending_at(np.stack([logistic(3450), logistic(2910)])))
    assert list(table.columns) == ["d_h", "D_crit", "lo", "hi", "n", "censored"]
    np.testing.assert_allclose(table.D_crit, [3450, 2910], atol=5)
    assert list(table.d_h) == [32, 48] and list(table.censored) == ["", ""] and list(table.n) == [1, 1]
    assert table[["lo", "hi"]].isna().to_numpy().all()


def test_a_step_between_two_sizes_is_put_in_their_middle():
    sharp = np.where(SIZES > 2500, 1.0, 0.0)[:, None]
    assert analysis.critical_size(ending_at(sharp[None])).D_crit[0] == pytest.approx(2500, abs=5)


def test_the_interval_grows_with_the_spread_over_seeds_and_holds_the_estimate():
    narrow, wide = (analysis.critical_size(ending_at(logistic(3000, 11, spread)[None])).iloc[0] for spread in (50, 600))
    assert wide.lo < narrow.lo < narrow.D_crit < narrow.hi < wide.hi
    assert narrow.lo <= 3000 <= narrow.hi and narrow.n == 11


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(30):
        accuracy = expit((SIZES[:, None] - rng.normal(3000, 200, size=11)) / 150)
        row = analysis.critical_size(ending_at(accuracy[None])).iloc[0]
        hits += row.lo <= 3000 <= row.hi
    assert 25 <= hits <= 30


@pytest.mark.parametrize(("accuracy", "side"), [
    (np.full(len(SIZES), 0.1), "above"),
    (np.full(len(SIZES), 0.9), "below"),
    (np.linspace(0.9, 0.1, len(SIZES)), "falling"),
    (np.full(len(SIZES), NAN), "no data"),
    (np.append(np.full(len(SIZES) - 1, NAN), 0.2), "above"),
])
def test_a_curve_that_never_crosses_has_no_critical_size_and_says_why(accuracy: np.ndarray, side: str):
    row = analysis.critical_size(ending_at(np.tile(accuracy[:, None], 3)[None])).iloc[0]
    assert row.censored == side and np.isnan(row.D_crit) and np.isnan(row.lo) and np.isnan(row.hi)


def test_an_interval_that_leaves_the_measured_sizes_is_open():
    row = analysis.critical_size(ending_at(logistic(3850, 5, 500)[None])).iloc[0]
    assert 2000 < row.lo < row.D_crit and row.hi == np.inf


def test_seeds_and_sizes_that_were_not_trained_are_left_out():
    whole = logistic(3000, 6)
    holes = whole.copy()
    holes[0], holes[4, :3], holes[:, 5] = NAN, NAN, NAN
    row = analysis.critical_size(ending_at(holes[None])).iloc[0]
    assert row.n == 5 and row.D_crit == pytest.approx(3000, abs=5)


def test_a_jump_between_two_sizes_is_known_no_better_than_their_gap():
    jump = np.where(SIZES >= SIZES[len(SIZES) // 2], 1.0, 0.0)
    row = analysis.critical_size(ending_at(np.tile(jump[:, None], 3)[None])).iloc[0]
    assert (row.lo, row.hi) == (SIZES[len(SIZES) // 2 - 1], SIZES[len(SIZES) // 2])


@settings(max_examples=25)
@given(st.floats(0, 0.2), st.floats(0.8, 1))
def test_a_foot_does_not_pin_the_crossing_between_two_sizes(foot: float, top: float):
    """A logistic curve through 0.02 and 1 crosses where its tail fits; what was measured leaves the whole gap open."""
    row = analysis.critical_size(ending_at(np.tile([[foot / 10], [foot], [top]], 3)[None], np.array([2000, 3000, 4000])
                                           )).iloc[0]
    assert (row.lo, row.hi) == (3000, 4000) and 3000 <= row.D_crit <= 4000


@settings(max_examples=25)
@given(st.lists(st.sampled_from([0, 0.02, 0.4, 0.7, 0.98, 1]), min_size=11, max_size=11).map(sorted),
       st.lists(st.integers(0, 10), min_size=3, unique=True).map(sorted))
def test_fewer_sizes_leave_an_interval_that_holds_the_crossing_of_more(accuracy: list[float], kept: list[int]):
    row = analysis.critical_size(ending_at(np.tile(np.array(accuracy)[kept, None], 3)[None], SIZES[kept])).iloc[0]
    if not row.censored:
        first_above = int(np.searchsorted(accuracy, 0.5))
        assert row.lo <= SIZES[first_above - 1] and SIZES[first_above] <= row.hi and row.lo <= row.D_crit <= row.hi


def test_moving_the_sizes_moves_the_critical_size():
    accuracy = logistic(2900, 5, 200)[None]
    low, high = (analysis.critical_size(ending_at(accuracy, SIZES + shift)).iloc[0] for shift in (0, 700))
    np.testing.assert_allclose([high.D_crit, high.lo, high.hi], np.add([low.D_crit, low.lo, low.hi], 700))


def test_a_critical_size_over_another_field_too_is_refused():
    runs = ending_at(logistic(3000)[None]).expand_dims(weight_decay=[0.1, 1.0])
    with pytest.raises(ValueError, match="weight_decay.*valid: d_h, D_train, seed, step"):
        analysis.critical_size(runs)

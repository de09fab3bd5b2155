# pyright: reportGeneralTypeIssues=false
# The stubs of pandas do not know which numbers are scalars.
"""Capacities of networks whose memory is known, and where they meet critical sizes."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from maps import STEPS, cube

from grokbook import RunConfig, analysis
from grokbook.analysis.sizes import border_errors, pairs_of_split, partial_range, place, star

ALL = 113**2


def remembers(accuracy: float, loss: float = 0.0, task: str = "random", n_seeds: int = 3):
    return cube([8, 16], [ALL], n_seeds, lambda *_: {"train_acc": accuracy, "train_loss": loss}, task=task)


def test_a_network_that_knows_every_label_holds_all_of_their_bits():
    table = analysis.capacity(remembers(1.0))
    bits = 113 * 114 / 2 * np.log2(113)
    assert table["bits_per_param"].tolist() == pytest.approx(
        [bits / RunConfig(d_h=d_h, task="random", D_train=ALL).n_params for d_h in (8, 16)])
    assert (table["D_mem"] == ALL).all() and (table["distinct"] == 113 * 114 / 2).all()


@pytest.mark.parametrize("n", [300, 3000, 9000, ALL])
def test_the_labels_of_a_random_split_are_turned_back_into_its_pairs(n):
    pairs = np.random.default_rng(0).permutation(ALL)[:n]
    a, b = np.divmod(pairs, 113)
    labels = len(set(zip(np.minimum(a, b).tolist(), np.maximum(a, b).tolist(), strict=True)))
    assert float(pairs_of_split(xr.DataArray(labels), 113, True)) == pytest.approx(n, rel=0.02)
    assert float(pairs_of_split(xr.DataArray(n), 113, False)) == n
    assert analysis.capacity(remembers(1.0))["D_split"].tolist() == pytest.approx([ALL, ALL])


def test_a_border_of_memory_is_judged_by_the_runs_that_did_not_generalise():
    table = pd.DataFrame({"d_h": [8, 16], "true": [1500, 2500], "high": [2500, 4500]})
    runs = cube([8, 16, 32], [1000, 2000, 4000], 2, lambda d_h, D, seed: {
        "train_acc": float(D <= 156.25 * d_h + 200), "val_acc": float(D == 2000 and d_h == 16)})
    assert border_errors(runs, table, "true") == (10, 0) and border_errors(runs, table, "high") == (6, 4)


def test_a_network_that_knows_nothing_holds_nothing():
    table = analysis.capacity(remembers(1 / 113, loss=np.log(113)))
    assert table["bits_per_param"].to_numpy() == pytest.approx(0, abs=1e-6) and table["D_mem"][0] == pytest.approx(113)


def test_bits_are_spread_over_the_weights_of_the_network_that_was_trained():
    networks: list[dict[str, Any]] = [{"architecture": "lstm"}, {"architecture": "mlp", "n_layers": 2}, {"n_layers": 2}]
    for network in networks:
        runs = remembers(1.0).assign_coords(network)
        assert analysis.capacity(runs)["n_params"].tolist() == [
            RunConfig(d_h=d_h, task="random", D_train=ALL, **network).n_params for d_h in (8, 16)]


def test_labels_without_symmetry_are_twice_as_many():
    symmetric, plain = (analysis.capacity(remembers(0.5, task=task)) for task in ("random", "random-ordered"))
    assert plain["distinct"][0] == ALL / 2 and symmetric["distinct"][0] == 113 * 114 / 4
    assert plain["D_mem"][0] == symmetric["D_mem"][0]


def test_growth_in_the_second_half_is_told():
    runs = cube([8], [ALL], 3, lambda *_: {"train_acc": np.where(STEPS > 30_000, 0.5, 0.4)}, task="random")
    assert analysis.capacity(runs)["rising"][0] == pytest.approx(0.1)


def test_a_size_without_runs_has_no_row():
    runs = cube([8, 16], [ALL], 2, lambda d_h, *_: {"train_acc": 0.5} if d_h == 8 else None, task="random")
    assert analysis.capacity(runs)["d_h"].tolist() == [8]


@pytest.mark.parametrize("runs, sentence", [
    (cube([8], [ALL], 1, lambda *_: {}), "task='add' has a rule to learn; valid: random, random-ordered"),
    (cube([8], [3000], 1, lambda *_: {}, task="random"), r"D_train=\[3000\] leaves pairs out; valid: 12769"),
])
def test_what_is_no_memory_test_is_refused(runs, sentence):
    with pytest.raises(ValueError, match=sentence):
        analysis.capacity(runs)


def tables(D_mem, D_crit, d_h, spread=0.0):
    mem = pd.DataFrame({"d_h": d_h, "D_split": D_mem, "D_split_lo": D_mem * (1 - spread),
                        "D_split_hi": D_mem * (1 + spread)})
    crit = pd.DataFrame({"d_h": d_h, "D_crit": D_crit, "lo": D_crit * (1 - spread), "hi": D_crit * (1 + spread)})
    return mem, crit


@given(st.floats(10, 40), st.floats(0.0, 0.1))
def test_lines_that_are_straight_on_logarithmic_axes_meet_where_they_do(at, spread):
    d_h = np.array([4.0, 8, 16, 32, 64])
    met = star(*tables(3000 * d_h / at, 3000 * np.sqrt(at / d_h), d_h, spread))
    assert met["d_h"] == pytest.approx(at) and met["D_train"] == pytest.approx(3000) and met["n_crossings"] == 1
    assert met["d_h_lo"] <= met["d_h"] + 1e-9 and met["d_h_hi"] >= met["d_h"] - 1e-9


def test_an_open_end_of_a_critical_size_widens_the_interval_to_the_next_size():
    d_h = np.array([8.0, 16, 32, 64])
    mem, crit = tables(100 * d_h, np.full(4, 2400.0), d_h, 0.01)
    crit["lo"], crit["hi"] = [2300, 2300, -np.inf, 2300], [2500, np.inf, 2500, 2500]
    met = star(mem, crit)
    assert met["d_h"] == pytest.approx(np.exp(np.interp(np.log(2400), np.log(100 * d_h), np.log(d_h))))
    assert (met["d_h_lo"], met["d_h_hi"]) == (pytest.approx(16), pytest.approx(32))


def test_a_crossing_in_words_leaves_an_unknown_end_open():
    at = {"d_h": 20.94, "D_train": 3366.8, "d_h_lo": 19.21, "d_h_hi": np.nan}
    assert place(at) == "d_h 20.9 [19.2, open], D_train 3,367"


def test_lines_that_do_not_meet_have_no_star():
    d_h = np.array([4.0, 8, 16])
    assert star(*tables(100 * d_h, 5000 - d_h, d_h))["n_crossings"] == 0


def test_sizes_of_one_table_alone_and_unknown_ones_are_passed_over():
    mem, crit = tables(np.array([1e3, 2e3, 4e3, 8e3]), np.array([np.nan, 4e3, 3e3, 2e3]), np.array([8.0, 16, 32, 64]))
    assert 16 < star(mem.drop(index=3), crit)["d_h"] < 32


@pytest.mark.parametrize("values, begin, end", [
    ([0, 0, 0.5, 1, 1], 2_600 + 200 / 5, 3_000 - 200 / 5), ([0, 0, 0, 0, 0.5], 3_000 + 200 / 5, None),
    ([0.5, 0.6, 0.7, 1, 1], None, 2_800 + 200 * 2 / 3),
])
def test_the_range_of_partial_accuracy(values, begin, end):
    sizes = [2400, 2600, 2800, 3000, 3200]
    runs = cube([32], sizes, 2, lambda d_h, D, seed: {"val_acc": values[sizes.index(D)]})
    row = partial_range(runs).iloc[0]
    wanted = {"begin": begin, "end": end}
    for name, value in wanted.items():
        assert np.isnan(row[name]) if value is None else row[name] == pytest.approx(value, rel=1e-5), name

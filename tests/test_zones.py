"""The zone of a run, on curves made to lie in one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maps import STEPS, cube, rise, typical

from grokbook import analysis
from grokbook.analysis.zones import UNDECIDED, Zone, main_zone, zone_shares


def zone_of(**curves) -> str:
    return str(analysis.zones(cube([8], [3000], 1, lambda *_: curves)).item())


@pytest.mark.parametrize("zone", list(Zone))
def test_each_zone_is_recognised_by_its_typical_run(zone):
    assert zone_of(**typical(zone.value)) == zone


def test_a_small_network_that_learns_all_by_the_rule_progresses_and_does_not_grok():
    assert zone_of(train_acc=rise(500), val_acc=rise(450)) == Zone.PROGRESSION


def test_mirrors_alone_are_no_partial_understanding():
    assert zone_of(train_acc=rise(100), val_acc=rise(100, 0.23), twin_free_val_acc=0.009) == Zone.UNGROKKING


def test_accuracy_that_came_and_went_is_judged_by_where_it_ended():
    fell = np.where(STEPS < 20_000, rise(5_000, 0.7), 0.01)
    assert zone_of(train_acc=rise(100), val_acc=fell) == Zone.UNGROKKING


@pytest.mark.parametrize("late, zone", [
    (1.0, Zone.GROKKING), (0.995, Zone.GROKKING), (0.9, Zone.STILL_MOVING), (0.45, Zone.STILL_MOVING),
    (0.36, Zone.SEMI_GROKKING), (0.3, Zone.SEMI_GROKKING), (0.1, Zone.STILL_MOVING), (0.03, Zone.UNGROKKING),
])
def test_a_plateau_is_told_from_a_leap_and_from_one_that_is_over(late, zone):
    """Partial from step 9,000; at the last evaluations, too few for an event, elsewhere or still there."""
    assert zone_of(train_acc=rise(100), val_acc=np.where(STEPS < 36_000, rise(9_000, 0.3), late)) == zone


def test_cut_curves_are_judged_by_what_is_left():
    runs = cube([64], [4000], 1, lambda *_: typical("GROKKING"))
    budgets = {budget: analysis.zones(runs.sel(step=slice(0, budget))).item() for budget in (50, 5_000, 40_000)}
    assert budgets == {50: "PROGRESSION", 5_000: "UNGROKKING", 40_000: "GROKKING"}


@settings(max_examples=25)
@given(st.lists(st.sampled_from([*Zone, ""]), min_size=1, max_size=6))
def test_shares_count_the_seeds_and_the_main_zone_is_the_most_frequent(seeds):
    runs = cube([8], [3000], len(seeds), lambda d, D, seed: typical(seeds[seed]) if seeds[seed] else None)
    trained = [zone for zone in seeds if zone]
    main = main_zone(runs).item()
    if not trained:
        assert main == "" and zone_shares(runs).isnull().all()
        return
    shares = zone_shares(runs).squeeze().to_series()
    assert shares.to_dict() == pytest.approx({zone: trained.count(zone) / len(trained) for zone in Zone})
    most = max(map(trained.count, Zone))
    assert trained.count(main) == most or main == UNDECIDED
    assert (main == UNDECIDED) == ([trained.count(zone) for zone in Zone].count(most) > 1)


def test_what_counts_as_negligible_moves_the_zones():
    runs = cube([8], [3000], 1, lambda *_: typical("UNGROKKING"))
    assert analysis.zones(runs, negligible=0.01).item() == Zone.SEMI_GROKKING


@pytest.mark.parametrize("zone", ["GROKKING", "PROGRESSION"])
def test_a_rise_from_one_evaluation_to_the_next_says_nothing_of_the_norm(zone):
    change = analysis.norm_change(cube([8], [3000], 1, lambda *_: typical(zone)))
    assert all(change[name].isnull().all() for name in ("ratio", "begin", "end"))


def test_a_slow_rise_has_a_norm_before_and_one_after():
    way = np.clip((STEPS - 1_000) / 10_000, 0, 1)
    ends = analysis.norm_change(cube([8], [3000], 1, lambda *_: {"val_acc": way, "param_norm": 50 - 20 * way}))
    assert ends["begin"].item() == pytest.approx(2_000, rel=0.1) and ends["end"].item() == pytest.approx(1e4, rel=0.1)
    assert ends["ratio"].item() == pytest.approx(32 / 48, rel=0.03)


def test_a_run_that_did_not_generalise_has_no_norm_change():
    assert analysis.norm_change(cube([8], [3000], 1, lambda *_: typical("UNGROKKING")))["ratio"].isnull().all()

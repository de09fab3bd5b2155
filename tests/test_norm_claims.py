"""Planted costs of memorising and generalising, and planted borders on the way up and down."""

import numpy as np
import pytest
from maps import cube, rise

from grokbook.analysis.efficiency import costs, growth, of_any_parent
from grokbook.claims import efficiency
from grokbook.claims.card import TooLittle

SIZES = [300, 500, 1000, 2000, 2600, 3400]


def planted(border, memorising=0.5, generalising=0.0, n_seeds=3):
    """Networks that know all from the border on, with norms that are powers of the number of pairs, 20 at 1,000."""
    def curves(d_h, D, seed):
        power = generalising if border <= D else memorising
        return {"train_acc": rise(100), "val_acc": rise(1000) * (border <= D),
                "param_norm": 20 * (D / 1000) ** power * (1 + 0.01 * seed)}
    return cube([64], SIZES, n_seeds, curves)


def test_a_power_law_is_read_off():
    law = growth(costs(planted(9999))["memorising"].isel(d_h=0))
    assert law["exponent"].values == pytest.approx(0.5)
    assert np.isnan(growth(costs(planted(800))["memorising"].isel(d_h=0))["exponent"]).all()  # two sizes


@pytest.mark.parametrize("memorising, generalising, wanted", [
    (0.5, 0.0, "reproduced"), (0.5, 0.4, "partly"), (-0.3, 0.3, "not reproduced")])
def test_complexity_curves(memorising, generalising, wanted):
    few, again = planted(3000, memorising), planted(800, generalising=generalising)
    assert efficiency.complexity_curves(few, again).verdict == wanted


@pytest.mark.parametrize("border, wanted", [(1500, "not reproduced"), (1000, "reproduced")])
def test_the_crossing_of_the_norms_is_compared_with_the_border(border, wanted):
    sizes = few_at(border)
    assert efficiency.efficiency_crossing(sizes, planted(800)).verdict == wanted


def few_at(border):
    """From scratch: the norms cross at 1,000; the border lies between the size before it and this one."""
    sizes = [300, 500, 700, 800, 1000, 1200, 1400, 1500, 2000]
    return cube([64], sizes, 3, lambda d_h, D, seed: {
        "train_acc": rise(100), "val_acc": rise(1000) * (border <= D), "param_norm": 20 * (D / 1000) ** 0.5})


@pytest.mark.parametrize("up, down, wanted", [
    (2600, 500, "reproduced"), (800, 2600, "not reproduced"), (1000, 1000, "not reproduced")])
def test_the_two_ways(up, down, wanted):
    few, again = fine(up), fine(down)
    assert efficiency.two_way(few, again).verdict == wanted


def fine(border):
    sizes = list(range(300, 3000, 100))
    return cube([64], sizes, 3, lambda d_h, D, seed: {
        "train_acc": rise(100), "val_acc": rise(1000) * (border <= D), "param_norm": 20 * (D / 1000) ** 0.5})


def test_each_seed_has_a_parent_of_its_own():
    runs = planted(800)
    apart = runs.expand_dims(parent=["0@1", "1@1", "2@1"])
    own = (np.arange(3)[:, None] == np.arange(3))  # parent, seed
    for name in apart.data_vars:
        none = {"last_step": -1, "trained": False, "settled": False}.get(str(name), np.nan)
        mask = apart["trained"].copy(data=np.broadcast_to(own[:, None, None, :], apart["trained"].shape))
        apart[name] = apart[name].where(mask, none).astype(apart[name].dtype)
    both = of_any_parent(apart)
    for name in both.data_vars:
        np.testing.assert_array_equal(both[name], runs[name])


def test_two_seeds_are_too_few():
    with pytest.raises(TooLittle):
        efficiency.complexity_curves(planted(3000, n_seeds=2), planted(800, n_seeds=2))

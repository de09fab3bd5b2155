"""Figures and verdicts of chapter 07 on runs that were made to deserve them, and the other ones."""

import numpy as np
import pytest
import xarray as xr
from maps import STEPS, cube, rise, said

from grokbook import claims, plots
from grokbook.claims import division
from grokbook.claims.card import TooLittle

SIZES = [8, 16, 32, 64]
CHANCE = np.log(97)


def runs(curves, n_seeds=3, **attrs) -> xr.Dataset:
    """Runs of modular division over the width; `curves(d_h, seed)` as for `maps.cube`."""
    return cube(SIZES, [4656], n_seeds, lambda d_h, _, seed: curves(d_h, seed), task="divide", p=97, **attrs)


def dual(d_h, seed, height=2.0, gamma=2.0):
    """Test loss that climbs a hill of `height` around the step of fit, which falls as d_h^−gamma."""
    fit = 40_000 * d_h ** -gamma * 8 * (1 + 0.05 * seed)
    u = np.log(np.maximum(STEPS, 1) / fit)
    late = 10 * fit
    return {"train_acc": rise(fit, 0.995), "train_loss": CHANCE * np.exp(-np.exp(u)),
            "val_acc": rise(late, 0.995), "val_loss": np.exp(np.log(CHANCE) + height * np.exp(-u**2)
                                                              - 5 / (1 + np.exp(-4 * (u - 2.3))))}


def flat(d_h, seed):
    return {"train_acc": rise(100), "val_acc": rise(120), "train_loss": 0.5 / np.maximum(STEPS, 1),
            "val_loss": 4.0 * (STEPS + 1.0) ** -0.3}


@pytest.mark.parametrize("judge", [division.three_views, division.model_wise_map])
def test_a_hill_makes_the_verdict(judge):
    assert judge(runs(dual)).verdict == "reproduced"
    assert judge(runs(flat)).verdict == "not reproduced"
    assert judge(runs(lambda d_h, seed: dual(d_h, seed, height=0.2))).verdict != "reproduced"


def test_the_cut_needs_a_hill_along_the_width():
    def cut(d_h, seed, top=3.0):
        known = {8: 0.3, 16: 0.95, 32: 1.0, 64: 1.0}[d_h]
        return {"train_acc": known, "val_acc": {8: 0.1, 16: 0.02, 32: 0.3, 64: 0.99}[d_h],
                "val_loss": {8: 4.0, 16: 4.0 * top, 32: 4.0 * top, 64: 0.1}[d_h] * (1 + 0.1 * seed), "train_loss": 0.1}
    assert division.model_wise_cut(runs(cut)).verdict == "reproduced"
    assert "where that hill stands d_h 16, step" in said(division.model_wise_cut(runs(cut)))
    assert division.model_wise_cut(runs(lambda d_h, seed: cut(d_h, seed, 1.0))).verdict == "partly"
    assert division.model_wise_cut(runs(flat)).verdict == "not reproduced"


def test_a_dip_of_a_network_that_has_understood_is_not_one_on_the_way():
    def spiked(d_h, seed):
        curves = dual(d_h, seed)
        return curves | {"val_acc": np.where(STEPS == STEPS[-3], 0.6, curves["val_acc"])}
    assert "largest dip of test accuracy on the way 0.000" in said(division.three_views(runs(spiked)))


def test_test_accuracy_that_is_good_nowhere_is_not_good_at_larger_widths():
    def memorised(d_h, seed):
        return {"train_acc": 1.0, "val_acc": 0.01, "train_loss": 0.1, "val_loss": 4.0 + 0.1 * seed}
    cut = division.model_wise_cut(runs(memorised))
    assert cut.verdict == "not reproduced" and "mean test accuracy is 0.9 or more at no width measured" in said(cut)
    assert "train accuracy is 0.9 or more at no width" in said(division.model_wise_cut(
        runs(lambda d_h, seed: memorised(d_h, seed) | {"train_acc": 0.5})))


def test_the_duality_is_judged_by_seeds_that_every_width_has():
    holes = runs(lambda d_h, seed: None if seed == 3 and d_h == 8 else dual(d_h, seed), n_seeds=4)
    assert division.size_time_duality(holes).n == 12
    with pytest.raises(TooLittle, match="Fewer than 3 seeds have every width"):
        division.size_time_duality(runs(lambda d_h, seed: None if d_h == 8 * 2**seed else dual(d_h, seed), n_seeds=4))


def test_one_variable_is_judged_by_what_it_tells():
    assert division.size_time_duality(runs(dual)).verdict == "reproduced"
    assert division.size_time_duality(runs(flat)).verdict == "not reproduced"  # the width changes nothing


def shortcut(zero, others, later):
    """An early peak with those shares right of 0/b (half a hundredth of all pairs) and of the others."""
    share = 51 / 4656

    def curves(d_h, seed):
        right = np.where(STEPS < 100, others / 97, later / 97)
        known = np.where(STEPS >= 20, zero, 0.0)
        return {"train_acc": rise(200, 0.2) + rise(2000, 0.7), "twin_free_val_acc": right,
                "val_acc": share * known + (1 - share) * right, "val_loss": 4.0, "train_loss": 4.0}
    return cube([128], [4656], 1, lambda d_h, _, seed: curves(d_h, seed), task="divide", p=97)


def test_the_shortcut_is_judged_by_0_over_b_and_by_chance_on_the_others():
    def of(*shares):
        return division.zero_over_b(xr.concat([shortcut(*shares)] * 4, xr.Variable("seed", range(4)),
                                                    combine_attrs="override"))
    assert of(1, 1, 0.4).verdict == "reproduced"
    assert of(1, 1, 1.2).verdict == of(0.3, 1, 0.4).verdict == "partly"
    assert of(0.3, 1, 1.2).verdict == "not reproduced"
    assert "right test examples 98" in said(of(1, 1, 0.4))
    with pytest.raises(TooLittle):
        division.zero_over_b(xr.concat([shortcut(1, 1, 0.4)] * 4, xr.Variable("lr", [1e-4, 2e-4, 5e-4, 1e-3]),
                                             combine_attrs="override"))  # one seed, whatever was tried on it


def test_few_widths_or_seeds_are_not_judged():
    for judge in (division.three_views, division.model_wise_map, division.model_wise_cut, division.size_time_duality):
        with pytest.raises(TooLittle):
            judge(runs(dual, n_seeds=2))
    assert {"three-views", "model-wise-map", "model-wise-cut", "size-time-duality", "zero-over-b"} <= set(claims.CLAIMS)


def test_three_views_show_the_same_accuracies_twice():
    fig = plots.three_views(runs(dual).squeeze("D_train").sel(d_h=64))
    lines = plots.find(fig, metric="val_acc", role="line")
    assert len(lines) == 2 and len(plots.find(fig, metric="val_loss", role="line")) == 1
    np.testing.assert_array_equal(lines[0].y, lines[1].y)
    assert (fig.layout.yaxis.type, fig.layout.yaxis2.type, fig.layout.yaxis3.type) == (None, "log", "log")
    assert "n = 3 runs" in fig.layout.meta["caption"] and "Batches of all pairs" in fig.layout.meta["caption"]
    fig = plots.three_views(runs(dual, batch_size=512).squeeze("D_train").sel(d_h=64).assign_coords(dropout=0.1))
    assert "Batches of 512 pairs, dropout 0.1." in fig.layout.meta["caption"]


def test_maps_hold_the_means_at_every_step_and_width_and_the_line_of_fit():
    data = runs(dual).squeeze("D_train")
    fig = plots.width_maps(data)
    (cells,) = plots.find(fig, role="cells", metric="val_loss")
    assert cells.z.shape == (len(STEPS) - 1, len(SIZES)) and len(cells.y) == len(STEPS)
    mean = np.log10(data["val_loss"].sel(d_h=32, step=STEPS[50])).mean()
    assert cells.z[49, 2] == pytest.approx(float(mean), rel=1e-5)
    for line in plots.find(fig, role="fit"):
        assert np.isnan(line.y[0]) or line.y[0] > line.y[-1]
        assert np.all(np.diff(line.y[~np.isnan(line.y)]) < 0)
    assert "Dotted" in fig.layout.meta["caption"]


def test_the_cut_shows_means_and_every_run():
    data = runs(dual).squeeze("D_train")
    fig = plots.width_cut(data)
    (mean,), (dots,) = (plots.find(fig, metric="val_loss", role=role) for role in ("mean", "runs"))
    last = data["val_loss"].isel(step=-1)
    np.testing.assert_allclose(mean.y, np.exp(np.log(last.values).mean(-1)), rtol=1e-5)
    assert len(dots.y) == last.size


def test_counts_are_drawn_beside_all_and_chance():
    fig = plots.zero_counts(shortcut(1, 1, 0.4).squeeze(("d_h", "D_train")))
    zero, others = (plots.find(fig, metric=name, role="mean")[0].y for name in ("zero", "others"))
    assert zero.max() == 51 and others[-1] == pytest.approx(0.4 * 4605 / 97, abs=0.5)
    assert sorted(shape.y0 for shape in fig.layout.shapes) == pytest.approx([4605 / 97, 51])

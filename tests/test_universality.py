"""The rules of chapter 08 on runs that were made to deserve each verdict."""

import numpy as np
import pytest
import xarray as xr
from maps import cube, rise, said

from grokbook import RunConfig, studies, tasks
from grokbook.analysis.universality import at_share, grokked, widest
from grokbook.claims import universality as claims
from grokbook.claims.card import TooLittle
from grokbook.plots import delay_by_share, find, network_panels, settings_by_share
from grokbook.studies import SHARES, share_of

SIZES = [share_of(113, share) for share in SHARES]


def networks(late=None, n_seeds=3, d_h=32, p=113) -> xr.Dataset:
    """Every kind memorises at step 100 and generalises at `late(kind, D_train, seed)`; None is no run."""
    sizes = [share_of(p, share) for share in SHARES]

    def of(kind: str) -> xr.Dataset:
        def curves(_, D_train, seed):
            at = late(kind, D_train, seed) if late else 2_000 * 6_384 // D_train
            return None if at is None else {"train_acc": rise(100), "val_acc": rise(at)}
        return cube([d_h], sizes, n_seeds, curves, architecture=kind, n_layers=2, p=p)
    return xr.concat([of(kind) for kind in ("lstm", "mlp", "transformer")], "architecture",
                     combine_attrs="drop_conflicts")


def test_networks_that_all_grok_are_universal_and_one_that_generalises_at_once_is_partly_so():
    assert claims.universal(networks()).verdict == "reproduced"
    at_once = networks(lambda kind, D, seed: 150 if kind == "mlp" else 2_000)
    assert claims.universal(at_once).verdict == "partly" and "0 of 3" in said(claims.universal(at_once))
    assert claims.universal(networks(lambda kind, D, seed: 150 if kind != "mlp" else 2_000)).verdict == "not reproduced"


def test_networks_that_were_not_followed_far_enough_decide_nothing():
    with pytest.raises(TooLittle, match="2 runs of the LSTM on half of the data have generalised; it takes 3"):
        claims.universal(networks(lambda kind, D, seed: np.inf if kind == "lstm" and seed == 1 else 2_000))
    with pytest.raises(TooLittle, match="0 runs of the transformer"):
        claims.universal(networks(n_seeds=2))
    with pytest.raises(TooLittle, match="0 runs of the feed-forward network"):
        claims.universal(networks().sel(architecture=["transformer", "lstm"]))
    assert claims.universal(networks(n_seeds=4).where(networks(n_seeds=4)["seed"] < 3)
                            .assign(trained=networks(n_seeds=4)["trained"])).n == 12


def test_the_widest_networks_with_enough_seeds_are_judged():
    narrow, wide = networks(), networks(lambda kind, D, seed: 3_000 if seed < 2 else None, d_h=128)
    both = xr.concat([narrow, wide], "d_h", combine_attrs="drop_conflicts")
    assert {int(of["d_h"]) for of in widest(both, 3).values()} == {32}
    assert {int(of["d_h"]) for of in widest(both, 2).values()} == {128}
    assert list(widest(both, 2)) == ["transformer", "lstm", "mlp"] and not widest(both, 3, 0.1)


def test_networks_are_wide_for_their_table():
    both = xr.concat([networks(), networks(n_seeds=2, p=59)], "p", join="outer", combine_attrs="drop_conflicts",
                     fill_value={"trained": False, "settled": False, "last_step": -1})
    assert {int(of["p"]) for of in widest(both, 3).values()} == {113}
    for of in widest(both, 2).values():
        assert int(of["p"]) == 59 and at_share(of, 0.5)["D_train"].item() == 1740 and of.sizes["D_train"] == 3


def test_a_single_kind_is_found_without_a_dimension_of_its_own():
    assert list(widest(networks().sel(architecture="mlp"), 3)) == ["mlp"]


def test_a_run_is_told_by_when_it_knew_and_by_its_mirrors():
    def symmetric(d_h, D_train, seed):
        split = tasks.split(RunConfig(D_train=D_train, seed=seed))
        twins = 1 - split.twin_free_val.sum() / split.val.sum()
        return {"train_acc": rise(100), "val_acc": np.maximum(rise(100, twins), rise(5_000)),
                "twin_free_val_acc": rise(5_000)}
    table = grokked(cube([32], [6384], 2, symmetric).isel(d_h=0))
    ends = table[["groks", "ratio", "twin_free"]].to_numpy(float)
    assert np.all(ends[:, 0] == 1) and np.all(ends[:, 1] > 40) and np.all(ends[:, 2] == 0)
    np.testing.assert_allclose(table["plateau"], table["twins"], rtol=1e-5)
    assert table["share"].tolist() == [6384 / 113**2] * 2 and 0.4 < np.min(table["twins"]) < 0.6


@pytest.mark.parametrize("at, verdict", [
    (lambda kind, D, seed: 10_000_000 // D, "reproduced"),
    (lambda kind, D, seed: {3831: 30_000, 6384: 900, 8938: 1_000}[D] if kind == "lstm" else 10_000_000 // D, "partly"),
    (lambda kind, D, seed: D if (kind, seed) == ("lstm", 1) else 10_000_000 // D, "not reproduced"),
    (lambda kind, D, seed: np.inf if D == 3831 else 10_000_000 // D, "reproduced"),
])
def test_the_delay_against_the_share_of_data(at, verdict):
    assert claims.data_fraction(networks(at)).verdict == verdict


def test_the_delay_against_the_share_of_data_takes_seeds_and_ends():
    with pytest.raises(TooLittle, match="2 seeds of the transformer were trained on all three"):
        claims.data_fraction(networks(lambda kind, D, seed: None if (D, seed) == (3831, 0) else 2_000))
    with pytest.raises(TooLittle, match="transformer a seed generalised at one share alone"):
        claims.data_fraction(networks(lambda kind, D, seed: np.inf if D < 8000 else 2_000))


def settings(gains: dict[str, float], n_seeds=3) -> xr.Dataset:
    """Final accuracies of the settings of Figure 4: 0.3 and the gain, with a spread over seeds that all share."""
    fields = ("lr", "weight_decay", "batch_size", "dropout", "update_noise", "weight_noise", "decay_towards")
    base = {"lr": 3e-4, "weight_decay": 0.0, "batch_size": 0, "dropout": 0.0, "update_noise": 0.0, "weight_noise": 0.0,
            "decay_towards": "zero"}
    rows = []
    for name, change in studies.SETTINGS.items():
        made = cube([32], [883, 1325], n_seeds, lambda d_h, D, seed, name=name: {
            "val_acc": 0.3 + gains.get(name, 0.0) * (1 + 0.1 * seed) + 0.05 * seed}, p=47, n_layers=2, **base | change)
        rows.append(made.expand_dims([field for field in fields if len({
            (base | other)[field] for other in studies.SETTINGS.values()}) > 1]))
    return xr.combine_by_coords(rows, combine_attrs="drop_conflicts", join="outer",  # pyright: ignore
                                fill_value={"trained": False, "settled": False, "last_step": -1})


def test_settings_that_need_less_data():
    all_help = {"decay to zero": 0.5, **dict.fromkeys(claims.HELPS[1:], 0.2)}
    assert claims.data_efficiency(settings(all_help)).verdict == "reproduced"
    assert claims.data_efficiency(settings(all_help | {"dropout": 0.6})).verdict == "partly"
    assert claims.data_efficiency(settings({"decay to zero": 0.5})).verdict == "partly"
    assert claims.data_efficiency(settings({"decay to zero": -0.2})).verdict == "not reproduced"
    assert claims.data_efficiency(settings({})).verdict == "not yet measured"
    with pytest.raises(TooLittle, match="3 seeds of full-batch Adam"):
        claims.data_efficiency(settings(all_help, n_seeds=2))


def test_a_row_a_setting_and_its_runs_where_they_ended():
    runs = settings({"decay to zero": 0.5})
    low, high = find(settings_by_share(runs), share=883 / 47**2) + find(settings_by_share(runs), share=1325 / 47**2)
    row = list(studies.SETTINGS).index("decay to zero")
    for place, shift in ((low, -1), (high, 1)):
        ends = [x for x, y in zip(place.x, place.y, strict=True) if y == row + shift / 8]
        np.testing.assert_allclose(ends, [0.8, 0.9, 1.0])
    caption = settings_by_share(runs.sel(update_noise=[0.0])).layout.meta["caption"]
    assert "Not trained yet: update noise." in caption


@pytest.mark.parametrize("middle, at, verdict", [
    ((2937, 3448), 0.5, "reproduced"), ((2937, 3448), 0.0, "partly"), ((4500, 5200), 0.0, "not reproduced")])
def test_middling_accuracy_between_two_shares(middle, at, verdict):
    sizes = sorted({2000, 2400, 2800, *middle, 3600, 4400, 5400, (middle[0] + middle[1]) // 2})

    def curves(d_h, D_train, seed):
        low, high = middle
        inside = low < D_train < high
        end = float(D_train >= high) if not inside else at or float(seed % 2)
        return {"train_acc": rise(100), "val_acc": rise(1_000, end)}
    assert claims.semi_grokking_fraction(cube([64], sizes, 4, curves)).verdict == verdict


def test_middling_accuracy_takes_both_ends_of_the_rise():
    with pytest.raises(TooLittle, match="both ends of the rise"):
        claims.semi_grokking_fraction(cube([64], [2000, 3000, 4000], 3, lambda *_: {"val_acc": 0.0}))
    with pytest.raises(TooLittle, match="three sizes of the training set"):
        claims.semi_grokking_fraction(cube([64], [2000, 4000], 3, lambda *_: {"val_acc": 0.0}))


def test_networks_stand_side_by_side_and_runs_that_did_not_get_there_are_marked():
    late = networks(lambda kind, D, seed: np.inf if (kind, seed) == ("lstm", 0) else 10_000_000 // D)
    fig = network_panels(late, 0.5)
    titles = {str(annotation.text) for annotation in fig.select_annotations()}
    assert {"transformer, d_h 32", "LSTM, d_h 32", "feed-forward, d_h 32"} <= titles
    fig = delay_by_share(widest(late, 1))
    (runs,) = find(fig, kind="lstm", role="runs")
    assert runs.marker.symbol.count("triangle-up-open") == 3 and min(runs.y) >= 1
    assert "n = 3 runs a cell" in fig.to_dict()["layout"]["meta"]["caption"]
    with pytest.raises(ValueError, match="share=0.1 is of no run; D_train is 3831, 6384, 8938"):
        network_panels(late, 0.1)

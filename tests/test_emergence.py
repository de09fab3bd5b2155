"""Emergence found where it was planted, beside so many random pairs, and its claims judged both ways."""

from collections.abc import Mapping

import numpy as np
import pytest
import xarray as xr
from maps import STEPS, cube, rise, said

import grokbook as gb
from grokbook import RunConfig, analysis, claims, plots
from grokbook.analysis.emergence import two_tasks
from grokbook.claims import emergence
from grokbook.claims.card import TooLittle

SIZES = [24, 32, 48, 64, 96, 128]
RANDOM = [0, 300, 1000, 3000]
NOT_YET = claims.Verdict.NOT_YET_MEASURED


def mixture(curves, *, random=RANDOM, sizes=SIZES, n_seeds=3, **fields) -> xr.Dataset:
    """Runs over d_h and D_random, from `curves(d_h, D_random, seed)`."""
    runs = cube(sizes, random, n_seeds, curves, task="add+random", **fields)
    return runs.drop_vars("D_random").rename(D_train="D_random").assign_coords(D_train=5000).expand_dims("D_train")


def from_size(sizes: Mapping[int, float], scatter: float = 0.02):
    """Networks able from a size on that the number of random pairs decides."""
    return lambda d_h, D_random, seed: {"val_acc": 0.9 * (d_h >= sizes[D_random]) + scatter * seed}


def table(sizes: dict[int, float], **more):
    return analysis.emergence.emergent_size(mixture(from_size(sizes), **more).squeeze("D_train"))


def test_the_size_lies_between_the_last_that_fails_and_the_next():
    found = table({0: 0, 300: 64, 1000: 128, 3000: 999})
    assert found["d_h"].tolist() == [24, 64, 128, np.inf] and found["fails_at"].tolist() == [0, 48, 96, 128]
    assert found["lo"].tolist() == [0, 48, 96, 128] and found["hi"].tolist() == [24, 64, 128, np.inf]
    weights = RunConfig(task="add+random", d_h=64).n_params
    assert found["n_params"].tolist()[1] == weights and np.isinf(found["n_params"].tolist()[3])


def test_a_small_network_that_cannot_remember_is_not_where_the_ability_comes_back():
    runs = mixture(lambda d_h, D_random, seed: {"val_acc": float(d_h in (24, 32, 128))}).squeeze("D_train")
    assert set(analysis.emergence.emergent_size(runs)["d_h"]) == {128}


def test_seeds_that_disagree_widen_the_interval_and_one_seed_has_none():
    runs = mixture(lambda d_h, D_random, seed: {"val_acc": float(d_h >= SIZES[1 + 2 * seed])}).squeeze("D_train")
    row = analysis.emergence.emergent_size(runs).iloc[0]
    assert row["d_h"] == 64 and row["lo"] <= 24 and row["hi"] >= 128
    assert analysis.emergence.emergent_size(runs.sel(seed=[0]))["lo"].isna().all()  # pyright: ignore


def test_a_seed_without_a_run_says_nothing_of_a_size():
    runs = mixture(lambda d_h, D_random, seed: None if d_h == 96 and seed else {"val_acc": float(d_h >= 64)})
    assert set(analysis.emergence.emergent_size(runs.squeeze("D_train"))["d_h"]) == {64}


@pytest.mark.parametrize("sizes, verdict", [
    ({0: 0, 300: 0, 1000: 64, 3000: 128}, "reproduced"), ({0: 0, 300: 0, 1000: 0, 3000: 128}, "partly"),
    ({0: 0, 300: 0, 1000: 0, 3000: 0}, "not reproduced"), ({0: 0, 300: 999, 1000: 999, 3000: 999}, NOT_YET),
    ({0: 64, 300: 64, 1000: 64, 3000: 64}, "not reproduced"), ({0: 64, 300: 64, 1000: 96, 3000: 128}, "reproduced"),
])
def test_emergence(sizes, verdict):
    assert emergence.emergence(mixture(from_size(sizes))).verdict == verdict


@pytest.mark.parametrize("usual, verdict", [({0: 0, 300: 0, 1000: 64, 3000: 128}, "reproduced"),
                                            ({0: 0, 300: 0, 1000: 0, 3000: 0}, "not reproduced")])
def test_usual_weights_are_judged_by_the_same_rule_and_alone(usual, verdict):
    larger = {0: 0, 300: 0, 1000: 0, 3000: 128}
    runs = xr.concat([mixture(from_size(sizes), init_scale=scale) for scale, sizes in ((1.0, usual), (2.0, larger))],
                     "init_scale")
    assert emergence.usual_weights(runs).verdict == verdict


def test_open_intervals_refute_nothing():
    runs = mixture(lambda d_h, D_random, seed: {"val_acc": float(seed < 2)}, random=[0, 1000, 3000])
    assert emergence.emergence(runs).verdict == NOT_YET


def test_noise_alone_is_no_emergence():
    rng = np.random.default_rng(2)
    runs = [mixture(lambda *_: {"val_acc": float(rng.random() < 0.5)}) for _ in range(20)]
    assert sum(emergence.emergence(draw).verdict in ("reproduced", "partly") for draw in runs) <= 1


@pytest.mark.parametrize("sizes, verdict", [
    ({0: 0, 300: 0, 1000: 0, 3000: 0}, NOT_YET), ({0: 0, 300: 32, 1000: 32, 3000: 128}, "not reproduced"),
    ({0: 0, 300: 96, 1000: 96, 3000: 999}, NOT_YET), ({0: 0, 300: 64, 1000: 64, 3000: 999}, "not reproduced"),
])
def test_the_number_of_random_pairs(sizes, verdict):
    assert emergence.number_of_pairs(mixture(from_size(sizes))).verdict == verdict


def test_a_fine_grid_shows_that_the_number_hardly_matters():
    sizes = [96, 100, 104, 108]
    runs = mixture(from_size({0: 0, 1000: 104, 3000: 104}), random=[0, 1000, 3000], sizes=sizes)
    assert emergence.number_of_pairs(runs).verdict == "reproduced"
    assert "weights beside 3,000 over 1,000" in said(emergence.number_of_pairs(runs))


def losing(steps_of_loss):
    """Accuracy jumps at d_h 64 and the loss falls by so many shares from size to size."""
    left = 5 - 5 * np.cumsum([0, *steps_of_loss])
    return lambda d_h, D_random, seed: {"val_acc": 0.9 * (d_h >= 64) + 0.01 * seed,
                                        "val_loss": left[SIZES.index(d_h)] - 0.01 * seed * (d_h > 24)}


@pytest.mark.parametrize("loss, verdict", [([0.2] * 5, "reproduced"), ([0, 0, 1, 0, 0], "not reproduced")])
def test_a_jump_in_accuracy_beside_a_slow_and_a_sudden_fall_of_the_loss(loss, verdict):
    assert emergence.sharp_measure(mixture(losing(loss))).verdict == verdict


def test_where_nothing_rises_there_is_nothing_sharp():
    with pytest.raises(TooLittle, match="rises by 0.5"):
        emergence.sharp_measure(mixture(lambda *_: {"val_acc": 0.4}))


def halves(shared: float, split: float) -> xr.Dataset:
    runs = [mixture(from_size({3000: size}), random=[3000], split_mlp=named)
            for named, size in ((False, shared), (True, split))]
    return xr.concat(runs, "split_mlp")


@pytest.mark.parametrize("shared, split, verdict", [(128, 48, "reproduced"), (48, 128, "not reproduced"),
                                                    (64, 64, NOT_YET), (999, 999, NOT_YET)])
def test_separate_parameters(shared, split, verdict):
    assert emergence.separate(halves(shared, split)).verdict == verdict


def test_halves_of_small_networks_that_cannot_remember_say_nothing():
    def able(below):
        return lambda d_h, *_: {"val_acc": float(d_h != 96)} if d_h < below else None

    def halved(below):
        return xr.concat([mixture(able(limit), random=[3000], split_mlp=split)
                          for split, limit in ((False, 999), (True, below))], "split_mlp")

    assert emergence.separate(halved(64)).verdict == NOT_YET
    with pytest.raises(TooLittle, match="^2 sizes have 3 seeds both with halves and without"):
        emergence.separate(halved(48))


def test_without_networks_alone_there_is_nothing_to_compare_with():
    with pytest.raises(TooLittle, match="each: 300; 1,000; 3,000. It takes three"):
        emergence.emergence(mixture(lambda *_: {"val_acc": 0.4}, random=RANDOM[1:]))


def test_networks_that_behave_as_smaller_ones_lie_on_their_prediction():
    alone = {d_h: 0.1 + 0.2 * k for k, d_h in enumerate(SIZES[:5])}
    runs = mixture(lambda d_h, D_random, seed: {"val_acc": alone.get(d_h)} if not D_random and d_h in alone
                   else {"val_acc": 0.0}, random=[0, 3000]).squeeze("D_train")
    left = analysis.emergence.as_smaller(runs, bits=1e9)  # random pairs that take no room leave the network as it is
    assert np.allclose(left.sel(D_random=3000, d_h=SIZES[1:5]), list(alone.values())[1:], atol=1e-5)
    less = analysis.emergence.as_smaller(runs, bits=1.5).sel(D_random=3000)
    assert np.isnan(less[0]) and (less[2:5] < left.sel(D_random=3000)[2:5]).all()


@pytest.mark.parametrize("claim", [emergence.emergence, emergence.number_of_pairs, emergence.sharp_measure])
def test_two_seeds_decide_nothing(claim):
    with pytest.raises(TooLittle):
        claim(mixture(losing([0, 0, 1, 0, 0]), n_seeds=2))


def test_what_is_taken_back_is_the_fall_from_the_peak():
    runs = mixture(lambda d_h, *_: {"val_acc": rise(100, 0.8) - rise(5_000, 0.5 * (d_h == 64))})
    found = analysis.emergence.mean_fall(runs.squeeze("D_train")).set_index(["d_h", "D_random"])
    assert np.allclose(found.loc[64][["peak", "fall"]], [0.8, 0.5], atol=1e-6) and np.allclose(found.loc[48]["fall"], 0)
    assert 100 <= found.loc[64]["at"].min() < 5_000


def test_noise_around_a_level_is_hardly_a_fall():
    rng = np.random.default_rng(0)
    runs = mixture(lambda *_: {"val_acc": 0.5 + 0.05 * rng.normal(size=len(STEPS))}).squeeze("D_train")
    assert analysis.emergence.mean_fall(runs)["fall"].max() < 0.12  # pyright: ignore


def test_best_and_mean_stand_side_by_side_and_holes_are_named():
    runs = mixture(lambda d_h, D_random, seed: None if d_h == 96 else {"val_acc": 0.1 + 0.4 * seed}).squeeze("D_train")
    fig = plots.emergence(runs)
    (best,), (mean,) = (plots.find(fig, role=role, D_random=300) for role in ("best seed", "mean of the seeds"))
    assert np.allclose(best.y, 0.9) and np.allclose(mean.y, 0.5) and 96 not in best.x
    assert "d_h 96 beside 0; d_h 96 beside 300" in fig.layout.meta["caption"]  # pyright: ignore


def test_a_path_ends_where_the_run_ends_and_turns_where_it_forgets():
    runs = mixture(lambda d_h, *_: {"train_acc": rise(50, 0.6) + rise(4_000, 0.4),
                                    "val_acc": rise(100, 0.8) - rise(5_000, 0.5)}, n_seeds=1).squeeze("D_train")
    fig = plots.forgetting(runs, sizes=(48, 64))
    (path,), (end,) = (plots.find(fig, role=role, d_h=64, D_random=3000) for role in ("path", "end"))
    assert path.y.max() == pytest.approx(0.8) and (end.x[-1], end.y[-1]) == pytest.approx((1, 0.3))
    assert not plots.find(fig, D_random=0) and {trace.name for trace in fig.data} == {"48", "64"}  # pyright: ignore


def test_two_tasks_are_told_apart_from_weights():
    table = two_tasks("forgetting-2")
    assert ((table >= 0) & (table <= 1) | table.isna()).all(axis=None)
    run = gb.load("emergence", d_h=48, D_random=3000, seed=2).squeeze()
    stored = run.sel(step=table.index.to_numpy())
    assert table["twin_free_val_acc"].to_numpy() == pytest.approx(stored["twin_free_val_acc"].values, abs=0.01)
    together = (5000 * table["additions"] + 3000 * table["random"]) / 8000
    assert together.to_numpy() == pytest.approx(stored["train_acc"].values, abs=0.01)
    assert table["shared"].iloc[table["twin_free_val_acc"].argmax()] == 1
    (line,) = plots.find(plots.two_tasks(["forgetting-2"]), role="random")
    assert list(line.y) == table["random"].tolist()

"""The mixture of frozen networks against autograd and closed forms; costs, and claims on what deserves a verdict."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from maps import cube, rise

from grokbook import RunConfig, models
from grokbook.analysis import efficiency
from grokbook.analysis.efficiency import Frozen, Mixture
from grokbook.claims import efficiency as claims
from grokbook.claims.card import TooLittle
from grokbook.networks import NETWORKS
from grokbook.plots import circuit_costs, find, mixture_panels
from grokbook.widgets import MixtureExplorer


def logits(seed=0, n=6, p=5) -> Mixture:
    drawn = np.random.default_rng(seed).normal(size=(2, n, p))
    return Mixture(*(drawn - drawn[..., :1]))


def certain(margin: float, right: bool = True, n=4, p=5) -> np.ndarray:
    """Logits of a network that puts the answer, or else another one, so far above all the rest."""
    made = np.full((n, p), -margin)
    made[:, 0] = 0
    return made if right else np.roll(made, 1, axis=1) - np.roll(made, 1, axis=1)[:, :1]


@pytest.mark.parametrize("w", [(0.0, 0.0), (0.7, -1.3), (40.0, 900.0)])
def test_loss_and_gradient_are_those_of_autograd(w):
    mixture = logits()
    weights = torch.tensor(w, dtype=torch.float64, requires_grad=True)
    mixed = weights[0] * torch.tensor(mixture.memory) + weights[1] * torch.tensor(mixture.general)
    expected = torch.nn.functional.cross_entropy(mixed, torch.zeros(len(mixed), dtype=torch.long))
    expected.backward()
    assert efficiency.loss(mixture, *w)[0] == pytest.approx(expected.item(), rel=1e-12, abs=1e-12)
    np.testing.assert_allclose(efficiency.gradient(mixture, *w), weights.grad, rtol=1e-10, atol=1e-12)  # pyright: ignore


def test_accuracy_counts_the_right_answers():
    assert efficiency.loss(Mixture(certain(3.0), certain(3.0, right=False)), 1, 0)[1] == 1
    assert efficiency.loss(Mixture(certain(3.0), certain(3.0, right=False)), 0, 1)[1] == 0


@pytest.mark.parametrize("decay", [0.0, 0.05])
def test_the_mixture_descends_as_small_steps_on_all_four_weights_do(decay):
    networks = Frozen(logits(1), logits(2))
    table = efficiency.train_mixture(networks, 3.0, 1.0, decay=decay)
    w, data, step = torch.tensor([0.0, 0.0, 3.0, 1.0], dtype=torch.float64), networks.train, 1e-3
    for _ in range(round(1 / step)):
        w = w.detach().requires_grad_()
        mixed = w[0] * w[2] * torch.tensor(data.memory) + w[1] * w[3] * torch.tensor(data.general)
        loss = torch.nn.functional.cross_entropy(mixed, torch.zeros(len(mixed), dtype=torch.long))
        (loss + decay / 2 * (w**2).sum()).backward()
        w = w.detach() - step * w.grad  # pyright: ignore
    expected = (w[:2] * w[2:]).detach().numpy()
    got = [np.interp(1.0, table["time"], table[name]) for name in ("w_mem", "w_gen")]
    np.testing.assert_allclose(got, expected, rtol=0.02)


def test_what_a_memory_learns_first_grows_with_the_square_of_its_speed():
    networks = Frozen(logits(3), logits(4))
    first = [efficiency.train_mixture(networks, speed, decay=0.0).iloc[1] for speed in (1.0, 2.0)]
    assert first[1]["w_mem"] / first[0]["w_mem"] == pytest.approx(4, rel=0.02)
    assert first[1]["w_gen"] == pytest.approx(first[0]["w_gen"], rel=0.02)


def test_a_quick_memory_makes_validation_loss_rise_and_a_cheap_rule_lets_it_fall():
    """Memory is right about training pairs and wrong about others; the rule is right, and twice as cheap."""
    networks = Frozen(Mixture(certain(1.0), certain(2.0)), Mixture(certain(1.0, right=False), certain(2.0)))
    quick, alike = (efficiency.told(efficiency.train_mixture(networks, speed)) for speed in (10.0, 1.0))
    assert quick["rises"] and quick["ends"] and not alike["rises"] and alike["ends"]
    assert quick["close"] < alike["close"]
    dear = Frozen(Mixture(certain(2.0), certain(1.0)), Mixture(certain(2.0, right=False), certain(1.0)))
    assert not efficiency.told(efficiency.train_mixture(dear, 10.0))["ends"]


def test_a_mixture_that_cannot_be_trained_is_refused():
    networks = Frozen(logits(), logits())
    with pytest.raises(ValueError, match="w_m2=0.* is not usable; valid: a finite number above 0"):
        efficiency.train_mixture(networks, 0.0)
    with pytest.raises(ValueError, match="decay=-1 is not usable"):
        efficiency.train_mixture(networks, decay=-1)


def test_frozen_networks_are_right_about_what_they_know_and_seen_by_neither_is_new():
    networks = efficiency.frozen()
    assert efficiency.loss(networks.train, 1, 0)[1] == efficiency.loss(networks.train, 0, 1)[1] == 1
    assert efficiency.loss(networks.val, 1, 0)[1] < 0.05 and efficiency.loss(networks.val, 0, 1)[1] > 0.95
    assert -networks.train.memory.mean() == pytest.approx(1, abs=0.05)


def test_a_norm_that_grows_takes_a_networks_odds_with_it_by_the_power_of_its_layers():
    """Scale all weights of a feed-forward network: its need does not change."""
    config = RunConfig(architecture="mlp", n_layers=2, d_h=8, p=7, D_train=20)
    weights = models.initial_weights(config)
    tokens = torch.tensor([[1, 2, 7]])
    scaled = ({name: scale * w for name, w in weights.items()} for scale in (1.0, 1.5))
    sizes = [models.build(config, of, torch.float64)(tokens).max().item() for of in scaled]
    needs = [efficiency.norm_needed(cube([8], [20], 1, lambda *_, of=of: {
        "param_norm": of[0], "train_loss": np.log1p(np.exp(-of[1]))}, architecture="mlp", n_layers=2)).item()
        for of in zip((3.0, 4.5), sizes, strict=True)]
    np.testing.assert_allclose(needs[0], needs[1], rtol=1e-5)
    with pytest.raises(ValueError, match="architecture='lstm' has no such power; valid: mlp"):
        efficiency.norm_needed(cube([8], [20], 1, lambda *_: {}, architecture="lstm"))


def made(power: float, D: list[int], task: str, known: float, n_seeds=3) -> xr.Dataset:
    """Runs whose norm is a power of D_train, with odds of e¹⁰ and a little spread over seeds."""
    return cube([32], D, n_seeds, lambda d_h, D_train, seed: {
        "train_acc": 1.0, "train_loss": np.log1p(np.exp(-10.0)), "param_norm": 5.0 * D_train ** (power + 0.01 * seed),
        "val_acc": known}, architecture="mlp", n_layers=2, task=task)


def both(memory: float, rule: float, **more) -> xr.Dataset:
    return xr.concat([made(memory, [500, 1000, 2000], "random-ordered", 0.01, **more),
                      made(rule, [6384, 8938], "add", 1.0, **more)], "task", join="outer",
                     combine_attrs="drop_conflicts", fill_value={"trained": False, "settled": False, "last_step": -1}
                     ).assign_coords(task=["random-ordered", "add"])


def test_what_runs_cost_is_told_by_kind():
    table = efficiency.costs_by_run(made(0.5, [500, 1000], "random-ordered", 0.01))
    assert table["kind"].tolist() == ["memory"] * 6
    np.testing.assert_allclose(table["log_odds"], 10, rtol=1e-3)
    assert efficiency.costs_by_run(made(0.5, [500], "add", 0.5)).empty
    fig = circuit_costs({"made up": table})
    assert "n = 6 runs" in fig.to_dict()["layout"]["meta"]["caption"] and len(find(fig, kind="memory")) == 4


@pytest.mark.parametrize("memory, rule, verdict", [
    (0.3, 0.0, "reproduced"), (0.3, 0.3, "partly"), (-0.3, 0.0, "not reproduced")])
def test_the_norm_that_memory_takes_grows_and_that_of_the_rule_does_not(memory, rule, verdict):
    assert claims.model_efficiency(both(memory, rule)).verdict == verdict


def test_slopes_take_seeds_sizes_and_a_sign():
    with pytest.raises(TooLittle, match="2 seeds of the memory have a slope"):
        claims.model_efficiency(both(0.3, 0.0, n_seeds=2))
    with pytest.raises(TooLittle, match="0 seeds of the rule"):
        claims.model_efficiency(made(0.3, [500, 1000, 2000], "random-ordered", 0.01))
    with pytest.raises(TooLittle, match="memory's slope holds zero"):
        claims.model_efficiency(both(-0.01, 0.0))


def trained_on(keeps=lambda kind, decay, seed: False, knew=1.0, n_seeds=3) -> xr.Dataset:
    """Networks that knew the rule, each from a parent of its own, at the decays of the study; some keep it."""
    rows = [cube([32], [104], n_seeds, lambda d_h, D, seed, kind=kind, decay=decay: {
        "train_acc": rise(1), "val_acc": knew - rise(500, knew - 0.02) * (not keeps(kind, decay, seed))},
        architecture=kind, weight_decay=decay, p=59).expand_dims("weight_decay")
        for kind in ("lstm", "mlp", "transformer") for decay in ((0.3, 1.0, 3.0) if kind == "mlp" else (1.0,))]
    kinds = [xr.concat(rows[:1], "weight_decay"), xr.concat(rows[1:4], "weight_decay"), rows[4]]
    return xr.concat(kinds, "architecture", join="outer", combine_attrs="drop_conflicts", coords="different",
                     compat="equals", fill_value={"trained": False, "settled": False, "last_step": -1})


def by_kind(runs: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    return runs.sel(architecture="transformer"), runs.sel(architecture=["lstm", "mlp"])


def test_networks_unlearn_alike_and_at_any_decay():
    all_lose = trained_on()
    assert claims.ungrokking(*by_kind(all_lose)).verdict == "reproduced"
    assert claims.ungrokking_any_decay(all_lose).verdict == "reproduced"
    stays = trained_on(lambda kind, decay, seed: kind == "lstm" or decay == 0.3)
    assert claims.ungrokking(*by_kind(stays)).verdict == claims.ungrokking_any_decay(stays).verdict == "partly"
    none = trained_on(lambda kind, decay, seed: kind != "mlp" or seed == 1)
    assert claims.ungrokking(*by_kind(none)).verdict == claims.ungrokking_any_decay(none).verdict == "not reproduced"


def test_what_unlearns_has_to_have_known():
    with pytest.raises(TooLittle, match="0 runs of the transformer had generalised"):
        claims.ungrokking(*by_kind(trained_on(knew=0.5)))
    with pytest.raises(TooLittle, match="2 runs of weight decay 0.3"):
        claims.ungrokking_any_decay(trained_on(n_seeds=2))
    with pytest.raises(TooLittle, match="1 weight decays were trained; it takes 3"):
        claims.ungrokking_any_decay(trained_on().sel(weight_decay=[1.0]))


def test_speed_and_cost_are_judged_apart():
    def judged(quick: bool, alike: bool, ends: bool):
        rows = [{"by_norm": by_norm, "w_m2": w_m2, "rises": rises, "ends": ends or by_norm, "peak": 9.0, "end": 0.1}
                for by_norm in (False, True) for w_m2, rises in ((10.0, quick), (1.0, alike)) for _ in range(3)]
        return claims.judged(pd.DataFrame(rows)).verdict
    assert judged(True, False, True) == "reproduced"
    assert judged(True, False, False) == judged(True, True, True) == "partly"
    assert judged(True, True, False) == judged(False, False, False) == "not reproduced"


def test_the_explorer_trains_at_every_move_and_says_what_it_sees():
    explorer = MixtureExplorer(10)
    before = explorer.sentence
    explorer.speed.value = 1
    assert "worse than guessing" in before and "never rises" in explorer.sentence in explorer.said.value
    (line,) = find(explorer.plot.figure, metric="val_loss")
    np.testing.assert_allclose(line.y, explorer.table["val_loss"].iloc[1:], rtol=1e-6)
    explorer.by_norm.value = False
    assert "ends at 3." in explorer.sentence and explorer.pictures() == [explorer.plot.figure]
    with pytest.raises(ValueError, match="w_m2=4 is no place of the slider; valid: 1, 1.5, 2"):
        MixtureExplorer(4)
    explorer.close()


def test_mixtures_share_their_axes_and_name_their_lines_once():
    table = efficiency.train_mixture(Frozen(logits(1), logits(2)))
    fig = mixture_panels({"a": table, "b": table})
    named = list(fig.select_traces({"showlegend": True}))
    assert len(named) == 5 - 1  # validation has loss and accuracy
    assert "n = 1 pair" in fig.to_dict()["layout"]["meta"]["caption"]
    assert set(NETWORKS) >= {claims.MEMORY, *claims.RULES}

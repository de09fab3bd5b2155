"""The plain network against attention written out by hand, and against the papers' parameter counts."""

import math

import numpy as np
import pytest
import torch

from grokbook import models
from grokbook.config import RunConfig


def by_hand(config: RunConfig, w: dict[str, np.ndarray], tokens: list[int]) -> np.ndarray:
    """Logits of one example, one number at a time where it matters: float64 loops over positions and heads."""
    x = [w["W_E"][t] + w["W_pos"][i] for i, t in enumerate(tokens)]
    for layer in range(config.n_layers):
        def weight(name, layer=layer):
            return w[f"layers.{layer}.{name}"]
        new = []
        for i in range(len(x)):
            change = np.zeros(config.d_h)
            for h in range(config.n_heads):
                q = x[i] @ weight("W_Q")[h]
                scores = [q @ (x[j] @ weight("W_K")[h]) / math.sqrt(config.d_head) for j in range(i + 1)]
                share = np.exp(scores) / np.sum(np.exp(scores))
                z = sum(share[j] * (x[j] @ weight("W_V")[h]) for j in range(i + 1))
                change += z @ weight("W_O")[h]
            middle = x[i] + change
            new.append(middle + np.maximum(middle @ weight("W_in"), 0) @ weight("W_out"))
        x = new
    return x[-1] @ w["W_U"]


@pytest.mark.parametrize("config", [
    RunConfig(p=7, d_h=8, D_train=20),
    RunConfig(p=5, d_h=6, n_heads=1, n_layers=2, D_train=9),
    RunConfig(p=5, d_h=6, n_heads=3, n_layers=3, D_train=9, task="add+random"),
], ids=["one layer", "two layers", "two tasks"])
def test_logits_are_those_of_attention_written_out_by_hand(config):
    network = models.build(config, dtype=torch.float64)
    tokens = [[1, 3, config.p] if config.n_ctx == 3 else [1, config.p + 1, 3, config.p + 2], [0] * config.n_ctx]
    expected = [by_hand(config, models.initial_weights(config), example) for example in tokens]
    np.testing.assert_allclose(network(torch.tensor(tokens)).detach().numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("config", [RunConfig(), RunConfig(d_h=12, n_layers=3, task="add+random", p=11, D_train=5)])
def test_the_network_has_as_many_weights_as_the_config_says(config):
    network = models.build(config)
    vector = models.flatten(models.initial_weights(config), config)
    assert sum(w.numel() for w in network.parameters()) == config.n_params == len(vector)


def test_the_papers_largest_multitask_model_is_1570_times_its_smallest():
    large = RunConfig(task="add+random", d_h=1024, n_layers=8)
    small = RunConfig(task="add+random", d_h=64)
    assert sum(math.prod(shape) for shape in models.weight_shapes(large).values()) == 100_904_960
    assert round(large.n_params / small.n_params, 2) == 1570.36


def test_initial_weights_follow_the_seed_alone():
    weights = models.flatten(models.initial_weights(RunConfig(seed=3)), RunConfig())
    same = models.flatten(models.initial_weights(RunConfig(seed=3, D_train=17, lr=0.1, weight_decay=0)), RunConfig())
    other = models.flatten(models.initial_weights(RunConfig(seed=4)), RunConfig())
    assert np.array_equal(weights, same)
    assert abs(np.corrcoef(weights, other)[0, 1]) < 0.02


def test_initial_weights_have_the_recipes_spread():
    weights = models.initial_weights(RunConfig(d_h=64, init_scale=2.0))
    for name, w in weights.items():
        expected = 2.0 / math.sqrt(113 if name == "W_U" else 64)
        assert w.std() == pytest.approx(expected, rel=0.15 if w.size < 1000 else 0.05), name


def test_unflatten_undoes_flatten():
    config = RunConfig(p=7, d_h=8, n_layers=2, D_train=5)
    weights = models.initial_weights(config)
    back = models.unflatten(models.flatten(weights, config), config)
    assert list(back) == list(weights)
    assert all(np.array_equal(back[name], weights[name]) for name in weights)


def test_only_the_last_layer_skips_the_positions_that_nobody_reads():
    """Earlier positions matter as soon as there is a second layer: changing the first token changes the logits."""
    config = RunConfig(p=7, d_h=8, n_layers=2, D_train=5)
    network = models.build(config, dtype=torch.float64)
    logits = network(torch.tensor([[0, 1, 7], [2, 1, 7]]))
    assert not torch.allclose(logits[0], logits[1])

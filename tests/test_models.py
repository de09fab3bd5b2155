"""The plain networks against attention written out by hand, PyTorch's own layers, and the papers' parameter counts."""

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
    RunConfig(p=5, d_h=6, n_heads=1, n_layers=2, D_train=9, init_scale=1.0),
    RunConfig(p=5, d_h=6, n_heads=3, n_layers=3, D_train=9, init_scale=1.0, task="add+random"),
], ids=["one layer", "two layers", "two tasks"])
def test_logits_are_those_of_attention_written_out_by_hand(config):
    network = models.build(config, dtype=torch.float64)
    tokens = [[1, 3, config.p] if config.n_ctx == 3 else [1, config.p + 1, 3, config.p + 2], [0] * config.n_ctx]
    expected = [by_hand(config, models.initial_weights(config), example) for example in tokens]
    np.testing.assert_allclose(network(torch.tensor(tokens)).detach().numpy(), expected, rtol=1e-12)


def pytorchs_own(config: RunConfig, w: dict[str, np.ndarray]) -> torch.nn.Module:
    """The layers between embedding and unembedding as torch.nn has them, with those weights."""
    def linear(name):
        layer = torch.nn.Linear(*w[name].shape, bias=False, dtype=torch.float64)
        layer.weight.data = torch.tensor(w[name].T)
        return layer
    if config.architecture == "mlp":
        return torch.nn.Sequential(torch.nn.Flatten(), *(part for layer in range(config.n_layers)
                                                         for part in (linear(f"layers.{layer}.W"), torch.nn.ReLU())))
    lstm = torch.nn.LSTM(config.d_h, config.d_h, config.n_layers, bias=False, batch_first=True, dtype=torch.float64)
    lstm.load_state_dict({f"weight_{theirs}_l{layer}": torch.tensor(w[f"layers.{layer}.{ours}"].T)
                          for layer in range(config.n_layers) for theirs, ours in (("ih", "W_x"), ("hh", "W_h"))})
    return lstm


@pytest.mark.parametrize("architecture", ["lstm", "mlp"])
@pytest.mark.parametrize("change", [{}, {"n_layers": 3}, {"task": "add+random", "n_layers": 2}],
                         ids=["one layer", "three layers", "two tasks"])
def test_the_other_networks_are_made_of_pytorchs_layers(architecture, change):
    config = RunConfig(architecture=architecture, p=7, d_h=6, D_train=20, init_scale=2.0, **change)
    w, tokens = models.initial_weights(config), torch.randint(0, 7, (9, config.n_ctx))
    x = torch.tensor(w["W_E"])[tokens]
    layers = pytorchs_own(config, w)
    last = layers(x[:, :-1]) if architecture == "mlp" else layers(x)[0][:, -1]
    logits = models.build(config, dtype=torch.float64)(tokens)
    np.testing.assert_allclose(logits.detach().numpy(), last.detach().numpy() @ w["W_U"], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("config", [
    RunConfig(), RunConfig(d_h=12, n_layers=3, task="add+random", p=11, D_train=5),
    *(RunConfig(architecture=architecture, d_h=12, task=task, p=11, D_train=5, n_layers=n_layers)
      for architecture in ("lstm", "mlp") for task in ("add", "add+random") for n_layers in (1, 3)),
])
def test_the_network_has_as_many_weights_as_the_config_says(config):
    network = models.build(config)
    vector = models.flatten(models.initial_weights(config), config)
    assert sum(w.numel() for w in network.parameters()) == config.n_params == len(vector)
    assert [(name, tuple(w.shape)) for name, w in network.named_parameters()
            if "." in name] == [item for item in models.weight_shapes(config).items() if "." in item[0]]


@pytest.mark.parametrize("architecture, d_h, n_weights", [
    ("transformer", 128, 393_216), ("mlp", 128, 393_216), ("lstm", 144, 331_776)])
def test_two_layers_reach_the_papers_number_of_weights_besides_embeddings(architecture, d_h, n_weights):
    shapes = models.weight_shapes(RunConfig(architecture=architecture, d_h=d_h, n_layers=2))
    assert sum(math.prod(shape) for name, shape in shapes.items() if "." in name) == n_weights


def test_weights_of_another_network_are_refused():
    with pytest.raises(ValueError, match="these weights are not those of architecture='lstm' with d_h=64"):
        models.build(RunConfig(architecture="lstm"), models.initial_weights(RunConfig()))


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

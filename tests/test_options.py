"""The options beside the book's recipe, each against its formula: split layers, other weights, decay and noise."""

import math

import numpy as np
import pytest
import torch
from samples import assert_same_run
from test_engines import exact_loss, flat, relative, start

import grokbook as gb
from grokbook import models, tasks
from grokbook.config import RunConfig
from grokbook.training import cohort, engine_named

SMALL = RunConfig(p=7, d_h=8, D_train=30, n_warmup=3, lr=1e-2)
TWO_TASKS = RunConfig(task="add+random", p=7, d_h=8, D_train=30, D_random=20, split_mlp=True)


@pytest.fixture(params=["autograd", "vmapped"])
def engine(request):
    return lambda configs: engine_named(request.param)(configs, start(configs), "cpu", "float64")


def by_formula(config: RunConfig, n_steps: int) -> np.ndarray:
    """θ after so many steps, from the module's docstring, with the plain network's gradients."""
    table, split = tasks.table(config), tasks.split(config)
    tokens, labels = torch.tensor(table.tokens[split.train]), torch.tensor(table.labels[split.train])
    origin = torch.tensor(start([config])[0])
    theta, m, v = origin.clone(), torch.zeros_like(origin), torch.zeros_like(origin)
    anchor = origin if config.decay_towards == "init" else torch.zeros_like(origin)

    def drawn(kind: str, t: int) -> torch.Tensor:
        key = cohort.step_keys(torch.tensor(config.seed), torch.tensor(t))
        return getattr(config, kind) * models.gaussian(models.splitmix64(key) + cohort.NOISES.index(kind), len(theta))

    for t in range(1, n_steps + 1):
        noisy = theta + drawn("weight_noise", t)
        network = models.build(config, models.unflatten(noisy.numpy(), config), torch.float64)
        exact_loss(network(tokens), labels).backward()
        named = dict(network.named_parameters())
        parts = [named[name].grad for name in models.weight_shapes(config)]
        g = torch.cat([part.flatten() for part in parts if part is not None]) + drawn("gradient_noise", t)
        m, v = 0.9 * m + 0.1 * g, config.beta2 * v + (1 - config.beta2) * g**2
        lr = config.lr * min(t / config.n_warmup, 1)
        update = m / (1 - 0.9**t) / ((v / (1 - config.beta2**t)).sqrt() + 1e-8)
        theta = theta - lr * (config.weight_decay * (theta - anchor) + update - drawn("update_noise", t))
    return theta.numpy()


@pytest.mark.parametrize("change", [
    {"beta2": 0.999}, {"beta2": 0.9}, {"decay_towards": "init"}, {"gradient_noise": 0.01}, {"update_noise": 1.0},
    {"weight_noise": 0.05},
    {"decay_towards": "init", "gradient_noise": 0.01, "update_noise": 0.5, "weight_noise": 0.01, "beta2": 0.9}])
def test_steps_are_those_of_the_formula(change, engine):
    config = SMALL.replace(**change)
    trainer = engine([config])
    trainer.advance(12)
    expected = by_formula(config, 12)
    assert relative(trainer.weights(0), expected) < 1e-9
    assert relative(by_formula(SMALL, 12), expected) > 1e-3, "an option that changes nothing shows nothing"


def test_members_of_their_own_beta2_train_as_they_do_alone(engine):
    configs = [SMALL.replace(beta2=beta2, seed=seed) for beta2, seed in ((0.98, 0), (0.999, 1), (0.9, 2))]
    together = engine(configs)
    together.advance(10)
    for k, config in enumerate(configs):
        assert relative(together.weights(k), by_formula(config, 10)) < 1e-9


@pytest.mark.parametrize("kind", cohort.NOISES)
def test_noise_is_the_same_alone_in_a_cohort_and_after_a_pause(kind, engine):
    configs = [SMALL.replace(seed=seed, D_train=D, **{kind: 0.05}) for seed, D in ((0, 30), (1, 12), (2, 40))]
    together = engine(configs)
    together.advance(4)
    together.keep([2, 0])
    together.advance(3)
    for k, config in enumerate((configs[2], configs[0])):
        assert relative(together.weights(k), by_formula(config, 7)) < 1e-9


EVERY_OPTION = [
    {"dropout": 0.1, "batch_size": 8}, {"gradient_noise": 0.1, "update_noise": 0.1, "weight_noise": 0.1},
    {"decay_towards": "init", "beta2": 0.9}, {"task": "add+random", "D_random": 20, "split_mlp": True, "n_layers": 2}]


@pytest.mark.parametrize("name", ["autograd", "vmapped"])
@pytest.mark.parametrize("change", EVERY_OPTION, ids=lambda change: " ".join(change))
def test_a_cohort_that_was_stopped_and_taken_up_again_has_the_same_bits(change, name):
    """Its members end one after another, so those that go on are renumbered before and after the pauses."""
    configs = [SMALL.replace(seed=seed, D_train=D, n_steps=n, stop_early=False, **change)
               for n in (8, 24) for seed, D in ((0, 30), (1, 12), (2, 28))]
    through, paused = (gb.train(configs, engine=name) for _ in range(2))
    assert len([evaluation for evaluation in through if evaluation.finished]) == 2
    pauses = [3, 7, 8, 17]
    while pauses:
        for evaluation in paused:
            if evaluation.step >= pauses[0]:
                pauses.pop(0)
                break
    paused.stop()
    assert paused.runs() and list(paused) == [] and list(paused)[-1].step == 24
    for run, other in zip(through.runs(), paused.runs(), strict=True):
        assert_same_run(run, other)
        for weight in run.weights:
            np.testing.assert_array_equal(run.weights[weight], other.weights[weight])


def test_noise_is_gaussian_and_independent_of_other_steps_seeds_and_kinds():
    n, t = 100_000, torch.tensor(5)
    key = cohort.step_keys(torch.tensor([3]), t)[0]
    keys = [key + 1, cohort.step_keys(torch.tensor([4]), t)[0], cohort.step_keys(torch.tensor([3]), t + 1)[0]]
    drawn = models.gaussian(key, n)
    error = 5 / math.sqrt(n)  # five standard errors of a mean
    for power, moment in ((1, 0), (2, 1), (3, 0), (4, 3)):
        spread = math.sqrt([1, 2, 15, 96][power - 1])  # of x^power
        assert (drawn**power).mean().item() == pytest.approx(moment, abs=error * spread)
    inside = (drawn.abs() < 1).double().mean().item()
    assert inside == pytest.approx(0.682689, abs=error)
    for other in (*(models.gaussian(other, n) for other in keys), drawn.roll(1)):
        assert abs((drawn * other).mean().item()) < error


@pytest.fixture
def seeded():
    """PyTorch's own random numbers, the same in every run of the tests."""
    with torch.random.fork_rng():
        yield torch.manual_seed(0)


@pytest.mark.usefixtures("seeded")
def test_pytorchs_weights_spread_as_its_own_layers_do():
    for architecture in ("transformer", "lstm", "mlp"):
        config = RunConfig(architecture=architecture, d_h=64, n_layers=2, init="pytorch", init_scale=1.0)
        for name, w in models.initial_weights(config).items():
            if name in ("W_E", "W_pos"):
                own = torch.nn.Embedding(*w.shape).weight
                assert w.std() == pytest.approx(own.std().item(), rel=0.15), name
                assert abs(w).max() > 2
            else:
                n_inputs = w.shape[0] * w.shape[1] if name.endswith("W_O") else w.shape[-2]
                own = torch.nn.Linear(n_inputs, 64).weight
                assert abs(w).max() == pytest.approx(own.abs().max().item(), rel=0.01), name
                assert w.std() == pytest.approx(own.std().item(), rel=0.03), name
    scaled, plain = (models.initial_weights(RunConfig(init="pytorch", init_scale=scale)) for scale in (3.0, 1.0))
    assert all(np.allclose(scaled[name], 3 * plain[name]) for name in plain)


@pytest.mark.parametrize("n_layers", [1, 2])
@pytest.mark.parametrize("op, own", [(0, slice(0, 16)), (1, slice(16, 32))], ids=["additions", "subtractions"])
def test_each_task_has_its_half_of_the_neurons(n_layers, op, own):
    """A narrow network of those neurons alone answers the task's rows as the split one does."""
    config = TWO_TASKS.replace(n_layers=n_layers)
    weights = models.initial_weights(config)
    for name in weights:
        if name.endswith(("W_in", "W_out")):
            keep = np.zeros(32)
            keep[own] = 1
            weights[name] = weights[name] * (keep if name.endswith("W_in") else keep[:, None])
    tokens = torch.tensor([[1, 7 + op, 3, 9], [0, 7 + op, 6, 9]])
    split = models.build(config, dtype=torch.float64)(tokens)
    torch.testing.assert_close(split, models.build(config.replace(split_mlp=False), weights, torch.float64)(tokens))
    assert not torch.allclose(split, models.build(config.replace(split_mlp=False), dtype=torch.float64)(tokens))


@pytest.mark.parametrize("n_layers", [1, 2, 3])
@pytest.mark.parametrize("split_mlp", [False, True])
def test_two_tasks_train_in_deep_networks_as_the_formula_says(n_layers, split_mlp, engine):
    config = TWO_TASKS.replace(n_layers=n_layers, split_mlp=split_mlp)
    trainer = engine([config])
    trainer.advance(10)
    assert relative(trainer.weights(0), by_formula(config, 10)) < 1e-9
    assert len(flat(models.build(config), config)) == config.n_params


@pytest.mark.parametrize("change", [{"n_layers": 2}, {"batch_size": 8}, {"dropout": 0.1}, {"decay_towards": "init"},
                                    {"gradient_noise": 0.1}, {"update_noise": 0.1}, {"weight_noise": 0.1}])
def test_an_engine_that_does_not_know_an_option_says_so_in_one_sentence(change):
    with pytest.raises(ValueError, match="^engine='fused' cannot train .*; valid here: autograd, vmapped$"):
        gb.train([SMALL.replace(**change)], engine="fused")
    assert gb.train([SMALL.replace(**change)]).provenance["engine"] == "autograd"

"""Every engine against the plain network in float64, and a member of a cohort against the run alone."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import train_all
from torch.nn import functional as F

from grokbook import models, tasks
from grokbook.config import EPS, RunConfig
from grokbook.run import METRICS
from grokbook.training import ENGINES, autograd, engine_named, fused, vmapped
from grokbook.training.autograd import CROSS_ENTROPY, exact_cross_entropy, loss_gradient, plain_cross_entropy
from grokbook.training.fused import shares
from grokbook.training.prefixes import PASSES

SMALL = RunConfig(p=11, d_h=8, D_train=60, n_steps=30)
ON_A_CPU = [name for name in ENGINES if name != "fused_cuda"]  # which has a module of tests for itself


def start(configs):
    return np.stack([models.flatten(models.initial_weights(c), c) for c in configs])


def usual_loop(config: RunConfig, n_steps: int) -> tuple[torch.nn.Module, torch.Tensor]:
    """What everyone writes: nn.Module, autograd, torch.optim.AdamW, one network, float64. Its first gradient too.

    Only the loss is in a form that does not cancel, so that a gradient has all its digits however small it is. AdamW
    divides a gradient by its size: of the digits that a small one lost it makes as large an error as of a large one's.
    """
    table, split = tasks.table(config), tasks.split(config)
    network = models.build(config, dtype=torch.float64)
    tokens, labels = torch.tensor(table.tokens[split.train]), torch.tensor(table.labels[split.train])
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.lr, betas=(0.9, 0.98),
                                  weight_decay=config.weight_decay)
    warmup = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda k: min((k + 1) / max(config.n_warmup, 1), 1))
    exact_loss(network(tokens), labels).backward()
    gradient = torch.cat([named_gradient(network, name) for name in models.weight_shapes(config)])
    for _ in range(n_steps):
        optimiser.zero_grad()
        exact_loss(network(tokens), labels).backward()
        optimiser.step()
        warmup.step()
    return network, gradient


def exact_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross entropy: softplus of the log of the sum of e^l over the wrong classes, less the right class's logit."""
    right = F.one_hot(labels, logits.shape[1]).bool()
    lead = logits.masked_fill(right, -math.inf).logsumexp(1) - logits[right]
    return F.softplus(lead, threshold=500).mean()  # by default it is a line from 20 on


def named_gradient(network: torch.nn.Module, name: str) -> torch.Tensor:
    gradient = network.get_parameter(name).grad
    assert gradient is not None
    return gradient.flatten().clone()


def flat(network: torch.nn.Module, config: RunConfig) -> np.ndarray:
    named = dict(network.named_parameters())
    return np.concatenate([named[name].detach().numpy().ravel() for name in models.weight_shapes(config)])


def relative(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


@st.composite
def shapes(draw, scales=(0.5, 1.0, 2.0)):
    """Random one-layer configs of every task, small enough for hundreds of them."""
    n_heads = draw(st.sampled_from([1, 2, 3, 4]))
    p = draw(st.sampled_from([2, 3, 5, 7, 13]))
    task = draw(st.sampled_from(["add", "square", "divide", "random", "random-ordered", "add+random"]))
    n_pairs = p * (p - 1) if task == "divide" else p * p
    return RunConfig(task=task, p=p, d_h=n_heads * draw(st.integers(1, 5)), n_heads=n_heads,
                     D_train=draw(st.integers(1, n_pairs)), seed=draw(st.integers(0, 5)),
                     D_random=draw(st.integers(0, p * p)) if task == "add+random" else 0,
                     lr=draw(st.sampled_from([1e-3, 1e-2])), weight_decay=draw(st.sampled_from([0.0, 1.0])),
                     n_warmup=draw(st.integers(0, 12)), init_scale=draw(st.sampled_from(scales)))


@settings(max_examples=25, deadline=None)
@given(config=shapes())
def test_gradients_and_a_hundred_steps_of_the_fused_engine_are_those_of_the_usual_loop(config):
    network, gradient = usual_loop(config, 100)
    trainer = engine_named("fused")([config], start([config]), "cpu", "float64")
    assert relative(trainer.gradient()[0], gradient.numpy()) < 1e-10
    trainer.advance(100)
    # Steps depend on one another, and a hundred of them widen the rounding of the first: by 10⁵ in some networks. A
    # gradient that is zero but for its rounding, some 1e-15, moves its weight by lr times that over ε each step.
    assert relative(trainer.weights(0), flat(network, config)) < 1e-9 + 100 * config.lr * 1e-15 / EPS


@pytest.mark.parametrize("engine", ["autograd", "vmapped"])
@settings(max_examples=15, deadline=None)
@given(config=shapes(scales=(0.5, 1.0)), architecture=st.sampled_from(["transformer", "lstm", "mlp"]),
       n_layers=st.integers(1, 3), split_mlp=st.booleans())
def test_networks_of_any_kind_and_depth_train_as_in_the_usual_loop(engine, config, architecture, n_layers, split_mlp):
    n_heads = config.n_heads if architecture == "transformer" else 4
    config = config.replace(architecture=architecture, n_layers=n_layers, n_heads=n_heads)
    if architecture == "transformer" and config.task == "add+random":
        config = config.replace(split_mlp=split_mlp)
    # At twice the scale, lr 0.01 and no warm-up three layers are chaotic: in 30 steps 1e-14 becomes 0.08.
    network, gradient = usual_loop(config, 30)
    trainer = engine_named(engine)([config], start([config]), "cpu", "float64")
    assert relative(trainer.gradient()[0], gradient.numpy()) < 1e-10
    trainer.advance(30)
    assert relative(trainer.weights(0), flat(network, config)) < 1e-9


@pytest.mark.parametrize("change", [{"n_layers": 3}, {"n_layers": 2, "task": "add+random", "D_random": 40},
                                    {"architecture": "lstm"}, {"architecture": "mlp", "loss": "plain"}])
def test_rows_are_cut_into_chunks_and_parts_that_add_up(change, monkeypatch):
    """A lone network on three threads, nine rows at a time, against one thread and all rows at once."""
    config = SMALL.replace(**change)
    whole = engine_named("autograd")([config], start([config]), dtype="float64", n_threads=1)
    monkeypatch.setattr(autograd, "ROWS", 9)
    monkeypatch.setattr(autograd, "LEAST_ROWS", 5)
    cut = engine_named("autograd")([config], start([config]), dtype="float64", n_threads=3)
    assert [len(part.chunks) for part in whole._parts[0]] == [1] and len(cut._parts[0]) == 3
    assert len(cut._parts[0][0].chunks) > 1
    assert relative(cut.gradient(), whole.gradient()) < 1e-12
    for trainer in (whole, cut):
        trainer.advance(10)
    assert relative(cut.weights(0), whole.weights(0)) < 1e-10
    for name, values in whole.evaluate().items():
        np.testing.assert_allclose(cut.evaluate()[name], values, rtol=1e-9)


def test_a_step_takes_as_many_products_as_there_are_prefixes_not_examples():
    """Tables have a row for each a, or (a, op); none of their sizes is the number of examples."""
    for task, n in (("add", 11), ("add+random", 22)):
        for architecture in ("transformer", "lstm", "mlp"):
            config = SMALL.replace(task=task, architecture=architecture, n_layers=2)
            passes = PASSES[architecture](config, tasks.table(config).tokens, torch.device("cpu"))
            weights = {name: torch.tensor(w) for name, w in models.initial_weights(config).items()}
            assert len(passes.prefixes) == n
            for table in passes.tables(weights):
                assert len(table) in (1, n, 11, config.d_vocab, 11 * n)


@pytest.mark.parametrize("kind", ["exact", "plain"])
@given(st.lists(st.floats(-30, 30), min_size=2, max_size=8), st.data())
def test_the_gradient_of_the_loss_is_autograds(kind, logits, data):
    x = torch.tensor([logits], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([data.draw(st.integers(0, len(logits) - 1))])
    CROSS_ENTROPY[kind](x, y).sum().backward()
    torch.testing.assert_close(loss_gradient(x, y, kind), x.grad, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("architecture", ["lstm", "mlp"])
def test_other_networks_train_in_a_cohort_as_they_do_alone(architecture):
    configs = [SMALL.replace(architecture=architecture, n_layers=2, D_train=D, seed=seed)
               for D, seed in ((60, 0), (20, 1))]
    together = train_all(configs, dtype="float64")
    for config, run in zip(configs, together, strict=True):
        alone = train_all([config], dtype="float64")[0]
        assert run.provenance["engine"] == "autograd"
        for name in ("step", *METRICS):
            np.testing.assert_allclose(run.curves[name], alone.curves[name], rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("p, d_h, D_train", [(113, 64, 3000), (113, 96, 3000), (31, 32, 950)])
def test_gradients_over_several_tiles_are_those_of_the_usual_loop(p, d_h, D_train):
    """The random ones above fit one tile; these parts take a dozen, and two of which the last is not full."""
    config = RunConfig(p=p, d_h=d_h, D_train=D_train)
    trainer = engine_named("fused")([config], start([config]), "cpu", "float64")
    (member,) = trainer.members
    assert np.diff(member.rows.bounds).max() > trainer._first.tile.mixed.shape[1]
    assert relative(trainer.gradient()[0], usual_loop(config, 0)[1].numpy()) < 1e-10


def test_the_largest_network_of_the_book_has_the_usual_loops_gradient():
    config = RunConfig(task="add+random", p=5, d_h=1024, D_train=12, D_random=9)
    gradient = engine_named("fused")([config], start([config]), "cpu", "float64").gradient()[0]
    assert relative(gradient, usual_loop(config, 0)[1].numpy()) < 1e-10


@pytest.mark.parametrize("engine", ON_A_CPU)
@settings(max_examples=15, deadline=None)
@given(config=shapes(scales=(0.5, 1.0)), loss=st.sampled_from(["exact", "plain"]))
def test_float32_gradients_stay_close_to_float64_ones(engine, config, loss):
    """At the recipe's scale and below: larger logits lose digits in e^l itself, whatever the engine."""
    config = config.replace(loss=loss)
    _, gradient = usual_loop(config, 1)
    trainer = engine_named(engine)([config], start([config]), "cpu", "float32")
    assert relative(trainer.gradient()[0], gradient.numpy()) < 1e-5


@pytest.mark.parametrize("engine", ON_A_CPU)
@settings(max_examples=15, deadline=None)
@given(config=shapes())
def test_metrics_are_those_of_the_plain_network(engine, config):
    table, split = tasks.table(config), tasks.split(config)
    network = models.build(config, dtype=torch.float64)
    logits = network(torch.tensor(table.tokens)).detach()
    loss = F.cross_entropy(logits, torch.tensor(table.labels), reduction="none").numpy()
    right = (logits.argmax(1).numpy() == table.labels)
    measured = engine_named(engine)([config], start([config]), "cpu", "float64").evaluate()
    for name, values, mask in (("train_loss", loss, split.train), ("train_acc", right, split.train),
                               ("val_loss", loss, split.val), ("val_acc", right, split.val),
                               ("twin_free_val_acc", right, split.twin_free_val)):
        expected = values[mask].mean() if mask.any() else np.nan
        assert measured[name][0] == pytest.approx(expected, rel=1e-9, nan_ok=True), name
    assert measured["param_norm"][0] == pytest.approx(np.linalg.norm(start([config])))


@pytest.mark.parametrize("engine", ON_A_CPU)
def test_a_member_of_a_cohort_trains_as_it_does_alone(engine):
    configs = [SMALL.replace(D_train=D, seed=seed, lr=lr, weight_decay=decay, n_steps=n)
               for D, seed, lr, decay, n in ((60, 0, 1e-3, 1.0, 30), (20, 1, 1e-2, 0.1, 60), (100, 2, 3e-3, 0.0, 45))]
    together = train_all(configs, engine=engine, dtype="float64")
    for config, run in zip(configs, together, strict=True):
        alone = train_all([config], engine=engine, dtype="float64")[0]
        for name in ("step", *METRICS):
            np.testing.assert_allclose(run.curves[name], alone.curves[name], rtol=1e-6, err_msg=name)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=7), st.integers(1, 40), st.integers(1, 5))
def test_threads_share_the_steps_evenly(costs, n_steps, n_threads):
    taken = shares(costs, n_steps, n_threads)
    steps = np.zeros(len(costs), int)
    for thread in taken:
        for member, n in thread:
            steps[member] += n
    assert (steps == n_steps).all() and len(taken) <= n_threads
    loads = [sum(costs[member] * n for member, n in thread) for thread in taken]
    assert max(loads) < n_steps * sum(costs) / n_threads + max(costs)


def test_on_the_fused_engine_it_does_so_bit_for_bit_whatever_the_threads():
    configs = [RunConfig(p=31, d_h=12, D_train=D, seed=seed) for D, seed in ((700, 0), (300, 1), (500, 2))]
    together = engine_named("fused")(configs, start(configs), n_threads=2)
    together.advance(20)
    for k, config in enumerate(configs):
        for n_threads in (1, 2, 3):
            alone = engine_named("fused")([config], start([config]), n_threads=n_threads)
            alone.advance(12)
            alone.advance(8)
            assert np.array_equal(alone.weights(0), together.weights(k)), (k, n_threads)


@pytest.mark.parametrize("engine", ON_A_CPU)
def test_members_that_finish_leave_the_others_alone(engine):
    configs = [SMALL.replace(seed=seed, n_steps=50) for seed in range(3)]
    whole = engine_named(engine)(configs, start(configs), dtype="float64")
    whole.advance(50)
    thinned = engine_named(engine)(configs, start(configs), dtype="float64")
    thinned.advance(20)
    thinned.keep([0, 2])
    thinned.advance(30)
    np.testing.assert_allclose(thinned.weights(1), whole.weights(2), rtol=1e-9)


def test_a_cohort_too_large_for_memory_goes_through_in_groups(monkeypatch):
    configs = [SMALL.replace(seed=seed) for seed in range(5)]
    roomy = engine_named("vmapped")(configs, start(configs), dtype="float64")
    room = 2.5 * roomy._bytes_per_member() / vmapped.SHARE_OF_MEMORY
    monkeypatch.setattr(vmapped, "free_bytes", lambda device: room)
    tight = engine_named("vmapped")(configs, start(configs), dtype="float64")
    assert len(roomy._groups) == 1 and len(tight._groups) == 3
    for engine in (roomy, tight):
        engine.advance(10)
    for k in range(5):
        np.testing.assert_allclose(tight.weights(k), roomy.weights(k), rtol=1e-9)
    for name, values in roomy.evaluate().items():
        np.testing.assert_allclose(tight.evaluate()[name], values, rtol=1e-9)


@settings(deadline=None)
@given(st.lists(st.floats(-60, 60), min_size=2, max_size=8), st.data())
def test_the_exact_loss_is_cross_entropy(logits, data):
    label = data.draw(st.integers(0, len(logits) - 1))
    x, y = torch.tensor(logits, dtype=torch.float64), torch.tensor(label)
    assert exact_cross_entropy(x, y).item() == pytest.approx(F.cross_entropy(x, y).item(), rel=1e-9, abs=1e-15)
    assert plain_cross_entropy(x, y).item() == pytest.approx(F.cross_entropy(x, y).item(), rel=1e-9, abs=1e-15)


def test_the_exact_loss_keeps_in_float32_the_gradient_that_the_plain_one_loses():
    x, y = torch.tensor([20.0, 0.0, 0.0], requires_grad=True), torch.tensor(0)
    exact = torch.autograd.grad(exact_cross_entropy(x, y), x)[0]
    plain = torch.autograd.grad(plain_cross_entropy(x, y), x)[0]
    assert exact[0].item() == pytest.approx(-2 * math.exp(-20), rel=1e-5)
    assert plain[0].item() == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("of", [exact_cross_entropy, lambda logits, labels: loss_gradient(logits, labels, "exact")])
def test_no_exponential_of_a_loss_is_subnormal(dtype, of, monkeypatch):
    """On a CPU PyTorch has MKL compute them, which flushes nothing and takes 25 times as long for each that is."""
    exponentiate, computed = torch.Tensor.exp_, []

    def watched(x: torch.Tensor) -> torch.Tensor:
        computed.append(exponentiate(x).clone())
        return x

    monkeypatch.setattr(torch.Tensor, "exp_", watched)
    least = torch.finfo(dtype).tiny
    logits = torch.linspace(2 * math.log(least), 0, 500, dtype=dtype).repeat(2, 1)
    of(logits, torch.tensor([3, 499]))
    assert computed and all((e >= least).all() for e in computed)


def test_a_confident_network_keeps_its_gradient_on_the_fused_engine():
    """Large weights make every p_y round to 1 in float32; the gradient must still be that of float64."""
    config = RunConfig(p=7, d_h=32, D_train=1, lr=1e-2, weight_decay=0.0)
    trained = engine_named("fused")([config], start([config]), dtype="float64")
    while trained.evaluate()["train_loss"][0] > 3e-8:
        trained.advance(1)
    confident = trained.weights(0)[None]
    exact, plain = (engine_named("fused")([config.replace(loss=loss)], confident, dtype="float32").gradient()[0]
                    for loss in ("exact", "plain"))
    reference = engine_named("vmapped")([config], confident, dtype="float64").gradient()[0]
    assert relative(exact, reference) < 1e-4
    assert relative(plain, reference) > 0.1


def test_a_loss_with_the_right_answer_far_below_the_others_is_finite_and_right():
    config = RunConfig(p=5, d_h=8, D_train=12)
    weights = 30 * start([config])
    fused, vmapped = (engine_named(name)([config], weights).evaluate() for name in ("fused", "vmapped"))
    assert np.isfinite(fused["val_loss"][0]) and fused["val_loss"][0] > 100
    assert fused["val_loss"][0] == pytest.approx(vmapped["val_loss"][0], rel=1e-4)


@pytest.mark.parametrize("engine", ON_A_CPU)
@pytest.mark.parametrize("name", models.weight_shapes(SMALL))
def test_a_weight_that_is_not_a_number_shows_in_the_losses(engine, name):
    weights = models.initial_weights(SMALL)
    weights[name].flat[0] = np.nan
    measured = engine_named(engine)([SMALL], models.flatten(weights, SMALL)[None], "cpu", "float32").evaluate()
    assert np.isnan([measured["train_loss"][0], measured["val_loss"][0], measured["param_norm"][0]]).all()


@pytest.mark.parametrize("engine", ON_A_CPU)
def test_a_class_without_a_number_makes_no_answer_right(engine):
    """One column of W_U: all other logits are finite, and the label's may be above all of those."""
    weights = models.initial_weights(SMALL)
    weights["W_U"][:, SMALL.p] = np.nan
    measured = engine_named(engine)([SMALL], models.flatten(weights, SMALL)[None], "cpu", "float32").evaluate()
    assert measured["train_acc"][0] == measured["val_acc"][0] == 0


def test_a_thread_that_fails_leaves_no_other_waiting(monkeypatch):
    trainer = engine_named("fused")([SMALL], start([SMALL]), n_threads=2)
    trainer.advance(1)
    advance = fused.advance

    def failing(n_steps, step, thread, *others):
        if thread == 0:
            raise OSError("no room")
        advance(n_steps, step, thread, *others)

    monkeypatch.setattr(fused, "advance", failing)
    with pytest.raises(OSError, match="no room"):
        trainer.advance(5)


def test_networks_that_train_and_are_evaluated_at_once_have_the_bits_they_have_alone():
    """Two lone networks of a notebook, each of them on all threads of an engine of its own."""
    configs = [SMALL.replace(seed=seed, d_h=d_h, n_steps=60) for seed, d_h in ((0, 8), (1, 16))]

    def train(config: RunConfig) -> tuple[list[np.ndarray], np.ndarray]:
        trainer, looked = fused.Fused([config], start([config]), n_threads=2), []
        for _ in range(30):
            trainer.advance(2)
            looked.append(np.concatenate(list(trainer.evaluate().values())))
        return looked, trainer.weights(0)

    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(train, configs))
    for (looked, weights), (looked_alone, weights_alone) in zip(together, map(train, configs), strict=True):
        np.testing.assert_array_equal(looked, looked_alone)
        np.testing.assert_array_equal(weights, weights_alone)


def test_a_second_rate_close_to_one_leaves_single_precision_its_step():
    config = RunConfig(p=11, d_h=8, D_train=60, beta2=1 - 1e-6)
    single, double = (engine_named("fused")([config], start([config]), dtype=dtype) for dtype in ("float32", "float64"))
    for trainer in (single, double):
        trainer.advance(20)
    moved = [trainer.weights(0) - start([config])[0] for trainer in (single, double)]
    assert relative(*moved) < 1e-3

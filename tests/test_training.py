"""Every engine against the plain network in float64, and the loop against the run alone."""

import contextlib
import math
import os
import signal
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

import grokbook as gb
from grokbook import models, tasks
from grokbook.config import RunConfig
from grokbook.run import METRICS, SETTLED, evaluation_steps
from grokbook.training import ENGINES, cohorts, compiled, engine_named, vmapped
from grokbook.training.loss import exact_cross_entropy, plain_cross_entropy

SMALL = RunConfig(p=11, d_h=8, D_train=60, n_steps=30)
ON_A_CPU = [name for name in ENGINES if name != "fused_cuda"]  # which has a module of tests for itself


def start(configs):
    return np.stack([models.flatten(models.initial_weights(c), c) for c in configs])


def usual_loop(config: RunConfig, n_steps: int) -> tuple[torch.nn.Module, torch.Tensor]:
    """What everyone writes: nn.Module, autograd, torch.optim.AdamW, one network, float64. Its first gradient too."""
    table, split = tasks.table(config), tasks.split(config)
    network = models.build(config, dtype=torch.float64)
    tokens, labels = torch.tensor(table.tokens[split.train]), torch.tensor(table.labels[split.train])
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.lr, betas=(0.9, 0.98),
                                  weight_decay=config.weight_decay)
    warmup = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda k: min((k + 1) / max(config.n_warmup, 1), 1))
    gradients = []
    for _ in range(n_steps):
        optimiser.zero_grad()
        F.cross_entropy(network(tokens), labels).backward()
        gradients.append([named_gradient(network, name) for name in models.weight_shapes(config)])
        optimiser.step()
        warmup.step()
    return network, torch.cat(gradients[0])


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


@pytest.mark.parametrize("engine", ON_A_CPU)
@settings(max_examples=25, deadline=None)
@given(config=shapes())
def test_gradients_and_a_hundred_steps_are_those_of_the_usual_loop(engine, config):
    network, gradient = usual_loop(config, 100)
    trainer = engine_named(engine)([config], start([config]), "cpu", "float64")
    # The usual loop itself cancels: a gradient of 1e-16 and less is noise there, in float64 too.
    error = np.linalg.norm(trainer.gradient()[0] - gradient.numpy())
    assert error < 1e-10 * np.linalg.norm(gradient) + 1e-14
    trainer.advance(100)
    np.testing.assert_allclose(trainer.weights(0), flat(network, config), rtol=1e-6, atol=1e-8)


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
    together = gb.training.train_all(configs, engine=engine, dtype="float64")
    for config, run in zip(configs, together, strict=True):
        alone = gb.training.train_all([config], engine=engine, dtype="float64")[0]
        for name in ("step", *METRICS):
            np.testing.assert_allclose(run.curves[name], alone.curves[name], rtol=1e-6, err_msg=name)


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


def test_evaluations_fall_on_the_grid_and_end_with_the_budget():
    run = gb.training.train_all([SMALL])[0]
    assert np.array_equal(run.curves["step"], evaluation_steps(30))
    assert run.last_step == 30 and not run.settled


def test_a_longer_budget_continues_the_same_curves():
    short, long = (gb.training.train_all([SMALL.replace(n_steps=n)])[0] for n in (20, 50))
    shared = np.isin(long.curves["step"], short.curves["step"])
    assert np.array_equal(long.curves["train_loss"][shared], short.curves["train_loss"])


def test_a_run_stops_once_every_accuracy_has_stayed_at_one():
    config = RunConfig(p=11, d_h=32, D_train=110, lr=3e-3, n_steps=20_000)
    run = gb.training.train_all([config])[0]
    assert run.settled and run.last_step < 20_000
    assert (run.curves["val_acc"][-SETTLED:] == 1).all() and (run.curves["train_acc"][-SETTLED:] == 1).all()
    assert run.curves["val_acc"][-SETTLED - 1] < 1 or run.curves["twin_free_val_acc"][-SETTLED - 1] < 1
    longer = gb.training.train_all([config.replace(stop_early=False, n_steps=run.last_step + 50)])[0]
    assert longer.last_step == run.last_step + 50 and not longer.settled


def test_a_whole_table_in_training_leaves_nothing_to_validate():
    run = gb.training.train_all([SMALL.replace(task="random", D_train=121, n_steps=3)])[0]
    assert np.isnan(run.curves["val_acc"]).all() and np.isfinite(run.curves["train_loss"]).all()


def test_an_interrupt_keeps_what_was_trained_and_training_can_go_on(monkeypatch):
    configs = [SMALL.replace(seed=s) for s in range(2)]
    training = gb.train(configs)
    for evaluation in training:
        if evaluation.step >= 10:
            break
    partial = training.runs()
    assert [run.last_step for run in partial] == [10, 10] and all(run.weights for run in partial)
    rest = list(training)
    assert rest[-1].step == 30 and [run.last_step for run in training.runs()] == [30, 30]


def test_a_keyboard_interrupt_in_the_middle_of_steps_tears_nothing(monkeypatch):
    trained = []
    original = engine_named("fused").advance

    def interrupted(self, n_steps):
        trained.append(n_steps)
        if sum(trained) > 15:
            raise KeyboardInterrupt
        original(self, n_steps)

    monkeypatch.setattr(engine_named("fused"), "advance", interrupted)
    runs = gb.training.train_all([SMALL, SMALL.replace(d_h=4)])
    assert len(runs) == 1 and 0 < runs[0].last_step <= 15


def test_stop_ends_soon_with_a_last_evaluation():
    training = gb.train([SMALL.replace(n_steps=1_000_000)])
    steps = []
    for evaluation in training:
        steps.append(evaluation.step)
        if evaluation.step > 50:
            training.stop()
    assert steps[-1] < 1000 and training.runs()[0].last_step == steps[-1]


def test_a_parents_weights_are_where_its_child_starts():
    parent = gb.training.train_all([SMALL])[0]
    name = f"{parent.config.run_id}@{parent.last_step}"
    child = SMALL.replace(parent=name, D_train=20)
    run = gb.training.train_all([child], parents={name: parent.weights})[0]
    assert run.curves["val_loss"][0] != parent.curves["val_loss"][-1], "another split"
    same = gb.training.train_all([SMALL.replace(parent=name)], parents={name: parent.weights})[0]
    assert same.curves["val_loss"][0] == pytest.approx(parent.curves["val_loss"][-1], rel=1e-6)
    with pytest.raises(ValueError, match="has no weights here"):
        gb.train([child])


def test_a_parents_weights_come_back_from_the_store_in_their_places(tmp_path):
    parent, store = gb.training.train_all([SMALL])[0], gb.Store(tmp_path)
    store.write_weights(parent)
    name = f"{parent.config.run_id}@{parent.last_step}"
    child = gb.training.train_all([SMALL.replace(parent=name)], parents={name: store.weights(parent.config.run_id)})[0]
    assert child.curves["val_loss"][0] == pytest.approx(parent.curves["val_loss"][-1], rel=1e-6)


def test_weights_of_another_network_are_refused():
    weights = models.initial_weights(SMALL.replace(n_heads=2))
    with pytest.raises(ValueError, match="these weights are not those of a network with d_h=8, n_heads=4"):
        gb.train([SMALL.replace(parent="0123456789abcdef@5")], parents={"0123456789abcdef@5": weights})


def test_one_run_wished_for_twice_comes_back_with_both_budgets():
    runs = gb.training.train_all([SMALL.replace(n_steps=50), SMALL.replace(n_steps=20)])
    assert [run.last_step for run in runs] == [50, 20]


def test_the_cohorts_before_one_that_fails_are_not_lost_to_an_interrupt_nor_trained_for_a_missing_parent(monkeypatch):
    begun = []
    original = gb.training.train

    def interrupted(configs, **options):
        begun.append(configs)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return original(configs, **options)

    monkeypatch.setattr(gb.training, "train", interrupted)
    assert [run.last_step for run in gb.training.train_all([SMALL, SMALL.replace(d_h=4)])] == [30]
    with pytest.raises(ValueError, match="has no weights here"):
        gb.training.train_all([SMALL, SMALL.replace(d_h=4, parent="0123456789abcdef@5")])
    assert len(begun) == 2


@pytest.fixture
def interruptible():
    """^C raises KeyboardInterrupt, also where the tests were started in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_real_interrupts_leave_steps_curves_and_weights_in_step(interruptible):
    """^C again and again while it trains; in the end everything is as if nothing had happened."""
    config = SMALL.replace(n_steps=30_000, stop_early=False)
    training, interrupts = gb.train([config, config.replace(seed=1)]), 0
    while training.step < 30_000:
        timer = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        try:
            for _ in training:
                pass
        except KeyboardInterrupt:
            interrupts += 1
            for run in training.runs():
                theta = models.flatten(run.weights, run.config)
                assert run.last_step == training.step
                assert np.linalg.norm(theta) == pytest.approx(run.curves["param_norm"][-1], rel=1e-5)
        with contextlib.suppress(KeyboardInterrupt):
            timer.join()
    assert interrupts > 0
    for run, alone in zip(training.runs(), gb.training.train_all(training.configs), strict=True):
        for name, weight in alone.weights.items():
            assert np.array_equal(run.weights[name], weight), name


def test_runs_that_are_asked_for_between_their_evaluations_are_looked_at_there():
    training = gb.train([SMALL.replace(n_steps=23), SMALL.replace(n_steps=5000, seed=1)])
    for evaluation in training:
        if evaluation.step == 23:
            break
    assert [run.last_step for run in training.runs()] == [23, 23]


@pytest.mark.parametrize("options, sentence", [
    ({"dtype": "banana"}, "dtype='banana' is unknown; valid: float32, float64"),
    ({"device": "meta"}, "device='meta' is not supported"),
])
def test_other_numbers_and_devices_are_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        gb.train([SMALL], **options)


def test_the_compiled_code_is_kept_under_a_name_that_follows_the_sources(tmp_path, monkeypatch):
    first = compiled.folder([tmp_path])
    changed = tmp_path / "tiles.py"
    changed.write_text(compiled.SOURCES[1].read_text() + "# changed")
    monkeypatch.setattr(compiled, "SOURCES", (compiled.SOURCES[0], changed, compiled.SOURCES[2]))
    assert first is not None and first.is_dir() and first != compiled.folder([tmp_path])
    (tmp_path / "file").write_text("")
    assert compiled.folder([tmp_path / "file"]) is None


def test_cohorts_group_what_can_train_together():
    configs = [SMALL, SMALL.replace(d_h=4), SMALL.replace(seed=1), SMALL.replace(task="square")]
    assert [[c.seed for c in group] for group in cohorts(configs)] == [[0, 1], [0], [0]]


@pytest.mark.parametrize("arguments, sentence", [
    (([],), "there is nothing to train"),
    (([SMALL, SMALL.replace(d_h=4)],), r"a cohort has one d_h, not \[4, 8\]"),
])
def test_cohorts_that_cannot_train_are_refused(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        gb.train(*arguments)


@pytest.mark.parametrize("options, sentence", [
    ({"engine": "warp"}, "engine='warp' is unknown; valid: auto, vmapped, fused, fused_cuda"),
    ({"engine": "fused_cuda"}, "engine='fused_cuda' cannot train .* on cpu; valid here: fused, vmapped$"),
    ({"device": "abacus"}, "device='abacus' is unknown"),
    ({"device": "cuda"}, "device='cuda' is not there"),
])
def test_engines_and_devices_that_are_not_there_are_refused(options, sentence, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=sentence):
        gb.train([SMALL], **options)


def test_an_engine_that_cannot_train_a_config_says_which_can():
    deep = SMALL.replace(n_layers=2)
    with pytest.raises(ValueError, match=r"engine='fused' cannot train transformer with n_layers=2 .* vmapped"):
        gb.train([deep], engine="fused")
    assert gb.train([deep]).provenance["engine"] == "vmapped"
    assert gb.train([SMALL], device="cpu").provenance["engine"] == "fused"

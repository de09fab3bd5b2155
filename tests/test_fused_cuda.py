"""The CUDA engine against the plain network: compiled where there is a GPU, else in Triton's interpreter."""

import dataclasses
import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from maps import usual
from samples import train_all
from test_engines import flat, relative, shapes, start, usual_loop
from torch.nn import functional as F

from grokbook import models, tasks
from grokbook.config import RunConfig
from grokbook.training import able, engine_named

if importlib.util.find_spec("triton") is None and "CI" not in os.environ:
    pytest.skip("Triton is not installed", allow_module_level=True)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
with pytest.MonkeyPatch.context() as patch:
    if DEVICE == "cpu":
        patch.setenv("TRITON_INTERPRET", "1")  # each module of Triton looks when it is imported, and never again
    import triton.experimental.gluon  # noqa: F401  (the one that the first launch would import, unpatched)

    from grokbook.training import fused_cuda
    from grokbook.training.fused_cuda import FusedCuda, Shape

assert fused_cuda.INTERPRETED == (DEVICE == "cpu"), "Triton was imported before this module could choose"

on_a_card = pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA device; the interpreter runs no compiled kernel")

TINY = RunConfig(p=3, d_h=4, n_heads=2, D_train=5)

SHAPES = (
    RunConfig(p=7, d_h=8, D_train=40),
    RunConfig(p=7, d_h=12, D_train=33, task="add+random", D_random=20, n_warmup=0),
    RunConfig(p=5, d_h=3, n_heads=3, D_train=7, task="random-ordered", lr=1e-2, weight_decay=0.0),
    RunConfig(p=7, d_h=20, D_train=30, task="divide", n_warmup=2),
    RunConfig(p=5, d_h=36, D_train=25, task="square", seed=3),
    RunConfig(p=2, d_h=48, D_train=1),
)


def engine(configs: list[RunConfig], dtype: str = "float64") -> FusedCuda:
    return FusedCuda(configs, start(configs), DEVICE, dtype)


def planned(config: RunConfig, n_models: int, dtype: str) -> int:
    return n_models * (fused_cuda._state_bytes(config, dtype) + fused_cuda._workspace_bytes(config, dtype))


def named(config: RunConfig) -> str:
    return f"{config.task}-p{config.p}-d{config.d_h}"


@pytest.mark.parametrize("config", SHAPES, ids=named)
def test_gradients_and_steps_are_those_of_the_usual_loop(config):
    network, gradient = usual_loop(config, 2)
    trainer = engine([config])
    assert relative(trainer.gradient()[0], gradient.numpy()) < 1e-12
    trainer.advance(2)
    assert relative(trainer.weights(0), flat(network, config)) < 1e-12


@settings(max_examples=6, deadline=None)
@given(config=shapes())
def test_gradients_of_any_shape_are_those_of_the_usual_loop(config):
    _, gradient = usual_loop(config, 1)
    assert relative(engine([config]).gradient()[0], gradient.numpy()) < 1e-10


def test_ten_steps_through_the_warm_up_are_those_of_the_usual_loop():
    config = RunConfig(p=2, d_h=3, n_heads=1, D_train=3, lr=1e-2, n_warmup=6)
    network, _ = usual_loop(config, 10)
    trainer = engine([config])
    trainer.advance(10)
    assert relative(trainer.weights(0), flat(network, config)) < 1e-10


def test_a_hundred_steps_with_given_gradients_are_those_of_adamw(monkeypatch):
    """Only the pass is left out, for the interpreter takes a fifth of a second for it."""
    config = TINY.replace(lr=1e-2, weight_decay=0.3, n_warmup=20)
    trainer, generator = engine([config]), torch.Generator().manual_seed(0)
    weight = torch.nn.Parameter(torch.tensor(start([config])[0]))
    adamw = torch.optim.AdamW([weight], lr=config.lr, betas=(0.9, 0.98), weight_decay=config.weight_decay)
    warmup = torch.optim.lr_scheduler.LambdaLR(adamw, lambda k: min((k + 1) / config.n_warmup, 1))
    monkeypatch.setattr(trainer._batches[0], "_differentiate", lambda: None)
    for _ in range(100):
        weight.grad = torch.randn(config.n_params, generator=generator, dtype=torch.float64)
        trainer._workspace["grad"][0, : config.n_params] = weight.grad.to(DEVICE)
        adamw.step()
        warmup.step()
        trainer.advance(1)
    assert relative(trainer.weights(0), weight.detach().numpy()) < 1e-12


@pytest.mark.parametrize("loss", ["exact", "plain"])
def test_in_float32_they_stay_close(loss):
    config = RunConfig(p=7, d_h=8, D_train=40, loss=loss)
    network, gradient = usual_loop(config, 2)
    trainer = engine([config], "float32")
    assert 1e-9 < relative(trainer.gradient()[0], gradient.numpy()) < 1e-5
    trainer.advance(2)
    assert 1e-9 < relative(trainer.weights(0), flat(network, config)) < 1e-5


def test_the_blocks_decide_the_order_of_sums_and_nothing_else(monkeypatch):
    """Several groups of several tiles, several turns of classes and neurons, as in larger networks."""
    config = RunConfig(p=19, d_h=8, D_train=75)
    whole = engine([config]).gradient()[0]
    small = dataclasses.replace(Shape.of(config), ROWS=16, GROUP=32, NEURONS=16, TOKENS=16, HELD=2, BLOCK=256)
    monkeypatch.setattr(Shape, "of", lambda config: small)
    cut = engine([config]).gradient()[0]
    assert 0 < relative(cut, whole) < 1e-12


@pytest.mark.parametrize("config", SHAPES[1:4], ids=named)
def test_metrics_are_those_of_the_plain_network(config):
    table, split = tasks.table(config), tasks.split(config)
    logits = models.build(config, dtype=torch.float64)(torch.tensor(table.tokens)).detach()
    loss = F.cross_entropy(logits, torch.tensor(table.labels), reduction="none").numpy()
    right = logits.argmax(1).numpy() == table.labels
    measured = engine([config]).evaluate()
    for name, values, mask in (("train_loss", loss, split.train), ("train_acc", right, split.train),
                               ("val_loss", loss, split.val), ("val_acc", right, split.val),
                               ("twin_free_val_acc", right, split.twin_free_val)):
        assert measured[name][0] == pytest.approx(values[mask].mean(), rel=1e-9), name
    assert measured["param_norm"][0] == pytest.approx(np.linalg.norm(start([config])))


def test_where_nothing_is_left_to_validate_there_is_no_accuracy():
    measured = engine([TINY.replace(D_train=9)]).evaluate()
    assert np.isnan(measured["val_acc"][0]) and np.isfinite(measured["train_loss"][0])


def test_a_label_is_right_only_strictly_above_all_others():
    trainer = engine([TINY])
    trainer._state["theta"].zero_()
    measured = trainer.evaluate()
    assert measured["train_acc"][0] == measured["val_acc"][0] == 0
    assert measured["train_loss"][0] == pytest.approx(np.log(TINY.d_vocab))


def test_a_member_trains_as_it_does_alone_bit_for_bit_even_where_memory_is_scarce(monkeypatch):
    long, short = RunConfig(p=5, d_h=4, D_train=20, n_warmup=2), RunConfig(p=5, d_h=4, D_train=3, lr=1e-2)
    configs = [long, short.replace(weight_decay=0.1, seed=1)]
    small = dataclasses.replace(Shape.of(configs[0]), ROWS=16, GROUP=16)
    monkeypatch.setattr(Shape, "of", lambda config: small)
    together = engine(configs, "float32")
    monkeypatch.setattr(fused_cuda, "BATCH", 1)
    monkeypatch.setattr(fused_cuda, "SPARE", 1.0)
    monkeypatch.setattr(fused_cuda, "free_bytes", lambda device: planned(configs[0], 2, "float32") - 1)
    in_turns = engine(configs, "float32")
    assert [batch.n for batch in together._batches] == [2] and [batch.n for batch in in_turns._batches] == [1, 1]
    together.advance(2)
    in_turns.advance(2)
    measured = together.evaluate(), in_turns.evaluate()
    for k, config in enumerate(configs):
        alone = engine([config], "float32")
        alone.advance(1)
        alone.advance(1)
        metrics = alone.evaluate()
        assert np.array_equal(together.weights(k), alone.weights(0))
        assert np.array_equal(in_turns.weights(k), alone.weights(0))
        for cohort_metrics in measured:
            assert all(value[k] == metrics[name][0] for name, value in cohort_metrics.items())


def test_members_that_finish_leave_the_others_alone():
    configs = [TINY.replace(seed=seed) for seed in range(3)]
    whole, thinned = engine(configs, "float32"), engine(configs, "float32")
    whole.advance(2)
    thinned.advance(1)
    thinned.keep([2, 0])
    thinned.advance(1)
    assert np.array_equal(thinned.weights(0), whole.weights(2))
    assert np.array_equal(thinned.weights(1), whole.weights(0))
    kept, all_three = thinned.evaluate(), whole.evaluate()
    assert all(np.array_equal(kept[name], all_three[name][[2, 0]], equal_nan=True) for name in kept)


def test_a_confident_network_keeps_its_gradient():
    """Large weights make every p_y round to 1 in float32; the gradient must still be that of float64."""
    config = RunConfig(p=5, d_h=16, D_train=1, lr=1e-2, weight_decay=0.0)
    trained = engine_named("vmapped")([config], start([config]), dtype="float64")
    while trained.evaluate()["train_loss"][0] > 3e-8:
        trained.advance(5)
    confident, reference = trained.weights(0)[None], trained.gradient()[0]
    exact, plain = (FusedCuda([config.replace(loss=loss)], confident, DEVICE, "float32").gradient()[0]
                    for loss in ("exact", "plain"))
    assert relative(exact, reference) < 1e-4
    assert relative(plain, reference) > 0.1


def test_a_loss_with_the_right_answer_far_below_the_others_is_finite_and_right():
    weights = 30 * start([TINY])
    measured = FusedCuda([TINY], weights, DEVICE, "float32").evaluate()
    expected = engine_named("vmapped")([TINY], weights, dtype="float64").evaluate()
    assert 100 < measured["val_loss"][0] < np.inf
    assert measured["val_loss"][0] == pytest.approx(expected["val_loss"][0], rel=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_planned_memory_is_what_a_cohort_takes(dtype):
    configs = [SHAPES[1].replace(seed=seed) for seed in range(3)]
    trainer = engine(configs, dtype)
    taken = sum(t.nbytes for tensors in (trainer._state, trainer._workspace) for t in tensors.values())
    assert planned(configs[0], 3, dtype) == taken + trainer._state["theta"].nbytes, "and a copy, for `keep`"


def test_a_cohort_that_cannot_fit_is_refused_before_it_trains(monkeypatch):
    monkeypatch.setattr(fused_cuda, "free_bytes", lambda device: 1e3)
    with pytest.raises(MemoryError, match=r"2 models of d_h=4 and 5 training pairs need .* GB .* train fewer"):
        engine([TINY, TINY.replace(seed=1)])


@pytest.mark.parametrize("config", [TINY.replace(n_layers=2), TINY.replace(d_h=65, n_heads=1)])
def test_a_network_that_the_kernels_cannot_hold_is_refused(config):
    assert not FusedCuda.cannot(TINY, torch.device(DEVICE), "float32")
    with pytest.raises(ValueError, match="^engine='fused_cuda' cannot train (n_layers=2|d_h=65, only up to 64)$"):
        FusedCuda([config], np.zeros((1, config.n_params)), DEVICE)


def test_a_cpu_without_the_interpreter_is_refused(monkeypatch):
    monkeypatch.setattr(fused_cuda, "INTERPRETED", False)
    with pytest.raises(ValueError, match="cannot train on cpu unless TRITON_INTERPRET=1"):
        FusedCuda([TINY], start([TINY]), "cpu")


@pytest.mark.filterwarnings("ignore:invalid value")  # the interpreter's NumPy remarks on it
@pytest.mark.parametrize("name", models.weight_shapes(TINY))
def test_a_weight_that_is_not_a_number_shows_in_the_losses(name):
    weights = models.initial_weights(TINY)
    weights[name].flat[0] = np.nan
    measured = FusedCuda([TINY], models.flatten(weights, TINY)[None], DEVICE, "float32").evaluate()
    assert np.isnan(measured["val_loss"][0]) and np.isnan(measured["param_norm"][0])


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_class_without_a_number_makes_no_answer_right():
    """One column of W_U: all other logits are finite, and the label's may be above all of those."""
    config = RunConfig(p=7, d_h=8, D_train=30)
    weights = models.initial_weights(config)
    assert FusedCuda([config], start([config]), DEVICE).evaluate()["train_acc"][0] > 0
    weights["W_U"][:, config.p] = np.nan
    measured = FusedCuda([config], models.flatten(weights, config)[None], DEVICE).evaluate()
    assert measured["train_acc"][0] == measured["val_acc"][0] == 0


def test_it_is_the_first_choice_on_cuda_and_the_last_on_an_interpreting_cpu(monkeypatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert able([TINY], cuda) == ["fused_cuda", "vmapped"]
    assert able([TINY.replace(n_layers=2)], cuda) == able([TINY.replace(d_h=100)], cuda) == ["vmapped"]
    assert "fused_cuda" not in able([TINY], cpu)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert able([TINY], cpu)[-1] == "fused_cuda"


def test_a_whole_training_goes_through_it(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    configs = [TINY.replace(n_steps=2), TINY.replace(seed=1, n_steps=3)]
    ours, reference = (train_all(configs, device=DEVICE, engine=name, dtype="float64")
                       for name in ("fused_cuda", "vmapped"))
    for run, expected in zip(ours, reference, strict=True):
        assert run.provenance["engine"] == "fused_cuda"
        for name, curve in expected.curves.items():
            np.testing.assert_allclose(run.curves[name], curve, rtol=1e-6, err_msg=name)


@on_a_card
def test_on_a_card_a_replayed_graph_takes_the_steps_that_single_launches_take():
    config = RunConfig(d_h=32, D_train=3000)
    replayed, launched = engine([config], "float32"), engine([config], "float32")
    replayed.advance(20)
    for _ in range(20):
        launched.advance(1)
    assert replayed._batches[0].graph and not launched._batches[0].graph
    assert np.array_equal(replayed.weights(0), launched.weights(0))


@on_a_card
@pytest.mark.parametrize("change", [{}, {"n_layers": 2}, {"architecture": "lstm"}, {"architecture": "mlp"},
                                    {"batch_size": 512}, {"dropout": 0.1}])
def test_on_a_card_the_vmapped_engine_replays_its_steps_in_full_float32(change):
    config = usual(d_h=32, D_train=3000).replace(**change)  # two layers of the book's begin with a loss of 470
    replayed, launched = (engine_named("vmapped")([config], start([config]), DEVICE) for _ in range(2))
    replayed.advance(20)
    for _ in range(20):
        launched._deal()
        launched._step()
    assert replayed._graph and relative(replayed.weights(0), launched.weights(0)) < 1e-3, "a step is some 4e-3"
    reference = engine_named("vmapped")([config], launched.weights(0)[None], "cpu", "float64")
    reference._rows, reference._step_number = launched._rows.cpu(), launched._step_number.cpu()
    assert relative(launched.gradient()[0], reference.gradient()[0]) < 1e-5, "with TF32 it would be some 3e-4"


@on_a_card
@pytest.mark.parametrize("d_h", [8, 32, 36, 64])
def test_on_a_card_full_size_members_train_as_alone_and_as_the_reference(d_h):
    configs = [RunConfig(d_h=d_h, D_train=D, seed=seed) for D, seed in ((3000, 0), (1000, 1), (5000, 2))]
    together = engine(configs, "float32")
    reference = engine_named("vmapped")(configs, start(configs), DEVICE, "float64")
    assert relative(together.gradient(), reference.gradient()) < 1e-5
    together.advance(5)
    reference.advance(5)
    for k in range(3):  # no later: from step 20 on even the reference in float32 has left that in float64
        assert relative(together.weights(k), reference.weights(k)) < 1e-3
    together.advance(45)
    together.keep([0, 2])
    together.advance(50)
    for k, config in enumerate(configs[::2]):
        alone = engine([config], "float32")
        alone.advance(100)
        assert np.array_equal(together.weights(k), alone.weights(0))


@on_a_card
@pytest.mark.parametrize("name", ["fused_cuda", "vmapped"])
def test_on_a_card_the_steps_are_taken_when_advance_returns(name):
    config = RunConfig(d_h=32, D_train=3000)
    trainer = engine_named(name)([config], start([config]), DEVICE)
    for _ in range(3):
        trainer.advance(50)
        assert torch.cuda.current_stream().query()


COMPILE = """
import subprocess, tempfile
from pathlib import Path
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from grokbook.config import RunConfig
from grokbook.training import fused_cuda, kernels

TYPES = {"tokens": "*i32", "labels": "*i32", "rows": "*i32", "n_rows": "*i32", "order": "*i32", "starts": "*i32",
         "masks": "*u8", "clock": "*fp64", "optimiser": "*fp64", "found": "*fp64", "n_table": "i32", "max_rows": "i32",
         "max_groups": "i32", "S": "constexpr"}
tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
S = kernels.Shape.of(RunConfig(d_h=20))
for kernel in vars(fused_cuda).values():
    if isinstance(kernel, triton.JITFunction):
        types = {name: TYPES.get(name, "*fp32") for name in kernel.arg_names}
        aligned = {(i,): [["tt.divisibility", 16]] for i, type in enumerate(types.values()) if type[0] == "*"}
        made = triton.compile(ASTSource(kernel, types, constexprs={"S": S}, attrs=aligned),
                              target=GPUTarget("cuda", 90, 32), options=fused_cuda.launch_options(kernel))
        with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
            file.write(made.asm["cubin"])
            file.flush()
            usage = subprocess.run([tool, "--dump-resource-usage", file.name], capture_output=True, text=True).stdout
        print(kernel.__name__, made.metadata.shared, usage.split("STACK:")[1].split()[0])
"""


def test_for_an_h100_the_kernels_compile_and_keep_their_operands_in_registers():
    """What the interpreter lets pass and a GPU would not: types that change in a loop, too much shared memory, spills.

    A product whose operands leave the registers shows as kilobytes of stack.
    """
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run([sys.executable, "-c", COMPILE], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    usage = {name: (int(shared), int(stack)) for name, shared, stack in map(str.split, done.stdout.splitlines())}
    assert len(usage) == 11
    assert max(shared for shared, _ in usage.values()) <= 227 * 1024
    assert max(stack for _, stack in usage.values()) < 1024, usage

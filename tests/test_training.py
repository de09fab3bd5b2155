"""The loop around the engines: when it looks, stops, continues and is interrupted; what it refuses."""

import contextlib
import importlib.util
import os
import signal
import threading
import time

import numpy as np
import pytest
import torch
from samples import assert_same_run, train_all

import grokbook as gb
from grokbook import models
from grokbook.config import RunConfig
from grokbook.run import SETTLED, evaluation_steps
from grokbook.training import cohort, cohorts, compiled, engine_named, loop

SMALL = RunConfig(p=11, d_h=8, D_train=60, n_steps=30)


def test_evaluations_fall_on_the_grid_and_end_with_the_budget():
    run = train_all([SMALL])[0]
    assert np.array_equal(run.curves["step"], evaluation_steps(30))
    assert run.last_step == 30 and not run.settled


def test_a_longer_budget_continues_the_same_curves():
    short, long = (train_all([SMALL.replace(n_steps=n)])[0] for n in (20, 50))
    shared = np.isin(long.curves["step"], short.curves["step"])
    assert np.array_equal(long.curves["train_loss"][shared], short.curves["train_loss"])


def test_a_run_stops_once_every_accuracy_has_stayed_at_one():
    config = RunConfig(p=11, d_h=32, D_train=110, lr=3e-3, n_steps=20_000)
    run = train_all([config])[0]
    assert run.settled and run.last_step < 20_000
    assert (run.curves["val_acc"][-SETTLED:] == 1).all() and (run.curves["train_acc"][-SETTLED:] == 1).all()
    assert run.curves["val_acc"][-SETTLED - 1] < 1 or run.curves["twin_free_val_acc"][-SETTLED - 1] < 1
    longer = train_all([config.replace(stop_early=False, n_steps=run.last_step + 50)])[0]
    assert longer.last_step == run.last_step + 50 and longer.settled  # along the way


def test_a_whole_table_in_training_leaves_nothing_to_validate():
    run = train_all([SMALL.replace(task="random", D_train=121, n_steps=3)])[0]
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
    training = gb.train([SMALL])
    with pytest.raises(KeyboardInterrupt):
        list(training)
    (run,) = training.runs()
    assert 0 < run.last_step == training.step <= 15 and run.curves["param_norm"][-1] == pytest.approx(
        np.linalg.norm(models.flatten(run.weights, SMALL)), rel=1e-6)


def test_stop_ends_soon_with_a_last_evaluation():
    training = gb.train([SMALL.replace(n_steps=1_000_000)])
    steps = []
    for evaluation in training:
        steps.append(evaluation.step)
        if evaluation.step > 50:
            training.stop()
    assert steps[-1] < 1000 and training.runs()[0].last_step == steps[-1]


def test_a_stop_before_the_first_chunk_records_no_step_twice(monkeypatch):
    training, kept = gb.train([SMALL]), loop.interrupts.kept

    def late():
        if training.step == 10:
            training.stop()
        return kept()

    monkeypatch.setattr(loop.interrupts, "kept", late)
    assert [evaluation.step for evaluation in training] == [*range(11), 10]
    assert training.runs()[0].curves["step"].tolist() == list(range(11))


def test_pauses_change_neither_curves_nor_when_a_run_settles(monkeypatch):
    """Paused at every step between two that are due, over the last two dozen evaluations."""
    config = RunConfig(p=11, d_h=32, D_train=110, lr=3e-3, n_steps=20_000)
    alone = train_all([config])[0]
    training, pauses = gb.train([config]), 0
    due = set(evaluation_steps(config.n_steps).tolist())
    monkeypatch.setattr(loop, "CHUNK_SECONDS", 0)
    advance = training._engine.advance

    def pausing(n_steps):
        advance(n_steps)
        if training.step > alone.last_step / 3 and training.step + 1 not in due:
            training.stop()

    monkeypatch.setattr(training._engine, "advance", pausing)
    while not any(evaluation.finished for evaluation in training):
        pauses += 1
        if training.step not in due:
            assert training.runs()[0].last_step == training.step and not training.runs()[0].settled
    (run,) = training.runs()
    assert pauses > 100 and run.settled
    assert_same_run(run, alone)


def test_an_interrupt_in_the_last_steps_ends_the_run_there(interruptible, monkeypatch):
    training = gb.train([SMALL])
    advance = training._engine.advance

    def interrupted(n_steps):
        advance(n_steps)
        if training.step + n_steps == 30:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(training._engine, "advance", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(training)
    assert training.runs()[0].last_step == 30 and list(training) == []


def test_a_parents_weights_are_where_its_child_starts():
    parent = train_all([SMALL])[0]
    name = f"{parent.config.run_id}@{parent.last_step}"
    child = SMALL.replace(parent=name, D_train=20)
    run = train_all([child], parents={name: parent.weights})[0]
    assert run.curves["val_loss"][0] != parent.curves["val_loss"][-1], "another split"
    same = train_all([SMALL.replace(parent=name)], parents={name: parent.weights})[0]
    assert same.curves["val_loss"][0] == pytest.approx(parent.curves["val_loss"][-1], rel=1e-6)
    with pytest.raises(ValueError, match="has no weights here"):
        gb.train([child])


def test_a_parents_weights_come_back_from_the_store_in_their_places(tmp_path):
    parent, store = train_all([SMALL])[0], gb.Store(tmp_path)
    store.write_weights(parent)
    name = f"{parent.config.run_id}@{parent.last_step}"
    child = train_all([SMALL.replace(parent=name)], parents={name: store.weights(parent.config.run_id)})[0]
    assert child.curves["val_loss"][0] == pytest.approx(parent.curves["val_loss"][-1], rel=1e-6)


def test_weights_of_another_network_are_refused():
    weights = models.initial_weights(SMALL.replace(n_heads=2))
    with pytest.raises(ValueError, match="not those of architecture='transformer' with d_h=8, n_heads=4"):
        gb.train([SMALL.replace(parent="0123456789abcdef@5")], parents={"0123456789abcdef@5": weights})


def test_one_run_wished_for_twice_comes_back_with_both_budgets():
    runs = train_all([SMALL.replace(n_steps=50), SMALL.replace(n_steps=20)])
    assert [run.last_step for run in runs] == [50, 20]


def test_real_interrupts_leave_steps_curves_and_weights_in_step(interruptible):
    """^C again and again while it trains; in the end everything is as if nothing had happened."""
    config = SMALL.replace(n_steps=30_000, stop_early=False)
    training, interrupts = gb.train([config, config.replace(seed=1)]), 0
    while training.step < 30_000:
        timer = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGINT))
        try:
            timer.start()
            for _ in training:
                pass
            timer.join()
        except KeyboardInterrupt:
            interrupts += 1
            for run in training.runs():
                theta = models.flatten(run.weights, run.config)
                assert run.last_step == training.step
                assert np.linalg.norm(theta) == pytest.approx(run.curves["param_norm"][-1], rel=1e-5)
        with contextlib.suppress(KeyboardInterrupt):
            timer.join()
    assert interrupts > 0
    for run, alone in zip(training.runs(), train_all(training.configs), strict=True):
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
    ({"device": "meta"}, "device='meta' is unknown"),
])
def test_other_numbers_and_devices_are_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        gb.train([SMALL], **options)


def test_a_cpu_plans_with_half_of_what_the_machine_has(monkeypatch):
    built_in = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert cohort.free_bytes(torch.device("cpu")) == built_in // 2
    monkeypatch.delattr(os, "sysconf")
    assert cohort.free_bytes(torch.device("cpu")) == cohort.UNKNOWN


def test_code_is_kept_by_one_process_at_a_time(tmp_path):
    inside, most = [0], [0]

    def save():
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.1)
        inside[0] -= 1

    alone = compiled._one_at_a_time(save, tmp_path / "lock")
    for act, one_at_a_time in ((save, False), (alone, True)):
        threads, most[0] = [threading.Thread(target=act) for _ in range(4)], 0
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (most[0] == 1) == one_at_a_time


def test_a_user_without_a_home_has_the_folder_beside_the_package(monkeypatch):
    def homeless(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(compiled.numba_config, "CACHE_DIR", "")
    assert len(compiled._candidates()) == 2
    monkeypatch.setattr(compiled.Path, "expanduser", homeless)
    assert compiled._candidates() == [compiled.HERE / "__pycache__"]
    monkeypatch.setattr(compiled.numba_config, "CACHE_DIR", "/elsewhere")
    assert compiled._candidates() == [compiled.Path("/elsewhere"), compiled.HERE / "__pycache__"]


@pytest.mark.parametrize("engine, package", [("fused", "numba"), ("fused_cuda", "triton")])
def test_an_engine_whose_package_is_missing_names_it(monkeypatch, engine, package):
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else there(name))
    sentence = f"engine='{engine}' cannot train without {package}, which is not installed; valid here: "
    with pytest.raises(ValueError, match=sentence):
        gb.train([SMALL], engine=engine)


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
    ({"engine": "warp"}, "engine='warp' is unknown; valid: auto, fused_cuda, fused, autograd, vmapped"),
    ({"engine": "fused_cuda"}, "engine='fused_cuda' cannot train on cpu; valid here: fused, autograd, vmapped$"),
    ({"device": "abacus"}, "device='abacus' is unknown"),
    ({"device": "cuda"}, "device='cuda' is not there"),
])
def test_engines_and_devices_that_are_not_there_are_refused(options, sentence, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=sentence):
        gb.train([SMALL], **options)

"""Mini-batches and dropout: what they draw, and that a run depends on its config alone however it is trained."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples import train_all
from test_engines import flat, start
from torch.nn import functional as F

from grokbook import models, tasks
from grokbook.config import RunConfig
from grokbook.run import METRICS
from grokbook.training import engine_named
from grokbook.training.cohort import batches

DAVIES = RunConfig(task="divide", p=7, D_train=21, d_h=6, n_heads=1, n_layers=2, batch_size=8, dropout=0.2,
                   weight_decay=1e-5, n_steps=30)


@given(st.integers(1, 49), st.data(), st.integers(0, 3))
def test_every_training_row_comes_once_an_epoch(D_train, data, seed):
    size = data.draw(st.integers(1, D_train))
    config = RunConfig(p=7, D_train=D_train, batch_size=size, seed=seed)
    drawn = batches(config)
    seen = np.concatenate([next(drawn) for _ in range(3 * D_train)])
    rows = np.flatnonzero(tasks.split(config).train)
    for epoch in seen[: len(seen) // D_train * D_train].reshape(-1, D_train):
        np.testing.assert_array_equal(np.sort(epoch), rows)


def test_epochs_and_seeds_have_orders_of_their_own():
    first = np.stack([next(batches(RunConfig(p=113, batch_size=4000, seed=seed))) for seed in (0, 0, 1)])
    assert (first[0] == first[1]).all() and (first[0] != first[2]).any()
    drawn = batches(RunConfig(batch_size=4000))
    assert (next(drawn) != next(drawn)).any()


@pytest.mark.parametrize("engine", ["autograd", "vmapped"])
def test_steps_on_batches_are_those_of_the_usual_loop(engine):
    config = DAVIES.replace(dropout=0.0)
    network = models.build(config, dtype=torch.float64)
    table, drawn = tasks.table(config), batches(config)
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.lr, betas=(0.9, 0.98), weight_decay=1e-5)
    warmup = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda k: min((k + 1) / config.n_warmup, 1))
    for _ in range(50):
        rows = next(drawn)
        optimiser.zero_grad()
        F.cross_entropy(network(torch.tensor(table.tokens[rows])), torch.tensor(table.labels[rows])).backward()
        optimiser.step()
        warmup.step()
    trainer = engine_named(engine)([config], start([config]), dtype="float64")
    trainer.advance(50)
    np.testing.assert_allclose(trainer.weights(0), flat(network, config), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("engine", ["autograd", "vmapped"])
def test_a_member_trains_as_it_does_alone(engine):
    configs = [DAVIES.replace(D_train=D, seed=seed, n_steps=n) for D, seed, n in ((21, 0, 30), (40, 1, 12), (9, 2, 30))]
    together = train_all(configs, dtype="float64", engine=engine)
    for config, run in zip(configs, together, strict=True):
        (alone,) = train_all([config], dtype="float64", engine=engine)
        for name in ("step", *METRICS):
            np.testing.assert_allclose(run.curves[name], alone.curves[name], rtol=1e-6, err_msg=name)


def test_both_engines_drop_the_same_entries():
    configs = [DAVIES, DAVIES.replace(seed=1, D_train=30)]
    trainers = [engine_named(name)(configs, start(configs), dtype="float64") for name in ("autograd", "vmapped")]
    for trainer in trainers:
        trainer.advance(10)
    for k in range(2):
        np.testing.assert_allclose(trainers[0].weights(k), trainers[1].weights(k), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("engine", ["autograd", "vmapped"])
def test_dropout_changes_training_and_never_the_evaluation(engine):
    trainers = [engine_named(engine)([config], start([config]), dtype="float64")
                for config in (DAVIES, DAVIES.replace(dropout=0.0))]
    before = [trainer.evaluate() for trainer in trainers]
    assert before[0] == before[1]
    for trainer in trainers:
        trainer.advance(3)
    assert not np.allclose(trainers[0].weights(0), trainers[1].weights(0))


def test_dropout_leaves_out_its_share_and_keeps_the_mean():
    x = torch.ones(200, 1000, dtype=torch.float64)
    key = models.splitmix64(torch.tensor(3))
    y = models.dropout(x, key, 0.1)
    left_out = (y == 0).double()
    assert set(y.unique().tolist()) == {0.0, 1 / 0.9}
    assert left_out.mean().item() == pytest.approx(0.1, abs=5 * (0.09 / x.numel()) ** 0.5)  # five standard errors
    others = [(models.dropout(x, key + i, 0.1) == 0).double() for i in (1, 2)]
    for other in (*others, left_out.roll(1, 0), left_out.roll(1, 1)):
        both = (left_out * other).mean().item()
        assert both == pytest.approx(0.01, abs=5 * (0.01 * 0.99 / x.numel()) ** 0.5)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2, max_size=50, unique=True))
def test_mixing_loses_nothing(values):
    assert models.splitmix64(torch.tensor(values)).unique().numel() == len(values)


def test_mixing_is_splitmix():
    """The first outputs of the published generator started at 0."""
    states = torch.tensor([0, models._signed(0x9E3779B97F4A7C15)])
    assert [int(z) % 2**64 for z in models.splitmix64(states)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]

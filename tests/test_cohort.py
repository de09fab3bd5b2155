"""What engines share: a cohort's arrays, its metrics, and which engine is chosen for it."""

import numpy as np
import pytest
import torch

import grokbook as gb
from grokbook import tasks
from grokbook.config import IDENTITY, RunConfig
from grokbook.training import ENGINES, able, engine_named, engines
from grokbook.training.cohort import Cohort, padded

SMALL = RunConfig(p=7, d_h=8, D_train=20)
CONFIGS = [SMALL, SMALL.replace(seed=1, D_train=49, lr=0.1), SMALL.replace(seed=2, n_warmup=0, beta2=0.9)]
CPU = torch.device("cpu")


def test_a_cohort_holds_each_members_labels_masks_and_rows():
    configs = [c.replace(task="random") for c in CONFIGS]
    cohort = Cohort(configs)
    for k, config in enumerate(configs):
        table, split = tasks.table(config), tasks.split(config)
        assert np.array_equal(cohort.tokens, table.tokens) and np.array_equal(cohort.labels[k], table.labels)
        assert np.array_equal(cohort.masks[k], [split.train, split.val, split.twin_free_val])
        assert np.array_equal(cohort.train_rows[k], np.flatnonzero(split.train))
    assert cohort.rates.tolist() == [[3e-3, 1, 10, 0.98], [0.1, 1, 10, 0.98], [3e-3, 1, 1, 0.9]]


def test_metrics_are_means_over_the_masks_and_the_same_alone_as_in_a_cohort():
    generator = np.random.default_rng(0)
    loss, right = generator.random((3, 49), np.float32), generator.random((3, 49)) < 0.5
    cohort = Cohort(CONFIGS)
    metrics = cohort.metrics(loss, right, np.arange(3.0))
    for k, config in enumerate(CONFIGS):
        split = tasks.split(config)
        for name, values, mask in (("train_loss", loss, split.train), ("train_acc", right, split.train),
                                   ("val_loss", loss, split.val), ("val_acc", right, split.val),
                                   ("twin_free_val_acc", right, split.twin_free_val)):
            mean = values[k][mask].mean(dtype=np.float64) if mask.any() else np.nan
            assert metrics[name][k] == pytest.approx(mean, rel=1e-12, nan_ok=True), name
        alone = Cohort([config]).metrics(loss[k : k + 1], right[k : k + 1], np.array([float(k)]))
        assert all(np.array_equal(alone[name], metrics[name][[k]], equal_nan=True) for name in metrics)
    cohort.keep([2, 0])
    kept = cohort.metrics(loss[[2, 0]], right[[2, 0]], np.array([2.0, 0.0]))
    assert all(np.array_equal(kept[name], metrics[name][[2, 0]], equal_nan=True) for name in metrics)
    assert [c.seed for c in cohort.configs] == [2, 0] and len(cohort) == 2


def test_padding_makes_rows_of_one_length():
    assert padded([np.array([3, 4, 5]), np.array([6])]).tolist() == [[3, 4, 5], [6, 0, 0]]


def test_a_fused_engine_refuses_a_field_that_it_does_not_name():
    for name in IDENTITY:
        if name not in engines.ONE_LAYER | {"architecture", "n_layers", "split_mlp"}:
            value = {"decay_towards": "init", "batch_size": 8}.get(name, 0.5)
            assert engines.unknown_options(SMALL.replace(**{name: value})) == f"{name}={value}"
    assert engines.unknown_options(SMALL.replace(n_layers=2, dropout=0.1)) == "n_layers=2, dropout=0.1"
    assert engines.unknown_options(SMALL) == ""


def test_one_member_decides_for_all_which_engine_trains(monkeypatch):
    kind = engine_named("fused")
    monkeypatch.setattr(kind, "cannot", lambda config, device, dtype: f"lr={config.lr}" * (config.lr == 0.1),
                        raising=False)
    assert gb.train([SMALL]).provenance["engine"] == "fused"
    assert gb.train(CONFIGS).provenance["engine"] == "autograd"
    with pytest.raises(ValueError, match="^engine='fused' cannot train lr=0.1; valid here: autograd, vmapped$"):
        gb.train(CONFIGS, engine="fused")


def test_the_reference_can_train_everything_and_is_the_last_choice():
    assert list(ENGINES)[-1] == "vmapped"
    for config in (SMALL, SMALL.replace(architecture="lstm"), SMALL.replace(weight_noise=0.1, n_layers=2)):
        assert able([config], CPU)[-1] == "vmapped"

"""Twin accuracy against networks whose answers are known: a symmetric memoriser, a plain one, one that adds."""

import numpy as np
import pytest
import xarray as xr

from grokbook import RunConfig, Store, tasks
from grokbook.analysis import twin_accuracy
from grokbook.analysis.events import twin_share
from grokbook.run import METRICS, Run
from grokbook.studies import load


def run_that_knows(config: RunConfig, known: np.ndarray) -> Run:
    """A run of one evaluation, of a network that answers exactly the rows of the table marked in `known`."""
    split = tasks.split(config)
    values = {"train_acc": known[split.train].mean(), "val_acc": known[split.val].mean(),
              "twin_free_val_acc": known[split.twin_free_val].mean()}
    curves = {name: np.array([values.get(name, 1.0)], np.float32) for name in METRICS}
    return Run(config.replace(n_steps=0), {"step": np.array([0])} | curves)


def stored(runs, folder) -> xr.Dataset:
    store = Store(folder)
    store.write(runs, "made-up")
    return load("made-up", store=store)


def config_and_split(D_train=3000):
    config = RunConfig(D_train=D_train, seed=4)
    return config, tasks.split(config), tasks.table(config).mirror


def test_a_symmetric_memoriser_knows_every_mirror_and_nothing_else(tmp_path):
    config, split, mirror = config_and_split()
    runs = stored([run_that_knows(config, split.train | split.train[mirror])], tmp_path)
    assert twin_accuracy(runs).item() == pytest.approx(1, abs=1e-5)
    assert runs["twin_free_val_acc"].item() == 0
    assert runs["val_acc"].item() == pytest.approx(twin_share(runs).item(), rel=1e-6)


def test_a_plain_memoriser_knows_no_mirror(tmp_path):
    config, split, _ = config_and_split()
    assert twin_accuracy(stored([run_that_knows(config, split.train)], tmp_path)).item() == pytest.approx(0, abs=1e-6)


def test_half_of_the_mirrors_is_a_half(tmp_path):
    config, split, mirror = config_and_split()
    twins = np.flatnonzero(split.val & split.train[mirror])
    known = split.twin_free_val.copy()
    known[twins[: len(twins) // 2]] = True
    runs = stored([run_that_knows(config, known)], tmp_path)
    assert twin_accuracy(runs).item() == pytest.approx(0.5, abs=1e-3)


def test_the_share_is_about_the_share_of_pairs_in_train_and_that_of_each_seed(tmp_path):
    configs = [RunConfig(D_train=D, seed=seed) for D in (2000, 3000) for seed in (0, 1)]
    runs = stored([run_that_knows(c, tasks.split(c).train) for c in configs], tmp_path)
    for config in configs:
        split, cell = tasks.split(config), {"D_train": config.D_train, "seed": config.seed}
        share = twin_share(runs).sel(cell).item()
        assert share == pytest.approx(1 - split.twin_free_val.sum() / split.val.sum())
        assert share == pytest.approx(config.frac_train, rel=0.05)


def test_a_task_that_is_not_symmetric_has_no_twins_and_so_no_twin_accuracy(tmp_path):
    config = RunConfig(task="random-ordered", p=7, D_train=20)
    runs = stored([run_that_knows(config, tasks.split(config).train)], tmp_path)
    assert twin_share(runs).item() == 0 and np.isnan(twin_accuracy(runs).item())


def test_division_has_pairs_0_over_b_in_their_place(tmp_path):
    config = RunConfig(task="divide", p=7, D_train=20)
    zero = tasks.table(config).tokens[:, 0] == 0
    runs = stored([run_that_knows(config, tasks.split(config).train | zero)], tmp_path)
    assert twin_share(runs).item() == pytest.approx(zero[tasks.split(config).val].mean())
    assert (twin_accuracy(runs) == 1).all()


def test_cells_without_a_run_stay_empty(tmp_path):
    configs = [RunConfig(D_train=2000, seed=0), RunConfig(D_train=3000, seed=1)]
    runs = stored([run_that_knows(c, tasks.split(c).train) for c in configs], tmp_path)
    assert np.isnan(twin_share(runs).sel(D_train=2000, seed=1).item())
    assert np.isnan(twin_accuracy(runs).sel(D_train=2000, seed=1)).all()

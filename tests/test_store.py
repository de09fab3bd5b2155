import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import safetensors
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import ROOT, SHORT, assert_same_run, configs, fake_run, finish, run_python, stored, truncate

from grokbook.config import FIELDS, IDENTITY, SCHEMA, RunConfig
from grokbook.run import METRICS, Run
from grokbook.store import Store, config_of
from grokbook.store import store as stores
from grokbook.studies import load


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "data")


# Writing and reading back


@st.composite
def some_runs(draw) -> list[Run]:
    chosen = draw(st.lists(configs(), min_size=1, max_size=4, unique_by=lambda c: c.run_id))
    runs = []
    for config in chosen:
        run = fake_run(config, draw(st.integers(0, 300)), settled=draw(st.booleans()))
        for name in draw(st.sets(st.sampled_from(METRICS))):
            run.curves[name][draw(st.integers(0, len(run.curves[name]) - 1)) :] = np.nan
        runs.append(run)
    return runs


@given(some_runs())
@settings(max_examples=30, deadline=None)
def test_what_is_written_is_read_back(runs):
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        assert store.write(runs, "study").parent == Path(folder, "study")
        requests = [run.config.replace(n_steps=run.last_step) for run in runs]
        for run, copy in zip(runs, stored(store, requests), strict=True):
            assert_same_run(run, copy)
        frame = store.frame().set_index("run_id")
        for run in runs:
            row = frame.loc[run.config.run_id]
            assert RunConfig(**row[list(FIELDS)]) == run.config
            assert (row.last_step, row.settled, row.schema) == (run.last_step, run.settled, SCHEMA)
        assert store.check() == []


def test_provenance_is_kept_and_what_is_not_known_stays_open(store):
    known = {"engine": "vmapped", "device": "cpu (x86_64)", "torch": "2.13.0", "commit": "0123abc", "seconds": 1.5,
             "trained_at": "2026-11-22T10:00:00+00:00"}
    store.write([fake_run(SHORT, provenance=known), fake_run(SHORT.replace(seed=1), provenance={"torch": None})], "a")
    full, bare = stored(store, [SHORT, SHORT.replace(seed=1)])
    assert full.provenance == known
    assert (bare.provenance["torch"], bare.provenance["engine"]) == ("", "")
    assert np.isnan(bare.provenance["seconds"])
    assert bare.provenance["trained_at"].startswith("20")


def test_what_is_not_stored_is_not_among_the_runs(store):
    requests = [SHORT.replace(seed=seed) for seed in (3, 1, 4, 0, 2)]
    store.write([fake_run(requests[4]), fake_run(requests[1])], "a")
    store.write([fake_run(requests[3]), fake_run(requests[2])], "a")
    assert [run.config for run in stored(store, requests)] == requests[1:]


def test_a_run_counts_in_whatever_study_it_lies(store):
    other = SHORT.replace(seed=1)
    store.write([fake_run(SHORT)], "one")
    store.write([fake_run(other)], "two")
    assert store.missing([SHORT, other]) == []
    assert store.load([SHORT, other]).sizes["seed"] == 2
    assert load("two", store=store).seed.values.tolist() == [1]
    assert store.frame("one").run_id.tolist() == [SHORT.run_id]
    assert len(store.frame()) == 2


def test_curves_that_do_not_belong_together_are_refused(store):
    def bad(**curves):
        return Run(SHORT, fake_run(SHORT).curves | curves)
    for run in (
        bad(val_acc=np.zeros(3, np.float32)),
        bad(step=np.zeros(0, np.int64), **{name: np.zeros(0, np.float32) for name in METRICS}),
        bad(step=fake_run(SHORT).curves["step"][::-1]),
        Run(SHORT, {"step": np.arange(3)}),
    ):
        with pytest.raises(ValueError, match=SHORT.run_id):
            store.write([fake_run(SHORT.replace(seed=1)), run], "a")
    with pytest.raises(ValueError, match="colour.*valid: engine"):
        store.write([fake_run(SHORT, provenance={"colour": "blue"})], "a")
    with pytest.raises(ValueError, match="no runs.*'a'"):
        store.write([], "a")
    assert not store.path.exists()


UNSAFE = ["", ".", "..", "../up", "a/b", ".hidden", "-x", "a b", "ä", "weights", "x" * 65, "a\n"]


@pytest.mark.parametrize("study", UNSAFE)
def test_a_name_that_is_no_safe_folder_is_refused(store, study):
    for act in (lambda: store.write([fake_run(SHORT)], study), lambda: load(study, store=store),
                lambda: store.pack(study)):
        with pytest.raises(ValueError, match="valid: up to 64 letters") as refusal:
            act()
        assert f"study={study!r}" in str(refusal.value)


# Which copy is read


@pytest.mark.parametrize(("copies", "request_", "covered"), [
    ([(100, False)], (100, True), True),
    ([(100, False)], (60, False), True),
    ([(100, False)], (101, True), False),
    ([(100, True)], (10_000, True), True),
    ([(100, True)], (10_000, False), False),
    ([(100, True)], (100, False), True),
    ([(50, False), (200, False)], (150, True), True),
    ([(100, True), (500, True)], (500, False), True),
    ([(100, True), (500, True)], (10_000, True), True),
    ([(100, True), (500, True)], (501, False), False),
    ([], (0, True), False),
])
def test_a_request_is_missing_unless_a_copy_was_followed_that_far(store, copies, request_, covered):
    request = SHORT.replace(n_steps=request_[0], stop_early=request_[1])
    for last_step, settled in copies:
        store.write([fake_run(SHORT.replace(n_steps=100_000), last_step, settled=settled)], "a")
    for _ in range(2):
        assert store.missing([request]) == ([] if covered else [request])
        assert len(stored(store, [request])) == covered
        if copies:
            store.pack("a")


def test_several_requests_for_one_run_become_one_that_covers_all(store):
    store.write([fake_run(SHORT)], "a")
    other = SHORT.replace(seed=1)
    requests = [SHORT, other, SHORT.replace(n_steps=900), SHORT.replace(n_steps=500, stop_early=False), other]
    assert store.missing(requests) == [other, SHORT.replace(n_steps=900, stop_early=False)]


def test_the_longest_copy_is_read_and_among_equals_the_first_trained(store):
    def copy(last_step, engine, trained_at):
        provenance = {"engine": engine, "trained_at": trained_at}
        return fake_run(SHORT.replace(n_steps=1000), last_step, provenance=provenance)
    store.write([copy(300, "short", "2026-01-01")], "a")
    store.write([copy(500, "late", "2026-01-03"), copy(500, "early", "2026-01-02")], "a")
    store.write([copy(100, "shorter", "2026-01-04")], "a")
    request = SHORT.replace(n_steps=80)
    for _ in range(2):
        assert [run.provenance["engine"] for run in stored(store, [request])] == ["early"]
        assert store.frame().engine.tolist() == ["early"]
        assert int(load("a", store=store).last_step.max()) == 500
        store.pack("a")
    assert pq.read_table(store.path / "a").num_rows == 1


# The cube


def test_every_cell_of_the_cube_is_the_run_that_was_trained_there_or_nan(store):
    runs = [fake_run(RunConfig(d_h=d_h, D_train=D, seed=seed, lr=lr), last, settled=last == 40)
            for d_h, D, seed, lr, last in [(48, 3000, 0, 1e-3, 40), (8, 3000, 0, 1e-3, 100), (8, 3200, 7, 0.1, 60)]]
    store.write(runs[:1], "a")
    store.write(runs[1:], "a")
    cube = load("a", store=store)
    assert cube.val_acc.dims == ("d_h", "D_train", "seed", "lr", "step")
    assert cube.step.values.tolist() == runs[1].curves["step"].tolist()
    for name, values in dict(d_h=[8, 48], D_train=[3000, 3200], seed=[0, 7], lr=[1e-3, 0.1]).items():
        assert cube[name].values.tolist() == values
    assert int(cube.trained.sum()) == int((cube.run_id != "").sum()) == 3
    for run in runs:
        cell = cube.sel({name: getattr(run.config, name) for name in ("d_h", "D_train", "seed", "lr")})
        assert (cell.run_id, cell.last_step, cell.settled) == (run.config.run_id, run.last_step, run.settled)
        for name in METRICS:
            assert cell[name].dtype == np.float32
            curve = cell[name].sel(step=run.curves["step"])
            np.testing.assert_array_equal(curve, run.curves[name])
            assert cell[name].sel(step=cube.step > run.last_step).isnull().all()
    for name in METRICS:
        assert int(cube[name].notnull().sum()) == sum(len(run.curves["step"]) for run in runs)
    assert not cube.settled.where(~cube.trained, 0).any() and (cube.last_step.where(~cube.trained, -1) == -1).all()


def test_every_field_of_a_run_is_a_coordinate_and_those_that_vary_are_dimensions(store):
    store.write([fake_run(SHORT)], "one")
    cube = load("one", store=store)
    assert dict(cube.sizes) == dict(d_h=1, D_train=1, seed=1, step=len(fake_run(SHORT).curves["step"]))
    assert cube["weight_decay"] == 1.0 and cube["task"] == "add" and not cube.attrs
    assert set(cube.coords) == {*IDENTITY, "step"}
    assert config_of(cube.isel(d_h=0, D_train=0, seed=0)).run_id == SHORT.run_id
    changed: dict[str, Any] = dict(weight_decay=0.5, task="square", parent="0123456789abcdef@5")
    store.write([fake_run(SHORT.replace(**changed)), fake_run(SHORT)], "two")
    cube = load("two", store=store)
    assert cube.train_acc.dims == ("d_h", "D_train", "seed", "task", "weight_decay", "parent", "step")
    assert set(cube.coords) == {*IDENTITY, "step"}
    cell = cube.isel(d_h=0, D_train=0).sel(**changed)
    assert config_of(cell, seed=3) == SHORT.replace(**changed, seed=3, n_steps=RunConfig().n_steps)
    assert config_of(cell["val_acc"].mean("step").isel(seed=0)).run_id == cell.run_id.item()
    with pytest.raises(ValueError, match="^weight_decay varies over these runs"):
        config_of(cube.isel(d_h=0, D_train=0, seed=0, task=0))
    assert cube.sel(**changed).run_id.item() == SHORT.replace(**changed).run_id
    assert not cube.sel(changed | {"task": "add"}).trained.item()


def test_a_slider_finds_the_nearest_cell(store):
    store.write([fake_run(SHORT.replace(d_h=d_h, D_train=D)) for d_h in (32, 48, 64) for D in (3000, 3500)], "a")
    cell = load("a", store=store).sel(d_h=44, D_train=3100, method="nearest").isel(seed=0)
    assert cell.run_id == SHORT.replace(d_h=48, D_train=3000).run_id


def test_curves_end_where_their_request_does(store):
    long, other = RunConfig(n_steps=20_000), RunConfig(n_steps=20_000, seed=1)
    store.write([fake_run(long), fake_run(other, 400, settled=True)], "a")
    requests = [long.replace(n_steps=50), long.replace(n_steps=102), other, other.replace(n_steps=30)]
    cube = store.load(requests)
    assert cube.last_step.values.ravel().tolist() == [100, 400]
    assert cube.settled.values.ravel().tolist() == [False, True]
    np.testing.assert_array_equal(cube.val_loss.isel(seed=0).dropna("step").squeeze(),
                                  fake_run(long, 100).curves["val_loss"])
    cut = store.load([other.replace(n_steps=30)])
    assert (cut.last_step.item(), cut.settled.item(), cut.step.max().item()) == (30, False, 30)
    assert [run.last_step for run in stored(store, requests[:1])] == [20_000]


def test_a_run_that_was_not_followed_as_far_as_requested_is_left_out(store):
    store.write([fake_run(SHORT), fake_run(SHORT.replace(seed=1, n_steps=500))], "a")
    cube = store.load([SHORT.replace(n_steps=500, seed=seed) for seed in (0, 1)])
    assert cube.seed.values.tolist() == [1]


def test_nothing_to_load_is_said_with_what_there_is(store):
    with pytest.raises(LookupError, match=f"no runs in {store.path}.*none"):
        store.followed()
    store.write([fake_run(SHORT)], "zones")
    with pytest.raises(LookupError, match="no runs in .*zoo.*zones"):
        load("zoo", store=store)
    with pytest.raises(LookupError, match="none of the requested runs"):
        store.load([SHORT.replace(seed=1)])
    with pytest.raises(LookupError, match="zoo"):
        store.pack("zoo")
    assert len(store.frame("zoo")) == 0 and set(FIELDS) <= set(store.frame("zoo").columns)


def test_a_cube_too_large_for_memory_is_refused_with_the_fields_that_vary(store):
    apart = [fake_run(RunConfig(d_h=4 * i, D_train=i, seed=i, n_steps=1)) for i in range(1, 300)]
    store.write(apart, "a")
    with pytest.raises(ValueError, match=r"d_h \(299 values\), D_train \(299 values\), seed \(299 values\), step \(2"):
        load("a", store=store)
    assert store.load([run.config for run in apart[:9]]).sizes["seed"] == 9


# Weights


def weighted(config=SHORT, **more):
    generator = np.random.default_rng(0)
    weights = {"W_E": generator.random((5, 3)), "layers.0.W_Q": generator.random((2, 4, 3)).astype(np.float32).T}
    return fake_run(config, weights=weights, **more)


def test_weights_are_read_back_as_they_were_with_their_config(store):
    run = weighted()
    path = store.write_weights(run)
    assert path == store.path / "weights" / f"{SHORT.run_id}@100.safetensors"
    weights = store.weights(SHORT.run_id)
    assert list(weights) == sorted(run.weights)
    for name, array in run.weights.items():
        assert weights[name].dtype == array.dtype
        np.testing.assert_array_equal(weights[name], array)
    with safetensors.safe_open(path, "numpy") as file:
        assert RunConfig(**json.loads(file.metadata()["config"])) == SHORT
    assert store.frame().empty and store.check() == []


def test_the_latest_weights_are_given_unless_a_step_is_named(store):
    for step in (900, 1000, None):
        run = fake_run(SHORT, weights={"W": np.array([float(step or 100)])})
        store.write_weights(run, step)
    store.write_weights(weighted(SHORT.replace(seed=1)), 5000)
    assert store.weights(SHORT.run_id)["W"].item() == 1000
    assert store.weights(SHORT.run_id, 100)["W"].item() == 100
    with pytest.raises(FileNotFoundError, match="step 7 .*there: 100, 900, 1000"):
        store.weights(SHORT.run_id, 7)
    with pytest.raises(FileNotFoundError, match="none"):
        store.weights(SHORT.replace(seed=2).run_id)


def test_damaged_or_absent_weights_are_said_to_be_so(store):
    with pytest.raises(ValueError, match=f"{SHORT.run_id} carries no weights"):
        store.write_weights(fake_run(SHORT))
    path = store.write_weights(weighted())
    truncate(path)
    with pytest.raises(OSError, match="damaged.*train the run again"):
        store.weights(SHORT.run_id)
    assert len(store.check()) == 1 and str(path) in store.check()[0]


# The folder, and what reading costs


def test_the_folder_is_the_one_given_or_that_of_the_environment_or_beside_the_package(monkeypatch, tmp_path):
    monkeypatch.setenv("GROKBOOK_DATA", str(tmp_path / "mine"))
    assert Store().path == tmp_path / "mine"
    assert Store(tmp_path).path == Store(str(tmp_path)).path == tmp_path
    assert not (tmp_path / "mine").exists()
    Store().write([fake_run(SHORT)], "a")
    assert len(Store(tmp_path / "mine").frame()) == 1
    for unset in (lambda: monkeypatch.setenv("GROKBOOK_DATA", ""), lambda: monkeypatch.delenv("GROKBOOK_DATA")):
        unset()
        beside = ROOT / "data"
        assert Store().path == (beside if beside.is_dir() else Path("data"))
    monkeypatch.setattr(stores, "__file__", str(tmp_path / "site" / "grokbook" / "store" / "store.py"))
    assert Store().path == Path("data")
    (tmp_path / "site" / "data").mkdir(parents=True)
    assert Store().path == tmp_path / "site" / "data"


def test_reading_never_imports_torch_nor_safetensors_without_weights(store):
    store.write([fake_run(SHORT)], "a")
    store.write_weights(weighted())
    code = """
import sys
from grokbook import RunConfig
from grokbook.store import Store
store = Store(sys.argv[1])
store.load(store.followed())
store.missing([RunConfig(n_steps=100)])
store.pack("a")
print("safetensors" in sys.modules)
store.weights(RunConfig().run_id)
store.check()
print("torch" in sys.modules)
"""
    assert finish(run_python(code, store.path)).split() == ["False", "False"]

import re
import tempfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from samples import SHORT, assert_same_run, fake_run, finish, run_python, stored, truncate

from grokbook.config import SCHEMA
from grokbook.store import DamagedShard, Store
from grokbook.studies import load


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "data")


def empty(path):
    path.write_bytes(b"")


def scribble(path):
    path.write_bytes(b"no Parquet at all")


def drop_column(path):
    pq.write_table(pq.read_table(path).drop_columns(["val_acc"]), path)


def retype_column(path):
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.column_names.index("run_id"), "run_id", table["step"]), path)


def add_column(path):
    table = pq.read_table(path)
    pq.write_table(table.append_column("momentum", pa.array([0.1] * len(table))), path)


def raise_schema(path):
    table = pq.read_table(path)
    i = table.column_names.index("schema")
    pq.write_table(table.set_column(i, "schema", pa.array([SCHEMA + 1] * len(table))), path)


def make_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(("damage", "advice"), [
    (truncate, "delete it and train its runs again"),
    (empty, "delete it and train its runs again"),
    (scribble, "delete it and train its runs again"),
    (make_folder, r"cannot be read \(Is a directory\); see to it that it can"),
    (drop_column, "lacks val_acc; move it elsewhere"),
    (retype_column, "delete it and train its runs again"),
    (add_column, "momentum: a newer grokbook wrote it; update grokbook"),
    (raise_schema, f"holds runs of schema {SCHEMA + 1}"),
])
def test_the_rest_loads_beside_a_shard_that_cannot_be_used(store, damage, advice):
    other = SHORT.replace(seed=1)
    store.write([fake_run(SHORT)], "a")
    bad = store.write([fake_run(other)], "a")
    damage(bad)
    with pytest.warns(DamagedShard, match=advice) as warned:
        assert store.missing([SHORT, other]) == [other]
    assert {str(bad) in str(warning.message) for warning in warned} == {True}
    with pytest.warns(DamagedShard):
        assert load("a", store=store).seed.values.tolist() == [0]
    with pytest.warns(DamagedShard):
        assert store.frame().seed.tolist() == [0]
    complaints = store.check()
    assert len(complaints) == 1 and str(bad) in complaints[0] and re.search(advice, complaints[0])
    with pytest.warns(DamagedShard):
        store.pack("a")
    assert bad.exists()


def windows(path):
    """What a tool makes of a file that takes it for text."""
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))


@pytest.fixture
def weights(store):
    arrays = {"W_E": np.random.default_rng(0).normal(size=(30, 40))}
    return store.write_weights(fake_run(SHORT, weights=arrays))


def alter(path):
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def rename(path):
    path.rename(path.with_name(f"{'0' * 16}@100.safetensors"))


def save_others(path):
    save_file({"W": np.ones(3)}, path)


@pytest.mark.parametrize(("damage", "sentence"), [
    (truncate, "is damaged or another program's"), (empty, "is damaged or"), (scribble, "is damaged or"),
    (windows, "is damaged or"), (alter, "its numbers were altered"), (save_others, "is damaged or"),
    (rename, f"holds weights of run {SHORT.run_id}; name"),
    (make_folder, "cannot be read (Is a directory); see to it"),
    (lambda path: path.chmod(0), "cannot be read (Permission denied); see to it"),
])
def test_weights_that_cannot_be_used_are_named(store, weights, damage, sentence, no_rights):
    damage(weights)
    (complaint,) = store.check()
    assert complaint.startswith(f"{weights.parent}/") and sentence in complaint
    with pytest.raises(OSError, match=re.escape(complaint)):
        store.weights("0" * 16 if damage is rename else SHORT.run_id)


@pytest.mark.parametrize("harmless", [lambda path: path.chmod(0o444), lambda path: path.with_stem("x@y").touch()])
def test_weights_are_read_beside_what_is_not_theirs_and_without_the_right_to_write(store, weights, harmless, no_rights):
    harmless(weights)
    weights.with_stem(f"{SHORT.run_id}@100 (copy)").write_bytes(weights.read_bytes())
    assert store.weight_steps(SHORT.run_id) == [100] and store.weights(SHORT.run_id)["W_E"].shape == (30, 40)


def test_a_shard_with_the_line_ends_of_windows_or_without_the_right_to_read_is_left_out(store, no_rights):
    paths = [store.write([fake_run(SHORT.replace(seed=seed))], "a") for seed in range(3)]
    windows(paths[1])
    paths[2].chmod(0)
    paths[0].chmod(0o444)
    with pytest.warns(DamagedShard) as told:
        assert store.frame().seed.tolist() == [0]
    damaged, locked = sorted((str(warning.message) for warning in told), key=lambda text: "cannot be read" in text)
    assert f"{paths[1]} is damaged" in damaged and f"{paths[2]} cannot be read (Permission denied); see" in locked


def test_a_path_that_the_locale_cannot_spell_is_no_damage(tmp_path):
    folder = tmp_path / "Übungen 学"
    Store(folder).write([fake_run(SHORT)], "a")
    code = "import sys, grokbook\nstore = grokbook.Store(sys.argv[1])\nprint(len(store.frame()), store.check())"
    assert finish(run_python(code, folder, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")) == "1 []\n"


def damage_curve(path):
    """Flip bytes of one curve, so that everything but that column is still sound."""
    group = pq.read_metadata(path).row_group(0)
    column = next(c for c in map(group.column, range(group.num_columns)) if c.path_in_schema.startswith("val_loss"))
    content = bytearray(path.read_bytes())
    end = column.data_page_offset + column.total_compressed_size
    content[end - 20 : end] = bytes(255 - byte for byte in content[end - 20 : end])
    path.write_bytes(content)


def test_what_is_missing_is_known_without_reading_a_curve(store):
    damage_curve(store.write([fake_run(SHORT)], "a"))
    assert store.missing([SHORT]) == []
    assert store.frame().run_id.tolist() == [SHORT.run_id]


def test_an_altered_curve_is_noticed_and_never_packed_away(store):
    bad = store.write([fake_run(SHORT)], "a")
    store.write([fake_run(SHORT.replace(seed=1))], "a")
    damage_curve(bad)
    with pytest.warns(DamagedShard, match=bad.name):
        assert store.load([SHORT, SHORT.replace(seed=1)]).seed.values.tolist() == [1]
    with pytest.warns(DamagedShard, match=bad.name):
        store.pack("a")
    assert bad.exists() and len(store.check()) == 1


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_no_altered_byte_changes_what_is_read_without_a_warning(where, flip):
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        path = store.write([fake_run(SHORT)], "a")
        before, content = load("a", store=store), bytearray(path.read_bytes())
        content[int(where * len(content))] ^= flip
        path.write_bytes(content)
        try:
            assert load("a", store=store).identical(before)
        except DamagedShard as damage:  # pytest turns warnings into errors
            assert str(path) in str(damage)


def test_a_field_younger_than_the_shard_has_its_default(store):
    run = fake_run(SHORT)
    path = store.write([run], "a")
    pq.write_table(pq.read_table(path).drop_columns(["parent", "loss", "commit"]), path)
    assert store.missing([SHORT]) == []
    assert_same_run(stored(store, [SHORT])[0], run)
    assert load("a", store=store)["loss"] == "exact"
    assert store.check() == []
    store.pack("a")
    assert store.frame().loss.tolist() == ["exact"]


def test_a_config_that_is_not_what_its_id_says_is_complained_of(store):
    path = store.write([fake_run(SHORT), fake_run(SHORT.replace(seed=1))], "a")
    table = pq.read_table(path)
    for value, complaint in ((32, "the config of"), (-1, "unusable config")):
        pq.write_table(table.set_column(table.column_names.index("d_h"), "d_h", pa.array([64, value])), path)
        complaints = store.check()
        assert len(complaints) == 1 and complaint in complaints[0]
        assert str(path) in complaints[0] and SHORT.replace(seed=1).run_id in complaints[0]

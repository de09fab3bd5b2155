import os
import signal
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from samples import SHORT, assert_same_run, fake_run, finish, run_python, stored

from grokbook.config import RunConfig
from grokbook.store import Store
from grokbook.store import store as stores
from grokbook.studies import load


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "data")


# Packing


def test_packing_leaves_one_file_that_says_the_same(store):
    runs = [fake_run(SHORT.replace(seed=seed), provenance={"engine": str(seed)}) for seed in range(5)]
    for run in runs:
        store.write([run, runs[0]], "a")
    store.write(runs, "b")
    elsewhere, before, frame = list((store.path / "b").iterdir()), load("a", store=store), store.frame("a")
    packed = store.pack("a")
    assert list((store.path / "a").iterdir()) == [packed]
    assert pq.read_metadata(packed).num_rows == 5
    assert load("a", store=store).identical(before)
    assert store.frame("a").equals(frame)
    assert list((store.path / "b").iterdir()) == elsewhere


def test_a_pack_that_dies_before_it_has_tidied_up_loses_nothing(store, monkeypatch):
    for seed in range(3):
        store.write([fake_run(SHORT.replace(seed=seed))], "a")
    before, unlink, gone = load("a", store=store), Path.unlink, []

    def die_at_the_second(path, missing_ok=False):
        gone.extend([path] if path.suffix == ".parquet" else [])
        if len(gone) == 2:
            raise KeyboardInterrupt
        unlink(path, missing_ok)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", die_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            store.pack("a")
    assert len(list((store.path / "a").glob("*.parquet"))) == 3
    assert load("a", store=store).identical(before)
    store.pack("a")
    assert len(list((store.path / "a").glob("*.parquet"))) == 1
    assert load("a", store=store).identical(before)


def test_a_run_written_while_its_study_is_packed_stays(store, monkeypatch):
    late = SHORT.replace(seed=1)
    store.write([fake_run(SHORT)], "a")
    pack_file = stores.shards.write_shard

    def write_meanwhile(folder, table):
        monkeypatch.undo()
        store.write([fake_run(late)], "a")
        return pack_file(folder, table)
    monkeypatch.setattr(stores.shards, "write_shard", write_meanwhile)
    store.pack("a")
    assert store.missing([SHORT, late]) == []


THREE = [SHORT.replace(seed=seed) for seed in range(3)]


@pytest.mark.parametrize(("read", "n_files_read_before"), [
    (lambda store: load("a", store=store).sizes["seed"], 1),
    (lambda store: load("a", store=store).sizes["seed"], 4),
    (lambda store: store.load(THREE).sizes["seed"], 4),
    (lambda store: len(store.frame()), 1),
    (lambda store: len(store.frame()), 4),
    (lambda store: 3 - len(store.missing(THREE)), 1),
    (lambda store: pq.read_metadata(store.pack("a")).num_rows, 1),
    (lambda store: 3 - len(store.check()), 1),
])
def test_a_reader_whose_files_are_packed_away_starts_anew(store, monkeypatch, read, n_files_read_before):
    for config in THREE:
        store.write([fake_run(config)], "a")
    read_shard, seen = stores.shards.read_shard, []

    def pack_first(path, columns):
        seen.append(path)
        if len(seen) > n_files_read_before:
            monkeypatch.undo()
            Store(store.path).pack("a")
        return read_shard(path, columns)
    monkeypatch.setattr(stores.shards, "read_shard", pack_first)
    assert read(store) == 3
    assert len(seen) == n_files_read_before + 1


# Writers that compete, die, or find no room

WRITER = """
import sys
from samples import fake_run
from grokbook import RunConfig
from grokbook.store import Store
store, n_steps = Store(sys.argv[1]), int(sys.argv[2])
for i in range(4):
    runs = [fake_run(RunConfig(seed=seed, n_steps=n_steps)) for seed in range(i, i + 3)]
    store.write(runs, "study")
    print(i, flush=True)
"""


def test_processes_that_write_pack_and_read_at_once_lose_and_double_nothing(store):
    writers = [run_python(WRITER, store.path, n_steps) for n_steps in (100, 300, 200)]
    while any(writer.poll() is None for writer in writers):
        n_before = len(store.frame())
        if n_before:
            store.pack("study")
        assert len(store.frame()) >= n_before
    for writer in writers:
        finish(writer)
    requests = [RunConfig(seed=seed, n_steps=300) for seed in range(6)]
    assert store.missing(requests) == []
    assert store.frame().run_id.is_unique
    for request, run in zip(requests, stored(store, requests), strict=True):
        assert_same_run(run, fake_run(request))
    assert load("study", store=store).sizes["seed"] == 6
    assert store.check() == []


DYING = WRITER.replace("for i in", """
import os, time
fsync = os.fsync
def hang(file):
    if os.path.isdir(f"{sys.argv[1]}/study") and len(os.listdir(f"{sys.argv[1]}/study")) > 3:
        print("half written", flush=True)
        time.sleep(600)
    fsync(file)
os.fsync = hang
for i in""")


def test_a_writer_killed_while_it_writes_loses_only_what_it_had_not_finished(store):
    writer = run_python(DYING, store.path, 100)
    assert writer.stdout
    assert [writer.stdout.readline().strip() for _ in range(4)] == ["0", "1", "2", "half written"]
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    assert writer.returncode == -signal.SIGKILL
    left = list((store.path / "study").glob(".*.tmp"))
    assert len(left) == 1 and left[0].stat().st_size > 0
    requests = [RunConfig(seed=seed, n_steps=100) for seed in range(6)]
    assert store.missing(requests) == requests[5:]
    assert load("study", store=store).sizes["seed"] == 5
    assert [str(left[0]) in complaint for complaint in store.check()] == [True]


FULL = """
import resource, sys
from samples import fake_run
from grokbook import RunConfig
from grokbook.store import Store
store = Store(sys.argv[1])
done = store.write([fake_run(RunConfig())], "study")
resource.setrlimit(resource.RLIMIT_FSIZE, (done.stat().st_size // 2,) * 2)
for write in (lambda: store.write([fake_run(RunConfig(seed=1))], "study"),
              lambda: store.write_weights(fake_run(RunConfig(), weights={"W_E": __import__("numpy").ones(99_999)}))):
    try:
        write()
    except OSError as error:
        print(error)
"""


def test_where_no_room_is_left_the_path_is_named_and_nothing_else_changes(store):
    lines = finish(run_python(FULL, store.path)).splitlines()
    assert len(lines) == 2
    assert f"cannot write {store.path}/study/" in lines[0] and "Everything stored before is untouched" in lines[0]
    assert f"cannot write {store.path}/weights/{RunConfig().run_id}@100000.safetensors: File too large" in lines[1]
    assert store.frame().seed.tolist() == [0]
    assert [path.suffix for path in store.path.glob("*/*")] == [".parquet"]


READ_ONLY = """
import os, sys
from samples import fake_run
from grokbook import RunConfig
from grokbook.store import Store
store = Store(sys.argv[1])
store.write([fake_run(RunConfig(n_steps=100))], "study")
os.chmod(store.write([fake_run(RunConfig(n_steps=100, seed=2))], "study"), 0)
os.chmod(store.path / "study", 0o555)
if os.geteuid() == 0:
    os.setuid(65534)
try:
    store.write([fake_run(RunConfig(n_steps=100, seed=1))], "study")
except PermissionError as error:
    print(error)
assert store.frame().seed.tolist() == [0]
print(*store.check())
"""


def test_where_rights_are_lacking_the_path_is_named_and_nobody_is_told_to_delete_anything():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        output = finish(run_python(READ_ONLY, folder))
        os.chmod(Path(folder, "study"), 0o755)
        refused, unreadable = output.splitlines()
        assert f"cannot write {folder}/study/" in refused and "Permission denied" in refused
        assert f"{folder}/study/" in unreadable and "cannot be read" in unreadable and "delete" not in unreadable


def test_a_file_where_the_folder_should_be_is_named(tmp_path):
    (tmp_path / "data").write_text("mine")
    with pytest.raises(OSError, match=f"cannot write {tmp_path}/data/study/"):
        Store(tmp_path / "data").write([fake_run(SHORT)], "study")
    assert (tmp_path / "data").read_text() == "mine"

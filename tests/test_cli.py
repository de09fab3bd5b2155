import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import numpy as np
import pytest
from chapters import SAMPLE
from click.testing import CliRunner, Result
from jupyterlab.commands import get_app_dir
from jupyterlab_server.settings_utils import get_settings
from samples import SHORT, fake_run, truncate

from grokbook import RunConfig, Store, book, studies
from grokbook.cli import main
from grokbook.networks import KEPT, Network
from grokbook.run import Run, hours


@pytest.fixture
def notebooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A book of one chapter in `notebooks`, seen from the folder above."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (folder / "07_sample.py").write_text(SAMPLE)
    monkeypatch.setattr(book, "NOTEBOOKS", folder)
    monkeypatch.setattr("grokbook.cli._stored_maps", lambda: ())
    monkeypatch.chdir(tmp_path)
    return folder


def grokbook(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def sentence(result: Result) -> str:
    """What a command said that ended with one sentence and exit status 1."""
    assert isinstance(result.exception, SystemExit) and result.exit_code == 1, result.exception
    said = result.output.splitlines()[-1]
    assert result.output.count("Error: ") == 1 and "Traceback" not in result.output
    return said


# Stores


def test_check_says_what_the_cards_say(tmp_path: Path):
    result = grokbook("check", "delay", "capacity", "--store", str(tmp_path))
    assert result.exit_code == 0 and result.output.count("not yet measured  n = 0") == 2
    assert result.output.endswith("2 claims: 2 not yet measured\n")
    assert "claim='delays' is unknown" in grokbook("check", "delays").output


@pytest.mark.parametrize("command", [("check",), ("status",), ("pack", "grokking")])
def test_a_store_that_is_not_there_is_no_empty_one(command: tuple[str, ...], tmp_path: Path):
    said = sentence(grokbook(*command, "--store", str(tmp_path / "nosuch")))
    assert said.startswith(f"Error: there is no store {tmp_path}/nosuch; ")


def timed(seconds: float, device: str = "cpu (x)", **fields) -> Run:
    return fake_run(RunConfig(**fields), provenance={"seconds": seconds, "device": device})


def test_status_ends_with_runs_and_hours_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    wanted = studies.grid(d_h=(8, 16), D_train=3000, seed=(0, 1), n_steps=36_000)
    study = studies.Study("small", "ours", "", 40, (*wanted, RunConfig(architecture="mlp")), wanted)
    monkeypatch.setattr(studies, "STUDIES", {"small": study})
    known = timed(3600, d_h=8, D_train=3000, n_steps=36_000), timed(1, d_h=8, seed=5, n_steps=0)
    Store(tmp_path).write(known, "small")
    lines = grokbook("status", "--store", str(tmp_path)).output.splitlines()
    assert lines[1].split() == ["small", "paper", "5", "1", "4"]
    assert lines[-3:-1] == ["paper: 4 runs missing, at most about 9.0 h on cpu (x) and 1 of a kind not timed yet",
                            "laptop: 3 runs missing, at most about 9.0 h on cpu (x)"]


def test_hours_count_examples_steps_and_size_by_the_median_of_each_device(tmp_path: Path):
    store = Store(tmp_path)
    assert hours([RunConfig()], store.frame().itertuples()) == {}
    for seed, seconds in enumerate((1, 2, 900)):
        store.write([timed(seconds, d_h=64, D_train=3000, n_steps=1000, seed=seed)], "a")
    store.write([timed(0.5, "gpu", d_h=64, D_train=3000, n_steps=1000, seed=3)], "a")
    long, wide = RunConfig(d_h=64, D_train=6000, n_steps=9000), RunConfig(d_h=128, batch_size=1500, n_steps=9000)
    cpu, gpu = (36 + 36) / 3600, (9 + 9) / 3600
    left = hours([long, wide], store.frame().itertuples())
    assert left == {"cpu (x)": (pytest.approx(cpu), 0), "gpu": (pytest.approx(gpu), 0)}


@pytest.mark.filterwarnings("default::grokbook.store.DamagedShard")
@pytest.mark.parametrize("command", [("check", "delay"), ("status",), ("pack", "a")])
def test_a_damaged_shard_is_named_and_fails_the_command_that_went_without_it(command: tuple[str, ...], tmp_path: Path):
    Store(tmp_path).write([fake_run(SHORT)], "a")
    truncate(bad := Store(tmp_path).write([fake_run(SHORT.replace(seed=1))], "a"))
    result = grokbook(*command, "--store", str(tmp_path))
    assert result.exit_code == 1 and f"Warning: {bad} is damaged" in result.output and bad.exists()


# Chapters


def test_rerun_runs_every_combination_and_tells_which_failed(notebooks: Path):
    result = grokbook("rerun", "07", "--set", "n=4,7", "--set", "word=total")
    assert result.exit_code == 1
    assert "[1/2] 07_sample_n=4_word=total" in result.output and "[2/2] 07_sample_n=7_word=total" in result.output
    assert "1 failed\nchapter 07_sample stopped in cell [7] with ZeroDivisionError" in result.output
    index = Path("_reruns/index.html").read_text()
    assert 'href="07_sample_n=4_word=total.html"' in index and "n=7" not in index
    assert nbformat.read("_reruns/07_sample_n=4_word=total.ipynb", as_version=4).metadata["grokbook"]["parameters"] == {
        "n": 4, "scale": 1.0, "word": "total", "loud": False}


@pytest.mark.parametrize("setting, sentence", [
    ("m=1", "Error: m is not a parameter of chapter 07_sample; valid: n (how many terms"),
    ("n=4,many", "Error: n='many' is of type str; n takes int"),
    ("n", "Error: --set n sets nothing; valid: --set NAME=VALUE"),
    ("word=a b,a-b", "Error: {'word': 'a b'} and {'word': 'a-b'} would be one file; "),
    ("n=4,-1", "Error: n_steps=-1 is too small; valid: 0 or more"),
])
def test_rerun_refuses_what_a_chapter_cannot_take_and_runs_nothing(setting: str, sentence: str, notebooks: Path):
    result = grokbook("rerun", "07", "--set", setting)
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert result.output.startswith(sentence)
    assert not Path("_reruns").exists()


def test_a_value_may_hold_an_equals_sign(notebooks: Path, monkeypatch: pytest.MonkeyPatch):
    given = []
    monkeypatch.setattr(book, "execute", lambda source, out, values, timeout: given.append(values["word"]))
    grokbook("rerun", "07", "--set", "word=a=b,==")
    assert given == ["a=b", "=="]


def test_html_asks_for_the_notebooks_it_lacks(notebooks: Path):
    result = grokbook("html")
    assert result.exit_code == 1
    assert result.output == "Error: chapter 07_sample has no notebook yet; make it with: grokbook build 07_sample\n"


def test_build_makes_the_pair_and_html_the_page(notebooks: Path):
    (notebooks / "07_sample.py").write_text(SAMPLE.replace("n - 7", "n - 8"))
    assert grokbook("build").exit_code == 0
    result = grokbook("html")
    assert (result.exit_code, result.output) == (0, "wrote _book/index.html\n")
    assert Path("_book/07_sample.html").exists()


def test_html_can_run_the_chapters_first(notebooks: Path):
    assert grokbook("html", "--execute", "--out", "pages").exit_code == 0
    assert Path("pages/07_sample.html").exists() and not (notebooks / "07_sample.ipynb").exists()


def test_an_unknown_chapter_is_one_sentence(notebooks: Path):
    assert grokbook("build", "8").output == "Error: no chapter is called '8'; there are: 07_sample\n"


@pytest.mark.parametrize("command", [("html",), ("rerun", "07", "--set", "n=4")])
@pytest.mark.parametrize("place, reason", [("file/pages", "Not a directory"), ("locked/pages", "Permission denied")])
def test_a_folder_that_cannot_be_made_is_one_sentence(command, place: str, reason: str, notebooks: Path, no_rights):
    Path("file").touch()
    Path("locked").mkdir(0o555)
    assert sentence(grokbook(*command, "--out", place)) == f"Error: {place} cannot be read or written: {reason}"


def test_a_chapter_is_not_run_where_its_notebook_cannot_be_written(notebooks: Path, no_rights):
    notebooks.chmod(0o555)
    assert f"{notebooks}/.unfinished cannot be read or written: Perm" in sentence(grokbook("build"))
    Path("_reruns").mkdir(0o555)
    assert "_reruns/" in sentence(grokbook("rerun", "07")) and "Permission denied" in sentence(grokbook("rerun", "07"))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def overwrite(path: Path) -> None:
    path.write_bytes(b"\x89PNG\r\n\x1a\n")


def lock(path: Path) -> None:
    path.chmod(0)


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def windows(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))


@pytest.mark.parametrize("damage", [empty, overwrite, lock, make_folder])
@pytest.mark.parametrize("command", [("build",), ("rerun", "07"), ("html", "--execute")])
def test_a_damaged_source_is_named_and_no_notebook_lost(command, damage: Callable, notebooks: Path, no_rights):
    (notebooks / "07_sample.ipynb").write_text("as it was")
    damage(notebooks / "07_sample.py")
    assert "07_sample" in sentence(grokbook(*command))
    assert (notebooks / "07_sample.ipynb").read_text() == "as it was"


def test_a_source_with_the_line_ends_of_windows_is_the_same_chapter(notebooks: Path):
    source = notebooks / "07_sample.py"
    before = book.read(source), book.stamp(source, {}), book.parameters(source)
    windows(source)
    assert (book.read(source), book.stamp(source, {}), book.parameters(source)) == before


def other_json(path: Path) -> None:
    path.write_text("{}")


@pytest.mark.parametrize("damage", [empty, overwrite, lock, make_folder, truncate, other_json])
def test_a_damaged_notebook_is_named_before_any_page_is_written(damage: Callable, notebooks: Path, no_rights):
    nbformat.write(book.read(notebooks / "07_sample.py"), notebooks / "07_sample.ipynb")
    damage(notebooks / "07_sample.ipynb")
    assert "07_sample" in sentence(grokbook("html"))
    assert list(Path("_book").iterdir()) == []


@pytest.mark.parametrize("allowed", [windows, lambda path: path.chmod(0o444)])
def test_a_notebook_that_is_only_unusual_gives_its_page(allowed: Callable, notebooks: Path, no_rights):
    nbformat.write(book.read(notebooks / "07_sample.py"), notebooks / "07_sample.ipynb")
    allowed(notebooks / "07_sample.ipynb")
    assert grokbook("html").exit_code == 0 and Path("_book/07_sample.html").exists()


def test_a_call_that_was_ended_goes_on_and_a_later_one_begins_anew(notebooks: Path, monkeypatch: pytest.MonkeyPatch):
    made, over = [], threading.Event()

    def execute(source: Path, out: Path, values: dict, timeout: int | None) -> None:
        while values["n"] == 3 and len(made) < 2:  # the first two run side by side
            time.sleep(0.01)
        if values["n"] == 3 and len(made) == 2:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)  # which alone hears of it
            over.wait(60)
            return
        nbformat.write(book.read(source), out)
        made.append(values["n"])

    monkeypatch.setattr(book, "execute", execute)
    rerun = ("rerun", "07", "--set", "n=1,2,3")
    assert sentence(grokbook(*rerun)).endswith("interrupted; what was trained or written before is kept")
    made.append("interrupted")
    over.set()
    result = grokbook(*rerun)
    assert result.exit_code == 0 and result.output.count("made before the interruption") == 2
    assert Path("_reruns/index.html").exists() and made == [1, 2, "interrupted", 3]
    assert grokbook(*rerun).exit_code == 0 and made[4:] == [1, 2, 3]


def test_the_book_runs_two_chapters_at_the_same_time(notebooks: Path):
    """Each waits until the other has begun; the second has no figure, and what stops it is no matter of the first."""
    for name, other, end in (("08_one", "09_two", "1"), ("09_two", "08_one", "1 / 0")):
        (notebooks / f"{name}.py").write_text(
            "# %% [markdown]\n# # One of two\n\n# %%\nfrom pathlib import Path\n\n"
            f"Path('{name}.begun').touch()\nwhile not Path('{other}.begun').exists():\n    pass\n{end}\n")
    (notebooks / "07_sample.py").unlink()
    result = grokbook("html", "--execute")
    assert result.exit_code == 1 and "chapter 09_two stopped in cell [1] with ZeroDivisionError" in result.output
    assert Path("_book/08_one.html").exists() and not Path("_book/09_two.html").exists()


def test_what_was_made_of_another_source_before_an_interruption_is_made_again(notebooks: Path, monkeypatch):
    made = []
    monkeypatch.setattr(book, "execute", lambda source, out, *_: made.append(nbformat.write(book.read(source), out)))
    grokbook("rerun", "07")
    Path("_reruns/.unfinished").touch()
    (notebooks / "07_sample.py").touch()
    assert grokbook("rerun", "07").exit_code == 0 and len(made) == 2


@pytest.mark.parametrize("page", ["index.html", "07_sample.html", "plotly.min.js"])
def test_a_page_that_cannot_be_written_is_named(page: str, notebooks: Path):
    nbformat.write(book.read(notebooks / "07_sample.py"), notebooks / "07_sample.ipynb")
    Path("_book", page).mkdir(parents=True)
    assert page in sentence(grokbook("html"))


def test_weights_of_an_unknown_network_are_refused_before_any_is_trained(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("grokbook.sweep.train", lambda *_, **__: pytest.fail("it trained"))
    result = grokbook("weights", "ungrokked", "nosuch", "--store", str(tmp_path))
    assert result.exit_code == 1 and result.output.startswith("Error: network='nosuch' is unknown; valid: grokked, ")


def test_weights_are_not_trained_for_a_store_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("grokbook.sweep.train", lambda *_, **__: pytest.fail("it trained"))
    (tmp_path / "file").touch()
    result = grokbook("weights", "ungrokked", "--store", str(tmp_path / "file" / "runs"))
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert result.output.startswith("Error: ") and f"cannot write {tmp_path / 'file' / 'runs'}" in result.output


def test_weights_that_are_there_are_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    network = Network(SHORT, (0, 10))
    monkeypatch.setitem(KEPT, "small", network)
    trained, run = [], fake_run(SHORT, weights={"W_E": np.ones(3)})
    monkeypatch.setattr("grokbook.sweep.keep_weights", lambda name, *_, **__: trained.append(name))
    for step in (0, 10):
        Store(tmp_path).write_weights(run, step)
    assert grokbook("weights", "small", "--store", str(tmp_path)).exit_code == 0 and trained == ["small"]
    Store(tmp_path).write_weights(run)
    assert "its weights are there" in grokbook("weights", "small", "--store", str(tmp_path)).output
    assert trained == ["small"]


@pytest.mark.parametrize("command", [("weights", "ungrokked"), ("sweep", "grokking"), ("pack", "a")])
def test_a_store_without_the_right_to_write_is_named_before_anything_trains(command, tmp_path, monkeypatch, no_rights):
    monkeypatch.setattr("grokbook.sweep.train", lambda *_, **__: pytest.fail("it trained"))
    Store(tmp_path).write([fake_run(SHORT)], "a")
    for folder in (tmp_path / "a", tmp_path):
        folder.chmod(0o555)
    assert f"cannot write {tmp_path}" in sentence(grokbook(*command, "--store", str(tmp_path)))
    assert len(Store(tmp_path).frame()) == 1


# The environment


def test_lab_opens_the_chapters_and_asks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    called = []
    monkeypatch.setattr(os, "execve", lambda *arguments: called.append(arguments))
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(tmp_path))
    assert grokbook("lab", "--no-browser").exit_code == 0
    ((program, command, environment),) = called
    chapter = str(book.NOTEBOOKS / "00_explore.ipynb")
    style = "--ServerApp.tornado_settings={'static_custom_path': ['" + str(book.NOTEBOOKS.parent)
    assert program == sys.executable and command[5].startswith(style)
    assert command[:5] + command[6:] == [program, "-m", "jupyterlab", chapter, "--custom-css", "--no-browser"]
    paths = environment["JUPYTER_CONFIG_PATH"]
    assert paths.split(os.pathsep)[0] == str(tmp_path)  # the reader's own come first

    monkeypatch.setenv("JUPYTER_CONFIG_PATH", paths)
    schemas = str(Path(get_app_dir()) / "schemas")
    for plugin, name, value in (("apputils-extension:notification", "fetchNews", "false"),
                                ("filebrowser-extension:browser", "showLastModifiedColumn", False)):
        settings, _ = get_settings("", schemas, "", f"@jupyterlab/{plugin}")
        assert settings["schema"]["properties"][name]["default"] == value, name


def test_lab_says_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "execve", lambda *_: pytest.fail("it opened"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "JupyterLab is not installed; install it: pip install jupyterlab" in sentence(grokbook("lab"))
    monkeypatch.setattr("grokbook.__file__", str(tmp_path / "grokbook" / "__init__.py"))
    assert sentence(grokbook("lab")).startswith(f"Error: there are no chapters in {tmp_path}/notebooks; ")


@pytest.mark.parametrize("fix, code", [("", 0), ("pip install torch", 1)])
def test_doctor_fails_if_something_is_to_be_mended(fix: str, code: int, monkeypatch: pytest.MonkeyPatch):
    from grokbook import doctor

    monkeypatch.setattr(doctor, "examine", lambda: [doctor.Finding("torch", fix)])
    result = grokbook("doctor")
    assert result.exit_code == code
    assert (f"fix: {fix}" in result.output) == bool(fix)

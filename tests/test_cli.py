from pathlib import Path

import nbformat
import pytest
from chapters import SAMPLE
from click.testing import CliRunner, Result

from grokbook import book
from grokbook.cli import main


@pytest.fixture
def notebooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A book of one chapter in `notebooks`, seen from the folder above."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (folder / "07_sample.py").write_text(SAMPLE)
    monkeypatch.setattr(book, "NOTEBOOKS", folder)
    monkeypatch.chdir(tmp_path)
    return folder


def grokbook(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_check_says_what_the_cards_say(tmp_path: Path):
    result = grokbook("check", "delay", "capacity", "--store", str(tmp_path))
    assert result.exit_code == 0 and result.output.count("not yet measured  n = 0") == 2
    assert result.output.endswith("2 claims: 2 not yet measured\n")
    assert "claim='delays' is unknown" in grokbook("check", "delays").output


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
    ("n=4,-1", "Error: n_steps=-1 is too small; valid: 0 or more"),
])
def test_rerun_refuses_what_a_chapter_cannot_take_and_runs_nothing(setting: str, sentence: str, notebooks: Path):
    result = grokbook("rerun", "07", "--set", setting)
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert result.output.startswith(sentence)
    assert not Path("_reruns").exists()


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
def test_a_folder_that_cannot_be_written_is_one_sentence(command: tuple[str, ...], notebooks: Path):
    Path("file").touch()
    result = grokbook(*command, "--out", "file/pages")
    assert result.exit_code == 1 and result.output.startswith("Error: file/pages cannot be written: ")


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


@pytest.mark.parametrize("fix, code", [("", 0), ("pip install torch", 1)])
def test_doctor_fails_if_something_is_to_be_mended(fix: str, code: int, monkeypatch: pytest.MonkeyPatch):
    from grokbook import doctor

    monkeypatch.setattr(doctor, "examine", lambda: [doctor.Finding("torch", fix)])
    result = grokbook("doctor")
    assert result.exit_code == code
    assert (f"fix: {fix}" in result.output) == bool(fix)

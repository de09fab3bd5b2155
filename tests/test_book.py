import json
import os
import sys
from pathlib import Path

import nbformat
import pytest
from chapters import SAMPLE
from hypothesis import given
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_notebook, new_output

from grokbook import book

PARAMETERS = '# %% tags=["parameters"]\n'


def chapter(folder: Path, text: str = SAMPLE, name: str = "07_sample") -> Path:
    source = folder / f"{name}.py"
    source.write_text(text)
    return source


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    return chapter(tmp_path)


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample chapter, run with n = 4, beside a kernel `python3` that is not ours."""
    folder = tmp_path_factory.mktemp("executed")
    decoy = folder / "kernels" / "python3"
    decoy.mkdir(parents=True)
    (decoy / "kernel.json").write_text(json.dumps({"argv": ["/bin/false"], "display_name": "", "language": "python"}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(folder))
        return book.execute(chapter(folder), folder / "out" / "07.ipynb", {"n": 4})


def printed(notebook: Path, name: str = "stdout") -> str:
    cells = nbformat.read(notebook, as_version=4).cells
    return "".join(o.text for c in cells for o in c.get("outputs", []) if o.get("name") == name)


@pytest.mark.parametrize("name", ["07", "07_sample", "{}/07_sample.py", "{}/07_sample.ipynb"])
def test_a_chapter_is_found_by_number_name_and_path(name: str, sample: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(book, "NOTEBOOKS", sample.parent)
    assert book.find(name.format(sample.parent)) == sample


@pytest.mark.parametrize("name", ["", ".", "{}/helper.py", "{}/07_sample.txt"])
def test_what_is_no_chapter_is_not_taken_for_one(name: str, sample: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(book, "NOTEBOOKS", sample.parent)
    for other in ("helper.py", "07_sample.txt"):
        (sample.parent / other).touch()
    with pytest.raises(ValueError, match="no chapter is called"):
        book.find(name.format(sample.parent))


def test_a_chapter_that_is_not_there_is_refused_with_those_that_are(sample: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(book, "NOTEBOOKS", sample.parent)
    with pytest.raises(ValueError, match="no chapter is called '08'; there are: 07_sample"):
        book.find("08")


def test_a_book_without_chapters_says_where_it_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(book, "NOTEBOOKS", tmp_path)
    with pytest.raises(ValueError, match=f"no chapters in {tmp_path}"):
        book.chapters()


def test_parameters_have_a_kind_a_default_and_a_meaning(sample: Path):
    n, scale, word, loud = book.parameters(sample).values()
    assert n == book.Parameter("n", int, 5, "how many terms; n = 7 stops the chapter")
    assert [p.default for p in (scale, word, loud)] == [1.0, "sum", False]
    assert [p.kind for p in (scale, word, loud)] == [float, str, bool]


def test_a_default_and_a_meaning_may_hold_what_looks_like_another_line(tmp_path: Path):
    line = 'word: str = "a = b # c"  # γ, such as x = 2: the # of words'
    (word,) = book.parameters(chapter(tmp_path, PARAMETERS + line)).values()
    assert word == book.Parameter("word", str, "a = b # c", "γ, such as x = 2: the # of words")


@pytest.mark.parametrize("line", ["n = 5  # no kind", "n: int = 5", "n: list = []  # none", "n: int = 0.5  # no int",
                                  "import os  # no parameter", "n: int = 2 * 3  # derived"])
def test_a_parameters_cell_holds_nothing_but_explained_scalars(line: str, tmp_path: Path):
    with pytest.raises((ValueError, TypeError), match="n"):
        book.parameters(chapter(tmp_path, PARAMETERS + line))


@given(st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.text()))
def test_a_value_typed_on_the_command_line_is_the_value(value: object):
    assert book.Parameter("x", type(value), value, "").parse(str(value)) == value


@pytest.mark.parametrize("values, message", [
    ({"m": 3}, r"m is not a parameter of chapter 07_sample; valid: n \(how many terms.*\), scale \(factor on"),
    ({"n": 2.5}, "n=2.5 is of type float; n takes int"),
    ({"loud": 1}, "loud=1 is of type int; loud takes bool"),
])
def test_a_wrong_parameter_is_refused_before_anything_runs(values: dict, message: str, sample: Path):
    with pytest.raises((ValueError, TypeError), match=message):
        book.execute(sample, sample.with_name("out.ipynb"), values)
    assert list(sample.parent.iterdir()) == [sample]


def test_a_grid_holds_every_combination_under_a_name_of_its_own(sample: Path):
    assert book.grid(sample, {"n": ["3", "4"], "word": ["a/b"]}) == {
        "07_sample_n=3_word=a-b": {"n": 3, "word": "a/b"}, "07_sample_n=4_word=a-b": {"n": 4, "word": "a/b"}}
    assert book.grid(sample, {}) == {"07_sample": {}}


@pytest.mark.parametrize("name, good, bad, message", [
    ("01", {"D_train": "12769"}, {"D_train": "12770"}, "D_train=12770 is outside the table; valid: 1 to 12769 pairs"),
    ("02", {"d_h": "100"}, {"d_h": "101"}, "d_h=101 is not divisible by n_heads=4"),
    ("07", {"d_h": "101"}, {"D_train": "9313"}, "D_train=9313 is outside the table; valid: 1 to 9312 pairs"),
])
def test_a_grid_with_a_value_that_a_chapters_network_cannot_have_is_refused(name, good, bad, message, capsys):
    """Each chapter's own network decides: that of 07 has one head, and its table fewer pairs."""
    source = book.find(name)
    assert len(book.grid(source, {key: [value] for key, value in good.items()})) == 1
    with pytest.raises(ValueError, match=message):
        book.grid(source, {key: [value] for key, value in bad.items()})
    assert not capsys.readouterr().out  # what follows the config in its cell does not run


def test_a_chapter_runs_with_the_values_it_is_given(executed: Path):
    assert printed(executed).startswith("sum 10.0")


def test_a_chapter_runs_in_this_python_and_in_its_own_folder(executed: Path):
    assert (executed.parents[1] / "ran_in").read_text() == sys.prefix


def test_every_cell_of_an_executed_chapter_is_numbered_in_order(executed: Path):
    cells = [cell for cell in nbformat.read(executed, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, 8))  # with the one papermill adds


def test_an_executed_chapter_tells_its_source_and_parameters(executed: Path):
    stamped = nbformat.read(executed, as_version=4).metadata["grokbook"]
    source = executed.parents[1] / "07_sample.py"
    assert stamped == book.stamp(source, {"n": 4, "scale": 1.0, "word": "sum", "loud": False})
    before = dict(stamped)
    source.write_text(source.read_text() + "\n# changed")
    assert book.stamp(source, before["parameters"])["source_sha256"] != before["source_sha256"]


def test_an_executed_chapter_tells_nothing_of_the_machine(executed: Path):
    text = executed.read_text()
    assert printed(executed).splitlines()[1].endswith(" ~/x")
    assert printed(executed, "stderr").startswith("cell:4: UserWarning: careful")
    for trace in (str(executed.parents[1]), str(Path.home()) + "/", "papermill\":", book.WIDGET, "widget-state"):
        assert trace not in text


def test_running_a_chapter_again_gives_the_same_bytes(sample: Path):
    once = book.execute(sample, sample.with_suffix(".ipynb")).read_bytes()
    assert book.execute(sample, sample.with_suffix(".ipynb")).read_bytes() == once
    assert {path.name for path in sample.parent.iterdir()} == {"07_sample.py", "07_sample.ipynb", "ran_in"}


def test_a_chapter_that_fails_says_where_and_loses_nothing(sample: Path):
    out = sample.with_name("out.ipynb")
    out.write_text("what was there before")
    with pytest.raises(book.ChapterError) as stopped:
        book.execute(sample, out, {"n": 7})
    partial = out.with_name("out.partial.ipynb")
    assert str(stopped.value) == ("chapter 07_sample stopped in cell [7] with ZeroDivisionError: division by zero; "
                                  f"what ran is in {partial}")
    assert out.read_text() == "what was there before"
    assert printed(partial).startswith("sum 28.0")
    assert book.finished(sample.parent) == [out]


@pytest.mark.parametrize("code, reason", [("while True: pass", "a cell took more than 1 s"),
                                          ("import os; os._exit(1)", "its kernel died")])
def test_a_chapter_that_hangs_or_dies_is_told_in_a_sentence(code: str, reason: str, tmp_path: Path):
    with pytest.raises(book.ChapterError, match=f"chapter 07_sample stopped: {reason}; what ran is in "):
        book.execute(chapter(tmp_path, f"# %%\n{code}\n"), tmp_path / "out.ipynb", timeout=1)


def test_cleaning_keeps_what_a_page_shows():
    picture = {"image/png": "aGk=", "text/plain": "a slider", book.WIDGET: {"model_id": "1"}}
    cell = new_code_cell("1", metadata={"papermill": {"duration": 1}, "tags": ["parameters"]},
                         outputs=[new_output("display_data", picture)])
    notebook = book.clean(new_notebook(cells=[cell], metadata={"widgets": {"state": {}}, "papermill": {}}))
    assert notebook.cells[0].outputs[0].data == {"image/png": "aGk=", "text/plain": "a slider"}
    assert notebook.cells[0].metadata == {"tags": ["parameters"]}
    widget = book.clean(new_notebook(cells=[new_code_cell("gb.widgets.Explorer()")])).cells[0]
    assert widget.metadata == {"jupyter": {"source_hidden": True}}
    assert set(notebook.metadata) == {"kernelspec", "language_info"}


def test_the_environment_is_as_it_was_after_a_run(executed: Path):
    assert "JUPYTER_PATH" not in os.environ

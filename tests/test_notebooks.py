"""Every chapter in `notebooks/`: the pair agrees, the notebook is whole and clean, and it runs, also with other values.

A chapter is covered by standing in the folder. `OTHER_VALUES` must then say with which other parameters it runs.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from grokbook import book, pages

ROOT = Path(__file__).parents[1]
SOURCES = sorted(book.NOTEBOOKS.glob("*.py"))

OTHER_VALUES = {
    "00_explore": {"d_h": 64, "D_train": 3000, "seed": 1, "budget": 15_000},
    "01_grokking": {"d_h": 32, "D_train": 4000, "n_steps": 200},
    "02_memorization_capacity": {"d_h": 8, "n_steps": 50},
    "03_four_zones": {"d_h": 64, "D_train": 3000, "n_steps": 50},
    "04_double_descent": {"d_h": 12, "D_train": 3000, "n_steps": 50},
    "05_emergence": {"d_h": 16, "D_train": 2000, "D_random": 500, "n_steps": 20},
    "06_pattern_model": {"d_h": 32, "n_patterns": 2, "clock": "log"},
    "07_model_wise_grokking": {"d_h": 8, "D_train": 300, "weight_decay": 1e-5, "n_steps": 20},
    "08_other_networks": {"architecture": "lstm", "n_steps": 20},
    "09_efficiency": {"w_m2": 1, "budget": 20_000},
    "10_general_circuit": {"name": "progression", "a": 100},
    "11_scorecard": {"paper": "Davies et al. 2022"},
}
"""Parameters for a second, short run of each chapter, by its name."""

LONGEST_CELL = 15

WIDEST = 80  # letters of a printed line, in a window of 800 pixels

every_chapter = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)


def stored(source: Path) -> NotebookNode:
    return nbformat.read(book.stored(source), as_version=4)


def code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def texts(notebook: NotebookNode) -> Iterator[str]:
    """Everything that the outputs say in words."""
    for output in (output for cell in code(notebook) for output in cell.outputs):
        yield output.get("text", "")
        yield from (value for kind, value in output.get("data", {}).items() if kind.startswith("text/"))


def test_there_are_chapters_and_each_has_other_values_to_run_with():
    assert SOURCES and {source.stem for source in SOURCES} == set(OTHER_VALUES)


def test_every_notebook_has_a_source():
    assert {notebook.stem for notebook in book.finished(book.NOTEBOOKS)} == {source.stem for source in SOURCES}


def test_chapters_lead_to_their_neighbours():
    titles = [f"{source.stem[:2]} {book.read(source).cells[0].source.splitlines()[0][2:]}" for source in SOURCES]
    links = [f"({source.stem}.ipynb)" for source in SOURCES]
    for k in range(1, len(SOURCES)):
        last = "" if k + 1 == len(SOURCES) else f" ·\n[{titles[k + 1]} →]{links[k + 1]}"
        middle = " ·\n[Glossary](glossary.md)" if k == 1 else f" ·\n[Contents]{links[0]} ·\n[Glossary](glossary.md)"
        cells = [cell.source for cell in book.read(SOURCES[k]).cells if cell.cell_type == "markdown"]
        ways = f"[← {titles[k - 1]}]{links[k - 1]}{middle}{last}"
        assert cells[0].endswith(f"\n\n{ways}") and cells[-1].endswith(ways)
        assert not re.sub(pages.WAYS, "", ways).strip()


@every_chapter
def test_the_pair_holds_the_same_cells(source: Path):
    cells = [[(cell.id, cell.cell_type, cell.source, cell.metadata) for cell in notebook.cells]
            for notebook in (book.read(source), stored(source))]
    assert cells[0] == cells[1]


@every_chapter
def test_the_stored_notebook_was_made_from_this_source_with_its_own_values(source: Path):
    assert stored(source).metadata["grokbook"] == book.stamp(source, book.checked(source, {}))


@every_chapter
def test_the_stored_notebook_ran_once_from_start_to_end(source: Path):
    cells = code(stored(source))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert outputs and not [output for output in outputs if output.output_type == "error"]


@every_chapter
def test_the_stored_notebook_is_clean(source: Path):
    cleaned = book.clean(stored(source))
    cleaned.metadata["grokbook"] = stored(source).metadata["grokbook"]
    assert stored(source) == cleaned
    assert not [text for text in texts(stored(source)) if re.search(r"/(home|root|work|tmp|Users)\b", text)]


@every_chapter
def test_printed_lines_fit_a_narrow_window(source: Path):
    """JupyterLab breaks longer ones wherever they end, in the middle of a word."""
    printed = "".join(output.get("text", "") for cell in code(stored(source)) for output in cell.outputs)
    assert [line for line in printed.splitlines() if len(line) > WIDEST] == []


@every_chapter
def test_every_figure_has_a_picture_for_pages_that_run_no_scripts(source: Path):
    figures = [output.data for cell in code(stored(source)) for output in cell.outputs
               if pages.PLOTLY in output.get("data", {})]
    assert figures and all("image/png" in data for data in figures)


@every_chapter
def test_cells_are_short_and_define_nothing(source: Path):
    cells = code(book.read(source))
    assert max(len(cell.source.splitlines()) for cell in cells) <= LONGEST_CELL
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    assert not [node for cell in cells for node in ast.walk(ast.parse(cell.source)) if isinstance(node, definitions)]


@every_chapter
def test_parameters_are_annotated_and_explained(source: Path):
    assert book.parameters(source)  # raises where a line is not


@every_chapter
def test_the_stored_outputs_still_come_about(source: Path):
    check = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=300",
             "--nbval-sanitize-with=tests/sanitize.cfg", "-p", "no:cacheprovider", str(book.stored(source))]
    run = subprocess.run(check, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout


@every_chapter
def test_the_chapter_runs_with_other_values(source: Path, tmp_path: Path):
    executed = book.execute(source, tmp_path / "other.ipynb", OTHER_VALUES[source.stem], timeout=300)
    assert list(texts(nbformat.read(executed, as_version=4))) != list(texts(stored(source)))

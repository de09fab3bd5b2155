"""Every chapter with widgets: it runs from start to end in JupyterLab, its plots are drawn, its sliders move."""

import pytest
from labpage import SHOTS

from grokbook import book

CHAPTERS = [path.stem for path in sorted(book.NOTEBOOKS.glob("*.py")) if "gb.widgets." in path.read_text("utf-8")]

def test_there_are_chapters_with_widgets():
    assert CHAPTERS


@pytest.mark.parametrize("address", [{}], indirect=True, ids=["subshells"])
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_chapter_runs_and_every_slider_moves(open_notebook, chapter: str):
    notebook = open_notebook(f"{chapter}.ipynb")
    notebook.run_all()
    notebook.plot(".jp-OutputArea-output")
    sliders = notebook.find(".widget-slider").count()
    for k in range(sliders):
        slider = f":nth-match(.widget-slider, {k + 1})"
        handle = notebook.find(f"{slider} .noUi-handle")
        there, end = (handle.get_attribute(f"aria-value{name}") for name in ("now", "max"))
        notebook.slide(slider, "ArrowLeft" if there == end else "ArrowRight")
    assert sliders
    notebook.screenshot(SHOTS / f"{chapter}.png")

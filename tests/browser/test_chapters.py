"""Every chapter with widgets, in JupyterLab: they are drawn, and their sliders move."""

import re

import pytest
from playwright.sync_api import expect

from grokbook import book

CONTROLS = r"gb\.widgets\.(?!Scorecard|CircuitExplorer|PatternExplorer|Guess)"
CHAPTERS = [path.stem for path in sorted(book.NOTEBOOKS.glob("*.py")) if re.search(CONTROLS, path.read_text("utf-8"))]

WIDGETS = r"gb\.widgets\.|^import |^(config|runs|efficiency) = |^\w+: \w+ = "
"""Cells that show widgets, and what these need; that chapters run from start to end others test. What carries its own
script is tried in test_scripted_page.py and test_pattern_page.py."""


def test_there_are_chapters_with_widgets():
    assert CHAPTERS


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_widgets_are_drawn_and_every_slider_moves(open_notebook, chapter: str):
    notebook = open_notebook(f"{chapter}.ipynb")
    notebook.run_matching(WIDGETS)
    figure = ".jp-OutputArea-output :is(.js-plotly-plot .main-svg, .gb-explorer-map rect)"
    notebook.page.wait_for_selector(figure, state="attached")
    sliders, inputs = notebook.find(".widget-slider").count(), notebook.find(".gb-explorer input[type=range]:enabled")
    for k in range(sliders):
        slider = f":nth-match(.widget-slider, {k + 1})"
        handle = notebook.find(f"{slider} .noUi-handle")
        now, end = (handle.get_attribute(f"aria-value{name}") for name in ("now", "max"))
        notebook.slide(slider, "ArrowLeft" if now == end else "ArrowRight")
    for k in range(inputs.count()):
        value, end = inputs.nth(k).input_value(), inputs.nth(k).get_attribute("max")
        inputs.nth(k).press("ArrowLeft" if value == end else "ArrowRight")
        expect(inputs.nth(k)).not_to_have_value(value)
    assert sliders + inputs.count()

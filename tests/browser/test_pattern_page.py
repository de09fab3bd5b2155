"""The pattern explorer as a reader meets it: presets, sliders, patterns more or fewer, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from labpage import PATIENCE, Notebook
from playwright.sync_api import Locator, expect

from grokbook.analysis import kinds, patterns
from grokbook.analysis.patterns import DOUBLE_DESCENT, PRESETS, TIMES, Pattern
from grokbook.widgets.patterns import HAND_MADE, NEW, RANGES

CURVES, MAP = ".gb-patterns-curves", ".gb-patterns-map"


@pytest.fixture
def explorer(open_notebook) -> Notebook:
    """Chapter 06, of which only the explorer was run."""
    chapter = open_notebook("06_pattern_model.ipynb")
    chapter.run("import grokbook as gb\nexplorer = gb.widgets.PatternExplorer()\nexplorer")
    assert_shows(chapter, DOUBLE_DESCENT)
    return chapter


def row(chapter: Notebook, number: int) -> Locator:
    """The controls of a pattern."""
    return chapter.find(f":nth-match(.gb-pattern, {number})")


def in_kernel(chapter: Notebook) -> tuple[Pattern, ...]:
    """The patterns that the kernel has."""
    return eval(chapter.run("print(explorer.patterns)"), {"Pattern": Pattern})


def assert_shows(chapter: Notebook, wanted) -> None:
    """Sliders and sentence say these patterns, and the curves and the ring on the map are what the model gives."""
    expect(chapter.find(".gb-patterns-message .widget-html-content")).to_have_text(kinds.describe(wanted),
                                                                                   timeout=PATIENCE)
    curves = [*patterns.predictiveness(wanted, TIMES), patterns.train_accuracy(wanted, TIMES),
              patterns.test_accuracy(wanted, TIMES)]
    chapter.page.wait_for_function("""([where, curves]) => {
        const traces = book.plot(where)?.traces;
        return traces?.length === curves.length && traces.every(({y}, i) => y.length === curves[i].length &&
            y.every((one, k) => Math.abs(one - curves[i][k]) < 1e-6)); }""", arg=[CURVES, np.array(curves).tolist()])
    if len(wanted) > 1:
        chapter.page.wait_for_function("""([where, x, y]) => book.plot(where)?.traces.some(({meta, ...ring}) =>
            meta.role === "here" && ring.x[0] === x && ring.y[0] === y)""",
                                       arg=[MAP, wanted[0].gamma, wanted[-1].gamma])
    expect(chapter.find(MAP)).to_be_visible(visible=len(wanted) > 1)
    expect(chapter.find(".gb-pattern")).to_have_count(len(wanted))
    for i, pattern in enumerate(wanted, 1):
        expect(row(chapter, i).locator(".widget-readout")).to_have_text(
            [format(getattr(pattern, name), form) for name, (*_, form) in RANGES.items()])
        expect(row(chapter, i).locator("input[type=checkbox]")).to_be_checked(checked=pattern.preferred)


def test_presets_and_sliders_change_the_curves(explorer: Notebook, request):
    explorer.look(".gb-patterns", request.node.name)
    preset = explorer.find(".gb-patterns-preset select")
    for name in [*list(PRESETS)[1:], "double descent"]:
        preset.select_option(name)
        assert_shows(explorer, PRESETS[name])
    wanted = list(DOUBLE_DESCENT)  # each move changes a curve: the page shows when the kernel has made it
    for place, name, key in ((0, "g", "ArrowLeft"), (1, "alpha", "ArrowRight"), (2, "b", "Home"), (0, "gamma", "Home"),
                             (2, "gamma", "End")):
        said = explorer.slide(f":nth-match(.gb-pattern, {place + 1}) .gb-{name}", key)
        wanted[place] = replace(wanted[place], **{name: float(said)})
        assert_shows(explorer, wanted)
    assert in_kernel(explorer) == tuple(wanted)
    expect(preset).to_have_value(HAND_MADE)
    assert explorer.slide(".gb-patterns-morph", "End") == "100%"
    assert_shows(explorer, PRESETS["grokking"])


def test_patterns_are_added_and_removed_and_what_is_refused_is_read(explorer: Notebook, request):
    explorer.click(".gb-patterns-add")
    assert_shows(explorer, (*DOUBLE_DESCENT, NEW))
    row(explorer, 2).locator("button").click()
    assert_shows(explorer, left := (DOUBLE_DESCENT[0], DOUBLE_DESCENT[2], NEW))

    row(explorer, 1).locator("input[type=checkbox]").check()
    explorer.wait_for(".gb-patterns-message .widget-html-content",
                      "^patterns 1, 2 are preferred; valid: at most one")
    explorer.look(".gb-patterns", request.node.name)
    assert in_kernel(explorer) == left
    row(explorer, 1).locator("input[type=checkbox]").uncheck()
    assert_shows(explorer, left)

    for rest in (left[1:], left[2:]):
        row(explorer, 1).locator("button").click()
        assert_shows(explorer, rest)
    row(explorer, 1).locator("button").click()
    explorer.wait_for(".gb-patterns-message .widget-html-content", "^there are no patterns; valid: one or more")

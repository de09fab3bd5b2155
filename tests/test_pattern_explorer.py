"""The pattern explorer: what the page computes is the model, and every control answers at once, without a kernel."""

import re
from dataclasses import asdict

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from playwright.sync_api import Browser, Page, expect

from grokbook import pages
from grokbook.analysis import kinds, patterns
from grokbook.analysis.patterns import PRESETS, TIMES, Pattern
from grokbook.widgets import PatternExplorer
from grokbook.widgets import scripted as module

ASKED = """([sets, levels]) => sets.map((patterns) => {
    const curves = model(patterns); return [curves, kind_of(curves, levels)]; })"""


def test_the_page_computes_what_the_model_gives(chromium):
    rng = np.random.default_rng(0)
    drawn = [tuple(Pattern(*(rng.random(4) * [1, 0.3, 250, 1]).round(3), preferred=i == k) for i in range(n))
             for n in (1, 2, 3, 4) for k in range(n + 1) for _ in range(3)]
    sets = [*PRESETS.values(), *drawn]
    page = chromium.new_page()
    page.add_script_tag(content=module.SCRIPT)
    told = page.evaluate(ASKED, [[[asdict(pattern) for pattern in chosen] for chosen in sets],
                                 module.explorer_data()["levels"]])
    assert {kind["kind"] for _, kind in told} >= {"double descent", "grokking", "neither"}
    for chosen, (curves, kind) in zip(sets, told, strict=True):
        np.testing.assert_allclose(curves["train"], patterns.train_accuracy(chosen, TIMES), atol=1e-12)
        np.testing.assert_allclose(curves["test"], patterns.test_accuracy(chosen, TIMES), atol=1e-12)
        assert kind["kind"] == kinds.kind_of(chosen)
        assert kind["dip"] == pytest.approx(kinds.shape_of(chosen).dip, abs=1e-9)
    asked = "([sets, levels]) => sets.map((patterns) => kind_map(patterns, 11, levels))"
    several = [chosen for chosen in sets if len(chosen) > 1][:8]
    for chosen, kind in zip(several, page.evaluate(asked, [[[*map(asdict, chosen)] for chosen in several],
                                                           module.explorer_data()["levels"]]), strict=True):
        assert kind == np.array(kinds.KINDS)[kinds.kind_map(chosen, size=11)].T.tolist()
    page.close()


@pytest.fixture
def page(chromium: Browser):
    """The explorer alone. Nothing may fail."""
    page = chromium.new_page()
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    page.set_content(f"<!DOCTYPE html><meta charset=utf-8><body>{PatternExplorer('grokking')._repr_html_()}")
    yield page
    page.close()


def test_presets_patterns_and_the_preferred_one_are_chosen(page: Page):
    preset, rows, ring = page.get_by_label("preset"), page.locator("fieldset"), page.locator("[data-ring]")
    expect(preset).to_have_value("grokking")
    expect(page.get_by_role("slider", name="morph into grokking")).to_have_value("1")
    preset.select_option("two patterns")
    expect(page.locator("legend")).to_have_text(["pattern 1", "pattern 2"])
    preset.select_option("double descent")
    expect(page.locator("legend")).to_have_text([*patterns.TYPES])
    page.get_by_role("button", name="Add a pattern").click()
    expect(page.locator("legend").last).to_have_text("pattern 4")
    rows.first.get_by_label("preferred").check()
    expect(page.locator("input:checked")).to_have_count(1)  # one at most
    for left in (3, 2, 1):
        page.get_by_role("button", name="remove").first.click()
        expect(rows).to_have_count(left)
    expect(page.get_by_role("button", name="remove")).to_be_disabled()
    expect(ring).not_to_be_visible()  # of one pattern there is no map


def test_the_ring_is_dragged_over_the_map(page: Page):
    box = page.locator("[data-ring]").bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y + 40)
    gamma = page.get_by_role("slider", name="covers γ")
    assert 0 < float(gamma.first.input_value()) < 0.5 and float(gamma.last.input_value()) < 1
    page.mouse.up()
    expect(page.get_by_label("preset")).to_have_value("(your own)")


def test_an_unknown_preset_is_refused_and_a_page_without_scripts_has_a_picture(monkeypatch):
    with pytest.raises(ValueError, match="preset='grok' is unknown; valid: double descent, grokking"):
        PatternExplorer("grok")
    monkeypatch.setattr(module, "picture", lambda fig: b"painted")
    before_the_script = PatternExplorer("grokking")._repr_html_().partition("<script>")[0]
    assert '<img alt="PatternExplorer: 3 patterns, grokking"' in before_the_script


def test_a_page_of_the_book_answers_while_a_slider_is_dragged(chromium, tmp_path):
    shown = new_output("display_data", {"text/html": PatternExplorer()._repr_html_()})
    cell = new_code_cell("import grokbook as gb\ngb.widgets.PatternExplorer()", outputs=[shown])
    nbformat.write(new_notebook(cells=[cell]), tmp_path / "06_a.ipynb")
    pages.write([tmp_path / "06_a.ipynb"], tmp_path, "A book")
    page = chromium.new_page(viewport={"width": 390, "height": 844})
    page.goto((tmp_path / "06_a.html").as_uri())
    told, test = page.locator(".gb-explorer-sentence"), page.locator("[data-curve=test]")
    expect(told).to_have_text(re.compile(r"double descent\.$"))
    morph = page.get_by_role("slider", name="morph into grokking")
    before, box = test.get_attribute("d"), morph.bounding_box()
    page.mouse.move(box["x"] + 9, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)  # and it is still held
    assert test.get_attribute("d") != before
    page.mouse.up()
    morph.press("End")
    expect(told).to_have_text(re.compile(r"grokking\.$"))
    assert page.get_by_role("slider", name="covers γ").first.get_attribute("aria-valuetext") == "0"
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.close()

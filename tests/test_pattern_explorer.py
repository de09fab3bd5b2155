# pyright: reportAttributeAccessIssue=false, reportArgumentType=false
"""The pattern explorer without a browser: traits are set, the figure and the sentence are read."""

import re
import threading
from dataclasses import asdict

import nbformat
import numpy as np
import plotly.graph_objects as go
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

from grokbook import pages, plots
from grokbook.analysis import kinds, patterns
from grokbook.analysis.patterns import DOUBLE_DESCENT, GROKKING, PRESETS, TIMES, Pattern
from grokbook.widgets import PatternExplorer
from grokbook.widgets import patterns as module


@pytest.fixture
def explorer() -> PatternExplorer:
    return PatternExplorer()


def assert_shows(explorer: PatternExplorer, wanted):
    """Controls, curves, map and sentence all agree."""
    assert explorer.patterns == tuple(wanted) == tuple(row.read() for row in explorer.rows.children)
    (test,) = plots.find(explorer.curves.figure, metric="val_acc")
    np.testing.assert_allclose(test.y, patterns.test_accuracy(wanted, TIMES), atol=1e-6)
    drawn = plots.find(explorer.curves.figure, role="pattern")
    np.testing.assert_allclose([line.y for line in drawn], patterns.predictiveness(wanted, TIMES), atol=1e-6)
    assert kinds.describe(wanted) in explorer.message.value
    rings = plots.find(explorer.map.figure, role="here")
    assert [(ring.x[0], ring.y[0]) for ring in rings] == [(wanted[0].gamma, wanted[-1].gamma)] * (len(wanted) > 1)
    for heat in plots.find(explorer.map.figure, role="map"):
        np.testing.assert_array_equal(heat.z, kinds.kind_map(wanted, size=module.MAP_SIZE).T)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_sets_everything(explorer: PatternExplorer, name: str):
    explorer.preset.value = name
    assert_shows(explorer, PRESETS[name])
    assert explorer.preset.value == name


def test_it_starts_with_the_preset_that_was_asked_for():
    assert_shows(PatternExplorer("grokking"), GROKKING)
    with pytest.raises(ValueError, match="preset='grok' is unknown; valid: double descent, grokking"):
        PatternExplorer("grok")


@pytest.mark.parametrize("name, value", [("gamma", 0.4), ("alpha", 0.3), ("b", 80.0), ("g", 0.5)])
@pytest.mark.parametrize("place", [0, 2])
def test_every_slider_of_every_pattern_moves_the_curves(explorer: PatternExplorer, place: int, name: str, value: float):
    (before,) = plots.find(explorer.curves.figure, metric="val_acc")
    before = np.array(before.y)
    explorer.rows.children[place].sliders[name].value = value
    assert getattr(explorer.patterns[place], name) == value and explorer.preset.value == module.HAND_MADE
    assert_shows(explorer, explorer.patterns)
    assert np.abs(plots.find(explorer.curves.figure, metric="val_acc")[0].y - before).max() > 0.01


def test_the_morph_goes_from_double_descent_to_grokking(explorer: PatternExplorer):
    seen = []
    for share in (0.5, 1.0, 0.0):
        explorer.morph.value = share
        assert_shows(explorer, patterns.along(patterns.PATHS["γ₁ and γ₃ together"], share))
        seen.append(explorer.preset.value)
    assert seen == [module.HAND_MADE, "grokking", "double descent"]


def test_controls_stay_where_they_are_while_others_set_them(explorer: PatternExplorer):
    rows = explorer.rows.children
    explorer.morph.value = 0.5
    explorer.preset.value = "grokking"
    explorer.add.click()
    assert explorer.rows.children[:3] == rows
    explorer.rows.children[0].remove.click()
    assert explorer.rows.children == rows


def test_the_morph_follows_the_preset(explorer: PatternExplorer):
    explorer.preset.value = "grokking"
    assert explorer.morph.value == 1
    explorer.preset.value = "two patterns"
    assert explorer.morph.value == 0


def test_patterns_are_added_and_removed_down_to_one(explorer: PatternExplorer):
    explorer.add.click()
    assert_shows(explorer, (*DOUBLE_DESCENT, module.NEW))
    explorer.rows.children[1].remove.click()
    assert_shows(explorer, (DOUBLE_DESCENT[0], DOUBLE_DESCENT[2], module.NEW))
    for _ in range(2):
        explorer.rows.children[0].remove.click()
    assert_shows(explorer, (module.NEW,))
    explorer.rows.children[0].remove.click()
    assert "there are no patterns; valid: one or more" in explorer.message.value
    assert explorer.patterns == (module.NEW,) and len(explorer.rows.children) == 1


def test_two_preferred_patterns_are_refused_in_the_widget_until_one_is_not(explorer: PatternExplorer):
    explorer.rows.children[0].preferred.value = True
    assert "patterns 1, 3 are preferred; valid: at most one" in explorer.message.value
    assert explorer.patterns == DOUBLE_DESCENT
    explorer.rows.children[2].preferred.value = False
    assert explorer.patterns[0].preferred
    assert_shows(explorer, explorer.patterns)


def test_moves_from_several_threads_end_in_one_picture(explorer: PatternExplorer):
    def move(place: int) -> None:
        for value in np.linspace(0.1, 0.9, 5):
            explorer.rows.children[place].sliders["gamma"].value = float(value)

    threads = [threading.Thread(target=move, args=(place,)) for place in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [pattern.gamma for pattern in explorer.patterns] == [0.9] * 3
    assert_shows(explorer, explorer.patterns)


@pytest.mark.parametrize("button", ["add", "remove"])
def test_clicks_on_several_threads_all_count(explorer: PatternExplorer, monkeypatch, button: str):
    read, others = explorer._read, []

    def slowly():
        before = read()
        if not others:
            others.append(threading.Thread(target=explorer.add.click))
            others[0].start()
            others[0].join(0.3)
        return before

    monkeypatch.setattr(explorer, "_read", slowly)
    {"add": explorer.add, "remove": explorer.rows.children[0].remove}[button].click()
    others[0].join()
    left = DOUBLE_DESCENT if button == "add" else DOUBLE_DESCENT[1:]
    assert_shows(explorer, (*left, *[module.NEW] * (2 if button == "add" else 1)))


def test_a_page_without_a_kernel_gets_a_figure_and_a_sentence(explorer: PatternExplorer, monkeypatch, capsys):
    shown = []
    monkeypatch.setattr(go.Figure, "show", lambda fig, renderer: shown.append((fig, renderer)))
    explorer._ipython_display_()
    assert plots.find(shown[0][0], metric="val_acc") and shown[0][1] == "grokbook"
    assert capsys.readouterr().out.endswith(f"{explorer.sentence}\n")


def test_what_a_page_sends_back_a_hair_off_changes_nothing(explorer: PatternExplorer):
    slider = explorer.rows.children[2].sliders["b"]
    slider.value, explorer.morph.value = 199.99999999999997, 1e-17
    assert_shows(explorer, DOUBLE_DESCENT)
    slider.value = 150.00000000000003
    assert explorer.patterns[2].b == 150


# The page without a kernel


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
                                 module.without_kernel()["levels"]])
    assert {kind["kind"] for _, kind in told} >= {"double descent", "grokking", "neither"}
    for chosen, (curves, kind) in zip(sets, told, strict=True):
        np.testing.assert_allclose(curves["train"], patterns.train_accuracy(chosen, TIMES), atol=1e-12)
        np.testing.assert_allclose(curves["test"], patterns.test_accuracy(chosen, TIMES), atol=1e-12)
        assert kind["kind"] == kinds.kind_of(chosen)
        assert kind["dip"] == pytest.approx(kinds.shape_of(chosen).dip, abs=1e-9)
    page.close()


def test_a_page_of_the_book_answers_while_a_slider_is_dragged(chromium, tmp_path):
    cell = new_code_cell("import grokbook as gb\ngb.widgets.PatternExplorer()")
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

"""What carries its own script runs in JupyterLab once its cell was run, while the kernel does nothing; and keys."""

from conftest import Open
from playwright.sync_api import expect

SHOWN = """import grokbook as gb
cards = [gb.claims.judge(claim) for claim in ("pattern-model", "two-patterns")]
display(gb.widgets.Scorecard(cards), gb.widgets.CircuitExplorer("grokked"))
"""

OTHERS = """one = gb.load("grokking").sel(d_h=64, D_train=4000)
display(gb.widgets.PatternExplorer(), gb.widgets.Guess(gb.analysis.carried(one, "val_acc"), "How?"))
display(gb.widgets.LiveRun(gb.RunConfig(d_h=8, D_train=2000)), gb.widgets.Explorer())
"""
FOCUSABLE = ":is(.jupyter-widgets, .gb-scripted) :is(input, select, button, [tabindex]):visible:enabled"


def test_the_scorecard_and_the_circuit_explorer_run_without_the_kernel(open_notebook: Open, request):
    chapter = open_notebook("10_general_circuit.ipynb")
    chapter.run(SHOWN)
    rows = chapter.find("tr[data-verdict] td code")
    expect(rows).to_have_text(["pattern-model", "two-patterns"])
    for _ in range(2):
        chapter.find("th button >> nth=1").click()
    expect(rows).to_have_text(["two-patterns", "pattern-model"])
    sentence = chapter.find(".gb-explorer-sentence")
    expect(sentence).to_contain_text("Step 3,162: ")
    chapter.find(".gb-circuit-step").press("Home")
    expect(sentence).to_contain_text("Step 0: ")
    chapter.find(".gb-circuit-a").press("ArrowRight")
    expect(sentence).to_contain_text("For 38 + 95 ")
    chapter.look(".gb-explorer", request.node.name)


def test_keys_on_widgets_do_not_change_the_notebook(open_notebook: Open):
    chapter = open_notebook("10_general_circuit.ipynb")
    chapter.run(SHOWN + OTHERS)
    for selector in (".gb-live .js-plotly-plot .main-svg", ".gb-explorer-map rect"):
        chapter.page.wait_for_selector(selector, state="attached")
    state = "() => [book.cells().length, book.panel().content.activeCellIndex]"
    n, active = chapter.page.evaluate(state)
    controls = chapter.find(FOCUSABLE)
    assert controls.count() > 40
    for k in range(controls.count()):
        for key in ("b", "x", "ArrowDown"):
            controls.nth(k).press(key)
            assert chapter.page.evaluate(state) == [n, active], (key, controls.nth(k).evaluate("it => it.outerHTML"))
    chapter.find(".gb-circuit-step").press("Shift+Enter")  # runs the cell, and adds one after the last
    chapter.page.wait_for_function("n => book.cells().length === n", arg=n + 1)

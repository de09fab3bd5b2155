"""What carries its own script runs in JupyterLab once its cell was run, while the kernel does nothing."""

from conftest import Open
from playwright.sync_api import expect

SHOWN = """import grokbook as gb
cards = [gb.claims.judge(claim) for claim in ("pattern-model", "two-patterns")]
display(gb.widgets.Scorecard(cards), gb.widgets.CircuitExplorer("grokked"))
"""


def test_the_scorecard_and_the_circuit_explorer_run_without_the_kernel(open_notebook: Open, request):
    chapter = open_notebook("10_general_circuit.ipynb")
    chapter.run(SHOWN)
    rows = chapter.find("tr[data-verdict] td:first-child code")
    expect(rows).to_have_text(["pattern-model", "two-patterns"])
    for _ in range(2):
        chapter.find("th button >> nth=0").click()
    expect(rows).to_have_text(["two-patterns", "pattern-model"])
    sentence = chapter.find(".gb-explorer-sentence")
    expect(sentence).to_contain_text("Step 3,162: ")
    chapter.find(".gb-circuit-step").press("Home")
    expect(sentence).to_contain_text("Step 0: ")
    chapter.find(".gb-circuit-a").press("ArrowRight")
    expect(sentence).to_contain_text("For 38 + 95 ")
    chapter.look(".gb-explorer", request.node.name)

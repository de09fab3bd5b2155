"""The pattern explorer in JupyterLab: it answers while a slider is held, and its kernel may be gone."""

from playwright.sync_api import expect


def test_it_answers_in_the_page(open_notebook, request):
    chapter = open_notebook("06_pattern_model.ipynb")
    chapter.run("import grokbook as gb\ngb.widgets.PatternExplorer()")
    told = chapter.page.locator(".gb-patterns .gb-explorer-sentence").last
    expect(told).to_contain_text("double descent.")
    chapter.look(".gb-patterns", request.node.name)
    chapter.page.get_by_role("slider", name="morph into grokking").last.press("End")
    expect(told).to_contain_text("grokking.")

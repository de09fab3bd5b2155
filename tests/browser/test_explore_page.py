"""Chapter 00 as a reader meets it: sliders, clicks on the map, a cell trained anew, a row walked along."""

import json

import pytest
from labpage import PATIENCE, SHOTS, Notebook
from playwright.sync_api import expect

CHAPTER = "00_explore.ipynb"
ZONES, DESCENT = ".gb-zones", ".gb-descent"
VALIDATION = {"metric": "val_acc", "role": "line"}
ONE_WAY = pytest.mark.parametrize("address", [{}], indirect=True, ids=["subshells"])


def kernel(notebook: Notebook, expression: str):
    """What an expression is worth in the kernel."""
    return json.loads(notebook.run(f"import json\nprint(json.dumps({expression}))"))


def wait_for_titles(notebook: Notebook, name: str, **titles: str) -> None:
    """Wait until the figures' titles end so, with what the sliders read: the page changes first, the kernel later."""
    for figure, title in titles.items():
        for slider in ("d_h", "D_train", "seed", "budget"):
            if f"{{{slider}}}" in title:
                title = title.replace(f"{{{slider}}}", notebook.find(f"{name}-{slider} .widget-readout").inner_text())
        notebook.page.wait_for_function("([at, title]) => book.plot(at)?.title.replaceAll(',', '').endsWith(title)",
                                        arg=[f"{name}-{figure}", title.replace(",", "")])


def assert_page_shows_the_choice(notebook: Notebook, name: str, explorer: str, points: str) -> None:
    """The sentence is the kernel's, and the validation curve in the page has as many points as there."""
    said, n = kernel(notebook, f"[{explorer}.sentence, {points}]")
    expect(notebook.find(f"{name}-sentence .widget-html-content")).to_have_text(said, timeout=PATIENCE)
    notebook.page.wait_for_function("""([where, meta, n]) => book.plot(where)?.traces.some(trace =>
        Object.entries(meta).every(([key, value]) => trace.meta?.[key] === value) && trace.y.length === n)""",
                                    arg=[f"{name}-curves", VALIDATION | ({"role": "mean"} if "descent" in name else {}),
                                         n])


def assert_zones(notebook: Notebook) -> None:
    run = "explorer.selection.val_acc.sel(seed=[explorer.seed]).dropna('step').size + 1"  # a NaN lifts the pen
    wait_for_titles(notebook, ZONES, map="after {budget} steps", curves="d_h {d_h}, D_train {D_train}, seed {seed}")
    assert_page_shows_the_choice(notebook, ZONES, "explorer", run)


TRAINED = """explorer.lookup.runs.last_step.sel(seed=explorer.seed).stack(
    cell=("d_h", "D_train")).pipe(lambda last: [list(map(int, cell)) for cell in last.cell.values[last >= 0]])"""
"""The cells of the map that were trained with the chosen seed, from the smallest network to the largest."""


def click_on_cell(notebook: Notebook, d_h: int, D_train: int) -> None:
    """Click into a cell of the map of the zones; the sliders move there."""
    place = notebook.page.evaluate("""([where, x, y]) => {
        const plot = document.querySelector(`${where}-map .js-plotly-plot`);
        plot.scrollIntoView({block: "center"});
        const {left, top} = plot.getBoundingClientRect(), {xaxis, yaxis} = plot._fullLayout;
        return [left + xaxis._offset + xaxis.d2p(x), top + yaxis._offset + yaxis.d2p(y)]; }""",
                                  [ZONES, kernel(notebook, f"explorer.lookup.values()['d_h'].index({d_h})"), D_train])
    notebook.page.mouse.move(*place)
    notebook.page.wait_for_selector(f"{ZONES}-map .hoverlayer .hovertext")
    notebook.page.mouse.click(*place)
    notebook.wait_for(f"{ZONES}-d_h .widget-readout", f"^{d_h}$")
    notebook.wait_for(f"{ZONES}-D_train .widget-readout", f"^{D_train:,}$")


def test_sliders_and_clicks_move_through_the_map(open_notebook, request):
    chapter = open_notebook(CHAPTER)
    chapter.run_all()
    chapter.plot(f"{ZONES}-map")
    chapter.look(ZONES, f"{request.node.name}-zones")
    for name, key in (("D_train", "ArrowRight"), ("D_train", "ArrowLeft"), ("seed", "ArrowRight"), ("seed", "Home"),
                      ("d_h", "End"), ("budget", "ArrowLeft"), ("budget", "End")):
        said = chapter.slide(f"{ZONES}-{name}", key)
        assert_zones(chapter)
        assert f"{kernel(chapter, f'explorer.{name}'):,}" == said

    trained = kernel(chapter, TRAINED)
    click_on_cell(chapter, *trained[0])
    assert_zones(chapter)

    chapter.find(f"{ZONES}-color select").select_option("validation accuracy")
    chapter.page.wait_for_function("where => book.plot(where).title.startsWith('Mean')", arg=f"{ZONES}-map")
    click_on_cell(chapter, *trained[-1])
    assert_zones(chapter)


def test_train_this_trains_the_cell_of_the_map(open_notebook, request):
    chapter = open_notebook(CHAPTER)
    chapter.run_all()
    chapter.click(f"{ZONES}-train")
    chapter.wait_for(".gb-live .gb-status", r"^Step [\d,]+ of")
    chapter.wait_for_points(".gb-live", 40, **VALIDATION)
    trained = kernel(chapter, "[explorer.live.runs[0].config.run_id, explorer.config().run_id]")
    assert trained[0] == trained[1]
    assert_zones(chapter)  # the kernel is free, and the map is still there
    chapter.find(".gb-live").evaluate("element => element.scrollIntoView()")
    chapter.screenshot(SHOTS / f"{request.node.name}.png")
    chapter.click(".gb-live .gb-stop")
    chapter.wait_for(".gb-live .gb-status", r"^(Stopped|Finished) at step [\d,]+")


@ONE_WAY
def test_a_row_of_the_map_follows_its_slider(open_notebook, request):
    chapter = open_notebook(CHAPTER)
    chapter.run_all()
    chapter.plot(f"{DESCENT}-map")
    chapter.look(DESCENT, request.node.name)
    row = "len(gb.plots.find(descent.curves, metric='val_acc', role='mean')[0].y)"
    for name, key in (("D_train", "ArrowLeft"), ("budget", "ArrowLeft"), ("D_train", "End")):
        chapter.slide(f"{DESCENT}-{name}", key)
        wait_for_titles(chapter, DESCENT, curves="{D_train} pairs, after {budget} steps", map="after {budget} steps")
        assert_page_shows_the_choice(chapter, DESCENT, "descent", row)
    (frame,) = [t for t in chapter.plot(f"{DESCENT}-map")["traces"] if (t["meta"] or {}).get("role") == "outline"][-1:]
    assert frame["y"] == kernel(chapter, "descent.lookup.outline(None, descent.D_train)[1]")

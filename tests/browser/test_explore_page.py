"""The explorer of chapter 00 in JupyterLab: by mouse, keyboard and touch, while the kernel is busy, while it trains."""

import json
import re
import time

from conftest import WITHOUT_SUBSHELLS, Open, lab_in
from labpage import PATIENCE, SCREENS, Notebook
from labserver import serve
from playwright.sync_api import Browser, expect

CHAPTER = "00_explore.ipynb"
EXPLORER = ".gb-explorer"
BUSY = """from pathlib import Path
import time
while not Path("free").exists():
    time.sleep(0.05)
print("free again")
"""


def kernel(notebook: Notebook, expression: str):
    """What an expression is worth in the kernel."""
    return json.loads(notebook.run(f"import json\nprint(json.dumps({expression}))"))


def started(notebook: Notebook) -> Notebook:
    """The chapter, with its explorer drawn."""
    notebook.run_all()
    notebook.page.wait_for_selector(f"{EXPLORER}-map svg > g rect")
    return notebook


def read(notebook: Notebook) -> list[int]:
    """d_h, D_train, seed and budget as the page writes them."""
    outputs = notebook.page.locator(f"{EXPLORER}-controls output").all_text_contents()
    return [int(text.replace(",", "")) for text in outputs]


def press(notebook: Notebook, name: str, key: str) -> None:
    notebook.page.get_by_role("slider", name=name, exact=True).press(key)


def middle_of(notebook: Notebook, d_h: int, D_train: int) -> tuple[float, float]:
    """Where a cell of the map lies on the page."""
    values = kernel(notebook, "explorer.data.values()")
    column, row, n = values["d_h"].index(d_h), values["D_train"].index(D_train), len(values["d_h"])
    left, top, width, height = notebook.page.evaluate("""where => { const map = document.querySelector(where);
        map.scrollIntoView({block: "center"});
        const {x, y, width, height} = map.getBoundingClientRect();
        return [x, y, width, height]; }""", f"{EXPLORER}-map svg")
    up = (row + 0.5) / len(values["D_train"])
    return left + 60 + (width - 68) * (column + 0.5) / n, top + 6 + (height - 44) * (1 - up)


def assert_kernel_agrees(notebook: Notebook) -> None:
    """The kernel comes to have what the page shows; sentence and curve of the chosen run are the kernel's."""
    end = time.monotonic() + PATIENCE / 1000
    while kernel(notebook, CHOSEN) != read(notebook):
        assert time.monotonic() < end, (kernel(notebook, CHOSEN), read(notebook))
    sentence, n = kernel(notebook, "[explorer.sentence, int(explorer.selection.val_acc.sel("
                                   "seed=explorer.selection.seed == explorer.seed).notnull().sum())]")
    expect(notebook.find(f"{EXPLORER}-sentence")).to_have_text(re.compile(f"^{re.escape(sentence)}"))
    line = notebook.find(f"{EXPLORER}-cell [data-metric=val_acc][stroke-width='2.5']")
    expect(line).to_have_count(1 if n else 0)
    if n:
        assert len(re.findall("[ML]", line.get_attribute("d") or "")) == n


CHOSEN = "[explorer.d_h, getattr(explorer, explorer.row), explorer.seed, explorer.budget]"


def test_sliders_and_clicks_move_page_and_kernel(open_notebook: Open, request):
    chapter = started(open_notebook(CHAPTER))
    chapter.look(EXPLORER, request.node.name)
    assert_kernel_agrees(chapter)
    for name, key in (("d_h", "ArrowLeft"), ("D_train", "ArrowRight"), ("seed", "End"), ("budget", "ArrowLeft")):
        press(chapter, name, key)
        chapter.wait_for(f"{EXPLORER}-map h4", r"after [\d,]+ steps$")
        assert_kernel_agrees(chapter)
    press(chapter, "seed", "Home")
    for d_h, D_train in ((64, 5000), (8, 2000)):
        chapter.page.mouse.click(*middle_of(chapter, d_h, D_train))
        assert read(chapter)[:2] == [d_h, D_train]
        assert_kernel_agrees(chapter)
    chapter.find(f"{EXPLORER}-map svg").press("ArrowRight")
    assert read(chapter)[:2] == [12, 2000]
    assert_kernel_agrees(chapter)
    chapter.run("explorer.choose(d_h=32, D_train=3000, budget=5_000, color='val_acc')")
    chapter.wait_for(f"{EXPLORER}-map h4", "^validation accuracy after 5,000 steps$")
    assert_kernel_agrees(chapter)
    chapter.page.get_by_label("Rows of the map").select_option("D_random")
    chapter.wait_for(f"{EXPLORER}-map h4", "^twin-free accuracy after 6,000 steps$")
    press(chapter, "D_random", "Home")
    assert_kernel_agrees(chapter)
    chapter.look(EXPLORER, f"{request.node.name}_beside_random_pairs")


def test_a_busy_kernel_holds_nobody_up_and_hears_of_it_later(open_notebook: Open, notebooks):
    chapter = started(open_notebook(CHAPTER))
    chapter.page.wait_for_function(ALL_VIEWS, arg=EXPLORER)
    cell = chapter.begin(BUSY)
    press(chapter, "d_h", "Home")
    press(chapter, "D_train", "End")
    press(chapter, "budget", "Home")
    chapter.wait_for(f"{EXPLORER}-map h4", "^zone after 500 steps$")
    chapter.wait_for(f"{EXPLORER}-cell h4", "^d_h 4, D_train 6,000: ")
    before = chapter.find(f"{EXPLORER}-sentence").inner_text()
    press(chapter, "d_h", "End")
    expect(chapter.find(f"{EXPLORER}-sentence")).not_to_have_text(before)
    assert chapter.text(cell) == ""  # still at it
    (notebooks / "free").touch()
    chapter.page.evaluate("ms => book.within(window.begun, ms).then(() => true)", PATIENCE)
    (notebooks / "free").unlink()
    assert_kernel_agrees(chapter)


ALL_VIEWS = """async (where) => { const slider = document.querySelector(`${where} input.gb-explorer-budget`),
    heading = document.querySelector(`${where}-map h4`), before = slider.value;
    const shown = [...Array(Number(slider.max) + 1).keys()].every((i) => {
        slider.value = i; slider.dispatchEvent(new Event("input"));
        return heading.textContent.startsWith("zone after"); });
    slider.value = before; slider.dispatchEvent(new Event("input"));
    return shown; }"""
"""Whether the page can judge by every budget without asking the kernel."""


def train_move_and_stop(chapter: Notebook) -> None:
    chapter.run("explorer.choose(d_h=4, D_train=4000, seed=0, budget=40_000)")
    chapter.wait_for(f"{EXPLORER}-cell h4", "^d_h 4, D_train 4,000: ")
    chapter.click(f"{EXPLORER}-train")
    chapter.wait_for(f"{EXPLORER}-status", r"^d_h 4, D_train 4,000, seed 0: Step [\d,]+ of 40,000")
    growing = f"{EXPLORER}-cell .gb-explorer-live[data-metric=val_acc]"
    points = "where => (document.querySelector(where)?.getAttribute('d') ?? '').split('L').length"
    chapter.page.wait_for_function(f"([where, n]) => ({points})(where) > n", arg=[growing, 20])
    press(chapter, "d_h", "End")
    expect(chapter.find(growing)).to_have_count(0)  # another cell
    assert_kernel_agrees(chapter)
    press(chapter, "d_h", "Home")
    before = chapter.page.evaluate(points, growing)
    chapter.page.wait_for_function(f"([where, n]) => ({points})(where) > n", arg=[growing, before])
    chapter.click(f"{EXPLORER}-pause")
    chapter.wait_for(f"{EXPLORER}-status", r"Paused at step [\d,]+$")
    chapter.click(f"{EXPLORER}-stop")
    chapter.wait_for(f"{EXPLORER}-status", r"Stopped at step [\d,]+$")
    chapter.click(f"{EXPLORER}-keep")
    chapter.wait_for(f"{EXPLORER}-note", "^1 run added")
    same_run = "explorer.runs[0].config.run_id == explorer.config().run_id"
    assert kernel(chapter, f"[{same_run}, explorer.phase]") == [True, "stopped"]


def test_a_cell_is_trained_over_its_stored_curves_while_the_reader_moves(open_notebook: Open, request):
    chapter = started(open_notebook(CHAPTER))
    train_move_and_stop(chapter)
    chapter.look(EXPLORER, request.node.name)


def test_all_of_it_works_where_messages_wait_for_the_kernel(chromium: Browser, notebooks, tmp_path):
    with serve(notebooks, tmp_path, WITHOUT_SUBSHELLS) as address, lab_in(chromium, address) as lab:
        train_move_and_stop(started(lab.open(CHAPTER)))


def test_on_a_telephone_cells_and_buttons_are_touched(chromium: Browser, address: str):
    width, height = SCREENS[-1]
    with lab_in(chromium, address, viewport={"width": width, "height": height}, has_touch=True, is_mobile=True) as lab:
        chapter = started(lab.open(CHAPTER))
        lab.page.touchscreen.tap(*middle_of(chapter, 24, 2000))
        assert read(chapter)[:2] == [24, 2000]
        button = chapter.find(f"{EXPLORER}-train")
        button.scroll_into_view_if_needed()
        button.tap()
        chapter.wait_for(f"{EXPLORER}-status", "^d_h 24, D_train 2,000, seed 1: ")
        stop = chapter.find(f"{EXPLORER}-stop")
        stop.scroll_into_view_if_needed()
        stop.tap()
        chapter.wait_for(f"{EXPLORER}-status", r"(Stopped|Finished) at step")

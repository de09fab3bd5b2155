"""A page on a slow computer, or one that is loaded anew: what happens meanwhile is not lost."""

import shutil
from pathlib import Path

import pytest
from conftest import lab_in
from labpage import PATIENCE, SHOTS, Lab, Notebook
from playwright.sync_api import Browser, CDPSession, expect

CHAPTER = "00_explore.ipynb"
TIMES_SLOWER = 6

MOVED_AT_ONCE = """import grokbook as gb
explorer = gb.widgets.Explorer(d_h=4, D_train=3000)
live = gb.widgets.LiveRun(gb.RunConfig(p=7, d_h=8, D_train=20, n_steps=60))
display(explorer, live)
explorer.choose(d_h=64, D_train=5000, seed=1, budget=10_000)
live.start()
live.wait()
"""


def assert_shows_the_last(notebook: Notebook) -> None:
    notebook.wait_for(".gb-explorer-cell h4", "^d_h 64, D_train 5,000: seed 1 thick$")
    notebook.wait_for(".gb-explorer-map h4", "^zone after 10,000 steps$")
    n = int(notebook.run("print(live.runs[0].curves['step'].size)"))
    notebook.wait_for_points(".gb-live", n - 1, metric="val_acc", role="line")


@pytest.fixture
def slow(chromium: Browser, address: str):
    """A page that is drawn six times slower, once `TIMES_SLOWER` is set in its session."""
    with lab_in(chromium, address) as lab:
        yield lab, lab.page.context.new_cdp_session(lab.page)


def test_what_the_kernel_does_before_a_figure_is_ready_is_drawn_when_it_is(slow: tuple[Lab, CDPSession]):
    lab, session = slow
    chapter = lab.open(CHAPTER)
    session.send("Emulation.setCPUThrottlingRate", {"rate": TIMES_SLOWER})
    chapter.run(MOVED_AT_ONCE)
    assert_shows_the_last(chapter)
    session.send("Emulation.setCPUThrottlingRate", {"rate": 1})


def test_a_page_that_is_loaded_anew_shows_how_things_stand(open_notebook, notebooks: Path):
    shutil.copy(notebooks / CHAPTER, notebooks / "again.ipynb")  # it will be saved
    chapter = open_notebook("again.ipynb")
    chapter.run(MOVED_AT_ONCE)
    assert_shows_the_last(chapter)
    chapter.reopen(".gb-explorer-cell h4")
    assert_shows_the_last(chapter)


def test_a_notebook_that_is_opened_without_its_kernel_keeps_pictures(lab: Lab, notebooks: Path):
    shutil.copy(notebooks / CHAPTER, notebooks / "kept.ipynb")
    chapter = lab.open("kept.ipynb")
    chapter.run(ALL_WIDGETS)
    pictures, area = chapter.page.locator(".jp-OutputArea img:visible"), ".jp-OutputArea"
    for widget in (".gb-explorer", ".gb-live", ".gb-patterns"):
        chapter.page.wait_for_selector(f"{area} {widget} svg", state="attached")
    chapter.page.wait_for_function("where => document.querySelectorAll(where).length === 2", arg=f"{area} img")
    expect(pictures).to_have_count(0)  # behind the widgets
    chapter.page.evaluate("() => book.panel().context.save().then(() => true)")
    lab.close_notebooks()

    chapter = lab.open("kept.ipynb")  # and a kernel that knows of no widget
    expect(pictures).to_have_count(2, timeout=PATIENCE)
    expect(chapter.page.locator(".gb-kept:visible")).to_have_count(2)
    expect(chapter.page.locator(f"{area} .gb-patterns [data-ring]")).to_be_visible()  # which needs no kernel
    assert chapter.page.get_by_text("model not found").locator("visible=true").count() == 0
    lab.screenshot(SHOTS / "kept.png")
    lab.close_notebooks()


ALL_WIDGETS = """import grokbook as gb
from IPython.display import display
display(gb.widgets.Explorer(), gb.widgets.LiveRun(gb.RunConfig(d_h=64, D_train=5000)), gb.widgets.PatternExplorer())
"""

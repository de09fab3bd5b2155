"""A page that is loaded anew: what happened meanwhile is not lost."""

import shutil
from pathlib import Path

from labpage import Notebook

CHAPTER = "00_explore.ipynb"

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


def test_a_page_that_is_loaded_anew_shows_how_things_stand(open_notebook, notebooks: Path):
    shutil.copy(notebooks / CHAPTER, notebooks / "again.ipynb")  # it will be saved
    chapter = open_notebook("again.ipynb")
    chapter.run(MOVED_AT_ONCE)
    assert_shows_the_last(chapter)
    chapter.reopen()
    assert_shows_the_last(chapter)

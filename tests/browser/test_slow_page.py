"""A page on a slow computer, or a busy one: figures take seconds to appear, and what happens meanwhile is not lost."""

import pytest
from labpage import Notebook

CHAPTER = "00_explore.ipynb"
TIMES_SLOWER = 6

MOVED_AT_ONCE = """import grokbook as gb
explorer = gb.widgets.ZoneExplorer(d_h=4, D_train=3000)
display(explorer)
explorer.choose(d_h=64, D_train=5000)
"""


@pytest.mark.parametrize("address", [{}], indirect=True, ids=["subshells"])
def test_what_the_kernel_sends_before_a_figure_is_ready_is_drawn_when_it_is(open_notebook):
    chapter: Notebook = open_notebook(CHAPTER)
    page = chapter.page
    page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": TIMES_SLOWER})
    chapter.run(MOVED_AT_ONCE)
    chapter.plot(".gb-zones-map")
    page.wait_for_function("where => book.plot(where)?.title.startsWith('d_h 64, D_train 5000')",
                           arg=".gb-zones-curves")
    n = int(chapter.run("print(gb.plots.find(explorer.curves, metric='val_acc', role='line')[0].y.size)"))
    page.wait_for_function("""([where, n]) => book.plot(where).traces.some(trace => trace.meta?.metric === 'val_acc'
        && trace.meta.role === 'line' && trace.y.length === n)""", arg=[".gb-zones-curves", n])

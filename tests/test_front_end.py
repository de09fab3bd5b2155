"""Figures on the page: what is sent to it when one is redrawn."""

from samples import fake_run

import grokbook as gb
from grokbook import plots
from grokbook.widgets import front_end

CONFIG = gb.RunConfig(p=7, d_h=8, D_train=30, n_steps=60)


def test_redrawing_sends_what_differs_trace_by_trace_and_replaces_traces_where_there_are_more():
    cells = [(CONFIG.d_h, CONFIG.D_train)]
    figures = [plots.grokking_panels([fake_run(CONFIG, n)], cells=cells) for n in (10, 20)]
    shown, longer = map(front_end.figure_widget, figures)
    sent, traces = [], shown.data
    shown.observe(lambda change: sent.append(change) if change.new else None,
                  [name for name in shown.trait_names() if name.startswith("_py2js")])
    front_end.redraw(shown, longer)
    assert shown.data == traces and shown.to_dict() == longer.to_dict()
    styles = [change.new["style_traces"] for change in sent if change.new.get("style_data")]
    # plotly fills what one of several traces does not change with a null, which takes it from the page
    assert styles and all(len(changed) == 1 for changed in styles)
    longer.add_scatter(y=[1, 2], meta={"role": "extra"})
    front_end.redraw(shown, longer)
    assert shown.to_dict()["data"] == longer.to_dict()["data"]

"""A figure as state, without a browser: what a page that asks now is given."""

import gzip
import json

import plotly.graph_objects as go
import pytest
from ipywidgets.widgets.widget import _instances
from plotly.offline import get_plotlyjs
from traitlets import TraitError

from grokbook.widgets.front_end import Library, Plot, close_with_parts


def test_a_page_is_given_the_figure_as_it_is_when_it_asks():
    plot = Plot(go.Figure(go.Scatter(y=[1, 2])))
    for y in ([3, 4], [5, float("nan")]):
        plot.figure = go.Figure(go.Scatter(y=y))
    state = plot.get_state()["figure"]
    assert json.loads(json.dumps(state, allow_nan=False))["data"][0]["y"] == [5, None]
    close_with_parts(plot)


def test_what_was_set_last_is_sent_and_nothing_if_it_is_the_same(monkeypatch):
    sent = []
    plot = Plot(go.Figure(go.Scatter(y=[1, 2])))
    monkeypatch.setattr(plot, "send_state", lambda key: sent.append(key))
    plot.figure = go.Figure(go.Scatter(y=[1, 2]))
    assert not sent
    plot.figure = go.Figure(go.Scatter(y=[1, 3]))
    assert sent == ["figure"]
    close_with_parts(plot)


def test_all_figures_share_one_copy_of_plotly():
    plots = [Plot(go.Figure()) for _ in range(3)]
    (shared,) = [widget for widget in _instances.values() if isinstance(widget, Library)]
    assert {plot.children[0].get_state()["library"] for plot in plots} == {f"IPY_MODEL_{shared.model_id}"}
    assert gzip.decompress(shared.zipped).decode() == get_plotlyjs()
    for plot in plots:
        close_with_parts(plot)


def test_only_a_figure_can_be_shown():
    plot = Plot(go.Figure())
    with pytest.raises(TraitError, match="figure"):
        plot.figure = {"data": []}  # pyright: ignore[reportAttributeAccessIssue]
    close_with_parts(plot)

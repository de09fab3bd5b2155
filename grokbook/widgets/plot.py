"""A plotly figure on a page, as state: whoever looks at the page, and whenever, sees what `figure` is then."""

import gzip
import json
from functools import cache

import ipywidgets as W
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs
from traitlets import Bytes, Instance, Unicode, default

from grokbook.widgets.front_end import Drawing, script


def plain(fig: go.Figure) -> dict:
    """A figure as JSON: numbers that JSON has not, such as NaN, as null."""
    return json.loads(fig.to_json() or "{}")


class Library(W.Widget):
    """Plotly's own code for the page: one and a half megabytes, sent once, whatever the number of figures."""

    zipped = Bytes().tag(sync=True)


@cache
def library() -> Library:
    """The one of this kernel."""
    return Library(zipped=gzip.compress(get_plotlyjs().encode()))


class PlotDrawing(Drawing):
    """Draws a `Plot`."""

    _esm = script("plotly.js", "plot.js", "drawing.js")
    library = Instance(Library).tag(sync=True, **W.widget_serialization)

    @default("library")
    def _shared(self) -> Library:
        return library()


class Plot(W.VBox):
    """Shows `figure`, as wide as its place on the page. Set another one; what is done to the one shown is not seen.

    While `subject` stays the same a reader's zoom stays too.
    """

    figure = Instance(go.Figure).tag(sync=True, to_json=lambda fig, _: plain(fig))
    subject = Unicode().tag(sync=True)

    def __init__(self, figure: go.Figure, **layout: str):
        super().__init__(figure=figure, layout=W.Layout(min_width="0", overflow="hidden", **layout))
        self.children = [PlotDrawing(of=self)]

"""A plotly figure on a page, as state: whoever looks at the page, and whenever, sees what `figure` is then."""

import gzip
import json
from functools import cache
from pathlib import Path

import anywidget
import ipywidgets as W
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs
from traitlets import Bytes, Instance, Unicode, default


def script(*names: str) -> str:
    """The code of these files beside this one, one after the other: widgets have no module to import from."""
    return "\n".join((Path(__file__).parent / name).read_text("utf-8") for name in names)


def plain(fig: go.Figure) -> dict:
    """A figure as JSON: numbers that JSON has not, such as NaN, as null."""
    return json.loads(fig.to_json() or "{}")


class Library(anywidget.AnyWidget):
    """Plotly's own code for the page: one and a half megabytes, sent once, whatever the number of figures."""

    _esm = "export default {}"
    zipped = Bytes().tag(sync=True)


@cache
def library() -> Library:
    """The one of this kernel."""
    return Library(zipped=gzip.compress(get_plotlyjs().encode()))


class Plot(anywidget.AnyWidget):
    """Shows `figure`, as wide as its place on the page. Set another one; what is done to the one shown is not seen.

    While `subject` stays the same a reader's zoom stays too.
    """

    _esm = script("plotly.js", "plot.js")
    figure = Instance(go.Figure).tag(sync=True, to_json=lambda fig, _: plain(fig))
    subject = Unicode().tag(sync=True)
    _library = Instance(Library).tag(sync=True, **W.widget_serialization)

    def __init__(self, figure: go.Figure, **layout: str):
        super().__init__(figure=figure, layout=W.Layout(min_width="0", **layout))

    @default("_library")
    def _shared(self) -> Library:
        return library()

"""What every explorer needs of the page it stands in: whether somebody is there, and a figure that follows."""

import html
from functools import cache
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as W
import plotly.graph_objects as go
from IPython.core.getipython import get_ipython
from IPython.display import display
from traitlets import Instance, Unicode, default

from grokbook.plots.picture import mime_bundle

NEEDS_KERNEL = "This is a picture. Run the cell where a kernel is, in JupyterLab, and it becomes {what}."


def watched() -> bool:
    """Whether a person runs this cell. Programs that execute notebooks say that nobody is there to answer questions."""
    kernel = getattr(get_ipython(), "kernel", None)
    request = kernel.get_parent("shell") if kernel else {}
    return bool(request.get("content", {}).get("allow_stdin"))


def show_picture(fig: go.Figure, what: str) -> None:
    """For pages without a kernel: a figure, its picture, and a line that says `what` the cell is where there is one."""
    print(NEEDS_KERNEL.format(what=what))
    display(mime_bundle(fig), raw=True)


class Script(anywidget.AnyWidget):
    """Plotly's own code for the page, five megabytes: sent once, whatever the number of figures."""

    _esm = "export default {}"
    source = Unicode(str(go.FigureWidget._esm)).tag(sync=True)


class Figure(go.FigureWidget):
    """Plotly's widget for slow machines.

    anywidget gives a figure two seconds to be ready and afterwards loses whatever the kernel sends; plotly's code takes
    longer where a computer is busy. So this one is ready at once, keeps what is sent until the code is there, and then
    lets plotly have it in that order.
    """

    _script = Instance(Script).tag(sync=True, **W.widget_serialization)
    _esm = (Path(__file__).parent / "figure.js").read_text("utf-8")

    @default("_script")
    def _shared(self) -> Script:
        return shared_script()


@cache
def shared_script() -> Script:
    """The one of this kernel."""
    return Script()


def figure_widget(fig: go.Figure) -> go.FigureWidget:
    """A figure that `redraw` can change, as wide as its place on the page."""
    widget = Figure(fig)
    widget._config = {"responsive": True, "displayModeBar": False}  # plotly has no public way to say this of a widget
    return widget


class Fit(anywidget.AnyWidget):
    """Makes the figures of the page measure their places whenever the box around this has changed its size.

    Plotly draws a figure before it has a place, 700 pixels wide, and otherwise measures only when the window changes.
    """

    _esm = """export default { render({ el }) {
        const frame = new ResizeObserver(() => window.dispatchEvent(new Event("resize")));
        const placed = new ResizeObserver(() => { placed.disconnect(); frame.observe(el.parentElement); });
        placed.observe(el);
        return () => { placed.disconnect(); frame.disconnect(); };
    } };"""


def framed(figure: go.FigureWidget, **layout: str) -> W.Box:
    """The figure in a frame that does not grow with it, so that it is as wide as the place that `layout` gives it."""
    return W.Box([figure, Fit()], layout=W.Layout(display="block", overflow="hidden", **layout))


def half(figure: go.FigureWidget, **layout: str) -> W.Box:
    """The figure beside another one, each on half of the page; below each other where that is narrow."""
    return framed(figure, flex="1 1 380px", min_width="0", **layout)


def paragraph(words: str, size: int = 13) -> str:
    """Words as HTML that wraps."""
    return f'<div style="line-height: 1.4; font-size: {size}px">{html.escape(words)}</div>'


def close_with_parts(widget: W.Widget) -> None:
    """Close a widget and all that it holds. ipywidgets closes the outermost alone, and keeps the rest for good."""
    for part in (*getattr(widget, "children", ()), getattr(widget, "layout", None), getattr(widget, "style", None)):
        if isinstance(part, W.Widget):
            close_with_parts(part)
    W.Widget.close(widget)


def redraw(shown: go.FigureWidget, fig: go.Figure | go.FigureWidget) -> None:
    """Let the widget show what `fig` shows. Only what differs is sent to the page, in one message a trace.

    In a message on several traces plotly fills what only some of them change with a null, and the page loses it.

    Traces are matched by place and `meta`; where these differ, because there is more or less to show, all are replaced.
    One thread at a time: plotly collects the changes in the figure itself.
    """
    now, traces = traces_of(shown), traces_of(fig)
    if [trace.meta for trace in now] != [trace.meta for trace in traces]:
        shown.data = ()
        shown.add_traces(traces)
        now = traces_of(shown)
    layout = fig.to_dict()["layout"]
    layout.pop("template", None)
    for old, new in zip(now, traces, strict=True):
        with shown.batch_update():
            old.update(new.to_plotly_json(), overwrite=True)
    with shown.batch_update():
        shown.update_layout(layout, overwrite=True)


def traces_of(fig: Any) -> list[Any]:
    """The traces of a figure; plotly's own types do not say that there are any."""
    return list(fig.data)

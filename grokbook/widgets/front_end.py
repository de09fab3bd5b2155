"""What widgets need of the page they stand in: a script, whether somebody is there, a picture if not, and an end; and a
plotly figure as state: whoever looks at the page, and whenever, sees what `figure` is then.
"""

import gzip
import html
import json
import threading
from functools import cache
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as W
import plotly.graph_objects as go
from IPython.core.getipython import get_ipython
from IPython.display import DisplayHandle, display
from plotly.offline import get_plotlyjs
from traitlets import Bytes, Instance, Unicode

from grokbook.plots.picture import mime_bundle

NEEDS_KERNEL = "This is a picture. Run the cell where a kernel is, in JupyterLab, and it becomes {what}."

HIDDEN = """<style>
.jp-OutputArea:has(.widget-container) > .jp-OutputArea-child:has(.gb-kept),
.jp-OutputArea:has(.widget-container) > .jp-OutputArea-child:has(.gb-kept) + .jp-OutputArea-child,
.jp-OutputArea:has(.gb-kept) .jp-OutputArea-output.jupyter-widgets:not(:has(*)) { display: none; }
</style>"""
"""JupyterLab shows the kept picture where the widget is not: in a notebook that was saved and opened again, where it
would say of the widget, which went with its kernel, that it was not found."""


def watched() -> bool:
    """Whether a person runs this cell. Programs that execute notebooks say that nobody is there to answer questions."""
    kernel = getattr(get_ipython(), "kernel", None)
    request = kernel.get_parent("shell") if kernel else {}
    return bool(request.get("content", {}).get("allow_stdin"))


class Picture:
    """Comes before the widget class among the bases: shown where nobody watches, the widget leaves its `pictures`.

    GitHub, a page of the book and paper have no kernel, and show these. Where somebody watches, the cell keeps one
    picture, `kept`, behind the widget, for when the notebook is saved and opened without this kernel.
    """

    what = "a widget"
    sentence: Any = ""
    _place: DisplayHandle | None = None

    def pictures(self) -> list[go.Figure]:
        """What stands for the widget on a page without a kernel, the most important first."""
        raise NotImplementedError

    def kept(self) -> go.Figure:
        """The picture that a watched cell keeps."""
        return self.pictures()[0]

    def keep_picture(self) -> None:
        """Make the picture that the cell keeps anew, in a thread: a browser that paints takes seconds to start."""
        if self._place:
            threading.Thread(target=self._paint, args=(self._place,), name="keeping", daemon=True).start()

    def close(self) -> None:
        """Take the widget and all its parts from the page."""
        close_with_parts(self)

    def _paint(self, place: DisplayHandle) -> None:
        place.update(mime_bundle(self.kept()), raw=True)

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {self.what}"  # ipywidgets would write out all that it holds, a megabyte

    def _ipython_display_(self) -> None:
        words = NEEDS_KERNEL.format(what=self.what)
        if watched():
            display({"text/html": f'{HIDDEN}<p class="gb-kept">{words}</p>', "text/plain": words}, raw=True)
            self._place = display({"text/plain": repr(self)}, raw=True, display_id=True)
            self.keep_picture()
            raise NotImplementedError  # so IPython asks the widget itself, and notebooks add what their page needs
        figures = self.pictures()
        for text in filter(None, [words, str(self.sentence)] if figures else []):
            display({"text/html": paragraph(text), "text/plain": text}, raw=True)
        for fig in figures:
            fig.show("grokbook")


ERROR = "; color: var(--jp-error-color1, #B00020)"
"""Style of a paragraph that tells of an error, in the colour of JupyterLab's theme where there is one."""


def paragraph(words: str, more: str = "") -> str:
    """Words as HTML that wraps, with `more` style."""
    return f'<div style="line-height: 1.4; font-size: 13px{more}">{html.escape(words)}</div>'


def close_with_parts(widget: Any) -> None:
    """Close a widget and all that it holds. ipywidgets closes the outermost alone, and keeps the rest for good."""
    for part in (*getattr(widget, "children", ()), getattr(widget, "layout", None), getattr(widget, "style", None)):
        if isinstance(part, W.Widget):
            close_with_parts(part)
    W.Widget.close(widget)


def script(*names: str) -> str:
    """The code of these files beside this one, one after the other: widgets have no module to import from."""
    return "\n".join((Path(__file__).parent / name).read_text("utf-8") for name in names)


def scripted(content: str, code: str) -> str:
    """HTML with a script, in which `root` is the element that holds both; `content` alone where no script runs.

    It needs no kernel: JupyterLab runs it once its cell was run there, a page of the book at once. A notebook that was
    only opened, GitHub and paper show the content as it is.
    """
    run = f"(root => {{\n{script('keys.js')}{code}\n}})(document.currentScript.parentElement);"
    return f"<div class='gb-scripted'>{content}<script>{run}</script></div>"


class Drawing(anywidget.AnyWidget):
    """Draws what another widget, one of ipywidgets' own kinds, holds.

    It holds nothing itself, because anywidget (0.11) waits two seconds for its own models to be ready and then drops
    whatever the kernel sends them, for good. On a slow computer, or while plotly's code is read, that takes longer.
    Subclasses have the script, which ends with `keys.js` and `drawing.js` and gives a function `render`.
    """

    of = Instance(W.Widget).tag(sync=True, **W.widget_serialization)


class Library(W.Widget):
    """Plotly's own code for the page: one and a half megabytes, sent once, whatever the number of figures."""

    zipped = Bytes().tag(sync=True)


@cache
def library() -> Library:
    """The one of this kernel."""
    return Library(zipped=gzip.compress(get_plotlyjs().encode()))


class PlotDrawing(Drawing):
    """Draws a `Plot`."""

    _esm = script("plotly.js", "plot.js", "keys.js", "drawing.js")
    library = Instance(Library).tag(sync=True, **W.widget_serialization)


class Plot(W.VBox):
    """Shows `figure`, as wide as its place on the page. Set another one; what is done to the one shown is not seen.

    While `subject` stays the same a reader's zoom stays too.
    """

    # Numbers that JSON has not, such as NaN, go out as null.
    figure = Instance(go.Figure).tag(sync=True, to_json=lambda fig, _: json.loads(fig.to_json()))
    subject = Unicode().tag(sync=True)

    def __init__(self, figure: go.Figure, **layout: str):
        super().__init__(figure=figure, layout=W.Layout(min_width="0", overflow="hidden", **layout))
        self.children = [PlotDrawing(of=self, library=library())]

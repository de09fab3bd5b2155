"""Scripts that draw on a page what widgets hold."""

from pathlib import Path

import anywidget
import ipywidgets as W
from traitlets import Instance


def script(*names: str) -> str:
    """The code of these files beside this one, one after the other: widgets have no module to import from."""
    return "\n".join((Path(__file__).parent / name).read_text("utf-8") for name in names)


class Drawing(anywidget.AnyWidget):
    """Draws what another widget, one of ipywidgets' own kinds, holds.

    It holds nothing itself, because anywidget (0.11) waits two seconds for its own models to be ready and then drops
    whatever the kernel sends them, for good. On a slow computer, or while plotly's code is read, that takes longer.
    Subclasses have the script, which ends with `drawing.js` and gives a function `render`.
    """

    of = Instance(W.Widget).tag(sync=True, **W.widget_serialization)

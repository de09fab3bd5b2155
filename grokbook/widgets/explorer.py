"""What the explorers of the map share: sliders over values that exist, tied to traits, and errors said on the page.

JupyterLab may run callbacks on several threads, so one lock guards everything that draws.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import ipywidgets as W
import plotly.graph_objects as go
from traitlets import TraitError, Unicode

from grokbook.plots import find
from grokbook.plots.lookup import Lookup, outline_traces
from grokbook.widgets.front_end import close_with_parts, figure_widget, half, paragraph, traces_of
from grokbook.widgets.trainer import reason


class Explorer(W.VBox):
    """A figure beside another, under sliders that are the traits' page. Subclasses have the traits and draw.

    `sentence` is what the page says below the figures, `note` the last error.
    """

    sentence, note = Unicode(""), Unicode("")

    def __init__(self, lookup: Lookup, chosen: Mapping[str, int | None], name: str):
        self.lookup, self._name = lookup, name
        lookup.include(chosen["budget"])
        self._values = {key: lookup.values()[key] for key in chosen}
        self._lock, self._holding = threading.RLock(), 0
        super().__init__()
        self.add_class(f"gb-{name}")
        for key, value in chosen.items():
            setattr(self, key, self._start(key) if value is None else value)
        self.sliders: dict[str, Any] = {key: self._slider(key) for key in chosen}
        self._sentence, self._note, self._caption = W.HTML(), W.HTML(), W.HTML()
        self._note.style.text_color = "#B00020"
        self._classed(self._sentence, "sentence")
        self._classed(self._note, "note")

    def choose(self, **values: int) -> None:
        """Set several of the traits and draw once. Raises TraitError for a value that is not on the map."""
        with self._held():
            for key, value in values.items():
                setattr(self, key, value)

    def close(self) -> None:
        """Take the widget and all its parts from the page."""
        close_with_parts(self)

    def warm(self) -> threading.Thread:
        """Make, in the background, what the sliders will look up; the thread that does it."""
        thread = threading.Thread(target=self._make_all, name="warming", daemon=True)
        thread.start()
        return thread

    def _draw(self) -> None:
        raise NotImplementedError

    def _make_all(self) -> None:
        raise NotImplementedError

    def _start(self, key: str) -> int:
        """The value that nobody chose: the longest budget, the first seed, the middle of the rest."""
        values = self._values[key]
        return {"budget": values[-1], "seed": values[0]}.get(key, values[len(values) // 2])

    def _valid(self, proposal: dict) -> int:
        key, value = proposal["trait"].name, proposal["value"]
        if value not in self._values[key]:
            raise TraitError(f"{key}={value} is not on the map; valid: {', '.join(map(str, self._values[key]))}")
        return value

    def _slider(self, key: str) -> W.SelectionSlider:
        slider = W.SelectionSlider(options=[(f"{v:,}", v) for v in self._values[key]], value=getattr(self, key),
                                   description=key, style={"description_width": "54px"},
                                   layout=W.Layout(flex="1 1 240px", max_width="330px"))
        self._follow(key, slider)
        return self._classed(slider, key)

    def _follow(self, key: str, control) -> None:
        """Let trait and control have the same value."""
        control.observe(self._saying_errors(lambda change: setattr(self, key, change["new"])), names="value")
        self.observe(self._moved, names=key)

    def _half(self, fig: go.Figure, name: str) -> tuple[go.FigureWidget, W.Box]:
        """A figure that can be redrawn, and its place: half of the page, all of it where that is narrow."""
        shown = figure_widget(fig)
        return shown, self._classed(half(shown), name)

    def _classed(self, widget, name: str):
        widget.add_class(f"gb-{self._name}-{name}")
        return widget

    def _moved(self, change: dict) -> None:
        with self._held():
            self.sliders[change["name"]].value = change["new"]

    @contextmanager
    def _held(self):
        """Draw once, when the outermost of these ends, whatever was changed within."""
        with self._lock:
            self._holding += 1
            try:
                yield
            finally:
                self._holding -= 1
                if not self._holding:
                    self._draw()

    def _on_click(self, shown: go.FigureWidget) -> None:
        """Let a click anywhere on a map choose the cell there; to be told anew when its traces were replaced."""
        def click(trace, points, state) -> None:
            if points.xs:
                d_h, D_train = self.lookup.cell_at(points.xs[0], points.ys[0])
                wanted = {"d_h": d_h, "D_train": D_train}
                self.choose(**{key: value for key, value in wanted.items() if key in self.sliders})

        for trace in traces_of(shown):
            trace.on_click(self._saying_errors(click))

    def _say(self, sentence: str) -> None:
        self.sentence, self._sentence.value = sentence, paragraph(sentence, size=15)

    def _saying_errors(self, act: Callable[..., object]) -> Callable[..., None]:
        """An error is said in the widget, since a callback has no cell to raise it in."""
        def said(*arguments) -> None:
            try:
                act(*arguments)
                self.note = ""
            except Exception as error:
                self.note = reason(error)
            self._note.value = paragraph(self.note) if self.note else ""
        return said


def row(*parts: W.Widget, align: str = "center") -> W.Box:
    """Widgets side by side, below each other where the page is narrow."""
    return W.Box(parts, layout=W.Layout(display="flex", flex_flow="row wrap", align_items=align))


def show_values(shown: go.FigureWidget, values: Sequence[Mapping]) -> None:
    """Give the traces of a figure other x, y and customdata, in one message a trace as `redraw` does."""
    for trace, new in zip(traces_of(shown), values, strict=True):
        with shown.batch_update():
            trace.update(new)


def frame_on(fig: Any, frame: tuple[list[float], list[float]]) -> None:
    """Frame what is selected on a map; `frame` as `Lookup.outline` gives it."""
    if not find(fig, role="outline"):
        fig.add_traces(outline_traces())
    with fig.batch_update():
        for line in find(fig, role="outline"):
            line.update(x=frame[0], y=frame[1])

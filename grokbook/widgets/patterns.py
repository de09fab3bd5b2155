"""Pattern explorer: every parameter of the pattern model in the reader's hand.

One figure shows the patterns, the accuracies they add up to, and where these parameters lie on the map. JupyterLab may
run callbacks on several threads, so one lock guards all of them.
"""

import base64
import threading
from collections.abc import Callable, Iterable
from html import escape
from typing import Any

import ipywidgets as W
import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from grokbook.analysis import kinds, patterns
from grokbook.analysis.patterns import DOUBLE_DESCENT, PRESETS, TIMES, Pattern
from grokbook.plots.captions import frame
from grokbook.plots.patterns import ACCURACY_AXIS, COMPUTED, accuracy_traces, map_traces, pattern_traces
from grokbook.plots.picture import picture, sentence

RANGES = {"gamma": ("γ", 0, 1, 0.01), "alpha": ("α", 0, 0.5, 0.005), "b": ("b", 0, 300, 1), "g": ("g", 0, 1, 0.01)}
"""Of every slider: its label, both ends, and its step."""

MAP_SIZE = 31
"""Values of γ a side of the map: it is computed anew for most moves of a slider, in a twentieth of a second."""

NEW = Pattern(0.5, 0.1, 100, 0.5)
"""What *add a pattern* adds."""

HAND_MADE = "(your own)"


class PatternRow(W.HBox):
    """The controls of one pattern."""

    def __init__(self, number: int, pattern: Pattern, changed: Callable[[Any], None], removed: Callable[[int], None]):
        self.sliders = {name: W.FloatSlider(value=getattr(pattern, name), description=label, min=low, max=high,
                                            step=step, continuous_update=False, readout_format=".3f",
                                            layout=W.Layout(width="168px"), style={"description_width": "14px"})
                        for name, (label, low, high, step) in RANGES.items()}
        self.preferred = W.Checkbox(value=pattern.preferred, description="preferred", indent=False,
                                    layout=W.Layout(width="90px"))
        self.remove = W.Button(description="remove", tooltip=f"Remove pattern {number}", layout=W.Layout(width="70px"))
        for control in (*self.sliders.values(), self.preferred):
            control.observe(changed, names="value")
        self.remove.on_click(lambda _: removed(number))
        super().__init__([W.Label(f"pattern {number}"), *self.sliders.values(), self.preferred, self.remove],
                         layout=W.Layout(flex_flow="row wrap"))

    def read(self) -> Pattern:
        """The pattern that the controls stand for."""
        return Pattern(**{name: slider.value for name, slider in self.sliders.items()}, preferred=self.preferred.value)


class PatternExplorer(W.VBox):
    """Presets, a morph from double descent to grokking, sliders for any number of patterns, figure, and sentence.

    `patterns` is what the figure shows. What cannot be drawn is said in `message`, and the figure stays as it was.
    """

    def __init__(self, preset: str = "double descent"):
        if preset not in PRESETS:
            raise ValueError(f"preset={preset!r} is unknown; valid: {', '.join(PRESETS)}")
        self.patterns = tuple(PRESETS[preset])
        self._lock, self._setting = threading.RLock(), False
        self.preset = W.Dropdown(options=[*PRESETS, HAND_MADE], value=preset, description="preset")
        self.morph = W.FloatSlider(min=0, max=1, step=0.01, description="morph", continuous_update=False,
                                   readout_format=".0%", layout=W.Layout(width="330px"))
        self.add = W.Button(description="add a pattern")
        self.rows = W.VBox()
        self.message = W.HTML()
        self.figure = _widget(_figure(self.patterns))
        self._set(self.patterns)
        self.preset.observe(self._choose, names="value")
        self.morph.observe(self._move, names="value")
        self.add.on_click(lambda _: self._change([*self._read(), NEW]))
        ends = W.Label("from double descent (0 %) to grokking (100 %)")
        self.controls = W.VBox([W.HBox([self.preset, self.add]), W.HBox([self.morph, ends])])
        super().__init__([self.controls, self.rows, self.message, self.figure])
        for name in ("preset", "morph", "add", "message"):
            getattr(self, name).add_class(f"patterns-{name}")

    def _repr_mimebundle_(self, **kwargs) -> dict:
        """The widget for JupyterLab, and a picture for pages without a kernel."""
        bundle = dict(super()._repr_mimebundle_(**kwargs) or {})
        still = go.Figure(self.figure)
        bundle["text/plain"] = f"{sentence(still)} {kinds.describe(self.patterns)} (Interactive in JupyterLab.)"
        png = picture(still)
        return bundle | ({"image/png": base64.b64encode(png).decode()} if png else {})

    def _choose(self, change) -> None:
        if not self._setting and change["new"] in PRESETS:
            self._change(PRESETS[change["new"]], preset=change["new"])

    def _move(self, change) -> None:
        if not self._setting:
            path = patterns.PATHS["γ₁ and γ₃ together"]
            self._change(patterns.along(path, change["new"], DOUBLE_DESCENT), morph=change["new"])

    def _slide(self, _) -> None:
        with self._lock:
            if not self._setting:
                self._draw(self._read())

    def _remove(self, number: int) -> None:
        self._change([pattern for i, pattern in enumerate(self._read(), 1) if i != number])

    def _read(self) -> tuple[Pattern, ...]:
        return tuple(row.read() for row in self.rows.children)

    def _change(self, wanted, *, preset: str | None = None, morph: float | None = None) -> None:
        """Draw other patterns, and set the controls to them."""
        with self._lock:
            if self._draw(tuple(wanted), preset=preset, morph=morph):
                self._set(self.patterns)

    def _set(self, wanted: tuple[Pattern, ...]) -> None:
        self.rows.children = [PatternRow(i, pattern, self._slide, self._remove) for i, pattern in enumerate(wanted, 1)]
        self._say(kinds.describe(wanted))

    def _draw(self, wanted: tuple[Pattern, ...], *, preset: str | None = None, morph: float | None = None) -> bool:
        """Draw patterns and say what they show; if they cannot be, say why. Whether they were drawn."""
        try:
            said, new = kinds.describe(wanted), _figure(wanted)
        except ValueError as refused:
            self._say(str(refused), color="#b3261e")
            return False
        self.patterns, self._setting = wanted, True
        try:
            self.preset.value = preset or _preset_of(wanted)
            self.morph.value = _share(wanted) if morph is None else morph
        finally:
            self._setting = False
        self._show(new)
        self._say(said)
        return True

    def _show(self, new: go.Figure) -> None:
        """Redraw the figure; where it takes other traces, make another one."""
        shown, wanted = list[Any](self.figure.data), list[Any](new.data)
        if [trace.meta for trace in shown] != [trace.meta for trace in wanted]:
            self.figure = _widget(new)
            self.children = [self.controls, self.rows, self.message, self.figure]
            return
        with self.figure.batch_update():
            for old, trace in zip(shown, wanted, strict=True):
                old.update(trace.to_plotly_json())

    def _say(self, text: str, color: str = "inherit") -> None:
        self.message.value = f"<p style='line-height:1.4;color:{color}'>{escape(text)}</p>"


def _preset_of(wanted: tuple[Pattern, ...]) -> str:
    return next((name for name, preset in PRESETS.items() if tuple(preset) == wanted), HAND_MADE)


def _share(wanted: tuple[Pattern, ...]) -> float:
    """How far these patterns are on the straight way to grokking; 0 where they are not on it."""
    share = 1 - wanted[0].gamma / DOUBLE_DESCENT[0].gamma if wanted else 0
    there = 0 <= share <= 1 and patterns.along(patterns.PATHS["γ₁ and γ₃ together"], share) == wanted
    return round(share, 2) if there else 0.0


def _figure(wanted: tuple[Pattern, ...]) -> go.Figure:
    """Patterns and accuracies over time on the left, the map on the right."""
    fig = make_subplots(rows=2, cols=2, specs=[[{}, {"rowspan": 2}], [{}, None]], column_widths=[0.6, 0.4],
                        vertical_spacing=0.08, horizontal_spacing=0.14)
    fig.add_traces(_listed(pattern_traces(wanted, TIMES)), rows=1, cols=1)
    fig.add_traces(_listed(accuracy_traces(wanted, TIMES)), rows=2, cols=1)
    if len(wanted) > 1:
        fig.add_traces(_listed(map_traces(wanted, size=MAP_SIZE)), rows=1, cols=2)
    fig.update_yaxes(ACCURACY_AXIS, col=1)
    fig.update_yaxes(title_text="predictiveness", row=1, col=1)
    fig.update_yaxes(title_text="accuracy", row=2, col=1)
    fig.update_xaxes(title_text="time t", row=2, col=1)
    fig.update_xaxes(range=[-0.02, 1.02], title_text="γ of the first pattern", col=2)
    fig.update_yaxes(range=[-0.02, 1.02], title_text="γ of the last pattern", col=2)
    return frame(fig, title="The pattern model", caption=f"{COMPUTED} Dashed: preferred. Right: what the model shows "
                 "over γ of the first and of the last pattern; the ring is where you are.", plot_height=380)


def _listed(traces: Iterable[Any]) -> list[dict]:
    """Traces with lists for arrays: plotly's widget stumbles over arrays that the page sends back."""
    told = [trace.to_plotly_json() for trace in traces]
    return [trace | {name: np.asarray(trace[name]).tolist() for name in ("x", "y", "z") if name in trace}
            for trace in told]


def _widget(fig: go.Figure) -> Any:
    """The figure as a widget."""
    shown = go.FigureWidget(fig)
    shown.add_class("patterns-figure")
    return shown

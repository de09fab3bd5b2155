"""Pattern explorer: every parameter of the pattern model in the reader's hand.

On the left the patterns and the accuracies they add up to, on the right where these parameters lie on the map.
JupyterLab may run callbacks on several threads, so one lock guards all of them.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import ipywidgets as W
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from grokbook.analysis import kinds, patterns
from grokbook.analysis.patterns import DOUBLE_DESCENT, PRESETS, TIMES, Pattern
from grokbook.plots.patterns import (
    ACCURACY_AXIS,
    COMPUTED,
    PATTERN_COLORS,
    accuracy_traces,
    map_traces,
    pattern_curves,
    pattern_traces,
)
from grokbook.plots.template import METRIC_COLORS
from grokbook.widgets.front_end import Picture, close_with_parts, paragraph, script
from grokbook.widgets.plot import Plot

RANGES = {"gamma": ("covers γ", 0, 1, 0.01, ".2f"), "alpha": ("speed α", 0, 0.5, 0.005, ".3f"),
          "b": ("time b", 0, 300, 1, ".0f"), "g": ("worth g", 0, 1, 0.01, ".2f")}
"""Of every slider: its label, both ends, its step, and how its value is written."""

MAP_SIZE = 31
"""Values of γ a side of the map: it is computed anew for most moves of a slider, in a twentieth of a second."""

HEIGHT = 400
"""Pixels of the figures: with the controls of three patterns above they fill the page of a small laptop."""

NOISE = 1e-9  # what a page sends back of a value that it was sent, such as 199.99999999999997, may be off by

NEW = Pattern(0.5, 0.1, 100, 0.5)
"""What *add a pattern* adds."""

HAND_MADE = "(your own)"

CAPTION = (f"{COMPUTED} Dashed: preferred. The map shows what the model does over γ of the first and of the last "
           "pattern; the ring is where you are.")


class PatternRow(W.Box):
    """The controls of one pattern."""

    def __init__(self, number: int, pattern: Pattern, changed: Callable[[Any], None], removed: Callable[[int], None]):
        self._written = pattern
        self.sliders = {name: W.FloatSlider(value=getattr(pattern, name), description=label, min=low, max=high,
                                            step=step, readout_format=form,
                                            layout=W.Layout(flex="1 1 190px", min_width="0"),
                                            style={"description_width": "58px"})
                        for name, (label, low, high, step, form) in RANGES.items()}
        self.preferred = W.Checkbox(value=pattern.preferred, description="preferred", indent=False,
                                    layout=W.Layout(width="90px"))
        self.remove = W.Button(icon="times", tooltip=f"Remove pattern {number}", layout=W.Layout(width="34px"))
        for control in (*self.sliders.values(), self.preferred):
            control.observe(changed, names="value")
        self.remove.on_click(lambda _: removed(number))
        color = PATTERN_COLORS[(number - 1) % len(PATTERN_COLORS)]
        title = W.HTML(f'<b style="color: {color}; white-space: nowrap">pattern {number}</b>',
                       layout=W.Layout(width="66px"))
        super().__init__([title, *self.sliders.values(), self.preferred, self.remove],
                         layout=W.Layout(display="flex", flex_flow="row wrap", align_items="center"))
        self.add_class("gb-pattern")
        for name, slider in self.sliders.items():
            slider.add_class(f"gb-{name}")

    def read(self) -> Pattern:
        """The pattern that the controls stand for."""
        return Pattern(**{name: self._value(name) for name in self.sliders}, preferred=self.preferred.value)

    def _value(self, name: str) -> float:
        value, written = self.sliders[name].value, getattr(self._written, name)
        return written if abs(value - written) < NOISE else round(value, 6)

    def write(self, pattern: Pattern) -> None:
        """Set the controls to another pattern."""
        self._written = pattern
        for name, slider in self.sliders.items():
            slider.value = getattr(pattern, name)
        self.preferred.value = pattern.preferred


class PatternExplorer(Picture, W.VBox):
    """Presets, a morph from double descent to grokking, sliders for any number of patterns, figures, and a sentence.

    `patterns` is what the figures show: `curves`, and `map` for two patterns or more. What cannot be drawn is said in
    `message`, and the figures stay as they were. As the last line of a cell it is shown.
    """

    what = "the model with all its parameters on sliders"

    def __init__(self, preset: str = "double descent"):
        if preset not in PRESETS:
            raise ValueError(f"preset={preset!r} is unknown; valid: {', '.join(PRESETS)}")
        self.patterns = tuple(PRESETS[preset])
        self._lock, self._setting = threading.RLock(), False
        self.preset = W.Dropdown(options=[*PRESETS, HAND_MADE], value=preset, description="preset",
                                 layout=W.Layout(width="290px"), style={"description_width": "54px"})
        self.morph = W.FloatSlider(min=0, max=1, step=0.01, description="morph into grokking", readout_format=".0%",
                                   layout=W.Layout(flex="1 1 330px", max_width="400px"),
                                   style={"description_width": "142px"})
        self.add = W.Button(description="Add a pattern", icon="plus", layout=W.Layout(width="130px"))
        self.rows, self.message = W.VBox(), W.HTML()
        self.curves, self.map = (Plot(fig, flex="1 1 380px") for fig in (_curves(self.patterns), _map(self.patterns)))
        self._set(self.patterns)
        self._say(kinds.describe(self.patterns))
        self.preset.observe(self._choose, names="value")
        self.morph.observe(self._move, names="value")
        self.add.on_click(self._add)
        super().__init__([_row(self.preset, self.add, self.morph), self.rows, self.message,
                          _row(self.curves, self.map, align="flex-start"), W.HTML(paragraph(CAPTION))])
        self.add_class("gb-patterns")
        named = {"preset": self.preset, "morph": self.morph, "add": self.add, "message": self.message,
                 "curves": self.curves, "map": self.map}
        for name, widget in named.items():
            widget.add_class(f"gb-patterns-{name}")

    def close(self) -> None:
        """Take the widget and all its parts from the page."""
        close_with_parts(self)

    @property
    def sentence(self) -> str:
        """What these patterns show."""
        return kinds.describe(self.patterns)

    def pictures(self) -> list[go.Figure]:
        """The curves as they are now."""
        return [pattern_curves({str(self.preset.value): self.patterns})]

    def _choose(self, change) -> None:
        with self._asked() as asked:
            if asked and change["new"] in PRESETS:
                self._change(PRESETS[change["new"]], preset=change["new"])

    def _move(self, change) -> None:
        with self._asked() as asked:
            if asked and abs(change["new"] - change["old"]) > NOISE:
                path = patterns.PATHS["γ₁ and γ₃ together"]
                self._change(patterns.along(path, round(change["new"], 6), DOUBLE_DESCENT), morph=change["new"])

    def _slide(self, _) -> None:
        with self._asked() as asked:
            if asked:
                self._draw(self._read())

    @contextlib.contextmanager
    def _asked(self) -> Iterator[bool]:
        """Hold the lock; whether the reader moved a control, or this class itself did."""
        with self._lock:
            yield not self._setting

    @contextlib.contextmanager
    def _hands_off(self) -> Iterator[None]:
        """What moves here is moved by this class."""
        self._setting = True
        try:
            yield
        finally:
            self._setting = False

    def _add(self, _) -> None:
        with self._lock:
            self._change([*self._read(), NEW])

    def _remove(self, number: int) -> None:
        with self._lock:
            self._change([pattern for i, pattern in enumerate(self._read(), 1) if i != number])

    def _read(self) -> tuple[Pattern, ...]:
        return tuple(row.read() for row in self.rows.children)

    def _change(self, wanted, *, preset: str | None = None, morph: float | None = None) -> None:
        """Draw other patterns, and set the controls to them. Callers hold the lock, and have read under it."""
        if self._draw(tuple(wanted), preset=preset, morph=morph):
            self._set(self.patterns)

    def _set(self, wanted: tuple[Pattern, ...]) -> None:
        """Set the controls; rows stay where they are, so that a hand on one of them keeps it."""
        rows, spare = self.rows.children[:len(wanted)], self.rows.children[len(wanted):]
        with self._hands_off():
            for i, pattern in enumerate(wanted[:len(rows)]):
                rows[i].write(pattern)
        self.rows.children = [*rows, *(PatternRow(i + 1, wanted[i], self._slide, self._remove)
                                       for i in range(len(rows), len(wanted)))]
        for gone in spare:
            close_with_parts(gone)

    def _draw(self, wanted: tuple[Pattern, ...], *, preset: str | None = None, morph: float | None = None) -> bool:
        """Draw patterns and say what they show; if they cannot be, say why. Whether they were drawn."""
        try:
            sentence, curves, chart = kinds.describe(wanted), _curves(wanted), _map(wanted)
        except ValueError as refused:
            self._say(str(refused), color="#B00020")
            return False
        self.patterns = wanted
        with self._hands_off():
            self.preset.value = preset or _preset_of(wanted)
            self.morph.value = _share(wanted) if morph is None else morph
        self.curves.figure, self.map.figure = curves, chart
        self.map.layout.display = "block" if len(wanted) > 1 else "none"
        self._say(sentence)
        return True

    def _say(self, text: str, color: str | None = None) -> None:
        self.message.value = paragraph(text, size=15)
        self.message.style.text_color = color


SCRIPT = script("svg.js", "patterns.js")
"""What draws the model in a page without a kernel."""


def without_kernel() -> dict[str, Any]:
    """What that script needs: patterns, names, sliders, the morph's ends, colours, and the levels of `kinds`."""
    ends = patterns.PATHS["γ₁ and γ₃ together"].tolist()
    return {"patterns": [asdict(pattern) for pattern in DOUBLE_DESCENT], "names": patterns.TYPES,
            "sliders": {name: {"label": label, "range": [low, high, step]}
                        for name, (label, low, high, step, _) in RANGES.items()},
            "morph": {"label": "morph into grokking",
                      "gammas": [[i, start, end] for i, start, end in zip((0, 2), *ends, strict=True)]},
            "colors": PATTERN_COLORS, "test": METRIC_COLORS["val_acc"],
            "levels": {"dip": kinds.DIP, "low": kinds.LOW, "high": kinds.HIGH, "memorised": kinds.MEMORISED,
                       "long_before": kinds.LONG_BEFORE}}


def _preset_of(wanted: tuple[Pattern, ...]) -> str:
    return next((name for name, preset in PRESETS.items() if tuple(preset) == wanted), HAND_MADE)


def _share(wanted: tuple[Pattern, ...]) -> float:
    """How far these patterns are on the straight way to grokking; 0 where they are not on it."""
    share = 1 - wanted[0].gamma / DOUBLE_DESCENT[0].gamma if wanted else 0
    on_the_way = 0 <= share <= 1 and patterns.along(patterns.PATHS["γ₁ and γ₃ together"], share) == wanted
    return round(share, 2) if on_the_way else 0.0


def _curves(wanted: tuple[Pattern, ...]) -> go.Figure:
    """Patterns over time, and below them the accuracies that they add up to."""
    fig = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.06)
    fig.add_traces(list(pattern_traces(wanted, TIMES)), rows=1, cols=1)
    fig.add_traces(list(accuracy_traces(wanted, TIMES)), rows=2, cols=1)
    fig.update_yaxes(ACCURACY_AXIS)
    fig.update_yaxes(title_text="predictiveness", row=1)
    fig.update_yaxes(title_text="accuracy", row=2)
    fig.update_xaxes(title_text="time t", title_standoff=2, row=2)
    return _beside(fig, "The pattern model")


def _map(wanted: tuple[Pattern, ...]) -> go.Figure:
    """What the model shows over γ of the first and of the last pattern; empty for a single one."""
    fig = go.Figure(list(map_traces(wanted, size=MAP_SIZE)) if len(wanted) > 1 else [])
    fig.update_xaxes(range=[-0.02, 1.02], title_text="γ of pattern 1", title_standoff=2)
    fig.update_yaxes(range=[-0.02, 1.02], title_text=f"γ of pattern {len(wanted)}")
    return _beside(fig, "What it shows, by two of its γ")


def _beside(fig: go.Figure, title: str) -> go.Figure:
    """A figure for one half of a page."""
    return fig.update_layout(title={"text": title, "font": {"size": 14}, "xref": "container", "x": 0.02},
                             height=HEIGHT, hovermode="closest", margin={"l": 64, "r": 12, "t": 106, "b": 44},
                             legend_y=1 - 32 / HEIGHT)


def _row(*parts: W.Widget, align: str = "center") -> W.Box:
    """Widgets side by side, below each other where the page is narrow."""
    return W.Box(parts, layout=W.Layout(display="flex", flex_flow="row wrap", align_items=align))

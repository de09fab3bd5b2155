"""The mixture of two frozen networks, trained anew at every move of a slider: a second or less."""

import threading

import ipywidgets as W
import plotly.graph_objects as go

from grokbook.analysis.efficiency import frozen, told, train_mixture
from grokbook.plots.efficiency import mixture_panels
from grokbook.plots.picture import caption_of
from grokbook.widgets.front_end import Picture, close_with_parts, paragraph
from grokbook.widgets.plot import Plot

SPEEDS = (1, 1.5, 2, 3, 5, 7, 10, 15, 20)
"""Values of w_m2, where w_g2 is 1."""


class MixtureExplorer(Picture, W.VBox):
    """A slider for w_m2, a box for whether a network's cost is its norm, curves, and a sentence on what they show.

    `table` is what was trained. As the last line of a cell it is shown.

    Raises:
        ValueError: w_m2 is no place of the slider. LookupError: the networks' weights are not stored.
    """

    what = "a mixture that trains at every move of its slider"

    def __init__(self, w_m2: float = 10, *, by_norm: bool = True):
        if w_m2 not in SPEEDS:
            raise ValueError(f"w_m2={w_m2!r} is no place of the slider; valid: {', '.join(map(str, SPEEDS))}")
        self._networks = {choice: frozen(by_norm=choice) for choice in (True, False)}
        self._lock = threading.Lock()
        self.speed = W.SelectionSlider(options=[(f"{v:g}", v) for v in SPEEDS], value=w_m2, description="w_m2",
                                       continuous_update=False, layout=W.Layout(width="330px"))
        self.by_norm = W.Checkbox(value=by_norm, description="a network costs its squared norm", indent=False)
        self.said = W.HTML()
        self.plot = Plot(self._trained())
        super().__init__([W.HBox([self.speed, self.by_norm]), self.said, self.plot,
                          W.HTML(paragraph(caption_of(self.plot.figure)))])
        for control in (self.speed, self.by_norm):
            control.observe(self._follow, names="value")
        self.add_class("gb-mixture")

    @property
    def sentence(self) -> str:
        """What the curves show."""
        seen = told(self.table)
        rises = (f"comes up to {seen['peak']:.1f} nats, worse than guessing" if seen["rises"]
                 else "never rises above that of guessing")
        return (f"Training loss is close to zero from time {seen['close']:.2g} on. Validation loss {rises}, and ends "
                f"at {seen['end']:.2f}, where validation accuracy is {self.table['val_acc'].iloc[-1]:.2f}.")

    def pictures(self) -> list[go.Figure]:
        """The figure as it is."""
        return [self.plot.figure]

    def close(self) -> None:
        """Take the widget and all its parts from the page."""
        close_with_parts(self)

    def _trained(self) -> go.Figure:
        self.table = train_mixture(self._networks[self.by_norm.value], self.speed.value)
        self.said.value = paragraph(self.sentence)
        return mixture_panels({"": self.table})

    def _follow(self, _: object) -> None:
        with self._lock:
            self.plot.figure = self._trained()

"""The live run: choose a network, train it for real while the kernel stays free, watch its curves grow, keep it."""

from collections.abc import Sequence

import ipywidgets as W
import numpy as np
import plotly.graph_objects as go

from grokbook.config import RunConfig
from grokbook.plots import grokking_panels, step_axis
from grokbook.run import METRICS, Run
from grokbook.store import Store
from grokbook.widgets.front_end import Picture, caption_of, close_with_parts, paragraph
from grokbook.widgets.panel import Panel
from grokbook.widgets.plot import Plot
from grokbook.widgets.steered import Steered
from grokbook.widgets.trainer import Trainer

HEIGHT = 470
"""Pixels of the figure: with the controls above it fills the page of a small laptop."""

FEW = [digit * 10.0**power for power in range(-9, 4) for digit in (1, 2, 5)]
"""Losses named on the axis while it spans less than two powers of ten, where plotly names single digits or too many."""


class LiveRun(Steered, Picture, W.VBox):
    """A training that a reader steers: sliders, start, pause, stop, growing curves, and a button that keeps the runs.

    The sliders are `panel.d_h`, `panel.D_train`, `panel.n_seeds` and `panel.n_steps`; code may set their `value` too.
    A training follows them until its first step is done. Several seeds train together. `plot.figure` is what is shown.

    Two traits can be observed: `note`, what the widget says below its buttons (an error, or where runs were kept), and
    `phase`, idle or one of a `Trainer`, which changes after all else is drawn.

    As the last line of a cell it is shown. Where nobody watches, as when papermill runs the notebook, it then trains to
    the end and leaves a picture; ^C ends that early, and RuntimeError says why it failed.

    Args:
        config: what the sliders start at, with the settings that they do not change; seeds count up from its own.
        n_seeds: how many.
        store: where `keep` writes. If not given, the folder GROKBOOK_DATA, else `my-runs` here; not the shipped runs.

    Raises:
        ValueError: a number of seeds that is none.
    """

    what = "a live training with sliders and buttons"

    def __init__(self, config: RunConfig | None = None, *, n_seeds: int = 1, store: Store | None = None):
        if not isinstance(n_seeds, int) or n_seeds < 1:
            raise ValueError(f"n_seeds={n_seeds!r} is not valid; valid: 1, 2, 3 and so on")
        self.config = config or RunConfig(n_steps=20_000)
        self._drawn: list[Run] = []
        super().__init__(store=store)
        self.panel = Panel(self.config, n_seeds, str(self.store.path))
        self.plot = Plot(_growing([_at_start(c) for c in self.panel.configs(self.config)]))
        self._note, self._caption = W.HTML(), W.HTML()
        self.children = [self.panel, self._note, self.plot, self._caption]
        self.panel.follow(None, self.phase, False)
        self.add_class("gb-live")
        self._note.add_class("gb-note")
        for button, act in ((self.panel.start, self.start), (self.panel.pause, self.pause_or_resume),
                            (self.panel.stop, self.stop), (self.panel.keep, self.keep)):
            button.on_click(self._saying_errors(act))
        for slider in (self.panel.d_h, self.panel.D_train, self.panel.n_seeds, self.panel.n_steps):
            slider.observe(self._saying_errors(self._follow_sliders), names="value")

    def start(self) -> None:
        """Train with the values of the sliders, in the background. Raises ValueError where they cannot be trained."""
        self._begin(self.panel.configs(self.config))

    def close(self) -> None:
        """End the training, wait for it, and take the widget from the page."""
        self.stop()
        self.wait()
        close_with_parts(self)

    def pictures(self) -> list[go.Figure]:
        """Train to the end; the figure of what was trained, none if ^C ended it before its first evaluation."""
        self.start()
        try:
            self.wait()
        except KeyboardInterrupt:
            self.stop()
            self.wait()
        if self.phase == "failed":
            raise RuntimeError(self.note)
        return [_panels(self.runs)] if self.runs else []

    def _follow_sliders(self) -> None:
        """Until its first step is done, a training is begun anew with what the sliders say.

        A busy kernel is told of a click at once, but of a slider's last move only when it has answered the one before:
        a reader who moves a slider and presses Start would see another network trained than the sliders show.
        """
        with self._lock:
            if self.beginning:
                self.start()

    def _draw(self, trainer: Trainer, runs: list[Run]) -> None:
        if runs is self._drawn:
            return
        fig = _growing(runs or [_at_start(c) for c in trainer.configs])
        self.plot.subject = str(fig.to_dict()["layout"]["title"]["text"])
        self.plot.figure = fig
        self._caption.value = paragraph(caption_of(fig)) if runs else ""
        self._drawn = runs

    def _show_phase(self, trainer: Trainer, phase: str, keepable: bool) -> None:
        self.panel.follow(trainer, phase, keepable)

    def _say(self, words: str, wrong: bool = False) -> None:
        super()._say(words, wrong)
        self._note.value = paragraph(words) if words else ""
        self._note.style.text_color = "#B00020" if wrong else None


def _at_start(config: RunConfig) -> Run:
    """A run of which nothing is known yet."""
    return Run(config, {"step": np.zeros(1, np.int64)} | {name: np.full(1, np.nan, np.float32) for name in METRICS})


def _panels(runs: Sequence[Run]) -> go.Figure:
    """Accuracy, loss and norm of runs of one cell."""
    config = runs[0].config
    fig = grokking_panels(runs, cells=[(config.d_h, config.D_train)])
    return fig.update_layout(title_text=f"d_h {config.d_h}, D_train {config.D_train}")


def _growing(runs: Sequence[Run]) -> go.Figure:
    """The same for the page: up to the last step that is allowed, lower, and without the caption, which HTML wraps."""
    fig = _panels(runs)
    fig.update_xaxes(step_axis(max(run.config.n_steps for run in runs)))
    if not max(run.last_step for run in runs):  # one point or none, and no scale yet
        fig.update_yaxes(range=[-4, 1], row=2).update_yaxes(range=[0, 80], row=3)
    low, high = fig.to_dict()["layout"]["yaxis2"]["range"]
    fig.update_yaxes({"tickvals": FEW} if high - low < 2 else {"dtick": 1 if high - low < 6 else 2}, row=2)
    return fig.update_layout(annotations=(), height=HEIGHT, margin={"t": 84, "b": 48}, legend_y=1 - 40 / HEIGHT)

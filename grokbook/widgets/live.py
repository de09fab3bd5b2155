"""The live run: choose a network, train it for real while the kernel stays free, watch its curves grow, keep it."""

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import ipywidgets as W
import plotly.graph_objects as go
import xarray as xr
from IPython.display import display
from traitlets import Unicode

from grokbook.config import RunConfig
from grokbook.plots import grokking_panels, step_axis
from grokbook.plots.cells import as_dataset
from grokbook.run import Run
from grokbook.store import Store
from grokbook.widgets.cell import EVERY, at_start
from grokbook.widgets.front_end import close_with_parts, figure_widget, framed, paragraph, redraw, show_picture, watched
from grokbook.widgets.panel import Panel
from grokbook.widgets.trainer import Trainer, reason

STUDY, MY_RUNS = "live", "my-runs"
"""Where kept runs go: a study of this name, in GROKBOOK_DATA or else in this folder where the notebook runs."""

HEIGHT = 470
"""Pixels of the figure: with the controls above it fills the page of a small laptop."""

FEW = [digit * 10.0**power for power in range(-9, 4) for digit in (1, 2, 5)]
"""Losses named on the axis while it spans less than two powers of ten, where plotly names single digits or too many."""


class LiveRun(W.VBox):
    """A training that a reader steers: sliders, start, pause, stop, growing curves, and a button that keeps the runs.

    The sliders are `panel.d_h`, `panel.D_train`, `panel.n_seeds` and `panel.n_steps`; code may set their `value` too.
    A training follows them until its first step is done. Several seeds train together.

    Two traits can be observed: `note`, what the widget says below its buttons (an error, or where runs were kept), and
    `phase`, idle or one of a `Trainer`, which changes after all else is drawn.

    Args:
        config: what the sliders start at, with the settings that they do not change; seeds count up from its own.
        n_seeds: how many.
        store: where `keep` writes. If not given, the folder GROKBOOK_DATA, else `my-runs` here; not the shipped runs.

    Raises:
        ValueError: a number of seeds that is none.
    """

    phase, note = Unicode("idle"), Unicode("")
    _trainer: Trainer | None = None
    _drawing: threading.Thread | None = None

    def __init__(self, config: RunConfig | None = None, *, n_seeds: int = 1, store: Store | None = None):
        if not isinstance(n_seeds, int) or n_seeds < 1:
            raise ValueError(f"n_seeds={n_seeds!r} is not valid; valid: 1, 2, 3 and so on")
        self.store = store or Store(os.environ.get("GROKBOOK_DATA") or MY_RUNS)
        self.config = config or RunConfig(n_steps=20_000)
        self._drawn, self._kept = [], []
        self._lock = threading.RLock()
        self.panel = Panel(self.config, n_seeds, str(self.store.path))
        self.figure = figure_widget(_growing([at_start(c) for c in self.panel.configs(self.config)]))
        self._note, self._caption = W.HTML(), W.HTML()
        super().__init__([self.panel, self._note, framed(self.figure, width="100%"), self._caption])
        self.panel.follow(None, self.phase, False)
        self.add_class("gb-live")
        self._note.add_class("gb-note")
        for button, act in ((self.panel.start, self.start), (self.panel.pause, self.pause_or_resume),
                            (self.panel.stop, self.stop), (self.panel.keep, self.keep)):
            button.on_click(self._saying_errors(act))
        for slider in (self.panel.d_h, self.panel.D_train, self.panel.n_seeds, self.panel.n_steps):
            slider.observe(self._saying_errors(self._follow_sliders), names="value")

    @property
    def beginning(self) -> bool:
        """Whether a training was begun of which no step is done yet, and which nobody has paused or stopped."""
        return self._trainer is not None and self._trainer.beginning

    @property
    def runs(self) -> list[Run]:
        """The runs of the last training, as far as they were followed; replaced by a new list now and then."""
        return self._trainer.runs if self._trainer else []

    def start(self) -> None:
        """Train with the values of the sliders, in the background. Raises ValueError where they cannot be trained."""
        configs = self.panel.configs(self.config)
        with self._lock:
            self._trainer = Trainer(configs, after=self._trainer)
            self._say("")
            self._drawing = threading.Thread(target=self._follow, args=(self._trainer,), name="drawing", daemon=True)
            self._drawing.start()

    def pause_or_resume(self) -> None:
        """Pause the training, or go on if it is paused."""
        if self._trainer:
            (self._trainer.resume if self._trainer.phase == "paused" else self._trainer.pause)()

    def stop(self) -> None:
        """End the training soon; what was trained stays."""
        if self._trainer:
            self._trainer.stop()

    def wait(self) -> None:
        """Wait until the training has ended and its curves are drawn. ^C ends the waiting."""
        if self._drawing:
            self._drawing.join()

    def result(self) -> xr.Dataset:
        """The runs as `Store.load` gives them. Raises LookupError if nothing has been trained."""
        return as_dataset(self._trained())

    def keep(self) -> Path:
        """Add the runs to `store`, as the study `live`; returns the new file.

        Raises:
            LookupError: nothing has been trained.
            OSError: as `Store.write`.
        """
        runs = self._trained()
        path = self.store.write(runs, STUDY)
        with self._lock:
            self._kept = runs
            self._say(f"{len(runs)} {'run' if len(runs) == 1 else 'runs'} added. "
                      f"Read them with gb.load({STUDY!r}, store={str(self.store.path)!r})")
            self.panel.keep.disabled = True
        return path

    def close(self) -> None:
        """End the training, wait for it, and take the widget from the page."""
        self.stop()
        self.wait()
        close_with_parts(self)

    def show(self) -> None:
        """Display this. Where nobody watches, as when papermill runs the notebook: train to the end, leave a picture.

        ^C ends that training early; before its first evaluation there is nothing to draw. Raises RuntimeError if it
        fails.
        """
        if watched():
            display(self)
            return
        self.start()
        try:
            self.wait()
        except KeyboardInterrupt:
            self.stop()
            self.wait()
        if self.phase == "failed":
            raise RuntimeError(self.note)
        if self.runs:
            show_picture(_panels(self.runs), "a live training with sliders and buttons")

    def _follow_sliders(self) -> None:
        """Until its first step is done, a training is begun anew with what the sliders say.

        A busy kernel is told of a click at once, but of a slider's last move only when it has answered the one before:
        a reader who moves a slider and presses Start would see another network trained than the sliders show.
        """
        with self._lock:
            if self.beginning:
                self.start()

    def _trained(self) -> list[Run]:
        if not self.runs:
            raise LookupError("nothing has been trained here yet; press Start, or call start()")
        return self.runs

    def _follow(self, trainer: Trainer) -> None:
        """Draw what the training has come to, until it has ended. The only thread that draws."""
        try:
            while trainer.alive:
                trainer.changed.wait(EVERY)
                trainer.changed.clear()
                self._draw(trainer)
            self._draw(trainer)
        except Exception as error:  # whatever it is, nobody sees what a thread raises unless it is said
            trainer.stop()
            self._say(f"The curves cannot be drawn: {reason(error)}", wrong=True)
            self.panel.follow(trainer, "failed", bool(trainer.runs))
            self.phase = "failed"

    def _draw(self, trainer: Trainer) -> None:
        with self._lock:
            if trainer is not self._trainer:
                return
            phase = trainer.phase
            runs = trainer.runs  # read after the phase: in an ended one they are the last
            if runs is not self._drawn:
                fig = _growing(runs or [at_start(c) for c in trainer.configs])
                redraw(self.figure, fig)
                self._caption.value = paragraph(fig.to_dict()["layout"]["meta"]["caption"]) if runs else ""
                self._drawn = runs
            if trainer.error:
                self._say(f"This cannot be trained: {trainer.error}", wrong=True)
            self.panel.follow(trainer, phase, bool(runs) and runs is not self._kept)
            self.phase = phase

    def _say(self, words: str, wrong: bool = False) -> None:
        self.note, self._note.value = words, paragraph(words) if words else ""
        self._note.style.text_color = "#B00020" if wrong else None

    def _saying_errors(self, act: Callable[[], object]) -> Callable[[object], None]:
        """What a button or slider does; an error is said in the widget, since a callback has no cell to raise it in."""
        def said(_: object) -> None:
            try:
                act()
            except Exception as error:
                self._say(reason(error), wrong=True)
        return said


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

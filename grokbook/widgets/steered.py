"""What every widget that trains can do: begin, pause, stop, say how far it is, keep what was trained."""

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import xarray as xr
from traitlets import Bool, HasTraits, Unicode

from grokbook.config import RunConfig
from grokbook.plots.cells import as_dataset
from grokbook.run import Run
from grokbook.store import Store
from grokbook.widgets.stored import Replay
from grokbook.widgets.trainer import Trainer, reason

STUDY, MY_RUNS = "live", "my-runs"
"""Where kept runs go: a study of this name, in GROKBOOK_DATA or else in this folder where the notebook runs."""

ENDED = {"finished": "Finished", "stopped": "Stopped", "failed": "Ended", "paused": "Paused"}
UNDER_WAY = ("preparing", "training", "paused")


class Steered(HasTraits):
    """Comes before the widget class among the bases. A thread of the training's has `_draw`, `_show_phase` set traits.

    `note` is an error (then `wrong`), or where runs were kept; `phase` is idle or one of a `Trainer`, and changes after
    all else.
    """

    phase, note, wrong = Unicode("idle"), Unicode(""), Bool()
    _trainer: Trainer | None = None

    def __init__(self, *args, store: Store | None = None, **kwargs):
        self.store = store or Store(os.environ.get("GROKBOOK_DATA") or MY_RUNS)
        self._lock, self._kept = threading.RLock(), []
        super().__init__(*args, **kwargs)

    @property
    def beginning(self) -> bool:
        """Whether a training was begun of which no step is done yet, and which nobody has paused or stopped."""
        return self._trainer is not None and self._trainer.beginning

    @property
    def runs(self) -> list[Run]:
        """The runs of the last training, as far as they were followed; replaced by a new list now and then."""
        return self._trainer.runs if self._trainer and not self._trainer.replay else []

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
        if self._trainer:
            self._trainer.join()

    def result(self) -> xr.Dataset:
        """The runs as the store gives them. Raises LookupError if nothing has been trained."""
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
            if self._trainer:
                self._show_phase(self._trainer, self.phase, False)
        return path

    def _begin(self, configs: Sequence[RunConfig], replay: Replay | None = None) -> None:
        """Train these in the background, in place of a training under way. ValueError where they cannot be trained."""
        with self._lock:
            self._trainer = Trainer(configs, after=self._trainer, tell=self._follow, replay=replay)
            self._say("")

    def _follow(self, trainer: Trainer) -> None:
        """Tell the page what the training has come to. Called by a thread of the training's own."""
        with self._lock:
            if trainer is not self._trainer:
                return
            phase = trainer.phase
            runs = trainer.runs  # read after the phase: in an ended one they are the last
            try:
                self._draw(trainer, runs)
            except Exception as error:  # whatever it is, nobody sees what a thread raises unless it is said
                trainer.stop()
                self._say(f"The curves cannot be drawn: {reason(error)}", wrong=True)
                phase = "failed"
            if trainer.error:
                self._say(f"This cannot be trained: {trainer.error}", wrong=True)
            self._show_phase(trainer, phase, bool(runs) and runs is not self._kept and not trainer.replay)
            self.phase = phase

    def _draw(self, trainer: Trainer, runs: list[Run]) -> None:
        raise NotImplementedError

    def _show_phase(self, trainer: Trainer, phase: str, keepable: bool) -> None:
        raise NotImplementedError

    def _say(self, words: str, wrong: bool = False) -> None:
        self.wrong, self.note = wrong, words

    def _trained(self) -> list[Run]:
        if not self.runs:
            raise LookupError("nothing has been trained here yet; press Start, or call start()")
        return self.runs

    def _saying_errors(self, act: Callable[[], object]) -> Callable[[object], None]:
        """What a button or slider does; an error is said in the widget, since a callback has no cell to raise it in."""
        def acted(_: object) -> None:
            try:
                act()
            except Exception as error:
                self._say(reason(error), wrong=True)
        return acted


def progress(trainer: Trainer, phase: str, usual: int | None = None) -> str:
    """How far a training in that phase is, in a line; until the `usual` step at which such networks understand, how
    long that will take."""
    step, rate, n_steps = trainer.step, trainer.steps_per_second, trainer.configs[0].n_steps
    if trainer.replay:
        return f"Stored runs, played again: step {step:,} of {n_steps:,}"
    if phase in ("preparing", "training"):
        if not rate:
            return "Preparing: the first training on a machine compiles for half a minute"
        if usual is not None and step < usual <= n_steps:
            left = f"usually understands near step {usual:,}, in {_duration((usual - step) / rate)}"
        else:
            left = f"at most {_duration((n_steps - step) / rate)} left"
        return f"Step {step:,} of {n_steps:,}, {rate:,.0f} a second, {left}"
    settled = phase == "finished" and step < n_steps
    return f"{ENDED[phase]} at step {step:,}{': every accuracy has settled at 1' if settled else ''}"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.0f} h"

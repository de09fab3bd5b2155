"""A training in a thread of its own, and what every widget that trains can do with it: begin, pause, stop, keep.

The thread is the only one that touches the training. Everyone else sets flags, and reads `phase`, `runs` and `step`;
a second thread tells whoever wants to know, so that training waits for no page.
"""

import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr
from traitlets import Bool, HasTraits, TraitError, Unicode

from grokbook.config import RunConfig
from grokbook.plots.cells import as_dataset
from grokbook.run import Run
from grokbook.store import Store
from grokbook.widgets.front_end import Picture
from grokbook.widgets.stored import Replay

if TYPE_CHECKING:
    from grokbook.training import Training

COPY_EVERY, TELL_EVERY = 0.25, 0.5
"""Seconds between copies of the runs, for which the training waits, and between calls of `tell`: a page that is redrawn
more often is slow to answer the mouse."""

STEADY = 1.0
"""Seconds after the first step until it is said how fast it goes: the first steps are slow, and foretell hours."""

TELLING = 1 / 16
"""Share of a core's time that `tell` may take while nothing changes its phase: the training computes on all cores, and
all of it waits for a thread that has lost its own."""


class Trainer:
    """Trains a cohort, one such as `gb.train` takes, from the moment it is made.

    `phase` is preparing until the first step is done, then training or paused, and where the thread has ended stopped,
    finished or failed.
    `runs` are the runs as far as they were followed, replaced by a new list now and then and never changed. `error` is
    one sentence in phase failed, else empty.

    `after` is a training that this one replaces: it is stopped, and this one begins when it has ended. `tell` is called
    with this trainer now and then, at each change of phase, and once after the end. With a `replay` nothing is trained.
    """

    def __init__(self, configs: Sequence[RunConfig], *, after: "Trainer | None" = None,
                 tell: Callable[["Trainer"], None] = lambda trainer: None, replay: Replay | None = None):
        self.configs, self.replay = list(configs), replay
        self.phase, self.error = "preparing", ""
        self.runs: list[Run] = []
        self._changed, self._told = threading.Event(), threading.Event()
        self._go, self._halt, self._lock = threading.Event(), threading.Event(), threading.Lock()
        self._go.set()
        self._training: Training | Replay | None = None
        self._ended_at, self._looked, self._stepped = (0, 0.0), 0.0, math.inf
        self._thread = threading.Thread(target=self._work, args=(after,), name="training", daemon=True)
        self._thread.start()
        threading.Thread(target=self._tell, args=(tell,), name="telling", daemon=True).start()

    @property
    def step(self) -> int:
        """Steps done, which may be more than `runs` tell."""
        return self._pace()[0]

    @property
    def steps_per_second(self) -> float:
        """Steps of the whole cohort a second, of late; 0 before the first."""
        return self._pace()[1]

    @property
    def steady(self) -> bool:
        """Whether its first step is `STEADY` seconds ago, so that its speed tells how long it will take."""
        return time.monotonic() - self._stepped >= STEADY

    @property
    def beginning(self) -> bool:
        """Whether its first step is not done yet, and nobody has paused or stopped it."""
        return self.phase == "preparing" and not self.replay and self._go.is_set() and not self._halt.is_set()

    def pause(self) -> None:
        """Rest where it stands, after one more evaluation there, until `resume` or `stop`."""
        with self._lock:
            if not self._halt.is_set():
                self._go.clear()
                self._interrupt()

    def resume(self) -> None:
        """Go on after a pause."""
        self._go.set()

    def stop(self) -> None:
        """End soon, after one more evaluation; `runs` keep what was trained."""
        with self._lock:
            self._halt.set()
            self._go.set()
            self._interrupt()

    def join(self) -> None:
        """Wait until the training has ended and all is told."""
        self._told.wait()  # ^C in a thread's own join lets Python before 3.13 take it for dead, and the kernel hush it

    def _tell(self, tell: Callable[["Trainer"], None]) -> None:
        cost = 0.0
        try:
            while self._thread.is_alive():
                self._changed.wait(max(TELL_EVERY, cost / TELLING))
                self._changed.clear()
                before = time.thread_time()
                tell(self)
                cost = time.thread_time() - before
            tell(self)
        finally:
            self._told.set()

    def _interrupt(self) -> None:
        training = self._training
        if training:
            training.stop()

    def _pace(self) -> tuple[int, float]:
        training = self._training
        return (training.step, training.steps_per_second) if training else self._ended_at

    def _work(self, after: "Trainer | None") -> None:
        try:
            if after:
                after.stop()
                after.join()
            self._training = self.replay or _begun(self.configs)
            ended = self._train(self._training)
        except Exception as error:  # whatever it is, nobody sees what a thread raises unless it is said
            self.error, ended = reason(error), "failed"
        self._ended_at, self._training = self._pace(), None  # which holds the networks, and threads of its own
        self._enter(ended)

    def _train(self, training: "Training | Replay") -> str:
        """Train until all runs have ended or `stop`; returns which of the two."""
        left = len(self.configs)
        while left and self._may_go_on():
            for evaluation in training:
                left -= len(evaluation.finished)
                self._look(training)
            self.runs = training.runs()
        return "stopped" if left else "finished"

    def _may_go_on(self) -> bool:
        if not self._go.is_set():
            before = self.phase
            self._enter("paused")
            self._go.wait()
            self._enter(before)
        return not self._halt.is_set()

    def _look(self, training: "Training | Replay") -> None:
        if time.monotonic() - self._looked >= COPY_EVERY:
            self.runs, self._looked = training.runs(), time.monotonic()
        if training.step:
            self._stepped = min(self._stepped, time.monotonic())
            self._enter("training")

    def _enter(self, phase: str) -> None:
        if phase != self.phase:
            self.phase = phase
            self._changed.set()


def _begun(configs: Sequence[RunConfig]) -> "Training":
    from grokbook.training import train  # here, since a page opens without PyTorch

    return train(configs)


def reason(error: Exception) -> str:
    """What went wrong, in one line. The errors of this package are sentences; of others the kind is named too."""
    message = (str(error).strip().splitlines() or [""])[0]
    if isinstance(error, ValueError | LookupError | OSError | TraitError) and message:
        return message
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


STUDY, MY_RUNS = "live", "my-runs"
"""Where kept runs go: a study of this name, in GROKBOOK_DATA or else in this folder where the notebook runs."""

ENDED = {"finished": "Finished", "stopped": "Stopped", "failed": "Ended", "paused": "Paused"}
UNDER_WAY = ("preparing", "training", "paused")


class Steered(Picture, HasTraits):
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

    def close(self) -> None:
        """End a training that was begun here, wait for it, and take the widget from the page."""
        self.stop()
        self.wait()
        super().close()

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
        """Show the runs as far as they were followed, where `_show_phase` does not tell the page."""

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
        if not trainer.steady:
            return f"Step {step:,} of {n_steps:,}"
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

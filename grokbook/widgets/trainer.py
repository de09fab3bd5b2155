"""A training in a thread of its own, that can be paused, resumed and stopped. It knows nothing of widgets.

The thread is the only one that touches the training. Everyone else sets flags, and reads `phase`, `runs` and `step`;
a second thread tells whoever wants to know, so that training waits for no page.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from traitlets import TraitError

from grokbook.config import RunConfig
from grokbook.run import Run

if TYPE_CHECKING:
    from grokbook.training import Training
    from grokbook.widgets.stored import Replay

COPY_EVERY, TELL_EVERY = 0.25, 0.5
"""Seconds between copies of the runs, for which the training waits, and between calls of `tell`: a page that is redrawn
more often is slow to answer the mouse."""

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
                 tell: Callable[["Trainer"], None] = lambda trainer: None, replay: "Replay | None" = None):
        self.configs, self.replay = list(configs), replay
        self.phase, self.error = "preparing", ""
        self.runs: list[Run] = []
        self._changed = threading.Event()
        self._go, self._halt, self._lock = threading.Event(), threading.Event(), threading.Lock()
        self._go.set()
        self._training: Training | Replay | None = None
        self._ended_at, self._looked = (0, 0.0), 0.0
        self._thread = threading.Thread(target=self._work, args=(after,), name="training", daemon=True)
        self._telling = threading.Thread(target=self._tell, args=(tell,), name="telling", daemon=True)
        self._thread.start()
        self._telling.start()

    @property
    def step(self) -> int:
        """Steps done, which may be more than `runs` tell."""
        return self._pace()[0]

    @property
    def steps_per_second(self) -> float:
        """Steps of the whole cohort a second, of late; 0 before the first."""
        return self._pace()[1]

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
        self._telling.join()

    def _tell(self, tell: Callable[["Trainer"], None]) -> None:
        cost = 0.0
        while self._thread.is_alive():
            self._changed.wait(max(TELL_EVERY, cost / TELLING))
            self._changed.clear()
            before = time.thread_time()
            tell(self)
            cost = time.thread_time() - before
        tell(self)

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

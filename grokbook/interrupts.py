"""What ends a long command from outside: ^C, SIGTERM of a scheduler or a container, SIGHUP of a closed terminal.

All three become a KeyboardInterrupt, which never comes in the middle of a training step.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

ENDS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))  # Windows has no SIGHUP

_step: list | None = None
"""Where a step under way wants to have noted that it is to be the last."""


@contextmanager
def heeded() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise KeyboardInterrupt, whether or not ^C is ignored.

    What someone else handles or ignores (as `nohup` does SIGHUP) is left alone, and so is every thread but the main
    one, which alone gets signals.
    """
    main = threading.current_thread() is threading.main_thread()
    ours = [number for number in ENDS if main and signal.getsignal(number) == signal.SIG_DFL]
    for number in ours:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def kept() -> Iterator[list]:
    """Note interrupts instead of raising them in the middle of a step; the list that is given fills when one came.

    Only the main thread gets signals, and some programs ignore ^C; then that is left alone.
    """
    global _step
    noted: list = []
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    before = signal.getsignal(signal.SIGINT)
    _step, hears = noted, before not in (signal.SIG_IGN, None)
    if hears:
        signal.signal(signal.SIGINT, lambda *_: noted.append(True))
    try:
        yield noted
    finally:
        _step = None
        if hears:
            signal.signal(signal.SIGINT, before)


def _end(*_: object) -> None:
    """Once only: a closed terminal tells twice, by the system and its shell, and what is trained is being stored."""
    for number in ENDS:
        if signal.getsignal(number) == _end:
            signal.signal(number, signal.SIG_IGN)
    if _step is None:
        raise KeyboardInterrupt
    _step.append(True)

"""What holds for every test: no clocks, the same examples in every CI run, one thread a worker."""

import ctypes
import os
import signal
from collections.abc import Iterator

import pytest
from browsing import NO_BROWSER, opened
from hypothesis import settings
from playwright.sync_api import Browser

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two workers on two cores, and PyTorch would start two threads in each

settings.register_profile("house", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("house")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser a worker: two of Playwright's loops cannot run in one thread."""
    with opened() as browser:
        yield browser


@pytest.fixture
def no_rights() -> Iterator[None]:
    """The rights of files count for this thread, as they do not for root."""
    if os.geteuid():
        yield
        return
    call, header, before = ctypes.CDLL(None).syscall, (ctypes.c_uint32 * 2)(0x20080522), (ctypes.c_uint32 * 6)()
    call(125, header, before)  # capget on x86-64; each word of the effective set comes first of three
    call(126, header, (ctypes.c_uint32 * 6)(before[0] & ~6, *before[1:]))  # without CAP_DAC_OVERRIDE and _READ_SEARCH
    yield
    call(126, header, before)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """^C raises KeyboardInterrupt, also where the tests were started in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def pytest_terminal_summary(terminalreporter):
    """A missing browser is no small thing: say so in a line of its own, with the count."""
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if NO_BROWSER in str(report.longrepr)]
    if skipped:
        terminalreporter.write_sep("!", f"{len(skipped)} BROWSER TESTS DID NOT RUN: {NO_BROWSER}", red=True, bold=True)

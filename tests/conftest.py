"""What holds for every test: no clocks, the same examples in every CI run, one thread a worker."""

import os
from collections.abc import Iterator

import pytest
from browsing import NO_BROWSER, opened
from hypothesis import settings
from playwright.sync_api import Browser

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two workers on two cores, and PyTorch would start two threads in each

settings.register_profile("house", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("house")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with opened() as browser:
        yield browser


def pytest_terminal_summary(terminalreporter):
    """A missing browser is no small thing: say so in a line of its own, with the count."""
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if NO_BROWSER in str(report.longrepr)]
    if skipped:
        terminalreporter.write_sep("!", f"{len(skipped)} BROWSER TESTS DID NOT RUN: {NO_BROWSER}", red=True, bold=True)

"""One browser and one JupyterLab for all tests here, over notebooks made of the chapters' sources.

Most tests share a page too, in which notebooks are opened and closed: a JupyterLab takes seconds to appear.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest
from labpage import SHOTS, Lab, Notebook
from labserver import SUBSHELLS, serve
from playwright.sync_api import Browser

from grokbook import book

WITHOUT_SUBSHELLS = {SUBSHELLS: {"commsOverSubshells": "disabled"}}
"""How JupyterLab delivers the messages of widgets where it does not go round a busy cell on another thread."""

Open = Callable[[str], Notebook]


@pytest.fixture(scope="session")
def notebooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chapters, not executed."""
    folder = tmp_path_factory.mktemp("lab") / "notebooks"
    folder.mkdir()
    for source in book.NOTEBOOKS.glob("*.py"):
        nbformat.write(book.read(source), folder / f"{source.stem}.ipynb")
    return folder


@pytest.fixture(scope="session")
def address(notebooks: Path, chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(notebooks, tmp_path_factory.mktemp("server"), {}) as address:
        yield address


@pytest.fixture(scope="session")
def lab(chromium: Browser, address: str) -> Iterator[Lab]:
    """JupyterLab in a page of the size of a small laptop's."""
    with lab_in(chromium, address) as lab:
        yield lab


@pytest.fixture
def open_notebook(lab: Lab, request) -> Iterator[Open]:
    """Open a notebook in the shared page. At the end a screenshot is kept, and nothing may have failed unseen."""
    yield lab.open
    lab.screenshot(SHOTS / f"{request.node.name}.png")
    lab.close_notebooks()


@contextmanager
def lab_in(chromium: Browser, address: str, **settings: Any) -> Iterator[Lab]:
    """A page of its own, with settings of `Browser.new_context`."""
    options: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}} | settings
    context = chromium.new_context(**options)
    try:
        lab = Lab(context.new_page(), address)
        yield lab
        lab.close_notebooks()
    finally:
        context.close()

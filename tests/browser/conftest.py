"""One JupyterLab for each way in which it delivers the messages of widgets, over a copy of the chapters."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from labpage import SHOTS, Notebook
from labserver import SUBSHELLS, serve
from playwright.sync_api import Browser

ROOT = Path(__file__).parents[2]
NO_SUBSHELLS = {SUBSHELLS: {"commsOverSubshells": "disabled"}}


@pytest.fixture(scope="module", params=[{}, NO_SUBSHELLS], ids=["subshells", "no-subshells"])
def address(request, chromium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    notebooks = tmp_path_factory.mktemp("lab") / "notebooks"
    shutil.copytree(ROOT / "notebooks", notebooks, ignore=shutil.ignore_patterns(".ipynb_checkpoints", "my-runs"))
    with serve(notebooks, tmp_path_factory.mktemp("server"), request.param) as address:
        yield address


@pytest.fixture
def open_notebook(address: str, chromium: Browser, request) -> Iterator[Callable[[str], Notebook]]:
    """Open a notebook in a page of its own, at the size of a small laptop.

    At the end a screenshot is kept, and nothing may have asked for another machine or failed unseen.
    """
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    page, asked, errors, opened = context.new_page(), [], [], []
    page.on("request", lambda sent: asked.append(sent.url))
    page.on("pageerror", lambda error: errors.append(str(error)))

    def open_one(name: str) -> Notebook:
        opened.append(Notebook(page, address, name))
        return opened[-1]

    yield open_one
    page.screenshot(path=SHOTS / f"{request.node.name}.png")
    complaints = [complaint for notebook in opened for complaint in notebook.complaints()]
    for notebook in opened:
        notebook.close()
    context.close()
    elsewhere = [url for url in asked if not url.startswith((address, f"blob:{address}", "data:"))]
    assert [elsewhere, errors, complaints] == [[], [], []]

"""Figures in a notebook that stay visible where no JavaScript runs: on GitHub, in a diff, on paper.

A figure at the end of a cell, or `fig.show()`, leaves two outputs: the interactive figure for JupyterLab with a picture
of it for other pages, and its caption as text.
"""

import asyncio
import atexit
import base64
import functools
import html
import io
import json
import logging
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any

import plotly.graph_objects as go
import plotly.io as pio
from IPython.core.getipython import get_ipython
from IPython.display import display
from plotly.io.base_renderers import ExternalRenderer

from grokbook.plots.template import OUR_SETTINGS

PICTURE_WIDTH = 800
"""Pixels across the picture. JupyterLab shows the picture, pixel by pixel, until the pointer enters it and only then
draws the figure, so one of double density would be twice too large there and cut off."""

BROWSER_TIMEOUT = 60
"""Seconds to wait for the browser that paints; a machine without a usable one must not stop a notebook."""

PLOTLY = "application/vnd.plotly.v1+json"

NO_PICTURE = "(No picture: it takes Chrome or Chromium. JupyterLab draws the figure all the same.)"


class NotebookRenderer(ExternalRenderer):
    """How plotly displays a figure of a notebook. JupyterLab shows one form of an output: the caption has its own."""

    def render(self, fig_dict: dict) -> None:
        """Show the figure, given as JSON, and its caption below it."""
        fig = go.Figure(fig_dict)
        display(mime_bundle(fig), raw=True, metadata={"image/png": {"alt": sentence(fig)}})
        if words := caption_of(fig):
            display({"text/html": caption_html(words), "text/plain": words}, raw=True)


def mime_bundle(fig: go.Figure) -> dict:
    """The figure by MIME type: for plotly.js, as PNG if a browser is there to paint it, and in a sentence.

    The same figure gives the same bytes on one machine.
    """
    figure = json.loads(fig.to_json() or "{}") | {"config": {"displaylogo": False, "responsive": True}}
    words, png = sentence(fig), picture(fig)
    if png is None:
        return {PLOTLY: figure, "text/plain": f"{words} {NO_PICTURE}"}
    return {PLOTLY: figure, "image/png": base64.b64encode(png).decode(), "text/plain": words}


def caption_of(fig: go.Figure) -> str:
    """The words that belong under a figure, empty where it has none."""
    return (fig.layout.meta or {}).get("caption", "")  # pyright: ignore


def caption_html(words: str) -> str:
    """A caption as HTML: it wraps where a page is narrow, and is as wide as the picture above it where it is not.

    The settings that are ours, which stand under nearly every figure, are folded away.
    """
    looks = f'style="max-width: {PICTURE_WIDTH}px; font-size: 13px; line-height: 1.4"'
    shown, mark, settings = html.escape(words).partition(OUR_SETTINGS)
    folded = f"<details {looks}><summary>Settings</summary>{mark}{settings}</details>" if mark else ""
    return f"<p {looks}>{shown.strip()}</p>{folded}"


def sentence(fig: go.Figure) -> str:
    """The figure's title and the count of runs its caption starts with."""
    title = fig.layout.title.text or "Figure"  # pyright: ignore
    counted = caption_of(fig).partition(". ")[0].removesuffix(".")
    return f"{title}: {counted}." if counted else f"{title}."


def picture(fig: go.Figure) -> bytes | None:
    """The figure as PNG; None where no Chrome or Chromium can paint it (BROWSER_PATH may name one)."""
    with _starting:
        paint = _painter()
    try:
        png = paint(fig.to_dict()) if paint else None
    except RuntimeError:
        # The browser was there and is gone, or did not answer in time: this figure goes without, the next tries anew.
        _painter.cache_clear()
        return None
    return shrink(png) if png else None


def shrink(png: bytes) -> bytes:
    """The same picture at a quarter of its size, in 256 colours: a figure has few, and shades of them along lines."""
    from PIL import Image

    small = io.BytesIO()
    # Colours moved to the middle of what they stand for (kmeans) keep the gradations of a heatmap apart.
    Image.open(io.BytesIO(png)).convert("RGB").quantize(kmeans=1).save(small, "PNG", optimize=True)
    return small.getvalue()


_starting = threading.Lock()  # a widget's picture is painted in a thread of its own


@functools.cache
def _painter() -> Callable[[dict], bytes] | None:
    """The painter of this process; None where no browser can be started."""
    try:
        return Painter()
    except Exception:
        # Not found, not executable, no kaleido, crashed, too slow: whatever it was, there is no painter.
        return None


class Painter:
    """A browser that stays open for the process, since starting one takes seconds and a picture a fraction of one.

    Kaleido's own server for this waits forever if the browser does not start, hence a loop with a time limit here.
    """

    def __init__(self):
        self._loop = asyncio.new_event_loop()
        self._browser: Any = None
        self._closing = threading.Lock()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="painter")
        self._thread.start()
        try:
            self._browser = self._wait_for(_open())
        except BaseException:
            self.close()
            raise
        atexit.register(self.close)

    def __call__(self, fig: dict) -> bytes:
        """A PNG of the figure. Raises RuntimeError where the browser is gone or silent, and closes what is left."""
        from choreographer.protocol import DevtoolsProtocolError

        try:
            return self._wait_for(self._browser.calc_fig(fig, opts={"format": "png", "width": PICTURE_WIDTH}))
        except (RuntimeError, OSError, CancelledError, DevtoolsProtocolError) as error:
            self.close()
            raise RuntimeError(f"the browser that paints is gone: {error!r}") from error

    def close(self) -> None:
        """Close the browser and end the thread, once; a thread that paints and the end of the process may both ask."""
        atexit.unregister(self.close)
        with self._closing:
            if self._loop.is_closed():
                return
            with suppress(Exception, CancelledError):
                if self._browser:
                    self._wait_for(self._browser.close())
            with suppress(Exception, CancelledError):
                self._wait_for(_end_tasks())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _wait_for(self, coroutine):
        if self._loop.is_closed():
            coroutine.close()
            raise RuntimeError("it was closed")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(BROWSER_TIMEOUT)


async def _end_tasks():
    """Such as the one that watches the browser; a loop that is closed under one complains, on a reader's page."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _open():
    import kaleido

    # A browser may end before its kernel does, since whoever ends a kernel ends both: nothing to warn of.
    logging.getLogger("choreographer.browser_async").setLevel(logging.ERROR)
    browser = kaleido.Kaleido(mathjax=False)
    await browser.open()
    return browser


pio.renderers["grokbook"] = NotebookRenderer()
if getattr(get_ipython(), "kernel", None):  # elsewhere plotly's own choice stays: a script opens a browser
    pio.renderers.default = "grokbook"

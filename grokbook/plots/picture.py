"""Figures in a notebook that stay visible where no JavaScript runs: on GitHub, in a diff, on paper.

The output of one cell carries the interactive figure for JupyterLab and beside it a picture of the same figure.
"""

import asyncio
import atexit
import base64
import functools
import json
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any

import plotly.graph_objects as go
from IPython.display import display

from grokbook.plots.png import shrink

WIDTH = 800
"""Pixels across the picture. JupyterLab shows the picture, pixel by pixel, until the pointer enters it and only then
draws the figure, so one of double density would be twice too large there and cut off."""

PATIENCE = 60
"""Seconds to wait for the browser that paints; a machine without a usable one must not stop a notebook."""

NO_PICTURE = "(No picture: it takes Chrome or Chromium. JupyterLab draws the figure all the same.)"


def show(fig: go.Figure) -> None:
    """Display a figure: interactive in JupyterLab once the pointer enters it, a picture elsewhere."""
    display(mime_bundle(fig), raw=True)


def mime_bundle(fig: go.Figure) -> dict:
    """What `show` displays, by MIME type: the figure, its PNG if a browser is there to paint it, and a sentence.

    The same figure gives the same bytes on one machine.
    """
    figure = json.loads(fig.to_json() or "{}") | {"config": {"displaylogo": False, "responsive": True}}
    png = picture(fig)
    said = sentence(fig)
    if png is None:
        return {"application/vnd.plotly.v1+json": figure, "text/plain": f"{said} {NO_PICTURE}"}
    return {"application/vnd.plotly.v1+json": figure, "image/png": base64.b64encode(png).decode(), "text/plain": said}


def sentence(fig: go.Figure) -> str:
    """The figure's title and the count of runs its caption starts with."""
    layout: Any = fig.layout
    title = layout.title.text or "Figure"
    counted = (layout.meta or {}).get("caption", "").partition(". ")[0]
    return f"{title}: {counted.removesuffix('.')}." if counted else f"{title}."


def picture(fig: go.Figure) -> bytes | None:
    """The figure as PNG; None where no Chrome or Chromium can paint it (BROWSER_PATH may name one)."""
    paint = _painter()
    try:
        png = paint(fig.to_dict()) if paint else None
    except RuntimeError:
        # The browser was there and is gone, or did not answer in time: this figure goes without, the next tries anew.
        _painter.cache_clear()
        return None
    return shrink(png) if png else None


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

        opts: Any = {"format": "png", "width": WIDTH}
        try:
            return self._wait_for(self._browser.calc_fig(fig, opts=opts))
        except (RuntimeError, OSError, CancelledError, DevtoolsProtocolError) as error:
            self.close()
            raise RuntimeError(f"the browser that paints is gone: {error!r}") from error

    def close(self) -> None:
        """Close the browser and end the thread."""
        atexit.unregister(self.close)
        with suppress(Exception, CancelledError):
            if self._browser:
                self._wait_for(self._browser.close())
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _wait_for(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE)


async def _open():
    import kaleido

    browser = kaleido.Kaleido(mathjax=False)
    await browser.open()
    return browser

"""What a notebook stores of a figure, with and without a browser to paint it, and how small its picture is."""

import base64
import functools
import json
import os
import shutil
import struct
import threading
import zlib
from typing import Any, cast

import numpy as np
import plotly.graph_objects as go
import pytest
from choreographer.protocol import DevtoolsProtocolError
from hypothesis import given
from hypothesis import strategies as st
from samples import fake_run

from grokbook import RunConfig, plots
from grokbook.plots import picture as pictures
from grokbook.plots.picture import mime_bundle, sentence
from grokbook.plots.png import shrink

FIGURE = "application/vnd.plotly.v1+json"
SENTENCE = "Accuracy, loss and weight norm: n = 1 run a cell (seed 0), 3 in all."


@pytest.fixture(scope="module")
def fig() -> go.Figure:
    """The largest figure there is, of curves as jagged as can be."""
    sizes = (4000, 3000, 2000)
    return plots.grokking_panels([fake_run(RunConfig(D_train=D_train), 10_000) for D_train in sizes])


@pytest.fixture
def painter():
    """A browser that paints. Where it is missing, a skip; in CI, a failure."""
    if not (shutil.which("chromium") or shutil.which("google-chrome")) and "CI" not in os.environ:
        pytest.skip("Chromium is not installed")
    pictures._painter.cache_clear()


def test_a_figure_is_stored_with_a_picture_of_it(fig: go.Figure, painter):
    bundle = mime_bundle(fig)
    assert list(bundle) == [FIGURE, "image/png", "text/plain"]
    png = base64.b64decode(bundle["image/png"])
    width, height = struct.unpack(">II", png[16:24])
    assert png.startswith(b"\x89PNG") and (width, height) == (800, bundle[FIGURE]["layout"]["height"])
    assert mime_bundle(fig) == bundle
    assert len(json.dumps(bundle)) < 300_000
    assert bundle["text/plain"] == SENTENCE


@pytest.mark.parametrize("program", ["/nowhere/chromium", shutil.which("false")])
def test_without_a_browser_a_figure_is_stored_all_the_same(fig: go.Figure, monkeypatch, recwarn, program: str):
    monkeypatch.setenv("BROWSER_PATH", program)
    monkeypatch.setattr(pictures, "_painter", pictures._painter.__wrapped__)
    bundle = mime_bundle(fig)
    assert list(bundle) == [FIGURE, "text/plain"] and len(bundle[FIGURE]["data"]) == len(fig.data)  # pyright: ignore[reportArgumentType]
    assert bundle["text/plain"].startswith(f"{SENTENCE} (No picture: ")
    assert "\n" not in bundle["text/plain"] and not recwarn


def test_showing_a_figure_displays_it_once(fig: go.Figure, monkeypatch):
    shown = []
    monkeypatch.setattr(pictures, "display", lambda bundle, raw: shown.append((bundle, raw)))
    monkeypatch.setattr(pictures, "_painter", lambda: lambda fig: b"not a png")
    monkeypatch.setattr(pictures, "shrink", lambda png: png)
    assert plots.show(fig) is None
    ((bundle, raw),) = shown
    assert raw and base64.b64decode(bundle["image/png"]) == b"not a png"


def test_a_browser_that_dies_costs_one_picture_and_is_started_anew(monkeypatch):
    def crash(fig):
        raise RuntimeError("the browser closed")

    painters = iter([crash, lambda fig: b"painted"])
    start = functools.cache(lambda: next(painters))
    monkeypatch.setattr(pictures, "_painter", start)
    monkeypatch.setattr(pictures, "shrink", lambda png: png)
    assert [pictures.picture(go.Figure()) for _ in range(3)] == [None, b"painted", b"painted"]


def test_a_painter_whose_browser_fails_ends_its_thread_and_says_so(painter, monkeypatch):
    def painting():
        return [thread for thread in threading.enumerate() if thread.name == "painter"]

    before, broken = painting(), pictures.Painter()

    async def crash(fig, opts):
        raise DevtoolsProtocolError(cast(Any, {"error": {"code": -32000, "message": "Target crashed"}}))
    monkeypatch.setattr(broken._browser, "calc_fig", crash)
    assert len(painting()) == len(before) + 1
    with pytest.raises(RuntimeError, match="the browser that paints is gone"):
        broken(go.Figure().to_dict())
    assert painting() == before


def test_a_figure_without_title_and_caption_has_a_sentence_too():
    assert sentence(go.Figure()) == "Figure."


def chrome_png(pixels: np.ndarray, filters: list[int]) -> bytes:
    """RGB pixels (height, width, 3) as opaque RGBA with these row filters: 0 none, 1 from the left, 2 from above."""
    rgba = np.concatenate([pixels, np.full((*pixels.shape[:2], 1), 255)], axis=2).astype(np.uint8)
    left = np.diff(rgba, axis=1, prepend=np.zeros_like(rgba[:, :1]))
    above = np.diff(rgba, axis=0, prepend=np.zeros_like(rgba[:1]))
    rows = [bytes([kind]) + (rgba, left, above)[min(kind, 2)][y].tobytes() for y, kind in enumerate(filters)]
    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8, 6, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b"")]
    framed = [struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
              for name, body in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def palette_pixels(png: bytes) -> np.ndarray:
    """RGB of a picture of one palette and unfiltered rows."""
    chunks, at = {}, 8
    while at < len(png):
        size, name = struct.unpack(">I4s", png[at:at + 8])
        body = chunks[name] = png[at + 8:at + 8 + size]
        assert struct.unpack(">I", png[at + 8 + size:at + 12 + size])[0] == zlib.crc32(name + body)
        at += 12 + size
    width, height, *form = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert form == [8, 3, 0, 0, 0]
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not rows[:, 0].any()
    return np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)[rows[:, 1:]]


@given(st.integers(0, 2**32), st.lists(st.integers(0, 2), min_size=1, max_size=9))
def test_a_picture_of_few_colours_is_stored_exactly(seed: int, filters: list[int]):
    generator = np.random.default_rng(seed)
    pixels = generator.integers(256, size=(20, 3))[generator.integers(20, size=(len(filters), 7))]
    np.testing.assert_array_equal(palette_pixels(shrink(chrome_png(pixels, filters))), pixels)


def test_of_many_colours_frequent_ones_stay_and_rare_ones_hardly_change():
    pixels = np.zeros((60, 60, 3), int)
    pixels[:, :, 0], pixels[:, :, 1] = np.arange(60) * 4, np.arange(60)[:, None] * 4
    pixels[:20] = [255, 255, 255]
    stored = palette_pixels(shrink(chrome_png(pixels, [1] * 60)))
    assert len(np.unique(stored.reshape(-1, 3), axis=0)) == 256
    np.testing.assert_array_equal(stored[:20], pixels[:20])
    assert np.abs(stored.astype(int) - pixels).max() <= 16


def test_a_picture_of_another_kind_is_left_as_it_is():
    png = chrome_png(np.zeros((2, 3, 3), int), [0, 4])
    assert shrink(png) == png

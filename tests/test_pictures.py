"""What a notebook stores of a figure, with and without a browser to paint it, and how small its picture is."""

import base64
import functools
import io
import json
import os
import shutil
import struct
import subprocess
import sys
import threading
from typing import Any, cast

import numpy as np
import plotly.graph_objects as go
import pytest
from choreographer.protocol import DevtoolsProtocolError
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from samples import fake_run, run_python

from grokbook import RunConfig, plots
from grokbook.plots import picture as pictures
from grokbook.plots.picture import caption_html, mime_bundle, sentence, shrink

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


def test_a_figure_is_displayed_with_its_picture_and_below_it_its_caption_as_text(fig: go.Figure, monkeypatch):
    shown = []
    monkeypatch.setattr(pictures, "display", lambda bundle, **options: shown.append((bundle, options)))
    monkeypatch.setattr(pictures, "picture", lambda fig: b"a png")
    fig.show("grokbook")
    (bundle, options), (words, _) = shown
    assert base64.b64decode(bundle["image/png"]) == b"a png"
    assert json.loads(str(fig.to_json())).items() <= bundle[FIGURE].items()
    assert options == {"raw": True, "metadata": {"image/png": {"alt": SENTENCE}}}
    caption = fig.to_dict()["layout"]["meta"]["caption"]
    seen, folded = caption.split(" Our settings")
    assert words["text/plain"] == caption and f">{seen}</p><details" in words["text/html"]
    assert f"</summary>Our settings{folded}</details>" in words["text/html"]


def test_a_caption_is_text_and_no_markup():
    assert ">a &lt; b &amp; c</p>" in caption_html("a < b & c")


def test_a_figure_without_a_caption_has_one_output(monkeypatch):
    shown = []
    monkeypatch.setattr(pictures, "display", lambda bundle, **_: shown.append(bundle))
    monkeypatch.setattr(pictures, "picture", lambda fig: None)
    go.Figure().show("grokbook")
    assert [list(bundle) for bundle in shown] == [[FIGURE, "text/plain"]]


def test_a_figure_at_the_end_of_a_cell_is_displayed_so_in_a_kernel_and_elsewhere_as_plotly_chose():
    program = "import plotly.io as pio; before = pio.renderers.default; import grokbook.plots; "
    kernel = subprocess.run([sys.executable, "-c", "from unittest.mock import MagicMock; "
                             "import IPython.core.getipython as g; g.get_ipython = MagicMock(); " + program
                             + "print(pio.renderers.default)"], capture_output=True, text=True)
    script = subprocess.run([sys.executable, "-c", program + "print(pio.renderers.default == before)"],
                            capture_output=True, text=True)
    assert (kernel.stdout, script.stdout) == ("grokbook\n", "True\n")


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


ENDED_TOGETHER = """
import logging, time
logging.basicConfig()  # as in a kernel, whose page shows what is warned of
from grokbook.plots.picture import Painter
painter = Painter()
painter._browser.subprocess.kill()
time.sleep({seconds})
"""


@pytest.mark.parametrize("seconds", [0, 2])
def test_a_process_whose_browser_is_ended_with_it_writes_nothing(painter, seconds: int):
    process = run_python(ENDED_TOGETHER.format(seconds=seconds))
    _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")


def test_a_figure_without_title_and_caption_has_a_sentence_too():
    assert sentence(go.Figure()) == "Figure."


def png(pixels: np.ndarray) -> bytes:
    """RGB pixels (height, width, 3) as the opaque RGBA that Chrome writes."""
    stored = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).convert("RGBA").save(stored, "PNG")
    return stored.getvalue()


def pixels_of(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        assert image.mode == "P"  # one byte a pixel
        return np.array(image.convert("RGB"))


@given(st.integers(0, 2**32), st.integers(1, 9))
def test_a_picture_of_few_colours_is_stored_exactly(seed: int, height: int):
    generator = np.random.default_rng(seed)
    pixels = generator.integers(256, size=(20, 3))[generator.integers(20, size=(height, 7))]
    np.testing.assert_array_equal(pixels_of(shrink(png(pixels))), pixels)


def test_of_many_colours_large_areas_stay_and_shades_hardly_change():
    pixels = np.zeros((60, 60, 3), int)
    pixels[:, :, 0], pixels[:, :, 1] = np.arange(60) * 4, np.arange(60)[:, None] * 4
    pixels[:20] = [255, 255, 255]
    stored = pixels_of(shrink(png(pixels)))
    np.testing.assert_array_equal(stored[:20], pixels[:20])
    assert np.abs(stored.astype(int) - pixels).max() <= 16

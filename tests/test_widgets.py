"""Watching a training, without a browser: what the cell is given to show, and what comes back."""

import re
import subprocess
import sys

import pytest

import grokbook as gb
from grokbook.run import evaluation_steps
from grokbook.widgets import cell, watch

CONFIG = gb.RunConfig(p=7, d_h=8, D_train=30, n_steps=40)
PLOTLY = "application/vnd.plotly.v1+json"


@pytest.fixture
def shown(monkeypatch) -> list:
    """What the cell shows, one after another; redrawn at every evaluation, without pictures."""
    said = []
    monkeypatch.setattr(cell, "EVERY", 0)
    monkeypatch.setattr(cell, "mime_bundle", lambda fig: {PLOTLY: fig.to_dict(), "final": True})
    monkeypatch.setattr(cell, "clear_output", lambda wait: said.append(None) if not wait else None)
    monkeypatch.setattr(cell, "display", lambda thing, **_: said.append(thing))
    return said


def test_the_curves_grow_and_the_last_figure_is_that_of_the_runs(shown):
    runs = watch(gb.train([CONFIG]))
    titles = [bundle[PLOTLY]["layout"]["title"]["text"] for bundle in shown[:-1]]
    sizes = [len(bundle[PLOTLY]["data"][0]["x"]["bdata"]) for bundle in shown[:-1]]
    assert [int(re.findall(r"step (\d+)", title)[0]) for title in titles] == evaluation_steps(40).tolist()
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]
    assert shown[-1]["final"] and runs[0].last_step == 40


def test_an_interrupt_draws_and_returns_what_there_is(shown):
    class Interrupted:
        def __init__(self, training):
            self.training, self.configs, self.runs = training, training.configs, training.runs
            self.step, self.steps_per_second = 0, 1.0

        def __iter__(self):
            for evaluation in self.training:
                yield evaluation
                if evaluation.step >= 10:
                    raise KeyboardInterrupt

    runs = watch(Interrupted(gb.train([CONFIG])))  # pyright: ignore[reportArgumentType]
    assert runs[0].last_step == 10 and shown[-1]["final"]


THREADS = """
import sys, threading
import grokbook.widgets
import numpy as np, xarray as xr
empty = xr.DataArray(np.full((40, 50), np.nan), dims=("cell", "step"))
def reduce():
    for _ in range(400):
        empty.max("step"), empty.mean("step"), empty.std("step")
sys.setswitchinterval(1e-5)
threads = [threading.Thread(target=reduce) for _ in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_cells_that_were_not_trained_are_averaged_on_threads_without_a_word():
    """Without the filters of `grokbook.widgets` a second of this prints tens of warnings."""
    done = subprocess.run([sys.executable, "-W", "always", "-c", THREADS], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")

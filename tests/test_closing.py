"""What ends with a widget, and what a widget that is refused leaves behind. No browser."""

import gc
import threading
import weakref

import pytest
from ipywidgets.widgets.widget import _instances
from maps import cube, typical
from traitlets import TraitError

import grokbook as gb
from grokbook.widgets import Explorer, LiveRun, live

CONFIG = gb.RunConfig(p=7, d_h=8, D_train=20, n_steps=60, stop_early=False)


@pytest.fixture
def runs():
    return cube((8, 16), (2000, 3000), 2, lambda *_: typical("UNGROKKING"))


def trained() -> LiveRun:
    run = LiveRun(CONFIG)
    run.start()
    run.wait()
    assert run.runs[0].last_step == CONFIG.n_steps
    return run


def test_a_live_run_that_is_closed_leaves_no_widget_and_no_thread():
    trained().close()  # what all of them share exists from here on
    gc.collect()
    widgets, threads = set(_instances), set(threading.enumerate())
    run = trained()
    gone = weakref.ref(run)
    run.close()
    assert set(_instances) == widgets
    del run
    gc.collect()
    assert gone() is None and set(threading.enumerate()) <= threads


def test_an_ended_training_lets_go_of_its_networks_and_still_says_how_far_it_came():
    run = trained()
    assert run._trainer and run._trainer._training is None
    assert run._trainer.step == CONFIG.n_steps and run._trainer.steps_per_second > 0
    assert "Finished at step 60" in run.panel.status.value and run.panel.bar.value == 60
    run.close()


def test_trainings_that_replace_each_other_leave_nothing(runs, monkeypatch):
    explorer = Explorer(runs)
    monkeypatch.setattr(Explorer, "config", lambda self: CONFIG)
    monkeypatch.setattr("grokbook.widgets.explorer.choose", lambda runs, **_: runs)  # the map has no such cell

    def train() -> tuple[int, int]:
        explorer.train()
        explorer.train()
        explorer.wait()
        gc.collect()
        return len(_instances), threading.active_count()

    train()
    assert train() == train() == train()
    explorer.close()


def test_an_explorer_that_is_closed_leaves_no_widget(runs):
    before = set(_instances)
    Explorer(runs).close()
    assert set(_instances) == before


@pytest.mark.parametrize("make, error, reason", [
    (lambda runs: Explorer(runs, d_h=7), TraitError, "d_h=7 is not on the map; valid: 8, 16"),
    (lambda runs: LiveRun(CONFIG, n_seeds=0), ValueError, "n_seeds=0 is not valid; valid: 1, 2, 3"),
    (lambda runs: LiveRun(CONFIG, n_seeds="3"), ValueError, "n_seeds='3' is not valid"),  # pyright: ignore[reportArgumentType]
])
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_widget_that_is_refused_says_why_and_nothing_else(runs, make, error, reason):
    with pytest.raises(error, match=reason):
        make(runs)
    gc.collect()


def test_a_live_figure_that_cannot_be_drawn_fails_where_nobody_watches(monkeypatch):
    def broken(*_):
        raise RuntimeError("no pen")

    run = LiveRun(CONFIG)
    monkeypatch.setattr(live, "_growing", broken)
    with pytest.raises(RuntimeError, match="The curves cannot be drawn: RuntimeError: no pen"):
        run._ipython_display_()
    run.close()


def test_sliders_offer_no_fewer_pairs_than_a_batch():
    run = LiveRun(gb.RunConfig(batch_size=1200, D_train=3000))
    assert [value for _, value in run.panel.D_train.options][:2] == [1500, 2000]
    run.close()

"""The live run without a browser: its traits and buttons are set and clicked from here. No clock, only conditions."""

import signal
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
import traitlets
import xarray as xr
from IPython.core.interactiveshell import InteractiveShell
from liveruns import CONFIG, ENDED, PATIENCE, drawn, making, reach
from samples import train_all

import grokbook as gb
from grokbook import plots, training
from grokbook.plots.cells import as_dataset
from grokbook.run import METRICS, evaluation_steps
from grokbook.widgets import front_end, live
from grokbook.widgets.trainer import Trainer, progress

LONG = CONFIG.replace(n_steps=10**9)
WIDGET = "application/vnd.jupyter.widget-view+json"


@pytest.fixture
def make(tmp_path):
    with making(tmp_path / "mine") as make:
        yield make


@pytest.fixture
def gate(monkeypatch):
    """Steps are taken while this is set."""
    opened, engine = threading.Event(), training.engine_named("fused")
    advance = engine.advance
    monkeypatch.setattr(engine, "advance", lambda self, n_steps: opened.wait(PATIENCE) and advance(self, n_steps))
    opened.set()
    yield opened
    opened.set()


def wait_for_step(run: gb.widgets.LiveRun, step: int) -> None:
    """Wait until the curves on the page reach that step."""
    reached = threading.Event()

    def look(_=None):
        if run.runs and run.runs[0].last_step >= step:
            reached.set()

    run.panel.status.observe(look, "value")
    assert reached.wait(PATIENCE)


# Training


def test_a_run_trained_here_is_the_run_that_train_gives(make):
    run = make()
    run.panel.start.click()
    reach(run, *ENDED)
    alone = gb.train([CONFIG])
    for _ in alone:
        pass
    assert run.phase == "finished"
    xr.testing.assert_identical(run.result(), as_dataset(alone.runs()))
    for name, values in alone.runs()[0].weights.items():
        np.testing.assert_array_equal(run.runs[0].weights[name], values)
    np.testing.assert_array_equal(drawn(run), run.result().val_acc.squeeze())


def test_the_sliders_say_what_is_trained(make):
    run = make(CONFIG.replace(p=113, D_train=500, seed=3))
    run.panel.d_h.value, run.panel.D_train.value = 16, 1000
    run.panel.n_seeds.value, run.panel.n_steps.value = 2, 200
    wanted = [CONFIG.replace(p=113, d_h=16, D_train=1000, seed=seed, n_steps=200) for seed in (3, 4)]
    assert run.panel.configs(CONFIG.replace(p=113, seed=3)) == wanted
    other = make(CONFIG, architectures=("transformer", "lstm", "mlp"))
    other.panel.architecture.value = "lstm"
    assert [config.architecture for config in other.panel.configs(CONFIG)] == ["lstm"]
    assert other.panel.children[0].children[0] is other.panel.architecture
    assert "architecture" not in run.panel.choices and "D_random" not in run.panel.choices


def test_sliders_hold_what_the_network_can_have_and_what_it_starts_with():
    panel = gb.widgets.LiveRun(gb.RunConfig(d_h=36, D_train=49, p=7, n_heads=3, n_steps=77)).panel
    assert [value for _, value in panel.d_h.options] == [24, 36, 48, 96]
    assert [value for _, value in panel.D_train.options] == [49]
    assert panel.n_steps.value == 77 and panel.n_steps.options[0] == ("77", 77)
    with pytest.raises(traitlets.TraitError):
        panel.d_h.value = 7


def test_several_seeds_train_together(make):
    run = make(n_seeds=3)
    run.start()
    reach(run, *ENDED)
    assert run.result().sizes["seed"] == 3 and (run.result().last_step == 60).all()


def test_pausing_rests_and_resuming_goes_on_with_the_same_network(make):
    run = make(LONG)
    run.panel.start.click()
    wait_for_step(run, 5)
    run.panel.pause.click()
    reach(run, "paused")
    paused = run.runs
    assert run.panel.pause.description == "Resume" and run.panel.status.value.startswith("Paused at step ")
    assert not threading.Event().wait(0.3) and run.runs is paused
    assert run._trainer and run._trainer.step == paused[0].last_step
    run.panel.pause.click()
    wait_for_step(run, paused[0].last_step + 1)
    run.panel.stop.click()
    reach(run, *ENDED)
    steps = evaluation_steps(run.runs[0].last_step)[:-1]
    (alone,) = train_all([CONFIG.replace(n_steps=int(steps[-1]))])
    for name in METRICS:
        np.testing.assert_array_equal(run.result()[name].sel(step=steps).squeeze(), alone.curves[name])


def test_a_training_that_goes_on_can_be_paused_before_its_next_evaluation(make, gate):
    run = make(LONG)
    run.start()
    wait_for_step(run, 5)
    run.pause_or_resume()
    reach(run, "paused")
    gate.clear()
    run.panel.pause.click()
    reach(run, "training")
    assert run.panel.pause.description == "Pause"
    run.panel.pause.click()
    gate.set()
    reach(run, "paused")


@pytest.mark.parametrize("pause_first", [False, True])
def test_stopping_keeps_what_was_trained(make, pause_first: bool):
    run = make(LONG)
    run.start()
    wait_for_step(run, 5)
    if pause_first:
        run.pause_or_resume()
        reach(run, "paused")
    run.panel.stop.click()
    reach(run, *ENDED)
    last = run.runs[0].last_step
    assert run.phase == "stopped" and 5 <= last < LONG.n_steps
    assert run.result().last_step.item() == last == run.panel.bar.value
    assert len(drawn(run)) == len(run.runs[0].curves["step"])
    assert run.panel.status.value == f"Stopped at step {last:,}"


def test_starting_anew_ends_the_training_under_way_before_the_next_begins(make):
    run = make(LONG)
    run.start()
    wait_for_step(run, 5)
    first = run._trainer
    run.panel.d_h.value, run.panel.n_steps.value = 4, 200
    run.panel.start.click()
    reach(run, *ENDED)
    assert first and first.phase == "stopped" and not first._thread.is_alive()
    assert run.phase == "finished" and run.runs[0].config.d_h == 4 and run.runs[0].last_step == 200
    assert run.plot.figure.layout.title.text.endswith("d_h 4, D_train 20")


def test_until_its_first_step_a_training_follows_the_sliders(make, monkeypatch):
    run, ready, train = make(CONFIG.replace(p=113, D_train=500)), threading.Event(), training.train
    monkeypatch.setattr(training, "train", lambda configs: ready.wait(PATIENCE) and train(configs))
    run.panel.start.click()
    run.panel.d_h.value, run.panel.n_seeds.value = 4, 2
    ready.set()
    reach(run, *ENDED)
    assert [(r.config.d_h, r.config.seed, r.last_step) for r in run.runs] == [(4, 0, 60), (4, 1, 60)]
    run.panel.d_h.value = 8
    assert run.phase == "finished" and run.runs[0].config.d_h == 4


def test_a_training_follows_the_sliders_while_its_first_step_compiles(make, gate):
    run = make(CONFIG.replace(p=113, D_train=500))
    gate.clear()
    run.start()
    compiling = threading.Event()
    run.panel.status.observe(lambda _: compiling.set() if run.runs else None, "value")
    assert run.runs or compiling.wait(PATIENCE)  # step 0 is drawn, step 1 is under way
    assert run._trainer and run._trainer.beginning and run.phase == "preparing"
    run.panel.d_h.value = 4
    gate.set()
    reach(run, *ENDED)
    assert (run.phase, run.runs[0].config.d_h, run.runs[0].last_step) == ("finished", 4, 60)
    assert not run._trainer.beginning


@pytest.mark.parametrize("act", ["pause_or_resume", "stop"])
def test_a_training_that_was_stopped_before_its_first_step_does_not_begin_anew(make, monkeypatch, act: str):
    run, ready, train = make(LONG), threading.Event(), training.train
    monkeypatch.setattr(training, "train", lambda configs: ready.wait(PATIENCE) and train(configs))
    run.start()
    getattr(run, act)()
    begun = run._trainer
    run.panel.n_seeds.value = 2
    ready.set()
    reach(run, "paused", "stopped")
    assert run._trainer is begun


def test_closing_ends_the_thread(make):
    run = make(LONG)
    run.start()
    wait_for_step(run, 5)
    run.close()
    assert run._trainer and not run._trainer._thread.is_alive()
    assert run.runs[0].last_step < LONG.n_steps


def test_a_training_is_paused_and_stopped_before_its_first_step():
    resting = Trainer([CONFIG])
    resting.pause()
    resting.stop()
    resting.join()
    assert not resting._thread.is_alive() and resting.phase in ("stopped", "finished")
    resting.pause()  # too late to matter
    assert resting.phase in ("stopped", "finished")


# What goes wrong


def test_a_config_that_cannot_be_trained_says_so_in_the_widget(make):
    run = make(CONFIG.replace(parent="0123456789abcdef@5"))
    run.panel.start.click()
    reach(run, *ENDED)
    assert run.phase == "failed" and "This cannot be trained: parent=" in run.note and "has no weights here" in run.note
    with pytest.raises(LookupError, match="nothing has been trained here yet; press Start"):
        run.result()


@pytest.mark.parametrize(("error", "said"), [
    (RuntimeError("out of memory\nat line 7"), "RuntimeError: out of memory"), (MemoryError(), "MemoryError"),
    (ValueError("d_h=7 is odd"), "d_h=7 is odd")])
def test_an_error_of_the_engine_is_said_in_one_line_and_keeps_what_was_trained(make, monkeypatch, error, said):
    true = training.train

    def breaking(configs):
        under_way, advance = true(configs), None
        advance = under_way._engine.advance

        def fail(n_steps):
            if under_way.step >= 10:
                raise error
            advance(n_steps)

        monkeypatch.setattr(under_way._engine, "advance", fail)
        return under_way

    monkeypatch.setattr(training, "train", breaking)
    run = make()
    run.start()
    reach(run, *ENDED)
    assert run.phase == "failed" and run.note.startswith(f"This cannot be trained: {said}") and "\n" not in run.note
    monkeypatch.setattr(training, "train", true)
    run.panel.start.click()
    reach(run, "finished")
    assert run.note == "" and run.runs[0].last_step == 60


def test_a_button_says_what_stands_in_its_way(make, monkeypatch):
    run = make()
    run._saying_errors(run.keep)(run.panel.keep)
    assert run.note.startswith("nothing has been trained here yet") and front_end.ERROR in run._note.value


def test_curves_that_cannot_be_drawn_are_said_and_end_the_training(make, monkeypatch):
    def broken(*_):
        raise RuntimeError("<no> pen")

    run = make(LONG)
    monkeypatch.setattr(live, "_growing", broken)
    run.start()
    run.wait()
    assert run._trainer
    run._trainer.join()
    assert run._trainer.phase == "stopped" and run.note == "The curves cannot be drawn: RuntimeError: <no> pen"
    assert run.phase == "failed" and run.panel.stop.disabled and run.panel.pause.disabled


# Keeping


def test_runs_are_kept_in_a_store_of_the_reader(make):
    run = make(n_seeds=2)
    assert run.panel.keep.disabled
    run.start()
    reach(run, *ENDED)
    run.panel.keep.click()
    assert run.note.startswith("2 runs added. Read them with gb.load('live', store=") and run.panel.keep.disabled
    assert front_end.ERROR not in run._note.value
    xr.testing.assert_identical(gb.load("live", store=run.store), run.result())


def test_the_readers_store_is_not_the_shipped_one(monkeypatch, tmp_path):
    monkeypatch.delenv("GROKBOOK_DATA", raising=False)
    assert str(gb.widgets.LiveRun(CONFIG).store.path) == "my-runs" != str(gb.Store().path)
    monkeypatch.setenv("GROKBOOK_DATA", str(tmp_path))
    assert gb.widgets.LiveRun(CONFIG).store.path == tmp_path


# What is shown


def test_without_anybody_watching_it_trains_to_the_end_and_leaves_a_picture(make, monkeypatch, capsys):
    shown = []
    monkeypatch.setattr(go.Figure, "show", lambda fig, renderer: shown.append(fig))
    run = make()
    run._ipython_display_()
    (fig,) = shown
    assert run.runs[0].last_step == 60 and plots.find(fig, metric="val_acc", role="line")
    assert fig.layout.meta["caption"].startswith("n = 1 run (seed 0). Followed for 60 steps.")
    assert "This is a picture. Run the cell where a kernel is" in capsys.readouterr().out


def test_an_interrupt_before_anything_is_trained_leaves_no_picture(make, monkeypatch):
    ready, waits = threading.Event(), []
    train = training.train
    monkeypatch.setattr(training, "train", lambda configs: ready.wait(PATIENCE) and train(configs))
    run = make()
    wait = run.wait

    def interrupted():
        waits.append(run.phase)
        if len(waits) == 1:
            raise KeyboardInterrupt
        ready.set()
        wait()

    monkeypatch.setattr(run, "wait", interrupted)  # its own: a widget that is collected meanwhile waits too
    assert run.pictures() == [] and (run.phase, run.runs) == ("stopped", [])


def test_an_interrupted_wait_leaves_the_training_as_it_was(make, interruptible):
    run = make(LONG)
    run.start()
    reach(run, "training")
    with pytest.raises(KeyboardInterrupt):
        threading.Timer(0.2, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)).start()
        run.wait()
    alive = {thread.name for thread in threading.enumerate() if thread.is_alive()}
    assert run.phase == "training" and {"training", "telling"} <= alive


def test_without_anybody_watching_an_error_is_raised(make):
    with pytest.raises(RuntimeError, match="has no weights here"):
        make(CONFIG.replace(parent="0123456789abcdef@5"))._ipython_display_()


@pytest.mark.parametrize(("request_", "somebody"), [
    ({"content": {"allow_stdin": True}}, True), ({"content": {"allow_stdin": False}}, False), ({}, False)])
def test_a_page_is_watched_where_questions_can_be_asked(make, monkeypatch, request_, somebody):
    class Kernel:
        def get_parent(self, channel):
            assert channel == "shell"
            return request_

    shell, shown = InteractiveShell(), []
    monkeypatch.setattr(shell, "kernel", Kernel(), raising=False)
    monkeypatch.setattr(front_end, "get_ipython", lambda: shell)
    monkeypatch.setattr(go.Figure, "show", lambda fig, renderer: shown.append(renderer))
    run = make()
    formatter: Any = shell.display_formatter
    bundle, _ = formatter.format(run)
    assert (WIDGET in bundle, run.phase == "idle", not shown) == (somebody, somebody, somebody)


def test_progress_tells_step_rate_and_time_left():
    at: Any = SimpleNamespace(replay=None, configs=[CONFIG.replace(n_steps=20_000)], step=2_000, steps_per_second=100.0,
                              steady=False)
    assert progress(at, "training") == "Step 2,000 of 20,000"
    at.steady = True
    assert progress(at, "training") == "Step 2,000 of 20,000, 100 a second, at most 3 min left"
    assert progress(at, "training", usual=7_000).endswith("usually understands near step 7,000, in 50 s")
    assert progress(at, "training", usual=1_999) == progress(at, "training", usual=20_001) == progress(at, "training")
    at.steps_per_second = 300.0
    assert progress(at, "training").endswith("at most 60 s left")
    assert progress(at, "finished") == "Finished at step 2,000: every accuracy has settled at 1"
    assert progress(at, "stopped") == "Stopped at step 2,000"

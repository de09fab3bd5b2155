"""What the store knows of the cell of a live run: drawn pale under it, played again, without a browser."""

import numpy as np
import pytest
from liveruns import CONFIG, ENDED, drawn, making, reach
from samples import train_all

import grokbook as gb
from grokbook import plots, training
from grokbook.run import Run
from grokbook.widgets import stored


@pytest.fixture
def make(tmp_path):
    with making(tmp_path / "mine") as make:
        yield make


@pytest.fixture
def known(tmp_path, monkeypatch) -> list[Run]:
    """Two runs of the cell that the sliders start at, in the store that the book reads."""
    runs = train_all([CONFIG.replace(seed=seed) for seed in range(2)])
    gb.Store(tmp_path / "known").write(runs, "others")
    monkeypatch.setenv("GROKBOOK_DATA", str(tmp_path / "known"))
    return runs


def test_a_live_run_starts_from_the_stored_runs_of_its_cell_and_paints_over_them(make, known):
    run = make()
    (pale,) = plots.find(run.plot.figure, metric="val_acc", role="stored line")
    np.testing.assert_array_equal(np.array(pale.y)[:-1], known[0].curves["val_acc"])
    assert pale.opacity < 0.5 and not pale.showlegend and not np.isfinite(drawn(run)).any()
    assert "Pale: 2 stored runs of it, of which" in run.panel.status.value
    assert plots.find(run.kept(), role="stored line"), "a picture of it is never empty"
    run.panel.start.click()
    reach(run, *ENDED)
    traces = [trace.meta["role"] for trace in run.plot.figure.data if trace.meta["metric"] == "val_acc"]
    assert traces.index("stored line") < traces.index("line") and np.isfinite(drawn(run)).all()


def test_a_replay_paints_the_stored_runs_and_trains_nothing(make, known, monkeypatch):
    monkeypatch.setattr(stored, "REPLAY_SECONDS", 0.0)
    monkeypatch.setattr(training, "train", None)
    run = make()
    run.panel.replay.click()
    reach(run, *ENDED)
    assert (run.phase, run.note) == ("finished", "") and run.panel.status.value.startswith("Stored runs, played again")
    painted = [np.array(line.y) for line in plots.find(run.plot.figure, metric="val_acc", role="line")]
    assert any(np.array_equal(y[np.isfinite(y)], known[0].curves["val_acc"]) for y in painted)
    assert run.panel.keep.disabled and not run.panel.replay.disabled
    with pytest.raises(LookupError, match="nothing has been trained here yet"):
        run.keep()


def test_the_stored_runs_are_those_of_the_sliders(make, known):
    run = make(CONFIG.replace(p=113, D_train=500))
    assert not plots.find(run.plot.figure, role="stored line")
    assert run.panel.status.value.strip() == "Start trains this network." and run.panel.replay.disabled

"""explorer.html: the map to move through without a kernel, its data, and the page opened from a file, offline."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from maps import STEPS, cube, rise, typical

from grokbook import pages, plots
from grokbook.analysis import describe, main_zone, outcomes, runs_until
from grokbook.plots.explored import METRICS
from grokbook.plots.lookup import Lookup
from grokbook.plots.offline import TOLERANCE, explorer_data

SIZES, PAIRS = (8, 32), (2000, 3000, 4000)
LARGEST = 3_000_000
"""Bytes of the page with the runs that are shipped."""


def made_up(d_h: int, D_train: int, seed: int) -> dict | None:
    if (d_h, D_train) == (8, 2000):
        return None
    if d_h == 8:
        return typical("PROGRESSION") | {"train_acc": 0.9 * np.linspace(0, 1, len(STEPS)) ** (1 + seed)}
    return typical("GROKKING" if D_train == 4000 and not seed else "UNGROKKING") | {"val_acc": rise(7_000 + seed, 0.999)
                                                                                   if D_train == 4000 else 0.0}


@pytest.fixture(scope="module")
def runs() -> xr.Dataset:
    return cube(SIZES, PAIRS, 2, made_up)


@pytest.fixture(scope="module")
def data(runs) -> dict:
    return explorer_data(Lookup(runs))


@pytest.fixture(scope="module")
def folder(runs, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("book")
    pages.write([], folder, "A book", Lookup(runs))
    return folder


def test_thinned_curves_stay_beside_the_measured_ones_and_keep_their_budgets(runs, data):
    for key, seeds in data["cells"].items():
        d_h, D_train = map(int, key.split(","))
        for seed, run in seeds.items():
            for metric, (x, y) in zip(METRICS, run["lines"], strict=True):
                measured = runs[metric].sel(d_h=d_h, D_train=D_train, seed=seed).values
                drawn = np.interp(np.log10(np.maximum(runs["step"], 0.4)), np.log10(x), y)
                assert np.abs(drawn - measured).max() <= (TOLERANCE + 1e-3) * np.ptp(measured) + 1e-3 * measured.max()
                for budget in data["values"]["budget"]:
                    last = runs["step"].values[runs["step"].values <= budget][-1]
                    assert np.isclose(x, last, rtol=1e-3).any()


def test_every_sentence_is_that_of_the_cell_at_the_budget(runs, data):
    for i, budget in enumerate(data["values"]["budget"]):
        known = outcomes(runs_until(runs, budget))
        for key, seeds in data["told"].items():
            d_h, D_train = map(int, key.split(","))
            for seed, places in seeds.items():
                assert data["sentences"][places[i]] == describe(known.sel(d_h=d_h, D_train=D_train), seed)
    assert len(set(data["sentences"])) == len(data["sentences"]) > 4


def test_the_contents_lead_to_the_page(folder: Path):
    assert '<a href="explorer.html">The map to move through</a>' in (folder / "index.html").read_text()
    pages.write([], folder / "without", "No map")
    assert not (folder / "without" / "explorer.html").exists()
    assert "explorer" not in (folder / "without" / "index.html").read_text()


def test_the_page_asks_for_nothing_but_the_script_beside_it(folder: Path):
    text = (folder / "explorer.html").read_text()
    assert re.findall(r"(?:src|href)=\"([^\"]*)\"", text) == ["plotly.min.js", "index.html"]
    assert (folder / "plotly.min.js").exists()
    assert json.loads(re.findall(r'<script id="data"[^>]*>(.*?)</script>', text)[0])["values"]["d_h"] == list(SIZES)


def test_the_page_of_the_shipped_runs_is_small(tmp_path: Path):
    pages.write([], tmp_path, "A book", Lookup.stored())
    assert (tmp_path / "explorer.html").stat().st_size < LARGEST


def test_a_reader_moves_through_the_map_without_a_network(runs, folder: Path, chromium):
    page = chromium.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(request.url))
    page.goto((folder / "explorer.html").as_uri())
    page.wait_for_selector("#curves .scatterlayer .trace")
    budgets = Lookup(runs).budgets

    def shows(d_h: int, D_train: int, seed: int, budget: int) -> None:
        """Outputs, sentence, frame, colours and curves are those of that run."""
        outputs = [page.locator(f"#{name} + output").inner_text() for name in ("d_h", "D_train", "seed", "budget")]
        assert outputs == [f"{value:,}" for value in (d_h, D_train, seed, budget)]
        then = runs_until(runs, budget)
        cell = then.sel(d_h=d_h, D_train=D_train)
        assert page.locator("#sentence").inner_text() == describe(outcomes(then).sel(d_h=d_h, D_train=D_train), seed)
        lines = page.evaluate("""document.querySelector("#curves").data.map(({meta, x, y}) =>
            ({meta, x: Array.from(x), y: Array.from(y)}))""")
        (line,) = [one for one in lines if one["meta"].get("role") == "line" and one["meta"]["metric"] == "val_acc"]
        if not cell["trained"].any():
            assert line["y"] == []
        else:
            known = cell["val_acc"].sel(seed=seed).dropna("step")
            np.testing.assert_allclose([line["x"][-2], line["y"][-2]], [known["step"][-1], known[-1]], rtol=1e-3)
        zones = main_zone(then).transpose("D_train", "d_h").values
        shown = page.evaluate('document.querySelector("#map").data[0].z')
        assert [["" if z is None else list(plots.ZONE_COLORS)[int(z)] for z in row] for row in shown] == zones.tolist()

    start = page.evaluate("data.start")
    shows(start["d_h"], start["D_train"], start["seed"], start["budget"])
    for name, key in (("d_h", "Home"), ("D_train", "Home"), ("seed", "End"), ("budget", "Home")):
        page.locator(f"#{name}").press(key)
    shows(8, 2000, 1, budgets[0])
    for name in ("d_h", "D_train", "budget"):
        page.locator(f"#{name}").press("End")
    shows(32, 4000, 1, budgets[-1])
    page.locator("#seed").press("Home")
    shows(32, 4000, 0, budgets[-1])

    for _ in range(2):  # the colours may change in between
        x, y = page.evaluate("""() => { const plot = document.querySelector("#map"), {xaxis, yaxis} = plot._fullLayout;
            plot.scrollIntoView();
            const {left, top} = plot.getBoundingClientRect();
            return [left + xaxis._offset + xaxis.d2p(0), top + yaxis._offset + yaxis.d2p(3000)]; }""")
        page.mouse.move(x, y)
        page.wait_for_selector("#map .hoverlayer .hovertext")
        page.mouse.click(x, y)
        page.wait_for_function("chosen.d_h === 8 && chosen.D_train === 3000")
        page.locator("#color").select_option("validation accuracy")
        page.locator("#d_h").press("End")
    page.locator("#color").select_option("zone")
    shows(32, 3000, 0, budgets[-1])
    assert complaints == []
    page.close()

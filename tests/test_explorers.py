# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
"""The explorers of the map without a browser: traits are set, figures and sentences are read.

The map is made up, but for the test that compares with a store.
"""

import re
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from maps import cube, rise, typical
from samples import fake_run
from traitlets import TraitError

import grokbook as gb
from grokbook import analysis, plots, training
from grokbook.analysis import Zone, describe, describe_valley, outcomes, runs_until
from grokbook.plots.explored import METRICS
from grokbook.plots.lookup import Lookup
from grokbook.widgets import DescentExplorer, ZoneExplorer, descent, zones

SIZES, PAIRS = (4, 16, 32), (2000, 3000, 4000)


def made_up(d_h: int, D_train: int, seed: int) -> dict | None:
    """Every zone once; seeds of (32, 4000) disagree; (4, 2000) and seed 2 of (16, 3000) were not trained."""
    if (d_h, D_train) == (4, 2000) or (d_h, D_train, seed) == (16, 3000, 2):
        return None
    if d_h == 4:
        return {"train_acc": rise(100, 0.3 + D_train / 1e4), "val_acc": rise(90, 0.4), "param_norm": 20 + seed}
    if d_h == 16:
        return typical("SEMI_GROKKING" if D_train == 3000 else "UNGROKKING")
    return typical("GROKKING" if D_train == 4000 and seed < 2 else "UNGROKKING")


@pytest.fixture(scope="module")
def runs() -> xr.Dataset:
    return cube(SIZES, PAIRS, 3, made_up)


@pytest.fixture
def explorer(runs) -> ZoneExplorer:
    return ZoneExplorer(runs, d_h=32, D_train=4000, seed=0)


@pytest.fixture
def walk(runs) -> DescentExplorer:
    return DescentExplorer(runs, D_train=3000)


def click(figure, x: float, y: float, trace: int = 0) -> None:
    """As plotly tells of a click at a place of the map."""
    for act in figure.data[trace]._click_callbacks:
        act(figure.data[trace], SimpleNamespace(xs=[x], ys=[y]), None)


def framed(figure) -> tuple[float, float, float, float]:
    """left, right, bottom and top of what is framed on a map."""
    x, y = plots.find(figure, role="outline")[-1].x, plots.find(figure, role="outline")[-1].y
    return min(x), max(x), min(y), max(y)


def curve(explorer: ZoneExplorer, metric: str, role: str = "line") -> np.ndarray:
    (trace,) = plots.find(explorer.curves, metric=metric, role=role)
    return np.array(trace.y, float)


def assert_shows_the_selection(explorer: ZoneExplorer):
    """Curves, sentence and sliders are those of the chosen run, as it stood at the budget."""
    cell = explorer.lookup.runs.sel(d_h=explorer.d_h, D_train=explorer.D_train, step=slice(0, explorer.budget))
    for metric in METRICS:
        line = curve(explorer, metric)
        np.testing.assert_array_equal(line[:-1], cell[metric].sel(seed=explorer.seed).dropna("step"))
    assert explorer.sentence.startswith(describe(outcomes(runs_until(explorer.lookup.runs, explorer.budget)).sel(
        d_h=explorer.d_h, D_train=explorer.D_train), explorer.seed))
    assert {name: explorer.sliders[name].value for name in explorer.sliders} == {
        name: getattr(explorer, name) for name in explorer.sliders}


@pytest.mark.parametrize("name, value", [("d_h", 16), ("D_train", 2000), ("seed", 1), ("budget", 5_000)])
def test_every_slider_moves_curves_and_sentence(explorer: ZoneExplorer, name: str, value: int):
    before = explorer.sentence
    explorer.sliders[name].value = value
    assert getattr(explorer, name) == value and explorer.sentence != before
    assert_shows_the_selection(explorer)


@pytest.mark.parametrize("name, value", [("d_h", 16), ("budget", 500), ("color", "val_acc")])
def test_a_trait_moves_its_slider(explorer: ZoneExplorer, name: str, value):
    setattr(explorer, name, value)
    assert_shows_the_selection(explorer)


def test_thin_lines_are_all_seeds_and_marks_say_when(explorer: ZoneExplorer):
    cell = explorer.selection
    for metric in METRICS:
        pieces = np.split(thin := curve(explorer, metric, "seeds"), np.flatnonzero(np.isnan(thin)) + 1)[:-1]
        np.testing.assert_array_equal(np.array(pieces)[:, :-1], cell[metric])
    (memorised,) = plots.find(explorer.curves, event="t_mem")
    (generalised,) = plots.find(explorer.curves, event="t_gen")
    when = analysis.events(cell)
    np.testing.assert_allclose(memorised.x, when["t_mem"])
    np.testing.assert_allclose(generalised.x, when["t_gen"].dropna("seed"))
    assert list(generalised.customdata) == [0, 1] and list(generalised.y) == [1, 1]


def test_a_click_moves_both_sliders_and_draws_once(explorer: ZoneExplorer, monkeypatch):
    drawn = []
    draw = explorer._draw
    monkeypatch.setattr(explorer, "_draw", lambda: (drawn.append(1), draw()))
    click(explorer.map, 1, 3000)
    assert (explorer.d_h, explorer.D_train, len(drawn)) == (16, 3000, 1)
    assert framed(explorer.map) == (0.5, 1.5, 2500, 3500)
    assert_shows_the_selection(explorer)


def test_a_click_on_a_line_or_after_a_change_of_color_counts_as_well(explorer: ZoneExplorer):
    explorer.color = "val_acc"
    click(explorer.map, 0.3, 3499, trace=-1)
    assert (explorer.d_h, explorer.D_train) == (4, 3000)


def test_the_map_is_that_of_the_budget(explorer: ZoneExplorer, runs):
    for budget in (explorer.lookup.budgets[-1], 5_000):
        explorer.budget = budget
        (cells,) = plots.find(explorer.map, role="cells")
        expected = analysis.main_zone(runs.sel(step=slice(0, budget))).transpose("D_train", "d_h").values
        names = [zone.value for zone in Zone]
        shown = [["" if z is None else names[int(z)] for z in row] for row in np.array(cells.z)]
        np.testing.assert_array_equal(shown, expected)
    assert (expected == "GROKKING").sum() == 0 < (analysis.main_zone(runs) == "GROKKING").sum()


@pytest.mark.parametrize("widget", [ZoneExplorer, DescentExplorer])
def test_a_budget_between_those_of_the_slider_joins_them(runs, widget):
    last = int(runs["last_step"].max())
    usual = widget(runs).lookup.budgets
    explorer = widget(runs, D_train=4000, budget=7_000)
    assert explorer.budget == explorer.sliders["budget"].value == 7_000
    assert [value for _, value in explorer.sliders["budget"].options] == sorted([*usual, 7_000])
    (cells,) = plots.find(explorer.map, role="cells")
    expected = Lookup(runs).map(7_000, "val_acc" if widget is DescentExplorer else "zone")
    np.testing.assert_array_equal(np.array(cells.z), np.array(plots.find(expected, role="cells")[0].z))
    for budget in (0, -5, last + 1):
        with pytest.raises(TraitError, match=f"budget={budget} is not on the map; valid: 500, "):
            widget(runs, budget=budget)


def test_the_map_can_show_an_accuracy(explorer: ZoneExplorer, runs):
    explorer.color = "twin_free_val_acc"
    (cells,) = plots.find(explorer.map, role="cells")
    expected = analysis.final(runs, "twin_free_val_acc").mean("seed").transpose("D_train", "d_h")
    np.testing.assert_allclose(np.array(cells.z, float), expected)


def test_figures_hold_nothing_that_json_cannot(explorer: ZoneExplorer):
    def numbers(state):
        if isinstance(state, dict | list | tuple):
            for part in state.values() if isinstance(state, dict) else state:
                yield from numbers(part)
        elif isinstance(state, float):
            yield state
    assert np.isfinite(list(numbers(explorer.map.get_state()))).all()


@pytest.mark.parametrize("cell, seed, pattern", [
    ((32, 4000), 0, r"^Grokking: seed 0 knew its 4,000 pairs at step (\S+), when .* accuracy was (\S+), and understood "
                    r"later: validation accuracy passed 0\.99 at step (\S+), and .* ended at (\S+) after (\S+) steps"),
    ((32, 3000), 1, r"^Ungrokking: seed 1 .* at step (\S+), when .* was (\S+), and still .*: (\S+) after (\S+) steps"),
    ((16, 3000), 1, r"^Semi-grokking: seed 1 .* at step (\S+), when .* was (\S+), .* a part: (\S+) after (\S+) steps"),
    ((4, 3000), 2, r"^Progression: seed 2 never kept 99% .*: train accuracy ended at (\S+), .* at (\S+) after (\S+) "),
])
def test_the_numbers_of_the_sentence_are_those_of_the_analysis(explorer, runs, cell, seed, pattern):
    explorer.choose(d_h=cell[0], D_train=cell[1], seed=seed)
    run = runs.sel(d_h=cell[0], D_train=cell[1], seed=[seed])
    when = analysis.events(run).isel(seed=0)
    t_mem, t_gen, last = (float(when[name]) for name in ("t_mem", "t_gen", "last_step"))
    final = {metric: float(analysis.final(run, metric)[0]) for metric in ("train_acc", "twin_free_val_acc")}
    expected = [final["twin_free_val_acc"], last]
    expected = [t_gen, *expected] if t_gen == t_gen else expected
    at = run["twin_free_val_acc"].sel(step=t_mem).item() if t_mem == t_mem else None
    expected = [final["train_acc"], *expected] if at is None else [t_mem, at, *expected]
    said = re.search(pattern, explorer.sentence)
    assert said, explorer.sentence
    told = [float(number.strip(",.").replace(",", "")) for number in said.groups()]
    np.testing.assert_allclose(told, expected, atol=5e-4)


def test_the_sentence_counts_what_the_other_seeds_did(explorer: ZoneExplorer):
    assert explorer.sentence.endswith("Of the other 2 seeds: 1 ungrokking, 1 grokking.")
    explorer.choose(d_h=16, D_train=3000)
    assert explorer.sentence.endswith("The other seed is in this zone too.")
    explorer.seed = 2
    assert explorer.sentence == "Seed 2 was not trained here. Of the seeds that were: 2 semi-grokking."
    assert not curve(explorer, "val_acc").size and curve(explorer, "val_acc", "seeds").size


def test_a_run_that_understood_on_the_way_is_told_so():
    runs = cube((8,), (3000,), 1, lambda *_: {"train_acc": rise(200), "val_acc": rise(100)})
    said = describe(outcomes(runs).sel(d_h=8, D_train=3000), 0)
    assert "Progression: seed 0 knew" in said and "1.000, so it had understood on the way" in said
    assert said.endswith("No other seed was trained here.")


def test_a_cell_that_nobody_trained_says_so_and_offers_to_train_it(explorer: ZoneExplorer):
    explorer.choose(d_h=4, D_train=2000)
    assert explorer.sentence == "No network of d_h 4 was trained on 2,000 pairs. Press Train this."
    assert not explorer.selection.sizes["seed"] and not any(len(trace.x) for trace in explorer.curves.data)
    assert explorer.config() == gb.RunConfig(d_h=4, D_train=2000, n_steps=explorer.budget)


def test_train_this_trains_exactly_that_cell_below_and_replaces_the_last_one(explorer: ZoneExplorer, monkeypatch):
    started = []
    monkeypatch.setattr(zones.LiveRun, "start", lambda live: started.append(live.panel.configs(live.config)))
    explorer.train_this.click()
    first = explorer.live
    explorer.choose(d_h=16, D_train=2000, seed=1, budget=500)
    explorer.train_this.click()
    last = explorer.lookup.budgets[-1]
    assert started == [[gb.RunConfig(d_h=32, D_train=4000, n_steps=last)],
                       [gb.RunConfig(d_h=16, D_train=2000, seed=1, n_steps=500)]]
    assert explorer.below.children == (explorer.live,) and explorer.live is not first


def test_until_its_first_step_a_training_is_of_what_the_sliders_say(explorer: ZoneExplorer, monkeypatch):
    ready, train = threading.Event(), training.train
    monkeypatch.setattr(training, "train", lambda configs: ready.wait(60) and train(configs))
    explorer.budget = 500
    explorer.train_this.click()  # the page tells of a click before a slider's last move
    first = explorer.live
    explorer.sliders["seed"].value = 1
    explorer.choose(d_h=4, D_train=2000)
    begun = explorer.live
    assert begun is not first and explorer.below.children == (begun,)
    ready.set()
    begun.wait()
    explorer.seed = 0
    assert explorer.live is begun
    assert [run.config for run in begun.runs] == [gb.RunConfig(d_h=4, D_train=2000, seed=1, n_steps=500)]


def test_what_is_trained_is_what_is_shown_whenever_a_slider_moves(explorer: ZoneExplorer, monkeypatch):
    movers, ready, make, train = [], threading.Event(), zones.LiveRun, training.train
    monkeypatch.setattr(training, "train", lambda configs: ready.wait(60) and train(configs))

    def slowly(config):
        if not movers:
            movers.append(threading.Thread(target=lambda: explorer.choose(d_h=4, D_train=2000)))
            movers[0].start()
            movers[0].join(0.3)
        return make(config)

    monkeypatch.setattr(zones, "LiveRun", slowly)
    explorer.budget = 500
    explorer.train()
    movers[0].join()
    assert explorer.live.config == explorer.config() == gb.RunConfig(d_h=4, D_train=2000, n_steps=500)
    ready.set()
    explorer.close()


def test_an_error_appears_in_the_widget_and_goes_again(explorer: ZoneExplorer, monkeypatch):
    def fail(_):
        raise OSError("no room on the disk")
    with monkeypatch.context() as broken:
        broken.setattr(zones.LiveRun, "start", fail)
        explorer.train_this.click()
    assert explorer.note == "no room on the disk" and "no room" in explorer._note.value
    explorer.sliders["seed"].value = 1
    assert explorer.note == explorer._note.value == ""


def test_values_that_are_not_on_the_map_are_refused_with_those_that_are(explorer: ZoneExplorer, runs):
    with pytest.raises(TraitError, match="d_h=5 is not on the map; valid: 4, 16, 32"):
        explorer.d_h = 5
    with pytest.raises(TraitError, match="color='loss' is not valid; valid: zone, train_acc"):
        explorer.color = "loss"
    with pytest.raises(TraitError, match="D_train=1 is not on the map; valid: 2000, 3000, 4000"):
        DescentExplorer(runs, D_train=1)
    assert_shows_the_selection(explorer)


def test_warming_makes_what_sliders_look_up(explorer: ZoneExplorer, walk: DescentExplorer):
    for widget in (explorer, walk):
        widget.warm().join()
        made = dict(widget.lookup._made)
        for budget in widget.lookup.budgets:
            widget.budget = budget
        assert widget.lookup._made.keys() == made.keys()


def test_the_selection_is_what_the_store_gives_for_that_budget(tmp_path):
    store = gb.Store(tmp_path)
    wishes = [gb.RunConfig(d_h=d_h, D_train=D, seed=seed, n_steps=n_steps) for d_h in (8, 12) for D in (2000, 3000)
              for seed, n_steps in ((0, 1000), (1, 3000))]
    store.write([fake_run(config, settled=config.seed == 0) for config in wishes], "zones")
    explorer = ZoneExplorer(store.load(store.followed()), d_h=12, D_train=2000)
    for budget in (500, 2_000):
        explorer.budget = budget
        wished = [config.replace(n_steps=min(budget, config.n_steps)) for config in wishes
                  if (config.d_h, config.D_train) == (12, 2000)]
        expected = store.load(wished).isel(d_h=0, D_train=0)
        xr.testing.assert_equal(explorer.selection, expected)


def test_a_row_of_the_map_is_drawn_with_its_valley(walk: DescentExplorer, runs):
    for D_train, frame in ((3000, (2500, 3500)), (2000, (1500, 2500))):
        walk.sliders["D_train"].value = D_train
        (line,) = plots.find(walk.curves, metric="val_acc", role="mean")
        mean = analysis.final(runs, "val_acc").sel(D_train=D_train).mean("seed")  # NaN is a gap
        np.testing.assert_allclose(line.y, mean, rtol=1e-6)
        assert framed(walk.map) == (-0.5, 2.5, *frame)
        table = analysis.double_descent(runs).set_index("D_train", drop=False)
        assert walk.sentence == describe_valley(table.to_dict("index")[D_train])


def test_a_click_chooses_a_row_and_a_budget_judges_earlier(walk: DescentExplorer, runs):
    click(walk.map, 2, 4100)
    assert walk.D_train == 4000
    walk.budget = 5_000
    (line,) = plots.find(walk.curves, metric="val_acc", role="mean")
    assert line.y[-1] < analysis.final(runs, "val_acc").sel(D_train=4000, d_h=32).mean()


def test_the_sentence_on_a_valley_gives_depth_place_and_p():
    means = {4: 0.6, 16: 0.1, 32: 0.9}
    runs = cube(SIZES, (2600,), 3, lambda d_h, D, seed: {"val_acc": rise(10, means[d_h] + 0.01 * seed)})
    row = analysis.double_descent(runs).to_dict("records")[0]
    said = describe_valley(row)
    assert f"by {row['depth']:.3f}" in said and "0.110, is at d_h 16" in said and f"p = {row['p']:.3g} " in said
    assert "(n = 9 runs of 3 sizes)" in said and f"{row['lo']:.3f} to {row['hi']:.3f}" in said
    assert "has no valley" in describe_valley(row | {"depth": 0.0})
    assert "a single seed leaves open" in describe_valley(row | {"p": np.nan})
    assert "too few" in describe_valley(row | {"depth": np.nan, "sizes": 2})


def test_where_nobody_watches_pictures_are_left(explorer: ZoneExplorer, walk, monkeypatch, capsys):
    left = []
    for module, widget, roles in ((zones, explorer, [("cells", "outline"), ("line",)]),
                                  (descent, walk, [("mean",), ("cells", "outline")])):
        monkeypatch.setattr(module, "show_picture", lambda fig, what: left.append(fig))
        monkeypatch.setattr(module.picture, "show", left.append)
        widget.show()
        for fig, expected in zip(left, roles, strict=True):
            assert all(plots.find(fig, role=role) for role in expected)
            assert "n = " in fig.layout.meta["caption"]
        assert capsys.readouterr().out == f"{widget.sentence}\n"
        left.clear()


def test_the_stored_map_needs_only_a_part_of_itself(tmp_path):
    store = gb.Store(tmp_path)
    with pytest.raises(LookupError, match="none of the requested runs"):
        Lookup.stored(store, n_steps=600)
    store.write([fake_run(gb.RunConfig(d_h=8, D_train=3000, n_steps=600))], "zone_map")
    lookup = Lookup.stored(store, n_steps=600)
    assert lookup.random is None and lookup.budgets == [500, 600]
    random = gb.RunConfig(task="random", d_h=8, D_train=113**2, n_steps=300)
    store.write([fake_run(random)], "capacity")
    found = Lookup.stored(store, n_steps=600).random
    assert found is not None and found["d_h"].values.tolist() == [8]

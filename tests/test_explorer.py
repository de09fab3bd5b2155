"""The explorer without a page: what is sent to one, what it asks for, and what follows the traits; on a made-up map."""

import json
import re
import threading

import numpy as np
import pytest
import xarray as xr
from maps import cube, rise, typical, usual
from samples import fake_run
from traitlets import TraitError

import grokbook as gb
from grokbook import analysis, book, plots, training
from grokbook.analysis import describe, outcomes
from grokbook.analysis.zones import Zone, describe_valley, knows_neither, main_zone, runs_until
from grokbook.plots.template import ZONE_COLORS
from grokbook.run import ACCURACIES
from grokbook.widgets import Explorer
from grokbook.widgets.explorer_data import DRAWN, ExplorerData

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


@pytest.fixture(scope="module")
def data(runs) -> ExplorerData:
    return ExplorerData(runs)


@pytest.fixture
def explorer(runs, tmp_path):
    explorer = Explorer(runs, d_h=32, D_train=4000, seed=0, store=gb.Store(tmp_path / "mine"))
    yield explorer
    explorer.close()


def ask(explorer: Explorer, **message) -> None:
    """What the page sends."""
    explorer._handle_custom_msg(message, [])


def chosen(explorer: Explorer) -> dict:
    return {name: getattr(explorer, name) for name in ("d_h", "D_train", "seed", "budget", "color")}


# What a page is given


def test_a_page_is_given_json_with_every_choice_and_the_view_of_its_budget(explorer: Explorer):
    state = json.loads(json.dumps(explorer.get_state(), allow_nan=False))
    assert {name: state[name] for name in chosen(explorer)} == chosen(explorer)
    assert state["fixed"]["values"] == {"d_h": [*SIZES], "D_train": [*PAIRS], "seed": [0, 1, 2],
                                        "budget": explorer.data.budgets}
    assert [*state["views"]] == [str(explorer.budget)]


def test_curves_are_those_of_the_runs_and_cells_without_runs_have_none(runs, data: ExplorerData):
    cells = data.fixed()["cells"]
    assert cells["4,2000"] == {} and [*cells["16,3000"]] == [0, 1]
    for key, seeds in cells.items():
        d_h, D_train = map(int, key.split(","))
        for seed, lines in seeds.items():
            for metric, line in zip(DRAWN, lines, strict=True):
                np.testing.assert_allclose(line, runs[metric].sel(d_h=d_h, D_train=D_train, seed=seed), atol=0.05)


def test_a_value_that_is_not_known_is_none(runs):
    short = runs.copy(deep=True)
    short["val_acc"][dict(d_h=2, D_train=2, seed=0)] = short["val_acc"][2, 2, 0].where(runs["step"] < 1000)
    line = ExplorerData(short).fixed()["cells"]["32,4000"][0][DRAWN.index("val_acc")]
    assert [value is None for value in line] == (runs["step"].values >= 1000).tolist()


@pytest.mark.parametrize("budget", [500, 5_000, 40_000])
def test_a_view_is_what_the_analysis_finds_at_that_step(runs, data: ExplorerData, budget: int):
    view, judged = data.view(budget), runs_until(runs, budget)
    outcome = outcomes(judged)
    names = [*ZONE_COLORS]
    zones = [["" if z is None else names[int(z)] for z in row] for row in view["shown"]["zone"]]
    np.testing.assert_array_equal(zones, main_zone(judged).transpose("D_train", "d_h"))
    np.testing.assert_array_equal(view["crossed"], knows_neither(judged).transpose("D_train", "d_h"))
    for metric in ACCURACIES:
        stats = analysis.interval(analysis.final(judged, metric), within=(0, 1)).transpose("D_train", "d_h")
        np.testing.assert_allclose(np.array(view["shown"][metric], float), stats["mean"], atol=1e-3)
        for part in ("mean", "lo", "hi"):
            np.testing.assert_allclose(np.array(view["row"][metric][part], float), stats[part], atol=1e-3)
    descents = analysis.double_descent(judged).set_index("D_train", drop=False).to_dict("index")
    assert view["valleys"] == [describe_valley(descents[D_train]) for D_train in PAIRS]
    for key, numbers in view["runs"].items():
        d_h, D_train = map(int, key.split(","))
        cell = outcome.sel(d_h=d_h, D_train=D_train)
        assert view["told"][key] == {seed: describe(cell, seed) for seed in range(3)}
        for seed, values in numbers.items():
            expected = [cell[name].sel(seed=seed).item() for name in ("t_mem", "t_gen", *ACCURACIES)]
            np.testing.assert_allclose(np.array(values, float), expected, atol=1e-3)


def test_views_differ_as_budgets_do(data: ExplorerData):
    early, late = data.view(5_000), data.view(40_000)
    blue = [*ZONE_COLORS].index("GROKKING")
    assert blue in sum(late["shown"]["zone"], []) and blue not in sum(early["shown"]["zone"], [])


def test_it_starts_at_the_run_that_understood_the_longest_after_it_knew():
    late = cube(SIZES, PAIRS, 2, lambda d_h, D, seed: typical("GROKKING") | (
        {"val_acc": rise(20_000)} if (d_h, D, seed) == (16, 2000, 1) else {}))
    start = {"d_h": 16, "D_train": 2000, "seed": 1, "budget": 40_000, "color": "zone"}
    assert ExplorerData(late).start() == start
    soon = cube(SIZES, PAIRS, 2, lambda d_h, D, seed: typical("GROKKING") | (
        {"train_acc": rise(100), "val_acc": rise(1_000)} if (d_h, D, seed) == (16, 3000, 1) else
        {"val_acc": rise(20_000)}))
    assert ExplorerData(soon).start() == start | {"D_train": 3000}
    never = cube(SIZES, PAIRS, 2, lambda *_: typical("UNGROKKING"))
    assert ExplorerData(never).start() == start | {"D_train": 3000, "seed": 0}


def test_the_stored_map_needs_only_a_part_of_itself(tmp_path):
    store = gb.Store(tmp_path)
    with pytest.raises(LookupError, match="none of the requested runs"):
        ExplorerData.stored(store, n_steps=600)
    store.write([fake_run(usual(d_h=8, D_train=3000, n_steps=600))], "zone_map")
    explored = ExplorerData.stored(store, n_steps=600)
    assert explored.random is None and explored.budgets == [500, 600]
    random = usual(task="random", d_h=8, D_train=113**2, n_steps=300)
    store.write([fake_run(random)], "capacity")
    memorised = ExplorerData.stored(store, n_steps=600).random
    assert memorised is not None and memorised["d_h"].values.tolist() == [8]


# Moving


@pytest.mark.parametrize("name, value", [("d_h", 16), ("D_train", 2000), ("seed", 1), ("budget", 5_000)])
def test_selection_and_sentence_follow_every_trait(explorer: Explorer, runs, name: str, value: int):
    before = explorer.sentence
    setattr(explorer, name, value)
    cell = runs_until(runs, explorer.budget).sel(d_h=explorer.d_h, D_train=explorer.D_train)
    xr.testing.assert_equal(explorer.selection, cell)
    outcome = outcomes(runs_until(runs, explorer.budget)).sel(d_h=explorer.d_h, D_train=explorer.D_train)
    assert explorer.sentence == describe(outcome, explorer.seed) != before


def test_a_page_that_asks_gets_the_view_of_another_budget_and_a_later_page_finds_it(explorer: Explorer, monkeypatch):
    sent = []
    monkeypatch.setattr(explorer, "send", lambda message: sent.append(message))
    written = explorer.get_state()["views"]
    before = {**written}
    ask(explorer, act="view", budget=500)
    assert written == before  # the threads that answer pages may be writing this one out, and a dict may not grow then
    assert sent == [{"budget": 500, "view": explorer.data.view(500)}]
    assert explorer.get_state()["views"]["500"] == explorer.data.view(500)
    ask(explorer, act="view", budget=7)
    assert explorer.wrong and explorer.note.startswith("budget=7 is not on the map; valid: 500, ") and len(sent) == 1


def test_values_that_are_not_on_the_map_are_refused_with_those_that_are(explorer: Explorer):
    before = chosen(explorer)
    with pytest.raises(TraitError, match="d_h=5 is not on the map; valid: 4, 16, 32"):
        explorer.d_h = 5
    with pytest.raises(TraitError, match="color=loss is not on the map; valid: zone, train_acc"):
        explorer.color = "loss"
    with pytest.raises(TraitError, match="seed=9 is not on the map"):
        explorer.choose(d_h=16, seed=9)
    assert {**chosen(explorer), "d_h": 32} == before


def test_a_budget_between_those_of_the_slider_joins_them(runs):
    usual, last = ExplorerData(runs).budgets, int(runs["last_step"].max())
    explorer = Explorer(runs, budget=7_000)
    assert explorer.budget == 7_000 and explorer.fixed["values"]["budget"] == sorted([*usual, 7_000])
    assert explorer.views["7000"] == explorer.data.view(7_000)
    explorer.close()
    for budget in (0, -5, last + 1):
        with pytest.raises(TraitError, match=f"budget={budget} is not on the map; valid: 500, "):
            Explorer(runs, budget=budget)


def test_the_selection_is_what_the_store_gives_for_that_budget(tmp_path):
    store = gb.Store(tmp_path)
    wishes = [usual(d_h=d_h, D_train=D, seed=seed, n_steps=n_steps) for d_h in (8, 12) for D in (2000, 3000)
              for seed, n_steps in ((0, 1000), (1, 3000))]
    store.write([fake_run(config, settled=config.seed == 0) for config in wishes], "zones")
    explorer = Explorer(store.load(store.followed()), d_h=12, D_train=2000)
    for budget in (500, 2_000):
        explorer.budget = budget
        wished = [config.replace(n_steps=min(budget, config.n_steps)) for config in wishes
                  if (config.d_h, config.D_train) == (12, 2000)]
        expected = store.load(wished).isel(d_h=0, D_train=0)
        xr.testing.assert_equal(explorer.selection, expected)
    explorer.close()


def test_the_other_map_takes_the_place_of_the_first_and_a_training_goes_on(runs, monkeypatch, tmp_path):
    beside = runs.drop_vars("D_random", errors="ignore").rename(D_train="D_random").assign_coords(D_train=5000)
    monkeypatch.setattr(ExplorerData, "stored", lambda: ExplorerData(runs))
    monkeypatch.setattr(ExplorerData, "beside_random", lambda: ExplorerData(beside))
    monkeypatch.setattr(training, "train", Refused())
    explorer = Explorer(d_h=4, D_train=2000, store=gb.Store(tmp_path))
    assert explorer.row == "D_train" and [*explorer.fixed["maps"]] == ["D_train", "D_random"]
    explorer.train()
    explorer.row = "D_random"
    explorer.wait()
    assert explorer.fixed["row"] == "D_random" and explorer.fixed["additions"] == 5000
    assert {name: getattr(explorer, name) for name in explorer.data.start()} == explorer.data.start()
    assert [*explorer.views] == [str(explorer.budget)] and explorer.selection.sizes["seed"] == 3
    assert explorer.live["D_train"] == 2000 and explorer.live["words"].startswith("d_h 4, D_train 2,000, seed 0: Ended")
    with pytest.raises(TraitError, match="row=p is not on the map; valid: D_train, D_random"):
        explorer.row = "p"
    explorer.close()
    explorer = Explorer(D_random=3000)
    assert (explorer.row, explorer.D_random) == ("D_random", 3000)
    explorer.close()


# What is said


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
    numbers = re.search(pattern, explorer.sentence)
    assert numbers, explorer.sentence
    shown = [float(number.strip(",.").replace(",", "")) for number in numbers.groups()]
    np.testing.assert_allclose(shown, expected, atol=5e-4)


def test_the_sentence_counts_what_the_other_seeds_did(explorer: Explorer):
    assert explorer.sentence.endswith("Of the other 2 seeds: 1 ungrokking, 1 grokking.")
    explorer.choose(d_h=16, D_train=3000)
    assert explorer.sentence.endswith("The other seed is in this zone too.")
    explorer.seed = 2
    assert explorer.sentence == "Seed 2 was not trained here. Of the seeds that were: 2 semi-grokking."
    explorer.choose(d_h=4, D_train=2000)
    assert explorer.sentence == "No network of d_h 4 was trained on 2,000 pairs."
    assert not explorer.selection.sizes["seed"]


def test_a_run_that_understood_on_the_way_is_told_so():
    runs = cube((8,), (3000,), 1, lambda *_: {"train_acc": rise(200), "val_acc": rise(100)})
    sentence = describe(outcomes(runs).sel(d_h=8, D_train=3000), 0)
    assert "Progression: seed 0 knew" in sentence and "1.000, so it had understood on the way" in sentence
    assert sentence.endswith("No other seed was trained here.")


def test_the_sentence_on_a_valley_gives_depth_place_and_p():
    means = {4: 0.6, 16: 0.1, 32: 0.9}
    runs = cube(SIZES, (2600,), 3, lambda d_h, D, seed: {"val_acc": rise(10, means[d_h] + 0.01 * seed)})
    row = analysis.double_descent(runs).to_dict("records")[0]
    sentence = describe_valley(row)
    assert f"by {row['depth']:.3f}" in sentence and "0.110, is at d_h 16" in sentence
    assert f"p = {row['p']:.3g} " in sentence and "(n = 9 runs of 3 sizes)" in sentence
    assert "has no valley" in describe_valley(row | {"depth": 0.0})
    assert "a single seed leaves open" in describe_valley(row | {"p": np.nan})
    assert "too few" in describe_valley(row | {"depth": np.nan, "sizes": 2})


# Training


def test_train_this_trains_exactly_what_the_page_shows_whatever_the_kernel_has_heard(explorer: Explorer, monkeypatch):
    monkeypatch.setattr(training, "train", refused := Refused())
    for cell in ({"d_h": 4, "D_train": 2000, "seed": 2, "budget": 500}, {"d_h": 16, "D_train": 3000, "seed": 1,
                                                                        "budget": 40_000}):
        ask(explorer, act="train", color="zone", **cell)
        explorer.wait()
        budget = cell.pop("budget")
        wanted = usual(d_h=cell["d_h"], D_train=cell["D_train"], seed=cell["seed"], n_steps=budget)
        assert refused.asked[-1] == [wanted]
        assert {name: explorer.live[name] for name in ("d_h", "D_train", "seed")} == cell
    assert explorer.note == "This cannot be trained: not today" and explorer.wrong
    ask(explorer, act="train", color="zone", d_h=5, D_train=2000, seed=0, budget=500)
    assert explorer.note.startswith("d_h=5 is not on the map") and len(refused.asked) == 2
    explorer.choose(d_h=4, D_train=2000, seed=2, budget=500)
    assert explorer.config() == usual(d_h=4, D_train=2000, seed=2, n_steps=500)


class Refused:
    """In place of `train`: notes what it was asked for."""

    def __init__(self):
        self.asked = []

    def __call__(self, configs):
        self.asked.append(list(configs))
        raise ValueError("not today")


def test_what_is_trained_is_on_the_page_as_far_as_it_came_and_can_be_kept(explorer: Explorer):
    explorer.choose(d_h=4, D_train=2000, budget=500)
    explorer.train()
    explorer.wait()
    (run,), live = explorer.runs, explorer.live
    assert run.config == explorer.config() and run.last_step == live["step"] == 500
    for metric, line in zip(DRAWN, live["lines"], strict=True):
        np.testing.assert_allclose(line, run.curves[metric], atol=1e-4)
    assert len(live["x"]) == len(run.curves["step"]) and live["words"].endswith("seed 0: Finished at step 500")
    assert (live["under_way"], live["paused"], live["keepable"]) == (False, False, True)
    json.dumps(live, allow_nan=False)
    ask(explorer, act="keep")
    assert not explorer.wrong and explorer.note.startswith("1 run added") and not explorer.live["keepable"]
    xr.testing.assert_identical(gb.load("live", store=explorer.store), explorer.result())


def test_moving_leaves_a_training_alone_and_its_buttons_act_on_it(explorer: Explorer):
    explorer.choose(d_h=4, D_train=2000, budget=40_000)
    paused, under_way = threading.Event(), threading.Event()
    explorer.observe(lambda change: {"paused": paused, "training": under_way}.get(change["new"], paused).set()
                     if change["new"] in ("paused", "training") else None, "phase")
    explorer.train()
    assert under_way.wait(120)
    config = explorer.config()
    explorer.choose(d_h=32, D_train=4000, budget=500)
    ask(explorer, act="pause")
    assert paused.wait(120) and explorer.live["paused"] and explorer.live["under_way"]
    ask(explorer, act="stop")
    explorer.wait()
    assert explorer.runs[0].config == config and explorer.phase == "stopped"
    assert explorer.sentence.startswith("Ungrokking") or explorer.sentence.startswith("Progression")


def test_where_nobody_watches_pictures_are_left(explorer: Explorer):
    chart, cell, row = explorer.pictures()
    frame = plots.find(chart, role="outline")[-1]
    assert (min(frame.x), max(frame.x), min(frame.y), max(frame.y)) == (1.5, 2.5, 1.5, 2.5)
    (line,) = plots.find(cell, metric="val_acc", role="line")
    assert line.y[-2] == explorer.selection["val_acc"].sel(seed=0)[-1]
    (mean,) = plots.find(row, metric="val_acc", role="mean")
    expected = analysis.final(explorer.data.runs, "val_acc").sel(D_train=4000).mean("seed")
    np.testing.assert_allclose(mean.y, expected, rtol=1e-6)
    assert Zone.GROKKING.lower() in explorer.sentence.lower()


def test_it_is_written_in_a_line_whatever_it_holds(explorer: Explorer):
    assert repr(explorer) == "Explorer: a map to move through, with a button that trains its cells"


def test_the_book_opens_where_the_explorer_does():
    given = {name: int(parameter.default) for name, parameter in book.parameters(book.find("00")).items()}
    assert given.items() <= ExplorerData.stored().start().items()

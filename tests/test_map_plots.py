# pyright: reportAttributeAccessIssue=false
# plotly's own types do not know what a layout or an axis holds.
"""Maps and cuts through them by what they hold: cells, lines, gaps, captions."""

import numpy as np
import pytest
from maps import STEPS, cube, holding_pairs, rise, typical

from grokbook import analysis, plots
from grokbook.analysis.sizes import star
from grokbook.analysis.zones import knows_neither
from grokbook.plots.template import ZONE_COLORS

D_H, D_TRAIN = [8, 16, 32, 64], [2000, 2600, 3000, 4000]


def zone_of(d_h: int, D: int) -> str:
    return "PROGRESSION" if d_h == 8 else "GROKKING" if D == 4000 and d_h > 16 else "UNGROKKING"


@pytest.fixture(scope="module")
def runs():
    """Two seeds a cell; (64, 2000) was not trained, and the seeds of (16, 4000) disagree."""
    def curves(d_h, D, seed):
        if (d_h, D) == (64, 2000):
            return None
        return typical("GROKKING" if (d_h, D, seed) == (16, 4000, 1) else zone_of(d_h, D))
    return cube(D_H, D_TRAIN, 2, curves)


@pytest.fixture(scope="module")
def random():
    return cube(D_H, [113**2], 3, lambda d_h, D, seed: holding_pairs(130 * d_h + seed), task="random")


def only(fig, **meta):
    (trace,) = plots.find(fig, **meta)
    return trace


def test_every_cell_has_the_colour_of_its_zone_and_a_missing_one_has_none(runs):
    z = np.array(only(plots.zone_map(runs), role="cells").z, float)
    expected = np.array([[list(ZONE_COLORS).index(zone_of(d_h, D)) for d_h in D_H] for D in D_TRAIN], float)
    expected[0, 3], expected[3, 1] = np.nan, list(ZONE_COLORS).index("UNDECIDED")
    np.testing.assert_array_equal(z, expected)


def test_a_cell_whose_seeds_disagree_says_so(runs):
    """Above the lines, which would hide it."""
    fig = plots.zone_map(runs)
    words = only(fig, role="labels")
    assert (words.x.tolist(), words.y.tolist(), [*words.text]) == ([1], [3], ["1/2 "])
    assert [trace.meta["role"] for trace in fig.data if trace.meta][-1] == "labels"


def test_cells_that_know_neither_their_pairs_nor_others_are_crossed_out_and_the_legend_says_so():
    """Not one whose seeds know some others, nor one that knows its pairs; by the budget of an atlas, too."""
    neither = {"train_acc": 0.3, "val_acc": rise(9_000, 0.02)}
    runs = cube([8, 16], [2000, 3000], 3, lambda d_h, D, seed: (
        neither if d_h == 8 and seed < D / 1000 else typical("PROGRESSION") if d_h == 8 else typical("UNGROKKING")))
    crossed = knows_neither(runs).transpose("D_train", "d_h").values
    assert crossed.tolist() == [[True, False], [True, False]]
    assert not knows_neither(runs.isel(seed=[0, 2, 2]))[0, 0]
    (crosses,) = plots.find(plots.zone_map(runs), role="neither")
    assert set(crosses.x) == {-0.5, 0.5, None} and set(crosses.y) == {-0.5, 0.5, 1.5, None}
    (legend,) = [trace for trace in plots.zone_map(runs).data if trace.name == "knows neither"]
    assert legend.marker.symbol == "square-x"
    assert len(plots.find(plots.atlas(runs, budgets=(5_000, 40_000)), role="neither")) == 2


def test_every_colour_of_a_map_is_in_its_legend_and_no_other(runs):
    fig = plots.zone_map(runs)
    cells = only(fig, role="cells")
    legend = {trace.name: trace.marker.color for trace in fig.data[1:] if trace.marker.symbol == "square"}
    numbers = sorted({number for number in np.ravel(cells.z).tolist() if number == number})
    assert 1 < len(numbers) == len(legend)
    for number, color in zip(numbers, legend.values(), strict=True):
        place = (number - cells.zmin) / (cells.zmax - cells.zmin)
        assert [shown for begin, shown in cells.colorscale if begin <= place][-1] == color


def test_a_map_of_accuracy_holds_means(runs):
    cells = only(plots.zone_map(runs, show="val_acc"), role="cells")
    means = analysis.final(runs, "val_acc").mean("seed").transpose("D_train", "d_h")
    np.testing.assert_allclose(np.array(cells.z, float), means)
    assert cells.zmin == 0 and cells.zmax == 1


def test_lines_and_star_are_those_of_the_analysis(runs, random):
    runs = runs.isel(seed=[1, 1])  # two that agree, or the ends are open
    fig = plots.zone_map(runs, random)
    critical, held = analysis.critical_size(runs).dropna(subset=["D_crit"]), analysis.capacity(random)
    assert only(fig, role="D_crit").customdata[:, 1] == pytest.approx(critical["D_crit"].tolist())
    assert only(fig, role="D_mem").customdata[:, 1] == pytest.approx(held["D_split"].tolist())
    for line, edge in zip(plots.find(fig, role="D_crit") + plots.find(fig, role="D_mem"),
                          plots.find(fig, role="edge"), strict=True):  # a white edge lies below, for dark cells
        assert (edge.line.color, edge.showlegend) == ("white", False) and edge.line.width > line.line.width
        assert edge.error_y.thickness > line.error_y.thickness and fig.data.index(edge) < fig.data.index(line)
        np.testing.assert_array_equal(edge.y, line.y)
    met = star(held, critical)
    assert only(fig, role="star").customdata[0] == pytest.approx(met["D_train"])
    for role, sizes in (("D_crit", critical["D_crit"]), ("star", [met["D_train"]])):
        assert only(fig, role=role).y == pytest.approx(np.interp(sizes, D_TRAIN, range(4)))  # rows of equal height
    place = only(fig, role="star").x[0]
    assert 8 * 2**place == pytest.approx(met["d_h"])  # the sizes double from column to column
    lo, hi = (place + sign * getattr(only(fig, role="star").error_x, side)[0]
              for sign, side in ((-1, "arrayminus"), (1, "array")))
    assert [8 * 2**lo, 8 * 2**hi] == pytest.approx([met["d_h_lo"], met["d_h_hi"]]) and lo < place < hi
    assert f"d_h {met['d_h']:.1f} [{met['d_h_lo']:.1f}, {met['d_h_hi']:.1f}]" in fig.layout.meta["caption"]


def test_the_caption_counts_what_is_not_there(runs):
    assert "White: 1 cell that was not trained" in plots.zone_map(runs).layout.meta["caption"]


def test_what_is_no_map_is_refused(runs):
    with pytest.raises(ValueError, match="show='loss' is unknown; valid: zone, train_acc"):
        plots.zone_map(runs, show="loss")
    with pytest.raises(ValueError, match="vary over lr too"):
        plots.zone_map(runs.expand_dims(lr=[0.1]))


def test_an_atlas_judges_each_map_by_its_budget(runs):
    fig = plots.atlas(runs, budgets=(5_000, 40_000))
    early, late = (np.array(trace.z, float) for trace in plots.find(fig, role="cells"))
    grokking = list(ZONE_COLORS).index("GROKKING")
    assert (early != grokking).all() and (late == grokking).sum() == 2


def test_a_cut_shows_every_run_the_mean_and_its_interval(runs):
    fig = plots.accuracy_by_size(runs)
    means = plots.find(fig, metric="val_acc", role="mean")
    assert len(means) == len(D_TRAIN)
    at_4000 = analysis.interval(analysis.final(runs, "val_acc").sel(D_train=4000))
    assert list(means[3].y) == pytest.approx(at_4000["mean"].values.tolist())
    dots = plots.find(fig, metric="val_acc", role="runs")[3]
    assert len(dots.y) == len(D_H) * 2 and "every run" in fig.layout.meta["caption"]


def test_a_size_without_a_run_is_a_gap_in_a_cut_and_is_named():
    runs = cube(D_H, [2000, 4000], 2, lambda d_h, D, seed: None if (d_h, D) == (16, 4000) else typical("GROKKING"))
    fig = plots.accuracy_by_size(runs)
    whole, gap = plots.find(fig, metric="val_acc", role="mean")
    assert list(gap.x) == list(whole.x) == D_H and gap.connectgaps is None
    assert np.isnan(gap.y).tolist() == [False, True, False, False] and not np.isnan(whole.y).any()
    assert "Not trained: d_h 16 at D_train 4,000." in fig.layout.meta["caption"]


def test_sizes_of_a_study_without_any_run_are_named(runs, random):
    absent = {"never_trained": {"d_h": [36, 44], "D_train": [2200]}}
    some, memory = runs.assign_attrs(absent), random.assign_attrs(absent)
    for fig in (plots.accuracy_by_size(some), plots.zone_map(some), plots.atlas(some, budgets=(5_000,)),
                plots.memory(memory)):
        assert "without any run so far: d_h 36, 44." in fig.layout.meta["caption"]
    assert "d_h 36, 44; D_train 2200." in plots.final_accuracy(some).layout.meta["caption"]
    assert "without any run" not in plots.zone_map(runs).layout.meta["caption"]


def test_what_one_of_two_columns_lacks_is_named_by_column():
    few = cube([8, 32], [3000], 2, lambda *_: typical("GROKKING")).assign_attrs(never_trained={"d_h": [16, 36]})
    many = cube([8, 16, 32], [3000], 2, lambda *_: typical("GROKKING")).assign_attrs(never_trained={"d_h": [36]})
    fig = plots.compare_by_size({"one": few.sel(D_train=3000), "two": many.sel(D_train=3000)}, title="")
    assert "Not trained: d_h 16 at one. In the study, but without any run so far: d_h 36. " in (
        fig.layout.meta["caption"] + " ")


def test_memory_shows_pairs_and_bits(random):
    fig = plots.memory(random)
    table = analysis.capacity(random)
    assert list(only(fig, metric="D_mem").y) == pytest.approx(table["D_mem"].tolist())
    assert list(only(fig, metric="bits_per_param").y) == pytest.approx(table["bits_per_param"].tolist())


def test_every_seed_has_a_panel():
    cell = cube([8], [3000], 3, lambda d_h, D, seed: {"train_acc": rise(100 * (seed + 1)), "val_acc": rise(9_000)})
    fig = plots.seed_panels(cell, d_h=8, D_train=3000)
    lines = plots.find(fig, metric="train_acc", role="line")
    assert [np.array(line.x)[np.array(line.y) == 1][0] for line in lines] == pytest.approx(
        [STEPS[STEPS >= at][0] for at in (100, 200, 300)])
    assert {"seed 0", "seed 1", "seed 2"} <= {annotation.text for annotation in fig.layout.annotations}

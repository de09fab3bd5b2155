# pyright: reportAttributeAccessIssue=false, reportCallIssue=false
# plotly's own types do not know what a layout or an axis holds.
"""What every figure of the book shares: colours that every eye tells apart, axes, room for title and legend."""

import itertools
from typing import Any

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
import pytest
from plotly.subplots import make_subplots

from grokbook.analysis.zones import UNDECIDED, Zone
from grokbook.plots import template
from grokbook.plots.template import d_h_color

# Colours


LINEAR_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])

EYES = {  # Machado, Oliveira & Fernandes 2009, full severity, on linear RGB
    "all cones": np.eye(3),
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(color: str, eye: str = "all cones") -> np.ndarray:
    """A `#RRGGBB` or `rgb(…)` colour in CIELAB, as that eye sees it."""
    parts = [int(color[i:i + 2], 16) for i in (1, 3, 5)] if color[0] == "#" else color[4:-1].split(",")
    srgb = np.array(parts, float) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    xyz = LINEAR_TO_XYZ @ np.clip(EYES[eye] @ linear, 0, 1) / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize("colors", [
    [*template.ZONE_COLORS.values()],
    [template.METRIC_COLORS[metric] for metric in ("train_acc", "val_acc", "twin_free_val_acc")],
], ids=["zones", "splits"])
def test_colours_are_told_apart_by_every_eye(colors: list[str], eye: str):
    distances = [np.linalg.norm(lab(a, eye) - lab(b, eye)) for a, b in itertools.combinations(colors, 2)]
    assert min(distances) > 30


def test_all_that_a_cell_can_be_has_a_colour():
    assert list(template.ZONE_COLORS) == [*Zone, UNDECIDED]


@pytest.mark.parametrize("eye", EYES)
def test_larger_networks_are_lighter_to_every_eye(eye: str):
    sizes = [4, 8, 16, 24, 32, 40, 48, 64, 100]
    lightness = [lab(d_h_color(d_h, sizes), eye)[0] for d_h in sizes]
    assert np.all(np.diff(lightness) > 1)


def test_small_networks_are_blue_and_large_ones_green():
    red, green, blue = np.array([d_h_color(d_h, [8, 64])[4:-1].split(",") for d_h in (8, 64)], float).T
    assert blue[0] > green[0] and green[1] > blue[1]
    assert d_h_color(48, [48]).startswith("rgb(")


# Axes


def test_figures_are_drawn_in_the_templates_style():
    assert pio.templates.default == "grokbook"
    assert go.Figure().layout.template.layout.plot_bgcolor == "white"


def test_the_step_axis_shows_step_0_although_it_is_logarithmic():
    axis = template.step_axis(40_000)
    assert axis["type"] == "log" and axis["ticktext"] == ["0", "1", "10", "100", "1k", "10k"]
    assert axis["tickvals"][0] == template.shown_steps([0, 7])[0] and template.shown_steps([0, 7])[1] == 7
    low, high = axis["range"]
    assert low < np.log10(axis["tickvals"][0]) and np.log10(40_000) < high


def framed(names: list[str], columns: int = 1) -> Any:
    fig = make_subplots(rows=1, cols=columns)
    fig.add_traces([go.Scatter(x=[1], y=[1], name=name) for name in names])
    return template.frame(fig, title="Curves", caption="", plot_height=300).layout


def test_a_legend_has_the_lines_that_it_takes_where_the_figure_is_narrowest():
    """One plot fits a telephone; columns beside each other do not, and their names find more room in a line."""
    none, one = framed([]), framed(["train", "validation"])
    assert one.meta["width"] < 345 and framed(["train"], columns=3).meta["width"] == template.WIDE
    long = [f"network {k} knows its pairs" for k in range(3)]
    lines = [(layout.margin.t - none.margin.t - template.BELOW) / template.LEGEND_LINE
             for layout in (one, framed(long), framed(long, columns=2))]
    assert lines == [1, 3, 2]
    for layout in (none, one, framed(long)):
        assert layout.height - layout.margin.t - layout.margin.b == 300
        below = (layout.legend.y - 1) * layout.height + layout.margin.t  # wider, it takes fewer lines, as near its plot
        assert layout is none or below == pytest.approx(template.BELOW)


def test_a_legend_higher_than_its_plot_is_not_taken_for_one_below_it():
    """Plotly reserves the bottom for a legend whose y is below one half, and cannot draw what is left."""
    fig = go.Figure([go.Scatter(x=[1], y=[1], name=f"network {k} knows its pairs") for k in range(9)])
    layout: Any = template.frame(fig, title="Curves", caption="", plot_height=60).layout
    assert layout.legend.y > 0.5 and layout.legend.yanchor == "top"

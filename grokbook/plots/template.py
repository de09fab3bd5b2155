"""How every figure of the book looks: one quiet template, the colours that mean something, and what stands around a
plot: title and legend above, and in words how many runs, how far, with our settings.

Colours are told apart by readers with red-green and blue-yellow colour blindness too; a test simulates them.
"""

import math
from typing import Any

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
import xarray as xr
from plotly.colors import hex_to_rgb, sample_colorscale, unlabel_rgb

from grokbook.analysis import final

ZONE_COLORS = {"PROGRESSION": "#A6A6A6", "UNGROKKING": "#C8102E", "SEMI_GROKKING": "#F2C14E", "GROKKING": "#0072B2",
               "STILL_MOVING": "#9000F0", "UNDECIDED": "#A8F0A8"}
"""Fill of a cell on a map, by what `analysis.main_zone` says of it."""

METRIC_COLORS = {"train_acc": "#303030", "train_loss": "#303030", "val_acc": "#0072B2", "val_loss": "#0072B2",
                 "twin_free_val_acc": "#E69F00", "param_norm": "#00795C"}
"""Train is dark, validation blue, twin-free validation orange, the norm green, in every figure."""

MEMORY_COLOR, HEURISTIC_COLOR = "#7A3E9D", "#D55E00"
"""What is known by heart, and what a shortcut answers, wherever they are drawn."""

D_H_SCALE = [[0.0, "#26358C"], [0.5, "#1B8A9B"], [1.0, "#7CC142"]]
"""Small networks are blue, large ones green, as in Huang et al. 2024; lightness rises all the way."""

FONT = "Helvetica Neue, Helvetica, Arial, Liberation Sans, DejaVu Sans, sans-serif"
INK = "#262626"
FAINT = "#E6E6E6"

ACCURACY_AXIS = {"range": [-0.04, 1.06], "tickvals": [0, 0.25, 0.5, 0.75, 1]}
"""An axis of accuracies, or of anything else from 0 to 1."""

MARGIN_LEFT, MARGIN_RIGHT = 64, 24  # pixels beside a plot: room for an axis with numbers and its title

STEP_0_AT = 0.4
"""Where step 0 stands on a logarithmic axis, which has no zero; rounded to a whole step in a hover text it is 0."""


def d_h_color(d_h: int, all_d_h) -> str:
    """The colour of hidden size `d_h` among `all_d_h`, by its logarithm; `rgb(…)` as plotly writes it."""
    low, high = math.log(min(all_d_h)), math.log(max(all_d_h))
    place = (math.log(d_h) - low) / (high - low) if high > low else 0.5
    return str(sample_colorscale(D_H_SCALE, min(max(place, 0.0), 1.0))[0])


def faded(color: str, opacity: float) -> str:
    """A `#RRGGBB` or `rgb(…)` colour made translucent."""
    parts = hex_to_rgb(color) if color.startswith("#") else unlabel_rgb(color)
    return f"rgba({','.join(f'{part:g}' for part in parts)},{opacity:g})"


def shown_steps(step) -> np.ndarray:
    """Steps as they are drawn on a logarithmic axis, float32: step 0 stands at `STEP_0_AT`."""
    step = np.asarray(step, dtype=np.float32)
    return np.where(step == 0, np.float32(STEP_0_AT), step)


def step_axis(last_step: float, *, sparse: bool = False) -> dict:
    """Settings of a logarithmic step axis from 0 to `last_step`; `sparse` labels every second power of ten."""
    powers = [10**k for k in range(math.floor(math.log10(max(last_step, 10))) + 1)]
    ticks = powers[1::2] if sparse else powers
    labels = [f"{tick // 1000}k" if tick >= 1000 else str(tick) for tick in ticks]
    return {"type": "log", "range": [math.log10(STEP_0_AT * 0.8), math.log10(max(last_step, 10) * 1.2)],
            "tickvals": [STEP_0_AT, *ticks], "ticktext": ["0", *labels], "tickfont": {"size": 11 if sparse else 14}}


_AXIS = {"showline": True, "linecolor": "#8C8C8C", "gridcolor": FAINT, "zeroline": False, "ticks": "outside",
         "tickcolor": "#8C8C8C", "ticklen": 4, "title": {"standoff": 8, "font": {"size": 14}}}

pio.templates["grokbook"] = go.layout.Template(layout={
    "font": {"family": FONT, "size": 14, "color": INK},
    "title": {"x": 0, "xref": "container", "xanchor": "left", "yref": "container", "y": 1, "yanchor": "top",
              "pad": {"t": 12}, "font": {"size": 17}},
    "paper_bgcolor": "white", "plot_bgcolor": "white", "colorway": list(dict.fromkeys(METRIC_COLORS.values())),
    "xaxis": _AXIS | {"tickangle": 0}, "yaxis": _AXIS, "hoverlabel": {"align": "left", "font": {"family": FONT}},
    "legend": {"orientation": "h", "x": 0, "xanchor": "left", "yref": "container", "yanchor": "bottom",
               "font": {"size": 13}, "tracegroupgap": 0},
    "margin": {"l": MARGIN_LEFT, "r": MARGIN_RIGHT, "t": 80, "b": 64}, "annotationdefaults": {"font": {"size": 13}},
})
pio.templates.default = "grokbook"


CHOSEN = {"lr": "learning rate", "weight_decay": "weight decay", "n_warmup": "warm-up steps",
          "init_scale": "initial scale", "loss": "cross entropy"}
"""Settings that Huang et al. 2024 do not state, so that the book had to choose them."""

STATED = {"divide": {"lr": 1e-3, "weight_decay": 1e-5, "n_warmup": 0}}
"""What the source of a task does state or its code has (Davies et al. 2022): ours only where it differs."""

NETWORK_NAMES = {"lstm": "LSTM", "mlp": "feed-forward (MLP)"}
"""Networks besides the transformer, as a reader knows them."""

SUBPLOT_TITLE = 16  # size of the titles that plotly puts above its columns, too large beside 13 for all else
OUR_SETTINGS = "Our settings"  # how the last sentence of a caption begins, where it tells them
TITLE, AXIS = 40, 60  # pixels that a title and the labels of an axis take
LEGEND_LINE, BELOW = 20, 14  # pixels of a line of the legend, and below the last
LETTER, ENTRY = (9, 7), 45  # pixels, at most, of a letter in a title and in a legend, and of what stands beside a name
WIDE, NARROW = 640, 340  # pixels across that figures of several columns and maps need, and that others do


def caption(runs: xr.Dataset, *notes: str) -> str:
    """n, seeds, how far the runs were followed, a network that is no transformer, `notes`, and settings that are ours.

    `runs` holds what the figure shows and nothing else; a cell is one value of every dimension but `seed`.
    """
    return " ".join(part for part in (_count(runs), _reach(runs), _network(runs), *notes, _ours(runs)) if part)


def frame(fig: go.Figure, *, title: str, caption: str, plot_height: int, above: int = 0, left: int = 0,
          wide: bool = False) -> go.Figure:
    """Put title and legend above a plot of `plot_height` pixels, so that nothing overlaps, and keep its caption.

    `above` is the number of pixels that the plot itself needs above, for the titles of its columns; `left` what it
    needs beside it for the names of its rows, more than numbers take. The caption stands in
    `fig.layout.meta["caption"]` alone: whoever shows the figure prints it as text, which wraps and is read aloud.
    Beside it stands the `width` that the figure needs: one plot fits a telephone, unless it is `wide`.
    """
    fig.update_annotations(font_size=13, selector=lambda words: words.font.size == SUBPLOT_TITLE)
    several = len({axis.domain for axis in fig.select_xaxes()}) > 1 or any(fig.select_traces({"type": "heatmap"}))
    width = max((WIDE if several or wide else NARROW) + left, LETTER[0] * len(title))
    lines = _legend_lines(fig, width - MARGIN_LEFT - left - MARGIN_RIGHT)
    top = TITLE + LEGEND_LINE * lines + BELOW * (lines > 0) + above
    height = top + plot_height + AXIS
    beside = 1 - (top - above - BELOW) / height
    # Plotly makes room *below* the plot for a legend whose y is less than one half.
    legend = {"y": beside} if beside >= 0.5 else {"y": 1 - TITLE / height, "yanchor": "top"}
    return fig.update_layout(title_text=title, height=height, legend=legend,
                             margin={"t": top, "b": AXIS, "l": MARGIN_LEFT + left},
                             meta={"caption": caption, "width": width})


def _legend_lines(fig: Any, width: int) -> int:
    """Lines that the legend takes at most in so many pixels; 0 without one."""
    traces = [trace for trace in fig.data if trace.name and trace.showlegend is not False]
    if fig.layout.showlegend is False or not traces:
        return 0
    names = dict.fromkeys([fig.layout.legend.title.text or "", *(trace.name for trace in traces)])
    entries = [ENTRY + LETTER[1] * len(name) for name in names if name]
    if sum(entries) > width and not any(trace.legendgroup for trace in fig.data):
        entries = [max(entries)] * len(entries)  # plotly makes columns of those without a group
    lines, used = 1, 0
    for entry in entries:
        lines, used = (lines, used + entry) if used + entry <= width or not used else (lines + 1, entry)
    return lines


def _count(runs: xr.Dataset) -> str:
    trained = runs["trained"]
    n = trained.sum("seed").values.ravel()
    n, total = n[n > 0], int(trained.sum())
    if not total:
        return "n = 0: none of these runs was trained."
    seeds = runs["seed"].values[trained.any([dim for dim in trained.dims if dim != "seed"]).values]
    named = f"({'seed' if len(seeds) == 1 else 'seeds'} {_ranges(seeds)})"
    each = f"{n.min()}" if n.min() == n.max() else f"{n.min()} to {n.max()}"
    counted = f"n = {each} {'run' if n.max() == 1 else 'runs'}"
    return f"{counted} {named}." if len(n) == 1 else f"{counted} a cell {named}, {total:,} in all."


def _reach(runs: xr.Dataset) -> str:
    trained = runs["trained"].values
    if not trained.any():
        return ""
    end = runs["last_step"].values[trained]
    last = np.minimum(end, runs["step"].values[-1])  # runs may be cut at a step after they were loaded
    forgot = (final(runs, "val_acc") < 1).transpose(*runs["trained"].dims).values
    n_settled = int((runs["settled"].values[trained] & (last == end) & ~forgot[trained]).sum())
    steps = f"{last.min():,}" if last.min() == last.max() else f"{last.min():,} to {last.max():,}"
    settled = f", by when every accuracy of {n_settled:,} of {len(last):,} had settled at 1" if n_settled else ""
    return f"Followed for {steps} steps{settled}."


def _network(runs: xr.Dataset) -> str:
    fixed = shared_settings(runs)
    kind = NETWORK_NAMES.get(str(fixed.get("architecture")))
    return f"Networks: {kind}, layers {fixed.get('n_layers', 'varied')}." if kind else ""


def shared_settings(runs: xr.Dataset) -> dict:
    """The settings that all runs share."""
    return {str(name): value.item() for name, value in runs.coords.items() if value.ndim == 0}


def _ours(runs: xr.Dataset) -> str:
    fixed = shared_settings(runs)
    stated = STATED.get(str(fixed.get("task")), {})
    named = [f"{words} {plain(fixed[name])}" for name, words in CHOSEN.items()
             if name in fixed and fixed[name] != stated.get(name)]
    which = "not the paper's" if stated else "not stated in the paper"
    return f"{OUR_SETTINGS}, {which}: {', '.join(named)}." if named else ""


def plain(value) -> str:
    """A setting's value without needless digits."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _ranges(values: np.ndarray) -> str:
    """Ascending integers as ranges: 0–4, 7."""
    groups = np.split(values, np.flatnonzero(np.diff(values) != 1) + 1)
    return ", ".join(f"{group[0]}" if len(group) == 1 else f"{group[0]}–{group[-1]}" for group in groups)

"""How every figure of the book looks: one quiet template, and the colours that mean something.

Colours are told apart by readers with red-green and blue-yellow colour blindness too; a test simulates them.
"""

import math

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
from plotly.colors import sample_colorscale

ZONE_COLORS = {"PROGRESSION": "#A6A6A6", "UNGROKKING": "#C8102E", "SEMI_GROKKING": "#F2C14E", "GROKKING": "#0072B2",
               "STILL_MOVING": "#9000F0", "UNDECIDED": "#A8F0A8"}
"""Fill of a cell on a map, by what `analysis.main_zone` says of it."""

METRIC_COLORS = {"train_acc": "#303030", "train_loss": "#303030", "val_acc": "#0072B2", "val_loss": "#0072B2",
                 "twin_free_val_acc": "#E69F00", "param_norm": "#00795C"}
"""Train is dark, validation blue, twin-free validation orange, the norm green, in every figure."""

D_H_SCALE = [[0.0, "#26358C"], [0.5, "#1B8A9B"], [1.0, "#7CC142"]]
"""Small networks are blue, large ones green, as in Huang et al. 2024; lightness rises all the way."""

FONT = "Helvetica Neue, Helvetica, Arial, Liberation Sans, DejaVu Sans, sans-serif"
INK = "#262626"
FAINT = "#E6E6E6"

ACCURACY_AXIS = {"range": [-0.04, 1.06], "tickvals": [0, 0.25, 0.5, 0.75, 1]}
"""An axis of accuracies, or of anything else from 0 to 1."""

MARGIN_LEFT = 64  # pixels beside a plot: room for an axis with numbers and its title

STEP_0_AT = 0.4
"""Where step 0 stands on a logarithmic axis, which has no zero; rounded to a whole step in a hover text it is 0."""


def d_h_color(d_h: int, all_d_h) -> str:
    """The colour of hidden size `d_h` among `all_d_h`, by its logarithm; `rgb(…)` as plotly writes it."""
    low, high = math.log(min(all_d_h)), math.log(max(all_d_h))
    place = (math.log(d_h) - low) / (high - low) if high > low else 0.5
    return str(sample_colorscale(D_H_SCALE, min(max(place, 0.0), 1.0))[0])


def faded(color: str, opacity: float) -> str:
    """A `#RRGGBB` or `rgb(…)` colour made translucent."""
    if color.startswith("#"):
        parts = [str(int(color[i:i + 2], 16)) for i in (1, 3, 5)]
    else:
        parts = color.removeprefix("rgb(").removesuffix(")").split(",")
    return f"rgba({','.join(part.strip() for part in parts)},{opacity:g})"


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
            "tickvals": [STEP_0_AT, *ticks], "ticktext": ["0", *labels]}


_AXIS = {"showline": True, "linecolor": "#8C8C8C", "gridcolor": FAINT, "zeroline": False, "ticks": "outside",
         "tickcolor": "#8C8C8C", "ticklen": 4, "title": {"standoff": 8}}

pio.templates["grokbook"] = go.layout.Template(layout={
    "font": {"family": FONT, "size": 14, "color": INK},
    "title": {"x": 0, "xref": "paper", "xanchor": "left", "yref": "container", "y": 1, "yanchor": "top",
              "pad": {"t": 12}, "font": {"size": 17}},
    "paper_bgcolor": "white", "plot_bgcolor": "white", "colorway": list(dict.fromkeys(METRIC_COLORS.values())),
    "xaxis": _AXIS, "yaxis": _AXIS, "hoverlabel": {"align": "left", "font": {"family": FONT}},
    "legend": {"orientation": "h", "x": 0, "xanchor": "left", "yref": "container", "yanchor": "top",
               "font": {"size": 13}, "tracegroupgap": 0},
    "margin": {"l": MARGIN_LEFT, "r": 24, "t": 80, "b": 64}, "annotationdefaults": {"font": {"size": 13}},
})
pio.templates.default = "grokbook"

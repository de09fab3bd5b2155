"""The curves of one cell in a figure that stays while a reader moves through the map: only x and y change."""

from typing import Any

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from grokbook.plots.lookup import MAP_HEIGHT, beside
from grokbook.plots.template import METRIC_COLORS, faded, shown_steps, step_axis
from grokbook.plots.traces import EVENTS, NAMES
from grokbook.run import ACCURACIES

METRICS = (*ACCURACIES, "param_norm")
"""The curves shown: accuracies above, the norm below."""

MARKS = {"t_mem": "train_acc", "t_gen": "val_acc"}
"""Events, and the curve on which they are marked."""


def cell_figure(n_steps: int) -> go.Figure:
    """The empty figure of a cell: thin lines for all seeds, thick ones for one, and marks; steps up to `n_steps`."""
    fig = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.05, row_heights=[0.68, 0.32])
    for metric in METRICS:
        fig.add_traces(_lines(metric), rows=2 if metric == "param_norm" else 1, cols=1)
    fig.add_traces([_marks(event, metric) for event, metric in MARKS.items()], rows=1, cols=1)
    fig.update_xaxes(step_axis(n_steps))
    fig.update_xaxes(title_text="step", title_standoff=2, row=2)
    fig.update_yaxes(range=[-0.04, 1.06], tickvals=[0, 0.25, 0.5, 0.75, 1], title_text="accuracy", row=1)
    fig.update_yaxes(title_text="norm", rangemode="tozero", nticks=4, row=2)
    return beside(fig, "", MAP_HEIGHT)


def cell_lines(cell: xr.Dataset, facts: xr.Dataset, seed: int) -> list[dict[str, Any]]:
    """x, y and customdata (the seed) of every trace of `cell_figure`, in its order.

    `cell`: curves of one (d_h, D_train), as far as they are to be seen; `facts`: the same cell of `analysis.outcomes`.
    """
    step, seeds = shown_steps(cell["step"]), cell["seed"].values
    lines = []
    for metric in METRICS:
        curves = cell[metric].transpose("seed", "step").values
        known = [np.flatnonzero(~np.isnan(y)) for y in curves]
        one = [k if s == seed else k[:0] for k, s in zip(known, seeds, strict=True)]
        lines += [_xy(step, curves, seeds, known), _xy(step, curves, seeds, one)]
    return lines + [_marked(cell, facts, event, metric) for event, metric in MARKS.items()]


def _lines(metric: str) -> list[go.Scatter]:
    color, kind = METRIC_COLORS[metric], "" if metric == "param_norm" else " accuracy"
    hover = f"{NAMES[metric]}{kind}, seed %{{customdata}}<br>step %{{x:,.0f}}: %{{y:.4g}}<extra></extra>"
    shared = {"x": [], "y": [], "mode": "lines", "name": NAMES[metric], "legendgroup": metric, "hovertemplate": hover}
    return [go.Scatter(**shared, showlegend=False, line={"color": faded(color, 0.35), "width": 1},
                       meta={"metric": metric, "role": "seeds"}),
            go.Scatter(**shared, showlegend=metric != "param_norm", line={"color": color, "width": 2.5},
                       meta={"metric": metric, "role": "line"})]


def _marks(event: str, metric: str) -> go.Scatter:
    name, symbol, _ = EVENTS[event]
    return go.Scatter(x=[], y=[], mode="markers", name=name, meta={"metric": metric, "role": "event", "event": event},
                      marker={"symbol": symbol, "color": METRIC_COLORS[metric], "size": 9,
                              "line": {"color": "white", "width": 1}},
                      hovertemplate=f"{name}, seed %{{customdata}}<br>step %{{x:,.0f}}<extra></extra>")


def _xy(step: np.ndarray, curves: np.ndarray, seeds: np.ndarray, kept: list[np.ndarray]) -> dict[str, Any]:
    """The kept points of every seed's curve as one line, with a NaN behind each, where plotly lifts the pen."""
    lift = np.float32(np.nan)
    pieces = [(s, k, y) for s, k, y in zip(seeds, kept, curves, strict=True) if len(k)]
    return {"x": np.concatenate([np.append(step[k], lift) for _, k, _ in pieces] or [np.empty(0, np.float32)]),
            "y": np.concatenate([np.append(y[k], lift) for _, k, y in pieces] or [np.empty(0, np.float32)]),
            "customdata": np.repeat([s for s, _, _ in pieces], [len(k) + 1 for _, k, _ in pieces]).astype(int)}


def _marked(cell: xr.Dataset, facts: xr.Dataset, event: str, metric: str) -> dict[str, Any]:
    at = facts[event].values
    happened = np.flatnonzero(~np.isnan(at))
    place = np.searchsorted(cell["step"].values, at[happened])
    curves = cell[metric].transpose("seed", "step").values
    return {"x": shown_steps(at[happened]), "y": curves[happened, place], "customdata": cell["seed"].values[happened]}

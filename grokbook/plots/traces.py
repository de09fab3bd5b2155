"""The traces of one cell's curves, each with a `meta` that says what it draws so that tests and widgets can find it,
and what figures share: panels side by side, the colours of whole numbers.

`meta` holds `metric` and `role` (seeds, line, mean, band, runs or event); a cell's curve also `d_h` and `D_train`, an
event its name.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from plotly.basedatatypes import BaseFigure
from plotly.subplots import make_subplots

from grokbook.analysis import interval
from grokbook.analysis.statistics import TINY, log_loss
from grokbook.plots.cells import name_of
from grokbook.plots.template import METRIC_COLORS, faded, shown_steps

NAMES = {"train_acc": "train", "val_acc": "validation", "twin_free_val_acc": "twin-free validation",
         "train_loss": "train", "val_loss": "validation", "param_norm": "weight norm"}
"""Metrics as legends call them."""

EVENTS = {"t_mem": ("memorised", "circle", ("train_acc", "train_loss", "param_norm")),
          "t_gen": ("generalised", "diamond", ("val_acc", "val_loss", "param_norm"))}
"""Events as legends call them, their symbols, and the curves they are marked on."""

SEEDS_FOR_A_BAND = 5
"""Seeds under which the runs themselves say more than the interval of their mean, which is nearly the whole axis."""

BAND = "Band: 95 % interval of the mean."
"""What captions say of it."""

LOSS_METRICS = ("train_loss", "val_loss")

THIN_TOLERANCE = 0.004
"""How far a thin line may pass by a measured point, as a share of its range: a pixel or two. It halves a figure."""


def side_by_side(titles: Iterable[str], *, rows: int = 1, **settings: Any) -> go.Figure:
    """Panels in columns of these titles; `settings` are those of plotly's `make_subplots`."""
    titles = list(titles)
    return make_subplots(rows=rows, cols=len(titles), column_titles=titles, **settings)


def discrete(colors: Collection[str]) -> dict[str, Any]:
    """How a heatmap colours the whole numbers from 0 on, each by one of these."""
    n = len(colors)
    scale = [[edge, color] for i, color in enumerate(colors) for edge in (i / n, (i + 1) / n)]
    return {"zmin": -0.5, "zmax": n - 0.5, "colorscale": scale, "showscale": False}


def find(fig: BaseFigure, **meta) -> list:
    """The traces of a figure whose `meta` has these values: `find(fig, metric="val_acc", role="line")`."""
    return list(fig.select_traces(lambda trace: meta.items() <= (trace.meta or {}).items()))


def name_once(fig: go.Figure, but: Collection[str] = ()) -> None:
    """One legend entry for all traces of a name, none for these names, nor for traces that say they have none."""
    named = set(but)

    def name(trace) -> None:
        """Let the first trace of a name have the entry."""
        trace.showlegend = trace.name not in named
        named.add(trace.name)

    fig.for_each_trace(name, selector=lambda trace: trace.showlegend is None)


def line_traces(cell: xr.Dataset, metric: str, seed: int) -> Iterator[go.Scatter]:
    """Every seed of a trained cell as a thin line, all in one trace, and `seed` as a thick one."""
    color = METRIC_COLORS[metric]
    thin = {"color": faded(color, 0.35), "width": 1}
    yield _curve(cell, metric, "seeds", thin, tolerance=THIN_TOLERANCE).update(showlegend=False)
    yield _curve(cell.sel(seed=[seed]), metric, "line", {"color": color, "width": 2.5})


def summary(values: xr.DataArray, *, name: str, label: str, color: str, meta: dict, log: bool = False,
            within: tuple[float, float] = (0, 1), dots: bool = False, **line) -> list[go.Scatter]:
    """The mean over seeds as a line, its 95 % interval as a band behind it if there is any, and with `dots` every run.

    With dots there is a band only where most means are of `SEEDS_FOR_A_BAND` or more.
    `values`: seed by one other dimension, which is x. With `log` the mean is geometric, as for losses. `within` is the
    range that a mean can have. `label` is what hovering calls it, `line` more settings of the line.
    """
    (dim,) = [str(dim) for dim in values.dims if dim != "seed"]
    x = shown_steps(values[dim]) if dim == "step" else values[dim].values.astype(np.float32)
    stats = interval(log_loss(values) if log else values, within=(-np.inf, np.inf) if log else within)
    parts = [_float32(stats[part]) for part in ("mean", "lo", "hi")]
    mean, lo, hi = np.exp(parts) if log else parts
    hover, group = f"{label}, {dim} %{{x:,.0f}}", {"name": name, "legendgroup": name}
    traces = [go.Scatter(
        x=x, y=mean, mode="lines", **group, line={"color": color, "width": 2.5}, meta=meta | {"role": "mean"},
        customdata=np.column_stack([lo, hi, stats["n"]]).astype(np.float32),
        hovertemplate=f"{hover}: %{{y:,.4g}} (%{{customdata[0]:,.4g}} to %{{customdata[1]:,.4g}})<br>"
                      "mean of %{customdata[2]} seeds<extra></extra>").update(line)]
    n = stats["n"].values[stats["n"].values > 0]
    few = dots and (not len(n) or np.median(n) < SEEDS_FOR_A_BAND)
    if not np.isnan(lo).all() and not few:
        traces.insert(0, band(x, lo, hi, color, meta=meta | {"role": "band"}, legendgroup=name))
    if dots:
        runs = values.transpose("seed", dim)
        traces.append(go.Scatter(
            x=np.tile(x, runs.sizes["seed"]), y=_float32(runs).ravel(), mode="markers", **group, showlegend=False,
            marker={"color": faded(color, 0.5), "size": 6 if few else 4}, meta=meta | {"role": "runs"},
            customdata=np.repeat(runs["seed"].values, len(x)),
            hovertemplate=f"{hover}, seed %{{customdata}}: %{{y:,.4g}}<extra></extra>"))
    return traces


def event_traces(cell: xr.Dataset, metric: str, seed: int | None, when: xr.Dataset) -> Iterator[go.Scatter]:
    """Marks on a metric's curves where the runs memorised and generalised (`analysis.events`), large for `seed`."""
    for event, (name, symbol, metrics) in EVENTS.items():
        happened = when[event].dropna("seed")
        if metric in metrics and len(happened):
            seeds = happened["seed"].values
            yield go.Scatter(
                x=shown_steps(happened), y=_float32(cell[metric].sel(seed=happened["seed"], step=happened)),
                mode="markers", name=name, legendgroup=name, meta=_meta(cell, metric, "event") | {"event": event},
                marker={"symbol": symbol, "color": METRIC_COLORS[metric], "line": {"color": "white", "width": 1},
                        "size": np.where(seeds == seed, 11, 7).tolist(), "opacity": 1},
                customdata=seeds,
                hovertemplate=f"{name}<br>{_place(cell, metric)}, seed %{{customdata}}<br>"
                              "step %{x:,.0f}<extra></extra>")


def band(x: np.ndarray, lo: np.ndarray, hi: np.ndarray, color: str, **settings) -> go.Scatter:
    """A shaded interval lo…hi over ascending x, open wherever an end is NaN. `settings` are the trace's."""
    known = ~(np.isnan(lo) | np.isnan(hi))
    pieces = np.split(np.arange(len(x)), np.flatnonzero(np.diff(known)) + 1)
    pieces = [piece for piece in pieces if known[piece].any()]
    return go.Scatter(x=_joined([np.concatenate([x[piece], x[piece][::-1]]) for piece in pieces]),
                      y=_joined([np.concatenate([hi[piece], lo[piece][::-1]]) for piece in pieces]),
                      mode="lines", line={"width": 0}, fill="toself", fillcolor=faded(color, 0.2), hoverinfo="skip",
                      showlegend=False, **settings)


def _curve(cell: xr.Dataset, metric: str, role: str, line: dict, tolerance: float | None = None) -> go.Scatter:
    """All seeds' curves as one line, with a gap between seeds; with a tolerance only their corners."""
    x, seeds, curves = shown_steps(cell["step"]), cell["seed"].values, cell[metric].transpose("seed", "step").values
    drawn = np.log10(np.maximum(curves, TINY)) if metric in LOSS_METRICS else curves
    kept = [np.flatnonzero(~np.isnan(y)) if tolerance is None else corners(np.log10(x), y, tolerance) for y in drawn]
    return go.Scatter(
        x=_joined([x[k] for k in kept]), y=_joined([y[k] for y, k in zip(curves, kept, strict=True)]),
        customdata=np.repeat(seeds, [len(k) + 1 for k in kept]), mode="lines", name=NAMES[metric],
        legendgroup=NAMES[metric], meta=_meta(cell, metric, role), line=line,
        hovertemplate=f"{_place(cell, metric)}, seed %{{customdata}}<br>step %{{x:,.0f}}: %{{y:.4g}}<extra></extra>")


def corners(x: np.ndarray, y: np.ndarray, tolerance: float) -> np.ndarray:
    """Where `y` is known, the places between which straight lines stay within `tolerance` times the range of `y`."""
    seen = np.flatnonzero(~np.isnan(y))
    if len(seen) < 3:
        return seen
    x, y = x[seen], y[seen]
    kept, pieces = {0, len(seen) - 1}, [(0, len(seen) - 1)]
    while pieces:
        a, b = pieces.pop()
        gap = np.abs(y[a:b + 1] - np.interp(x[a:b + 1], [x[a], x[b]], [y[a], y[b]]))
        if gap.max() > tolerance * np.ptp(y):
            worst = a + int(gap.argmax())
            kept.add(worst)
            pieces += [(a, worst), (worst, b)]
    return seen[sorted(kept)]


def _meta(cell: xr.Dataset, metric: str, role: str) -> dict:
    return {"metric": metric, "role": role, "d_h": int(cell["d_h"]), "D_train": int(cell["D_train"])}


def _place(cell: xr.Dataset, metric: str) -> str:
    kind = {"acc": " accuracy", "loss": " loss"}.get(metric.rpartition("_")[2], "")
    return f"{NAMES[metric]}{kind}<br>{name_of(cell)}"


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    """Pieces of a line as one float32 array, with a NaN behind each, where plotly lifts the pen."""
    return np.concatenate([np.append(part, np.nan) for part in parts] or [[]]).astype(np.float32)


def _float32(values: xr.DataArray) -> np.ndarray:
    return values.values.astype(np.float32)

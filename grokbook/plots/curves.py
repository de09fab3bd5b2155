"""What a network is shown, and its curves against the step: accuracy, loss and norm of every seed of a cell."""

import math
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from grokbook import tasks
from grokbook.analysis import GENERALISED, events
from grokbook.analysis.events import MEMORISED, SUSTAINED, typical_seed
from grokbook.config import RunConfig, check_among
from grokbook.plots.cells import Runs, as_dataset, cells_at, choose, name_of, together, trained
from grokbook.plots.template import ACCURACY_AXIS, METRIC_COLORS, caption, frame, step_axis
from grokbook.plots.traces import NAMES, discrete, event_traces, line_traces, name_once, side_by_side
from grokbook.run import ACCURACIES

PANELS = {"accuracy": ACCURACIES, "loss": ("train_loss", "val_loss"), "norm": ("param_norm",)}
"""Metrics that share a panel."""

TITLES = {"accuracy": "accuracy", "loss": "loss (nats)", "norm": "weight norm"}

Y_AXES = {"accuracy": ACCURACY_AXIS,
          "loss": {"type": "log", "exponentformat": "power", "nticks": 6, "tickfont": {"size": 11}},
          "norm": {"nticks": 6}}

FEW_LOSSES = [digit * 10.0**power for power in range(-9, 4) for digit in (1, 2, 5)]
"""Losses named on an axis of less than two powers of ten."""

HEIGHTS = {1: 300, 2: 380, 3: 520}  # pixels that so many rows of panels share

PAIR_COLORS = {"shown": METRIC_COLORS["train_acc"], "new, mirror shown": METRIC_COLORS["twin_free_val_acc"],
               "new": "#DCE9F2"}
"""What a pair is to the network, and its colour."""


def table_and_split(config: RunConfig) -> go.Figure:
    """The answers of all pairs (a, b), beside which of them the seed shows, which it does not, and of which the mirror
    (b, a). Of a task in which every pair of the p numbers has one answer."""
    p, split = config.p, tasks.split(config)
    kind = np.select([split.train, ~split.twin_free_val], [0, 1], 2)
    titles = ("the answers", f"the split of seed {config.seed}")
    fig = side_by_side(titles, shared_yaxes=True, horizontal_spacing=0.06)
    fig.add_trace(go.Heatmap(z=tasks.table(config).labels.reshape(p, p).T, colorscale="Cividis", showscale=False,
                             meta={"role": "answers"}, hovertemplate="a %{x}, b %{y}: %{z}<extra></extra>"), 1, 1)
    fig.add_trace(go.Heatmap(z=kind.reshape(p, p).T, **discrete(PAIR_COLORS.values()), meta={"role": "split"},
                             hovertemplate="a %{x}, b %{y}<extra></extra>"), 1, 2)
    fig.add_traces([go.Scatter(x=[None], y=[None], mode="markers", name=name,
                               marker={"color": color, "symbol": "square", "size": 11})
                    for name, color in PAIR_COLORS.items()])
    fig.update_xaxes(title_text="a", showgrid=False)
    fig.update_yaxes(showgrid=False)
    fig.update_yaxes(title_text="b", row=1, col=1)
    counts = "; ".join(f"{int((kind == i).sum()):,} {name}" for i, name in enumerate(PAIR_COLORS))
    return frame(fig, title="All pairs, and those that are shown", plot_height=330, above=20,
                 caption=f"Of {p * p:,} pairs: {counts}.")


def grokking_panels(runs: Runs, *, cells: Sequence[tuple[int, int]] = ((64, 4000), (64, 3000), (64, 2000)),
                    rows: Sequence[str] = tuple(PANELS), seed: int | None = None,
                    names: Sequence[str] = ()) -> go.Figure:
    """Accuracy above loss above weight norm against the logarithmic step, one column a cell (d_h, D_train).

    `rows` chooses among the three. Every seed is a thin line and `seed` a thick one; if it is not given, the run in the
    middle by when it generalised. `names` stand over the columns' cells. Circles mark when runs memorised,
    diamonds when they generalised. A cell that was not trained keeps its column and says so.

    Raises:
        ValueError: no cell, a row that there is not, a seed that was not trained, or runs that vary over another field.
    """
    if not len(cells) or not len(rows):
        raise ValueError(f"cells={list(cells)} and rows={list(rows)} leave nothing to show; valid: one of each or more")
    for row in rows:
        check_among("rows", row, PANELS)
    title = " and ".join(", ".join(TITLES[row].partition(" (")[0] for row in rows).rsplit(", ", 1)).capitalize()
    cells_shown = cells_at(as_dataset(runs), cells)
    titles = [f"{name}<br>{name_of(cell)}" for name, cell in zip(names, cells_shown, strict=True)] if names else None
    return panels(cells_shown, list(rows), seed, title, titles)


def seed_panels(runs: Runs, *, d_h: int, D_train: int) -> go.Figure:
    """Accuracy of every seed of one cell in a column of its own (Huang et al. 2024, Fig 5)."""
    cell = trained(choose(as_dataset(runs), d_h=d_h, D_train=D_train))
    cells = [cell.sel(seed=[seed]) for seed in cell["seed"].values]
    if not cells:
        raise ValueError(f"no seed of d_h {d_h}, D_train {D_train} was trained")
    names = [f"seed {seed}" for seed in cell["seed"].values]
    return panels(cells, ["accuracy"], None, f"Every seed of {name_of(cell)}", names)


def panels(cells: list[xr.Dataset], rows: list[str], seed: int | None, title: str,
           names: list[str] | None = None) -> go.Figure:
    """One column a cell, one row a group of metrics. Columns are named for d_h and D_train unless there are `names`."""
    shown = [trained(cell) for cell in cells]
    thick, when = [_thick(cell, seed) for cell in shown], [events(cell) for cell in shown]
    names = names or [name_of(cell) for cell in cells]
    fig = side_by_side(names if len(cells) > 1 else [""], rows=len(rows), shared_xaxes=True, shared_yaxes=True,
                       vertical_spacing=0.04, horizontal_spacing=0.04)
    for column, (cell, bold, happened) in enumerate(zip(shown, thick, when, strict=True), 1):
        for row, name in enumerate(rows, 1):
            fig.add_traces(_traces(cell, name, bold, happened), rows=row, cols=column)
        if not len(cell["seed"]):
            fig.add_annotation(name="missing", text=f"not trained:<br>{name_of(cell)}", showarrow=False, x=0.5, y=0.5,
                               xref="x domain", yref="y domain", row=1, col=column)
    _lay_out(fig, cells, rows)
    return frame(fig, title=title, caption=caption(together(cells), *_notes(shown, when, thick, seed)),
                 plot_height=HEIGHTS[len(rows)], above=20 * (len(cells) > 1) * (1 + ("<br>" in names[0])))


def _thick(cell: xr.Dataset, seed: int | None) -> int | None:
    if not len(cell["seed"]):
        return None
    if seed is not None:
        check_among("seed", seed, cell["seed"].values.tolist())
    return typical_seed(cell) if seed is None else seed


def _traces(cell: xr.Dataset, row: str, bold: int | None, when: xr.Dataset) -> list[go.Scatter]:
    if bold is None:
        return [go.Scatter(x=[None], y=[None], meta={"role": "missing"}, showlegend=False)]
    lines = [trace for metric in PANELS[row] for trace in line_traces(cell, metric, bold)]
    return lines + [trace for metric in PANELS[row] for trace in event_traces(cell, metric, bold, when)]


def _lay_out(fig: go.Figure, cells: list[xr.Dataset], rows: list[str]) -> None:
    """Shared axes, and what names them."""
    last_step = min(max(int(cell["last_step"].max()) for cell in cells), int(cells[0]["step"].values[-1]))
    fig.update_xaxes(step_axis(last_step, sparse=len(cells) > 1), matches="x")
    fig.update_xaxes(title_text="step", row=len(rows))
    for row, name in enumerate(rows, 1):
        span = _y_range(cells, name)
        ticks = loss_ticks(*span) if span and name == "loss" else {}
        fig.update_yaxes({"range": span} | ticks | Y_AXES[name], row=row)
        fig.update_yaxes(title_text=TITLES[name], row=row, col=1)
    name_once(fig, but=[NAMES["param_norm"]])  # whose axis names it


def _y_range(cells: list[xr.Dataset], name: str) -> list[float] | None:
    """The range of a row of panels. Left to itself plotly.js 4 forgets the data of axes that match across columns."""
    values = np.concatenate([cell[metric].values.ravel() for cell in cells for metric in PANELS[name]])
    values = np.log10(values[values > 0]) if name == "loss" else values[~np.isnan(values)]
    if not len(values):
        return None
    pad = 0.06 * np.ptp(values) or 0.5
    return [float(values.min() - pad), float(values.max() + pad)]


def loss_ticks(low: float, high: float) -> dict:
    """Where a logarithmic axis from 10^low to 10^high has ticks: plotly would write single digits, or too many."""
    span = high - low
    return {"tickvals": FEW_LOSSES if 0.3 <= span < 2 else None, "dtick": math.ceil(span / 5) if span >= 2 else None}


def _notes(cells: list[xr.Dataset], when: list[xr.Dataset], thick: list[int | None], seed: int | None) -> list[str]:
    """Sentences on what lines and marks mean, on what did not happen, and on what is missing."""
    several = any(len(cell["seed"]) > 1 for cell in cells)
    bold = [str(number) for number in thick if number is not None]
    chosen = f"seed {bold[0]}" if len(set(bold)) == 1 else f"seeds {', '.join(bold)} from left to right"
    middle = ", in the middle by when it generalised or how near it came" if seed is None else ""
    lines = f"Thin: every seed; thick: {chosen}{middle}." if several else ""
    missing = [name_of(cell) for cell in cells if not len(cell["seed"])]
    marks = {"t_mem": f"Circle: memorised, train accuracy at least {MEMORISED:g} at {SUSTAINED} evaluations in a row.",
             "t_gen": f"Diamond: generalised, validation accuracy at least {GENERALISED:g}."}
    drawn = [words for event, words in marks.items() if any(then[event].notnull().any() for then in when)]
    return [lines, *drawn, _unfinished(cells, when), f"Not trained: {'; '.join(missing)}." if missing else ""]


def _unfinished(cells: list[xr.Dataset], when: list[xr.Dataset]) -> str:
    """How many runs ended without an event: what the marks cannot show. Nothing of runs that begin with another's
    weights, which had been through both."""
    parts = []
    fresh = [(cell, then) for cell, then in zip(cells, when, strict=True)
             if "parent" in cell.coords and (cell["parent"] == "").all()]
    for event, metric, words in (("t_mem", "train_acc", "memorised"), ("t_gen", "val_acc", "generalised")):
        measured = [cell[metric].notnull().any("step") for cell, _ in fresh]
        n = int(sum((then[event].isnull() & known).sum() for (_, then), known in zip(fresh, measured, strict=True)))
        parts += [f"{n} of {int(sum(known.sum() for known in measured))} had not {words}"] if n else []
    return f"{' and '.join(parts)} by the end." if parts else ""

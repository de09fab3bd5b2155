"""Modular division seen three ways, mapped over step and width, cut and counted (Davies et al. 2022, Fig 1, 4 to 7)."""

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from grokbook.analysis import final
from grokbook.analysis.descent import FITTED, fit_step, surface
from grokbook.analysis.events import correct_counts, typical_seed
from grokbook.plots import template
from grokbook.plots.cells import trained
from grokbook.plots.maps import ACCURACY_SCALE, edges
from grokbook.plots.traces import BAND, LOSS_METRICS, NAMES, find, line_traces, name_once, side_by_side, summary

VIEWS = {"accuracy": ("train_acc", "val_acc"), "accuracy, log scale": ("train_acc", "val_acc"),
         "loss (nats)": LOSS_METRICS}
"""Metrics by the three ways in which the same run is seen."""

MAPPED = {"val_loss": "test loss", "train_loss": "train loss", "val_acc": "test accuracy",
          "train_acc": "train accuracy"}

LOSS_SCALE = "Viridis"

BAR_SPACE = 0.14  # between panels, as a share of the width: room for a colour bar and its labels

ZERO_COLOR, OTHERS_COLOR = template.HEURISTIC_COLOR, template.METRIC_COLORS["val_acc"]


def three_views(cell: xr.Dataset) -> go.Figure:
    """Accuracy, the same on a logarithmic axis, and loss of the runs of one width, side by side (Fig 1).

    `cell`: runs that differ by seed alone. Thin lines are all seeds, thick ones the run in the middle by when it
    generalised.
    """
    cell = trained(cell)
    bold = typical_seed(cell)
    fig = side_by_side(VIEWS, horizontal_spacing=0.07)
    for column, metrics in enumerate(VIEWS.values(), 1):
        for metric in metrics:
            fig.add_traces(list(line_traces(cell, metric, bold)), rows=1, cols=column)
    name_once(fig)
    fig.update_xaxes(template.step_axis(int(cell["last_step"].max()), sparse=True), title_text="step")
    fig.update_yaxes(template.ACCURACY_AXIS, col=1)
    fig.update_yaxes(type="log", range=[-3, 0.05], tickvals=[1e-3, 1e-2, 1e-1, 1], ticktext=[".001", ".01", ".1", "1"],
                     col=2)
    fig.update_yaxes(type="log", tickvals=[1e-4, 1e-3, 1e-2, 1e-1, 1, 10],
                     ticktext=[".0001", ".001", ".01", ".1", "1", "10"], col=3)
    notes = f"Thin: every seed; thick: seed {bold}, in the middle by when it generalised."
    return template.frame(fig, title=f"Three views of one training, d_h {int(cell['d_h'])}", plot_height=280, above=20,
                          caption=_caption(cell, notes))


def width_maps(runs: xr.Dataset, metrics: tuple[str, ...] = ("val_loss", "train_loss")) -> go.Figure:
    """Means over seeds of metrics at every step and width, with the step of fit as a dotted line (Fig 4 and 6).

    Of losses the geometric mean. Dimensions of `runs`: d_h, seed, step.
    """
    titles = [MAPPED[metric] for metric in metrics]
    fig = side_by_side(titles, shared_yaxes=True, horizontal_spacing=BAR_SPACE)
    for column, metric in enumerate(metrics, 1):
        end = column * (1 + BAR_SPACE) / len(metrics) - BAR_SPACE  # of this panel, as a share of the whole width
        fig.add_trace(_cells(runs, metric).update(colorbar_x=end + 0.01), row=1, col=column)
        fig.add_trace(_fit_line(runs), row=1, col=column)
    sizes = runs["d_h"].values
    fig.update_xaxes(title_text="d_h", tickvals=np.arange(len(sizes)), ticktext=[str(d_h) for d_h in sizes])
    axis = template.step_axis(int(runs["last_step"].max()))
    fig.update_yaxes(axis | {"range": [0, np.log10(runs["step"].values[-1])]})
    fig.update_yaxes(title_text="step", col=1)
    fig.update_layout(showlegend=False, margin_r=64)
    note = f"Dotted: median step from which train accuracy is {FITTED:g}, at widths at which every run gets there."
    title = f"{' and '.join(titles).capitalize()}, over steps and width"
    return template.frame(fig, title=title, plot_height=380, above=20, caption=_caption(runs, note))


def width_cut(runs: xr.Dataset) -> go.Figure:
    """Mean accuracy and loss at the last step against the width (Fig 5). Every run is a dot."""
    fig = side_by_side(("accuracy", "loss (nats)"), horizontal_spacing=0.1)
    for column, metrics in enumerate((("train_acc", "val_acc"), LOSS_METRICS), 1):
        for metric in metrics:
            traces = summary(final(runs, metric), name=NAMES[metric], label=NAMES[metric], meta={"metric": metric},
                             color=template.METRIC_COLORS[metric], log=metric in LOSS_METRICS, dots=True)
            fig.add_traces(traces, rows=1, cols=column)
    fig.update_xaxes(type="log", title_text="d_h", tickvals=runs["d_h"].values,
                     ticktext=[str(d_h) for d_h in runs["d_h"].values])
    fig.update_yaxes(template.ACCURACY_AXIS, col=1)
    fig.update_yaxes(type="log", exponentformat="power", nticks=5, col=2)
    name_once(fig)
    note = "Line: mean over seeds (of losses the geometric one); dots: every run." + f" {BAND}" * bool(
        find(fig, role="band"))
    return template.frame(fig, title="The last step", plot_height=300, above=20, caption=_caption(runs, note))


def zero_counts(runs: xr.Dataset, *, title: str = "Right answers to test pairs") -> go.Figure:
    """Test pairs answered right, 0/b and the others apart, means over seeds with 95 % intervals (Fig 7).

    `runs` differ by seed alone. Dashed: all pairs 0/b; dotted: what guessing gives on the others.
    """
    cell = trained(runs)
    counts = correct_counts(cell).sel(step=slice(1, None))
    fig = go.Figure()
    for name, words, color in (("zero", "0/b", ZERO_COLOR), ("others", "others", OTHERS_COLOR)):
        fig.add_traces(summary(counts[name], name=words, label=words, color=color, meta={"metric": name},
                               within=(0, float(counts[f"n_{name}"].mean()))))
    chance = float((counts["n_others"] / cell["p"].item()).mean())
    for y, color, dash in ((float(counts["n_zero"].mean()), ZERO_COLOR, "dash"), (chance, OTHERS_COLOR, "dot")):
        fig.add_hline(y, line={"color": color, "dash": dash, "width": 1.5})  # pyright: ignore
    fig.update_xaxes(template.step_axis(int(cell["step"].values[-1])), title_text="step")
    fig.update_yaxes(title_text="right answers", rangemode="tozero")
    note = (f"Dashed: all pairs 0/b of the {cell.sizes['seed']} test sets, on average; dotted: chance on the others. "
            "Lines: means; bands: 95 % intervals.")
    return template.frame(fig, title=title, plot_height=300, caption=_caption(cell, note))


def _caption(runs: xr.Dataset, note: str) -> str:
    """As `caption`, with what is theirs: the batches, and the dropout of their code."""
    fixed = template.shared_settings(runs)
    batches, dropout = (fixed.get(name, 0) for name in ("batch_size", "dropout"))
    return template.caption(runs, note, f"Batches of {batches or 'all'} pairs, dropout {dropout:g}.")


def _cells(runs: xr.Dataset, metric: str) -> go.Heatmap:
    mean = surface(runs, metric).sel(step=slice(1, None))
    z = mean.transpose("step", "d_h").values
    bar, loss = {"len": 1.0, "thickness": 10, "xanchor": "left"}, metric in LOSS_METRICS
    ticks = {"tickvals": [-4, -3, -2, -1, 0, 1], "ticktext": ["10⁻⁴", "10⁻³", ".01", ".1", "1", "10"]} if loss else {}
    return go.Heatmap(x=edges(np.arange(runs.sizes["d_h"])), y=np.exp(edges(np.log(mean["step"].values))),
                      z=np.log10(z) if loss else z, colorscale=LOSS_SCALE if loss else ACCURACY_SCALE,
                      zmin=None if loss else 0, zmax=None if loss else 1, colorbar=bar | ticks,
                      customdata=np.dstack(np.broadcast_arrays(runs["d_h"].values, mean["step"].values[:, None], z)),
                      hovertemplate=f"d_h %{{customdata[0]}}, step %{{customdata[1]:,.0f}}<br>mean {MAPPED[metric]} "
                                    "%{customdata[2]:.3g}<extra></extra>", showlegend=False,
                      meta={"metric": metric, "role": "cells"})


def _fit_line(runs: xr.Dataset) -> go.Scatter:
    steps, known = fit_step(runs), runs["trained"]
    middle = steps.median("seed").where((steps.notnull() | ~known).all("seed") & known.any("seed"))
    return go.Scatter(x=np.arange(runs.sizes["d_h"]), y=middle.values, mode="lines+markers", name="fit",
                      line={"color": "white", "dash": "dot", "width": 2.5}, meta={"role": "fit"},
                      marker={"color": "white", "size": 7, "line": {"color": "black", "width": 1}},
                      hovertemplate="fitted at step %{y:,.0f}<extra></extra>")

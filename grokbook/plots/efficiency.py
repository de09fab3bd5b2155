"""Two frozen networks in one mixture, and what memory and the rule cost ("Towards Understanding the Mystery behind
Grokking Phenomenon", Fig 5, 6)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from grokbook.analysis.efficiency import DECAY, SAMPLE
from grokbook.plots.captions import frame
from grokbook.plots.template import ACCURACY_AXIS, METRIC_COLORS, ZONE_COLORS
from grokbook.plots.traces import name_once

KIND_COLORS = {"memory": ZONE_COLORS["UNGROKKING"], "general": ZONE_COLORS["GROKKING"]}
"""Memory is red and the rule is blue, as the zones in which networks keep to one of them."""

LINES = {"loss (nats)": {"train_loss": ("train", METRIC_COLORS["train_loss"], "solid"),
                         "val_loss": ("validation", METRIC_COLORS["val_loss"], "solid")},
         "accuracy": {"val_acc": ("validation", METRIC_COLORS["val_acc"], "solid")},
         "weight": {"w_mem": ("of the memory", KIND_COLORS["memory"], "dash"),
                    "w_gen": ("of the rule", KIND_COLORS["general"], "dash")}}
"""Rows of panels, and their lines: column of the table to name, colour and dash."""


GUESSING: dict[str, Any] = {"line": {"color": "#8C8C8C", "dash": "dot", "width": 1.5}}
"""The loss of guessing."""


def _panels(rows: int, columns: list[str]) -> go.Figure:
    """Panels with shared axes, their columns titled where there are several."""
    shared: dict[str, Any] = {"shared_xaxes": True, "shared_yaxes": "rows"}
    return make_subplots(rows=rows, cols=len(columns), vertical_spacing=0.05, horizontal_spacing=0.04,
                         column_titles=columns if len(columns) > 1 else None, **shared)


def mixture_panels(mixtures: Mapping[str, pd.DataFrame], *, rows: tuple[str, ...] = tuple(LINES)) -> go.Figure:
    """Losses, validation accuracy and both weights of mixtures against time; a column each, by its title.

    `mixtures` holds tables that `analysis.efficiency.train_mixture` gives.
    """
    fig = _panels(len(rows), list(mixtures))
    for column, table in enumerate(mixtures.values(), 1):
        later = table.query("time > 0")
        for row, title in enumerate(rows, 1):
            fig.add_traces([_line(later, metric, *look) for metric, look in LINES[title].items()], row, column)
    guessing = float(next(iter(mixtures.values()))["train_loss"].iloc[0])
    for row, title in enumerate(rows, 1):
        highest = max(float(table[list(LINES[title])].to_numpy().max()) for table in mixtures.values())
        fig.update_yaxes(ACCURACY_AXIS if title == "accuracy" else {"range": [0, 1.05 * highest]}, row=row)
        fig.update_yaxes(title_text=title, row=row, col=1)
        if title.startswith("loss"):
            fig.update_yaxes(type="log", exponentformat="power", dtick=1, tickfont={"size": 11},
                             range=[-2, np.log10(2 * highest)], title_standoff=12, row=row)
            where: dict[str, Any] = {"row": row}
            fig.add_hline(guessing, **GUESSING, **where)
    fig.update_xaxes(type="log", exponentformat="power", dtick=1)
    fig.update_xaxes(title_text="time", row=len(rows))
    name_once(fig)
    note = (f"n = 1 pair of networks a column; {SAMPLE} training pairs and {SAMPLE} that neither network was trained "
            f"on. Dotted: the loss of guessing. Time: learning rate times steps. Train "
            f"accuracy is 1 throughout. Ours: gradient descent, decay {DECAY:g}.")
    return frame(fig, title="A mixture of two frozen networks", caption=note, above=20 if len(mixtures) > 1 else 0,
                 plot_height={1: 240, 2: 320}.get(len(rows), 440))


def _line(table: pd.DataFrame, metric: str, name: str, color: str, dash: str) -> go.Scatter:
    return go.Scatter(x=table["time"].astype(np.float32), y=table[metric].astype(np.float32), mode="lines", name=name,
                      line={"color": color, "dash": dash, "width": 2.5}, meta={"metric": metric},
                      hovertemplate=f"{name}, time %{{x:.3g}}: %{{y:.3g}}<extra></extra>")


def mixture_scan(scan: pd.DataFrame) -> go.Figure:
    """How far the validation loss rises and where it ends, against w_m2, for each row's `pair` of networks.

    Columns `w_m2`, `pair`, and `peak` and `end` of `analysis.efficiency.told`.
    """
    fig = make_subplots(rows=1, cols=2, horizontal_spacing=0.1, column_titles=["at its highest", "in the end"])
    for (name, rows), color in zip(scan.groupby("pair", sort=False), ("#26358C", "#1B8A9B", "#7CC142"), strict=False):
        for column, metric in enumerate(("peak", "end"), 1):
            fig.add_scatter(x=rows["w_m2"], y=rows[metric], mode="lines+markers", name=str(name), row=1, col=column,
                            line={"color": color, "width": 2.5}, marker={"size": 5},
                            meta={"metric": metric, "pair": name},
                            hovertemplate=f"{name}, w_m2 %{{x:g}}: %{{y:.3g}} nats<extra></extra>")
    fig.add_hline(np.log(113), **GUESSING)
    fig.update_xaxes(type="log", title_text="w_m2, where w_g2 is 1", tickvals=[1, 2, 5, 10, 20])
    fig.update_yaxes(rangemode="tozero")
    fig.update_yaxes(title_text="validation loss (nats)", col=1)
    name_once(fig)
    note = (f"n = 1 mixture a point, {scan['pair'].nunique()} pairs of networks. Dotted: the loss of guessing, ln 113, "
            "from which all begin.")
    return frame(fig, title="How much faster must memory be?", caption=note, plot_height=280, above=20)


def circuit_costs(costs: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Norm and log odds of the right answer of every run at its end, against D_train, memory and rule apart.

    `costs` maps the title of a column to a table that `analysis.efficiency.costs` gives; lines join means.
    """
    rows = {"norm": "weight norm", "log_odds": "log odds of the answer"}
    fig = _panels(2, list(costs))
    for column, table in enumerate(costs.values(), 1):
        for kind, color in KIND_COLORS.items():
            runs = table.query(f"kind == '{kind}'")
            sizes = np.unique(runs["D_train"])
            for row, metric in enumerate(rows, 1):
                look = {"name": kind, "legendgroup": kind, "meta": {"metric": metric, "kind": kind}}
                means = [float(np.mean(runs.loc[runs["D_train"] == size, metric])) for size in sizes]
                fig.add_scatter(x=sizes, y=means, mode="lines", row=row, col=column, hoverinfo="skip",
                                line={"color": color, "width": 2}, **look)
                fig.add_scatter(x=runs["D_train"], y=runs[metric], mode="markers", row=row, col=column,
                                marker={"color": color, "size": 6, "opacity": 0.5}, customdata=runs["seed"],
                                hovertemplate=f"{kind}, D_train %{{x:,}}, seed %{{customdata}}: %{{y:.3g}}"
                                              "<extra></extra>", showlegend=False, **look)
    for row, title in enumerate(rows.values(), 1):
        fig.update_yaxes(title_text=title, rangemode="tozero", row=row, col=1)
    fig.update_xaxes(title_text="D_train", row=2)
    name_once(fig)
    counts = "; ".join(f"{title}: {(table['kind'] == 'memory').sum()} and {(table['kind'] == 'general').sum()}"
                       for title, table in costs.items())
    note = (f"n = {sum(map(len, costs.values()))} runs at their end; of memory and of the rule {counts}. A dot is a "
            "run, a line joins means. Runs in between, and runs that do not know their pairs, are left out.")
    return frame(fig, title="What memory and the rule cost", caption=note, plot_height=420, above=20)

"""Figures on the settings that the paper leaves open: what each candidate gives, and how long one has to wait."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from grokbook.analysis.critical import critical_over_budget
from grokbook.analysis.recipes import STATEMENTS
from grokbook.plots.captions import caption, frame
from grokbook.plots.cells import together
from grokbook.plots.template import d_h_color

ANSWERS = {True: ("yes", "#00795C"), False: ("no", "#E0A3A0"), None: ("not trained", "#FFFFFF")}
"""How a statement came out, and its colour; the words are in the cells too."""


def recipe_filter(table: pd.DataFrame, *, n_steps: int) -> go.Figure:
    """What `analysis.filtered_recipes` says: a row a candidate, a column a statement of Figures 2 and 5.

    Dark where the networks do as the paper says, light where not, white where none was trained; the cell says how many
    were.
    """
    columns = list(STATEMENTS)
    answers = [[None if pd.isna(value) else bool(value) for value in row] for row in table[columns].to_numpy()]
    z = np.array([[list(ANSWERS).index(value) for value in row] for row in answers], float)
    text = [[f"{ANSWERS[value][0]}{f' ({n})' if n else ''}" for value, n in zip(row, counts, strict=True)]
            for row, counts in zip(answers, table[[f"n_{name}" for name in columns]].to_numpy(), strict=True)]
    scale = [[edge, color] for i, (_, color) in enumerate(ANSWERS.values()) for edge in (i / 3, (i + 1) / 3)]
    fig = go.Figure(go.Heatmap(
        x=[STATEMENTS[name] for name in columns], y=table["change"], z=z, zmin=-0.5, zmax=2.5, colorscale=scale,
        showscale=False, xgap=2, ygap=2, text=text, texttemplate="%{text}", textfont={"size": 12},
        hovertemplate="%{y}<br>%{x}: %{text}<extra></extra>", meta={"role": "cells"}))
    fig.update_xaxes(showgrid=False, side="top", tickfont={"size": 11})
    fig.update_yaxes(autorange="reversed", showgrid=False)
    return frame(fig, title="Which recipe does what the paper shows?", plot_height=30 * len(table), left=200, above=20,
                 caption=f"After {n_steps:,} steps. In brackets: n, the networks that the answer rests on. A yes by "
                         "two networks is a hint.")


def critical_by_budget(recipes: Mapping[str, xr.Dataset], budgets: Sequence[int], *,
                       paper: Mapping[int, float] | None = None) -> go.Figure:
    """D_crit against the number of steps, one column a named set of runs, one line a d_h, with its 95 % interval.

    A line is missing where fewer than half of the runs generalise at any D_train. `paper`: D_crit by d_h, as dots at
    the right.
    """
    fig = make_subplots(rows=1, cols=len(recipes), shared_yaxes=True, horizontal_spacing=0.03,
                        column_titles=list(recipes))
    sizes = sorted({int(d_h) for runs in recipes.values() for d_h in runs["d_h"].values})
    for column, runs in enumerate(recipes.values(), 1):
        table = critical_over_budget(runs, [n for n in budgets if n <= int(runs["step"].max())])
        for d_h, rows in table.groupby("d_h"):
            color = d_h_color(int(d_h), sizes)  # pyright: ignore[reportArgumentType]
            fig.add_trace(_border(rows, f"d_h {d_h}", color), row=1, col=column)
            if paper and d_h in paper:
                fig.add_hline(paper[d_h], row=1, col=column,  # pyright: ignore
                              line={"color": color, "dash": "dot", "width": 1.5})
    seen: set[str] = set()
    fig.for_each_trace(lambda trace: trace.update(showlegend=not (trace.name in seen or seen.add(trace.name))))
    fig.update_xaxes(type="log", title_text="steps", tickvals=list(budgets),
                     ticktext=[f"{n / 1000:g}k" for n in budgets])
    fig.update_yaxes(title_text="D_crit", row=1, col=1)
    notes = ["Bars: 95 % intervals, from a measured size to a measured size."]
    notes += ["Dotted: about where the paper has it."] if paper else []
    shown = together([runs.drop_vars([name for name in runs.coords if name not in runs.dims])
                      for runs in recipes.values()])
    return frame(fig, title="The critical size against the budget", plot_height=320, above=20,
                 caption=caption(shown, *notes))


def _border(rows: pd.DataFrame, name: str, color: str) -> go.Scatter:
    bars = {"array": rows["hi"] - rows["D_crit"], "arrayminus": rows["D_crit"] - rows["lo"]}
    known = {end: values.where(np.isfinite(values)) for end, values in bars.items()}
    return go.Scatter(x=rows["n_steps"], y=rows["D_crit"], mode="lines+markers", name=name, legendgroup=name,
                      line={"color": color, "width": 2.5}, error_y=known | {"width": 4, "thickness": 1.3},
                      customdata=rows["n"], meta={"role": "border"},
                      hovertemplate=f"{name}, %{{x:,}} steps: D_crit %{{y:,.0f}}<br>%{{customdata}} seeds"
                                    "<extra></extra>")

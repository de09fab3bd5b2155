"""What networks end with: accuracy against the training size or the hidden size (Huang et al. 2024, Fig 3, 6, 7), and
capacity against the hidden size (Fig 4); and the settings that the paper leaves open: what each candidate gives, and
how long one has to wait.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import xarray as xr

from grokbook.analysis import capacity, final
from grokbook.analysis.descent import double_descent
from grokbook.analysis.efficiency import costs, of_any_parent
from grokbook.analysis.recipes import STATEMENTS
from grokbook.analysis.sizes import critical_over_budget
from grokbook.config import check_among
from grokbook.plots.cells import Runs, as_dataset, as_map, never_trained, not_trained, together
from grokbook.plots.template import ACCURACY_AXIS, INK, MEMORY_COLOR, METRIC_COLORS, caption, d_h_color, frame
from grokbook.plots.traces import BAND, NAMES, discrete, find, name_once, side_by_side, summary
from grokbook.run import ACCURACIES

FINAL = {"train_acc": "final train accuracy", "val_acc": "final validation accuracy",
         "twin_free_val_acc": "final twin-free validation accuracy"}
"""Accuracies at the end of a run, as titles call them."""


def final_accuracy(runs: Runs, *, metric: str = "val_acc", paper: Mapping[int, float] | None = None) -> go.Figure:
    """Mean over seeds of an accuracy at the end of each run, against D_train, with its 95 % interval as a band.

    `metric` is one of `train_acc`, `val_acc`, `twin_free_val_acc`; `paper`: by d_h the D_train from which the paper
    calls it near perfect, as diamonds. Small d_h is blue, large green. A line has a gap where a cell was not trained,
    and the caption names those cells, and sizes of the study without any run.
    Raises ValueError: another metric, or runs that vary over more than d_h, D_train and seed.
    """
    check_among("metric", metric, ACCURACIES)
    data = as_map(runs)
    accuracy, sizes = final(data, metric), data["d_h"].values
    fig = go.Figure()
    for d_h in sizes.tolist():
        fig.add_traces(summary(accuracy.sel(d_h=d_h), name=str(d_h), label=f"d_h {d_h}", color=d_h_color(d_h, sizes),
                               meta={"metric": metric, "d_h": d_h}, mode="lines+markers", marker_size=6))
    for d_h, D_train in (paper or {}).items():
        looks = {"symbol": "diamond", "size": 13, "color": d_h_color(d_h, sizes), "line": {"color": "black"}}
        fig.add_scatter(x=[D_train], y=[1], mode="markers", name=f"paper, {d_h}", marker=looks, meta={"role": "paper"})
    fig.update_xaxes(title_text="D_train")
    fig.update_yaxes(ACCURACY_AXIS, title_text=FINAL[metric])
    fig.update_layout(legend_title_text="d_h ")
    n = accuracy.notnull().sum("seed")
    notes = ["Line: mean over seeds; band: its 95 % interval."] if n.max() > 1 else []
    notes += ["Diamonds: where the paper has that size near perfect."] if paper else []
    words = caption(data, *notes, not_trained(n > 0), never_trained(data, "d_h", "D_train"))
    return frame(fig, title=FINAL[metric].capitalize(), caption=words, plot_height=320)


COSTS = {"memorising": ("know their pairs only", MEMORY_COLOR),
         "generalising": ("know all pairs", METRIC_COLORS["val_acc"])}
"""Networks whose norms tell what each way costs, and their colours."""


def costs_by_size(from_scratch: xr.Dataset, retrained: xr.Dataset) -> go.Figure:
    """The weight norm that networks of one d_h end with, and their validation accuracy, against D_train: dots are runs,
    filled from scratch, open ones retrained after they had generalised; lines join means."""
    fig = side_by_side(("weight norm", "validation accuracy"), horizontal_spacing=0.12)
    both = {"from scratch": (of_any_parent(from_scratch), "circle"),
            "retrained": (of_any_parent(retrained), "circle-open")}
    for way, (runs, symbol) in both.items():
        for kind, (words, color) in COSTS.items():
            norm = costs(runs)[kind].isel(d_h=0)
            if norm.notnull().any():
                fig.add_traces(_dots(norm, f"{way}, {words}", color, symbol), rows=1, cols=1)
        accuracy = final(runs, "val_acc").isel(d_h=0)
        color = "#303030" if way == "from scratch" else "#E69F00"
        fig.add_traces(_dots(accuracy, way, color, symbol), rows=1, cols=2)
    fig.update_xaxes(type="log", title_text="D_train", tickvals=[300, 500, 1000, 2000, 3000], tickfont_size=11)
    fig.update_yaxes(rangemode="tozero", row=1, col=1)
    fig.update_yaxes(ACCURACY_AXIS, row=1, col=2)
    shown = together([runs for runs, _ in both.values()])
    return frame(fig, title="What each way costs, and what networks end with", plot_height=320, above=20,
                 caption=caption(shown, "Dots: runs; lines: means."))


def _dots(values: xr.DataArray, name: str, color: str, symbol: str) -> list[go.Scatter]:
    """A dot a run over D_train, and a line through the means."""
    known = values.dropna("D_train", how="all").transpose("seed", "D_train")
    sizes = known["D_train"].values.astype(np.float32)
    return [go.Scatter(x=np.tile(sizes, known.sizes["seed"]), y=known.values.ravel().astype(np.float32), mode="markers",
                       name=name, legendgroup=name, marker={"color": color, "size": 7, "symbol": symbol},
                       meta={"role": "runs"}, hovertemplate=f"{name}, D_train %{{x:,}}: %{{y:.3g}}<extra></extra>"),
            go.Scatter(x=sizes, y=known.mean("seed").values.astype(np.float32), mode="lines", legendgroup=name,
                       showlegend=False, line={"color": color, "width": 1.5}, meta={"role": "mean"}, hoverinfo="skip")]


LABELS = {"random": ("symmetric labels", MEMORY_COLOR), "random-ordered": ("labels without symmetry", "#C2571A")}
"""Random labels as legends call them, and their colours."""

LITERATURE = {2.0: "language models", 2.16: "feed-forward networks"}
"""Bits a parameter that Allen-Zhu and Li (2024) and Song and Ye measured."""


_POWERS = (4, 8, 16, 32, 64, 128, 256, 512, 1024)
SIZE_AXIS = {"type": "log", "title_text": "d_h", "tickvals": _POWERS, "ticktext": [*map(str, _POWERS)]}
"""A logarithmic axis of hidden sizes."""


def accuracy_by_size(runs: Runs, *, title: str = "Final accuracy against hidden size",
                     paper: Mapping[int, tuple[int, int]] | None = None) -> go.Figure:
    """Mean final accuracies against d_h, one column a D_train, with 95 % intervals over seeds.

    `paper`: by D_train the hidden sizes between which the paper has its valley, as shades; each column then says how
    deep its own is. A line has a gap where a size was not trained, and the caption names it.
    Raises ValueError: runs that vary over more than d_h, D_train and seed.
    """
    data = as_map(runs)
    columns = {f"D_train {D:,}": data.sel(D_train=D) for D in data["D_train"].values.tolist()}
    fig = compare_by_size(columns, title=title, above=72 if paper else 20,
                          note="Shaded: where the paper has its valley." if paper else "")
    for column, row in enumerate(double_descent(data).to_dict("records") if paper else [], 1):
        words = fig.layout.annotations[column - 1]  # pyright: ignore
        words.text += "<br>depth {depth:.2f}<br>p {p:.2f}<br>n {n}".format(**row)
        if paper and row["D_train"] in paper:
            low, high = paper[row["D_train"]]
            fig.add_vrect(low, high, row=1, col=column, fillcolor=INK, opacity=0.1, line_width=0)  # pyright: ignore
    return fig


def compare_by_size(columns: Mapping[str, xr.Dataset], *, title: str, above: int = 20, note: str = "") -> go.Figure:
    """The same with a column for each named set of runs; of each only d_h and seed may vary.

    A line has a gap at a size that was not trained there, and the caption names those sizes and has the `note`.
    `above`: pixels for the titles of the columns.
    """
    fig = side_by_side(columns, shared_yaxes=True, horizontal_spacing=0.02)
    for column, data in enumerate(columns.values(), 1):
        for metric in ACCURACIES:
            traces = summary(final(data, metric), name=NAMES[metric], label=f"{NAMES[metric]} accuracy",
                             color=METRIC_COLORS[metric], meta={"metric": metric}, dots=True)
            fig.add_traces(traces, rows=1, cols=column)
    name_once(fig)
    sizes = sorted({int(d_h) for data in columns.values() for d_h in data["d_h"].values})
    fig.update_xaxes(SIZE_AXIS, range=[np.log10(min(sizes) * 0.88), np.log10(max(sizes) * 1.14)])
    fig.update_yaxes(ACCURACY_AXIS)
    fig.update_yaxes(title_text="final accuracy", row=1, col=1)
    shown = together([data.drop_vars("D_train", errors="ignore") for data in columns.values()])
    return frame(fig, title=title, plot_height=300, above=above,
                 caption=caption(shown, "Line: mean over seeds; dots: every run.", note,
                                 BAND * bool(find(fig, role="band")), *_gaps(columns, sizes)))


def _gaps(columns: Mapping[str, xr.Dataset], sizes: list[int]) -> Iterator[str]:
    """Sentences that name the sizes without a run: of those on the axis column by column, then those of the studies."""
    missing = {name: sorted(set(sizes) - set(data["d_h"].values[data["trained"].any("seed").values]))
               for name, data in columns.items()}
    named = [f"d_h {', '.join(map(str, gap))} at {name}" for name, gap in missing.items() if gap]
    yield f"Not trained: {'; '.join(named)}." if named else ""
    nowhere = {d_h for data in columns.values() for d_h in data.attrs.get("never_trained", {}).get("d_h", ())}
    yield never_trained(xr.Dataset(attrs={"never_trained": {"d_h": sorted(nowhere - set(sizes))}}), "d_h")


def memory(runs: Runs) -> go.Figure:
    """Pairs known by heart and bits a parameter, against d_h, for the kinds of random labels among the runs.

    Bars are 95 % intervals over seeds. Errors as `analysis.capacity`.
    """
    data = as_dataset(runs)
    table = capacity(data)
    fig = side_by_side(("pairs known", "bits a parameter"), horizontal_spacing=0.12)
    for task, rows in table.groupby("task", sort=False):
        fig.add_trace(_capacity(rows, "D_mem", str(task)), row=1, col=1)
        fig.add_trace(_capacity(rows, "bits_per_param", str(task)).update(showlegend=False), row=1, col=2)
    for bits, words in LITERATURE.items():
        fig.add_hline(bits, line={"color": "#8C8C8C", "dash": "dot", "width": 1.5}, row=1, col=2,  # pyright: ignore
                      annotation={"text": f"{bits:g}, {words}", "font": {"size": 11}, "yshift": 8 if bits > 2 else -8},
                      annotation_position="top left" if bits > 2 else "bottom left")
    fig.update_xaxes(title_text="d_h")
    fig.update_yaxes(rangemode="tozero")
    grew = f"Over the second half of the steps train accuracy still grew by up to {table['rising'].max():.3f}."
    return frame(fig, title="What a network can know by heart", plot_height=320, above=20,
                 caption=caption(data, "Random labels for all 12,769 pairs; bars: 95 % intervals.", grew,
                                 never_trained(data, "d_h")))


def _capacity(rows: pd.DataFrame, column: str, task: str) -> go.Scatter:
    name, color = LABELS[task]
    bars = {"array": rows[f"{column}_hi"] - rows[column], "arrayminus": rows[column] - rows[f"{column}_lo"]}
    return go.Scatter(x=rows["d_h"], y=rows[column], mode="lines+markers", name=name, legendgroup=task,
                      line={"color": color, "width": 2.5}, error_y=bars | {"width": 3, "thickness": 1.2},
                      customdata=rows["n"], meta={"metric": column, "task": task, "role": "mean"},
                      hovertemplate=f"{name}, d_h %{{x}}: %{{y:,.4g}}<br>mean of %{{customdata}} seeds<extra></extra>")


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
    text = [[f"{ANSWERS[value][0]}<br>({n})" if n else "" for value, n in zip(row, counts, strict=True)]
            for row, counts in zip(answers, table[[f"n_{name}" for name in columns]].to_numpy(), strict=True)]
    fig = go.Figure(go.Heatmap(
        x=[STATEMENTS[name] for name in columns], y=table["change"].str.replace(", ", ",<br>", n=1), z=z,
        **discrete([color for _, color in ANSWERS.values()]), xgap=2, ygap=2, text=text, texttemplate="%{text}",
        textfont={"size": 11}, hovertemplate="%{y}<br>%{x}: %{text}<extra></extra>", meta={"role": "cells"}))
    fig.update_xaxes(showgrid=False, side="top", tickfont={"size": 11})
    fig.update_yaxes(autorange="reversed", showgrid=False, tickfont={"size": 11})
    return frame(fig, title="Which recipe does it?", plot_height=32 * len(table), left=70, above=40,
                 caption=f"After {n_steps:,} steps. In brackets: n, the networks that the answer rests on. A yes by "
                         "two networks is a hint. White: none was trained.")


def critical_by_budget(recipes: Mapping[str, xr.Dataset], budgets: Sequence[int], *,
                       paper: Mapping[int, float] | None = None) -> go.Figure:
    """D_crit against the number of steps, one column a named set of runs, one line a d_h, with its 95 % interval.

    A line is missing where fewer than half of the runs generalise at any D_train. `paper`: D_crit by d_h, as
    dotted lines.
    """
    fig = side_by_side(recipes, shared_yaxes=True, horizontal_spacing=0.03)
    sizes = sorted({int(d_h) for runs in recipes.values() for d_h in runs["d_h"].values})
    for column, runs in enumerate(recipes.values(), 1):
        table = critical_over_budget(runs, [n for n in budgets if n <= int(runs["step"].max())])
        for d_h, rows in table.groupby("d_h"):
            color = d_h_color(int(d_h), sizes)  # pyright: ignore[reportArgumentType]
            fig.add_trace(_border(rows, f"d_h {d_h}", color), row=1, col=column)
            if paper and d_h in paper:
                fig.add_hline(paper[d_h], row=1, col=column,  # pyright: ignore
                              line={"color": color, "dash": "dot", "width": 1.5})
    name_once(fig)
    fig.update_xaxes(type="log", title_text="thousand steps", tickfont_size=11, tickvals=[*budgets],
                     ticktext=[f"{n / 1000:g}" for n in budgets])
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

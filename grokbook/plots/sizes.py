"""What a network ends with against its hidden size: accuracy (Huang et al. 2024, Fig 6, 7) and capacity (Fig 4)."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from grokbook.analysis import capacity, final, interval
from grokbook.plots.captions import caption, frame
from grokbook.plots.cells import Runs, as_dataset, as_map, never_trained
from grokbook.plots.template import METRIC_COLORS, faded
from grokbook.plots.traces import NAMES, band
from grokbook.run import ACCURACIES

TASKS = {"random": ("symmetric labels", "#7A3E9D"), "random-ordered": ("labels without symmetry", "#C2571A")}
"""Random labels as legends call them, and their colours."""

OTHERS = {2.0: "language models", 2.16: "feed-forward networks"}
"""Bits a parameter that Allen-Zhu and Li (2024) and Song and Ye measured."""


def accuracy_by_size(runs: Runs, *, title: str = "Final accuracy against hidden size") -> go.Figure:
    """Mean final accuracies against d_h, one column a D_train, with 95 % intervals over seeds.

    A line has a gap where a size was not trained, and the caption names it.

    Raises:
        ValueError: runs that vary over more than d_h, D_train and seed.
    """
    data = as_map(runs)
    return compare_by_size({f"D_train {D:,}": data.sel(D_train=D) for D in data["D_train"].values}, title=title)


def compare_by_size(columns: Mapping[str, xr.Dataset], *, title: str) -> go.Figure:
    """The same with a column for each named set of runs; of each only d_h and seed may vary.

    A line has a gap at a size that was not trained there, and the caption names those sizes.
    """
    fig = make_subplots(rows=1, cols=len(columns), shared_yaxes=True, horizontal_spacing=0.02,
                        column_titles=list(columns))
    for column, data in enumerate(columns.values(), 1):
        for metric in ACCURACIES:
            fig.add_traces(_accuracy(data, metric, first=column == 1), rows=1, cols=column)
    sizes = sorted({int(d_h) for data in columns.values() for d_h in data["d_h"].values})
    fig.update_xaxes(type="log", title_text="d_h", tickvals=[d for d in (4, 8, 16, 32, 64) if d <= max(sizes)],
                     ticktext=[str(d) for d in (4, 8, 16, 32, 64) if d <= max(sizes)],
                     range=[np.log10(min(sizes) * 0.88), np.log10(max(sizes) * 1.14)])
    fig.update_yaxes(range=[-0.04, 1.06], tickvals=[0, 0.25, 0.5, 0.75, 1])
    fig.update_yaxes(title_text="final accuracy", row=1, col=1)
    fig.update_annotations(font_size=13)
    every = xr.concat([data.drop_vars("D_train", errors="ignore") for data in columns.values()], "column",
                      join="outer", combine_attrs="drop_conflicts",
                      fill_value={"last_step": -1, "settled": False, "trained": False})
    return frame(fig, title=title, plot_height=300, above=20,
                 caption=caption(every, "Line: mean over seeds; band: its 95 % interval; dots: every run.",
                                 *_gaps(columns, sizes)))


def _gaps(columns: Mapping[str, xr.Dataset], sizes: list[int]) -> Iterator[str]:
    """Sentences that name the sizes without a run: of those on the axis column by column, then those of the studies."""
    absent = {name: sorted(set(sizes) - set(data["d_h"].values[data["trained"].any("seed").values]))
              for name, data in columns.items()}
    named = [f"d_h {', '.join(map(str, here))} at {name}" for name, here in absent.items() if here]
    yield f"Not trained: {'; '.join(named)}." if named else ""
    nowhere = {d_h for data in columns.values() for d_h in data.attrs.get("never_trained", {}).get("d_h", ())}
    yield never_trained(xr.Dataset(attrs={"never_trained": {"d_h": sorted(nowhere - set(sizes))}}), "d_h")


def _accuracy(data: xr.Dataset, metric: str, first: bool) -> list[go.Scatter]:
    values = final(data, metric).transpose("seed", "d_h")
    stats, x, color = interval(values, within=(0, 1)), data["d_h"].values.astype(np.float32), METRIC_COLORS[metric]
    meta = {"metric": metric}
    lines = [go.Scatter(x=x, y=stats["mean"].values.astype(np.float32), mode="lines", name=NAMES[metric],
                        legendgroup=metric, showlegend=first, line={"color": color, "width": 2.5},
                        meta=meta | {"role": "mean"}, customdata=stats["n"].values,
                        hovertemplate=f"{NAMES[metric]} accuracy at d_h %{{x}}: %{{y:.3f}}<br>mean of %{{customdata}} "
                                      "seeds<extra></extra>"),
             go.Scatter(x=np.tile(x, values.sizes["seed"]), y=values.values.ravel().astype(np.float32), mode="markers",
                        legendgroup=metric, showlegend=False, marker={"color": faded(color, 0.5), "size": 4},
                        customdata=np.repeat(values["seed"].values, len(x)), meta=meta | {"role": "runs"},
                        hovertemplate=f"{NAMES[metric]} accuracy at d_h %{{x}}, seed %{{customdata}}: %{{y:.3f}}"
                                      "<extra></extra>")]
    if not stats["lo"].notnull().any():
        return lines
    return [band(x, stats["lo"].values, stats["hi"].values, color, meta=meta | {"role": "band"}, legendgroup=metric),
            *lines]


def memory(runs: Runs) -> go.Figure:
    """Pairs known by heart and bits a parameter, against d_h, for the kinds of random labels among the runs.

    Bars are 95 % intervals over seeds. Errors as `analysis.capacity`.
    """
    data = as_dataset(runs)
    table = capacity(data)
    fig = make_subplots(rows=1, cols=2, horizontal_spacing=0.12, column_titles=["pairs known", "bits a parameter"])
    for task, rows in table.groupby("task", sort=False):
        fig.add_trace(_capacity(rows, "D_mem", str(task)), row=1, col=1)
        fig.add_trace(_capacity(rows, "bits_per_param", str(task)).update(showlegend=False), row=1, col=2)
    for bits, words in OTHERS.items():
        fig.add_hline(bits, line={"color": "#8C8C8C", "dash": "dot", "width": 1.5}, row=1, col=2,  # pyright: ignore
                      annotation={"text": f"{bits:g}, {words}", "font": {"size": 11}, "yshift": 8 if bits > 2 else -8},
                      annotation_position="top left" if bits > 2 else "bottom left")
    fig.update_xaxes(title_text="d_h")
    fig.update_yaxes(rangemode="tozero")
    fig.update_annotations(selector=lambda a: a.text in ("pairs known", "bits a parameter"), font_size=13)
    grew = f"Over the second half of the steps train accuracy still grew by up to {table['rising'].max():.3f}."
    return frame(fig, title="What a network can know by heart", plot_height=320, above=20,
                 caption=caption(data, "Random labels for all 12,769 pairs; bars: 95 % intervals.", grew,
                                 never_trained(data, "d_h")))


def _capacity(rows: pd.DataFrame, column: str, task: str) -> go.Scatter:
    name, color = TASKS[task]
    bars = {"array": rows[f"{column}_hi"] - rows[column], "arrayminus": rows[column] - rows[f"{column}_lo"]}
    return go.Scatter(x=rows["d_h"], y=rows[column], mode="lines+markers", name=name, legendgroup=task,
                      line={"color": color, "width": 2.5}, error_y=bars | {"width": 3, "thickness": 1.2},
                      customdata=rows["n"], meta={"metric": column, "task": task, "role": "mean"},
                      hovertemplate=f"{name}, d_h %{{x}}: %{{y:,.4g}}<br>mean of %{{customdata}} seeds<extra></extra>")

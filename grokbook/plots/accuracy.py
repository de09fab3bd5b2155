"""Final accuracy against the size of the training set, one line a network size (Huang et al. 2024, Fig 3)."""

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from grokbook.analysis import final, interval
from grokbook.plots.captions import caption, frame
from grokbook.plots.cells import Runs, as_map, never_trained, not_trained
from grokbook.plots.template import d_h_color
from grokbook.plots.traces import band
from grokbook.run import ACCURACIES

TITLES = {"train_acc": "final train accuracy", "val_acc": "final validation accuracy",
          "twin_free_val_acc": "final twin-free validation accuracy"}


def final_accuracy(runs: Runs, *, metric: str = "val_acc") -> go.Figure:
    """Mean over seeds of an accuracy at the end of each run, against D_train, with its 95 % interval as a band.

    `metric` is one of `train_acc`, `val_acc`, `twin_free_val_acc`. Small d_h is blue, large green. A line has a gap
    where a cell was not trained, and the caption names those cells, and sizes of the study without any run.

    Raises:
        ValueError: another metric, or runs that vary over more than d_h, D_train and seed.
    """
    if metric not in ACCURACIES:
        raise ValueError(f"metric={metric!r} is no accuracy; valid: {', '.join(ACCURACIES)}")
    data = as_map(runs)
    stats = interval(final(data, metric), within=(0, 1))
    fig = go.Figure([trace for d_h in data["d_h"].values for trace in _line(stats, int(d_h), metric)])
    fig.update_xaxes(title_text="D_train")
    fig.update_yaxes(title_text=TITLES[metric], range=[-0.04, 1.06], tickvals=[0, 0.25, 0.5, 0.75, 1])
    fig.update_layout(legend_title_text="d_h ")
    notes = ["Line: mean over seeds; band: its 95 % interval."] if stats["n"].max() > 1 else []
    said = caption(data, *notes, not_trained(stats["n"] > 0), never_trained(data, "d_h", "D_train"))
    return frame(fig, title=TITLES[metric].capitalize(), caption=said, plot_height=320)


def _line(stats: xr.Dataset, d_h: int, metric: str) -> list[go.Scatter]:
    """The mean of one network size with a dot a cell, and behind it the interval where any cell has one."""
    row, color = stats.sel(d_h=d_h), d_h_color(d_h, stats["d_h"].values)
    x, meta = row["D_train"].values, {"metric": metric, "d_h": d_h}
    line = go.Scatter(
        x=x, y=row["mean"].values.astype(np.float32), mode="lines+markers", name=str(d_h), legendgroup=str(d_h),
        line={"color": color, "width": 2.5}, marker={"size": 6}, meta=meta | {"role": "mean"},
        customdata=np.column_stack([row["lo"], row["hi"], row["n"]]).astype(np.float32),
        hovertemplate=f"d_h {d_h}, D_train %{{x}}<br>%{{y:.3f}} (%{{customdata[0]:.3f}} to %{{customdata[1]:.3f}})"
                      "<br>mean of %{customdata[2]} seeds<extra></extra>")
    if not row["lo"].notnull().any():
        return [line]
    lo, hi = row["lo"].values, row["hi"].values
    return [band(x, lo, hi, color, meta=meta | {"role": "band"}, legendgroup=str(d_h)), line]

"""Final accuracy against the size of the training set, one line a network size (Huang et al. 2024, Fig 3)."""

import plotly.graph_objects as go

from grokbook.analysis import final
from grokbook.plots.captions import caption, frame
from grokbook.plots.cells import Runs, as_map, never_trained, not_trained
from grokbook.plots.template import ACCURACY_AXIS, d_h_color
from grokbook.plots.traces import summary
from grokbook.run import ACCURACIES

FINAL = {"train_acc": "final train accuracy", "val_acc": "final validation accuracy",
         "twin_free_val_acc": "final twin-free validation accuracy"}
"""Accuracies at the end of a run, as titles call them."""


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
    accuracy, sizes = final(data, metric), data["d_h"].values
    fig = go.Figure()
    for d_h in sizes.tolist():
        fig.add_traces(summary(accuracy.sel(d_h=d_h), name=str(d_h), label=f"d_h {d_h}", color=d_h_color(d_h, sizes),
                               meta={"metric": metric, "d_h": d_h}, mode="lines+markers", marker_size=6))
    fig.update_xaxes(title_text="D_train")
    fig.update_yaxes(ACCURACY_AXIS, title_text=FINAL[metric])
    fig.update_layout(legend_title_text="d_h ")
    n = accuracy.notnull().sum("seed")
    notes = ["Line: mean over seeds; band: its 95 % interval."] if n.max() > 1 else []
    words = caption(data, *notes, not_trained(n > 0), never_trained(data, "d_h", "D_train"))
    return frame(fig, title=FINAL[metric].capitalize(), caption=words, plot_height=320)

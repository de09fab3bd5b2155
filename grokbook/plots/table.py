"""A task as a picture: its table of answers, and which of its pairs are shown to a network."""

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from grokbook import tasks
from grokbook.config import RunConfig
from grokbook.plots.captions import frame
from grokbook.plots.template import METRIC_COLORS

KINDS = {"shown": METRIC_COLORS["train_acc"], "new, mirror shown": METRIC_COLORS["twin_free_val_acc"],
         "new": "#DCE9F2"}
"""What a pair is to the network, and its colour."""


def table_and_split(config: RunConfig) -> go.Figure:
    """The answers of all pairs (a, b), beside which of them the seed shows, which it does not, and of which the mirror
    (b, a). Of a task in which every pair of the p numbers has one answer."""
    p, split = config.p, tasks.split(config)
    kind = np.select([split.train, ~split.twin_free_val], [0, 1], 2)
    fig = make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.06,
                        column_titles=["the answers", f"the split of seed {config.seed}"])
    fig.add_trace(go.Heatmap(z=tasks.table(config).labels.reshape(p, p).T, colorscale="Cividis", showscale=False,
                             meta={"role": "answers"}, hovertemplate="a %{x}, b %{y}: %{z}<extra></extra>"), 1, 1)
    scale = [[edge, color] for i, color in enumerate(KINDS.values()) for edge in (i / 3, (i + 1) / 3)]
    fig.add_trace(go.Heatmap(z=kind.reshape(p, p).T, zmin=-0.5, zmax=2.5, colorscale=scale, showscale=False,
                             meta={"role": "split"}, hovertemplate="a %{x}, b %{y}<extra></extra>"), 1, 2)
    fig.add_traces([go.Scatter(x=[None], y=[None], mode="markers", name=name,
                               marker={"color": color, "symbol": "square", "size": 11})
                    for name, color in KINDS.items()])
    fig.update_xaxes(title_text="a", showgrid=False)
    fig.update_yaxes(showgrid=False, scaleanchor="x")
    fig.update_yaxes(title_text="b", row=1, col=1)
    fig.update_annotations(font_size=13)
    counts = ", ".join(f"{int((kind == i).sum()):,} {name}" for i, name in enumerate(KINDS))
    return frame(fig, title="All pairs, and those that are shown", plot_height=330, above=20,
                 caption=f"Of {p * p:,} pairs: {counts}.")

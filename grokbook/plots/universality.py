"""Three kinds of network side by side ("Towards Understanding the Mystery behind Grokking Phenomenon", Fig 1 to 3)."""

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from grokbook.analysis.events import LONG_BEFORE
from grokbook.analysis.universality import grokked, widest
from grokbook.plots.captions import caption, frame
from grokbook.plots.cells import together
from grokbook.plots.curves import panels
from grokbook.plots.template import FAINT

LOOKS = {"transformer": ("transformer", "#26358C"), "lstm": ("LSTM", "#C2571A"), "mlp": ("feed-forward", "#00795C")}
"""How figures call a kind of network, and its colour."""


def network_panels(runs: xr.Dataset, D_train: int) -> go.Figure:
    """Accuracy and loss of every seed, a column each for the widest networks of each kind, on D_train pairs.

    Raises ValueError: no network was trained on so many.
    """
    cells = {kind: of.sel(D_train=D_train) for kind, of in widest(runs, 1, D_train).items()}
    if not cells:
        raise ValueError(f"D_train={D_train} is of no run; valid: {', '.join(map(str, runs['D_train'].values))}")
    names = [f"{LOOKS[kind][0]}, d_h {int(cell['d_h'])}" for kind, cell in cells.items()]
    return panels(list(cells.values()), ["accuracy", "loss"], None, f"Networks on {D_train:,} pairs", names)


def delay_by_share(runs: xr.Dataset) -> go.Figure:
    """Steps to generalise over steps to memorise against the share of data; a dot a run, a line through the medians.

    A triangle is a run that had not generalised by its end, at the ratio that its end is: its own lies above.
    """
    fig, shown = go.Figure(), [widest(runs, 1, int(D)) for D in runs["D_train"].values]
    kinds = {kind: of for chosen in shown for kind, of in chosen.items()}
    for kind, of in kinds.items():
        name, color = LOOKS[kind]
        table = grokked(of)
        last = [int(of["last_step"].sel(D_train=row.D_train, seed=row.seed)) for row in table.itertuples()]
        table = table.assign(open=table["t_gen"].isna(), shown=table["ratio"].where(
            np.isfinite(table["ratio"]), np.array(last) / table["t_mem"])).dropna(subset="shown")
        medians = table.groupby("share")["shown"].median()
        fig.add_scatter(x=medians.index, y=medians, mode="lines", name=name, line={"color": color, "width": 2.5},
                        hoverinfo="skip", meta={"kind": kind, "role": "median"})
        fig.add_scatter(x=table["share"], y=table["shown"], mode="markers", name=name, showlegend=False,
                        marker={"color": color, "size": 9, "symbol": np.where(
                            table["open"], "triangle-up-open", "circle").tolist()}, customdata=table["seed"],
                        meta={"kind": kind, "role": "runs"},
                        hovertemplate=f"{name}, %{{x:.0%}}, seed %{{customdata}}: %{{y:.3g}} times<extra></extra>")
    fig.add_hrect(0.5, LONG_BEFORE, fillcolor=FAINT, opacity=0.5, line_width=0, layer="below")
    fig.update_xaxes(title_text="share of the pairs trained on", tickformat=".0%")
    fig.update_yaxes(type="log", title_text="generalised / memorised", exponentformat="power", dtick=1)
    words = caption(together(list(kinds.values())), "A dot is a run, a line joins medians, a triangle is a run that "
                    f"had not generalised by its end. Grey: less than {LONG_BEFORE} times, no grokking.")
    return frame(fig, title="Delay against the share of data", plot_height=300, caption=words)

"""Three kinds of network side by side ("Towards Understanding the Mystery behind Grokking Phenomenon", Fig 1 to 3)."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import xarray as xr

from grokbook.analysis.events import LONG_BEFORE
from grokbook.analysis.norms import of_any_parent
from grokbook.analysis.statistics import interval
from grokbook.analysis.universality import at_share, grokked, widest
from grokbook.plots.captions import caption, frame
from grokbook.plots.cells import together
from grokbook.plots.curves import panels
from grokbook.plots.template import FAINT

LOOKS = {"transformer": ("transformer", "#26358C"), "lstm": ("LSTM", "#C2571A"), "mlp": ("feed-forward", "#00795C")}
"""How figures call a kind of network, and its colour."""


def network_panels(runs: xr.Dataset, share: float) -> go.Figure:
    """Accuracy and loss of every seed, a column each for the widest networks of each kind, on a share of the pairs.

    Raises ValueError: no network was trained on it.
    """
    cells = {kind: at_share(of, share).isel(D_train=0) for kind, of in widest(runs, 1, share).items()}
    if not cells:
        raise ValueError(f"share={share} is of no run; D_train is {', '.join(map(str, runs['D_train'].values))}")
    D_train = int(next(iter(cells.values()))["D_train"])
    names = [f"{LOOKS[kind][0]}, d_h {int(cell['d_h'])}" for kind, cell in cells.items()]
    title = f"Networks on {D_train:,} pairs" if len(names) > 1 else f"{names[0]}, on {D_train:,} pairs".capitalize()
    return panels(list(cells.values()), ["accuracy", "loss"], None, title, names)


def unlearning(networks: Mapping[str, xr.Dataset]) -> go.Figure:
    """Accuracy of networks that had generalised and are trained on with few pairs; a column each, by its title.

    Of each only the seed may vary, and the parent with it.
    """
    wholes = [of_any_parent(runs) for runs in networks.values()]
    cells = [whole.squeeze([dim for dim in whole.dims if dim not in ("seed", "step")]) for whole in wholes]
    return panels(cells, ["accuracy"], None, "Trained on with few pairs", list(networks))


def delay_by_share(kinds: Mapping[str, xr.Dataset]) -> go.Figure:
    """Steps to generalise over steps to memorise against the share of data; a dot a run, a line through the medians,
    bars for 95 % intervals of the mean logarithm where two runs or more have generalised, and all that memorised.

    `kinds` are runs over D_train, seed and step by the names of their networks. A triangle is a run that had not
    generalised by its end, at the ratio that its end is: its own lies above.
    """
    fig = go.Figure()
    for kind, of in kinds.items():
        name, color = LOOKS.get(kind, (kind, "#8C8C8C"))
        table = grokked(of)
        last = [int(of["last_step"].sel(D_train=D_train, seed=seed))
                for D_train, seed in zip(table["D_train"], table["seed"], strict=True)]
        ratio = table["ratio"].where(np.isfinite(table["ratio"]), np.array(last) / table["t_mem"])
        medians = ratio.groupby(table["share"]).median()
        ends = _bars(table).reindex(medians.index)
        look = {"name": name, "legendgroup": name}
        fig.add_scatter(x=medians.index, y=medians, mode="lines", line={"color": color, "width": 2.5}, hoverinfo="skip",
                        error_y={"array": ends["hi"] - medians, "arrayminus": medians - ends["lo"], "thickness": 1},
                        meta={"kind": kind, "role": "median"}, **look)
        symbols = np.where(table["t_gen"].isna(), "triangle-up-open", "circle").tolist()
        fig.add_scatter(x=table["share"], y=ratio, mode="markers", showlegend=False, customdata=table["seed"],
                        marker={"color": color, "size": 9, "symbol": symbols}, meta={"kind": kind, "role": "runs"},
                        hovertemplate=f"{name}, %{{x:.0%}}, seed %{{customdata}}: %{{y:.3g}} times<extra></extra>",
                        **look)
    fig.add_hrect(0.5, LONG_BEFORE, fillcolor=FAINT, opacity=0.5, line_width=0, layer="below")
    fig.update_xaxes(title_text="share of the pairs trained on", tickformat=".0%", range=[0, 1])
    fig.update_yaxes(type="log", title_text="generalised / memorised", exponentformat="power", dtick=1)
    words = caption(together(list(kinds.values())), "A dot is a run, a line joins medians, bars are 95 % intervals "
                    "of the mean logarithm, a triangle is a run that had not generalised by its end. Grey: less than "
                    f"{LONG_BEFORE} times, no grokking.")
    return frame(fig, title="Delay against the share of data", plot_height=300, caption=words)


def _bars(table: pd.DataFrame) -> pd.DataFrame:
    """The 95 % interval of the mean logarithm of `ratio`, by share: `lo` and `hi`, none where a ratio is infinite."""
    logs = {share: np.log(group["ratio"].to_numpy()) for share, group in table.groupby("share")}
    rows = {share: interval(xr.DataArray(values, dims="seed")) for share, values in logs.items()
            if not np.isinf(values).any()}
    return pd.DataFrame({end: {share: float(np.exp(row[end])) for share, row in rows.items()} for end in ("lo", "hi")})

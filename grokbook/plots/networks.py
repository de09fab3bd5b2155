"""Three kinds of network side by side, two frozen ones in one mixture, and what memory and the rule cost ("Towards
Understanding the Mystery behind Grokking Phenomenon", Fig 1 to 6).
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import xarray as xr

from grokbook.analysis.efficiency import DECAY, SAMPLE, of_any_parent
from grokbook.analysis.events import LONG_BEFORE
from grokbook.analysis.statistics import interval
from grokbook.analysis.universality import at_share, by_setting, grokked, widest
from grokbook.plots.cells import together
from grokbook.plots.curves import panels
from grokbook.plots.template import ACCURACY_AXIS, FAINT, MEMORY_COLOR, METRIC_COLORS, ZONE_COLORS, caption, frame
from grokbook.plots.traces import name_once, side_by_side
from grokbook.studies import SETTINGS

LOOKS = {"transformer": ("transformer", "#26358C"), "lstm": ("LSTM", "#C2571A"), "mlp": ("feed-forward", "#00795C")}
"""How figures call a kind of network, and its colour."""

SHARE_COLORS = ("#7CC142", "#1B8A9B", "#26358C")
"""Of shares of the pairs, the smallest first."""


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
    """Steps to generalise over steps to memorise against the share of data; a dot a run, a line through the medians
    (none where most runs had not generalised), bars for 95 % intervals of the mean logarithm where two runs or more
    have generalised, and all that memorised.

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
        medians = table.groupby("share")["ratio"].median().replace(np.inf, np.nan)
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
    fig.update_yaxes(type="log", title_text="generalised / memorised", tickvals=[1, 2, 5, 10, 20, 50, 100, 200, 500])
    words = caption(together(list(kinds.values())), "A dot is a run, a line joins the medians that are known, bars are "
                    "95 % intervals of the mean logarithm, a triangle is a run that had not generalised by its end. "
                    f"Grey: less than {LONG_BEFORE} times, no grokking.")
    return frame(fig, title="Delay against the share of data", plot_height=300, caption=words)


def _bars(table: pd.DataFrame) -> pd.DataFrame:
    """The 95 % interval of the mean logarithm of `ratio`, by share: `lo` and `hi`, none where a ratio is infinite."""
    logs = {share: np.log(group["ratio"].to_numpy()) for share, group in table.groupby("share")}
    rows = {share: interval(xr.DataArray(values, dims="seed")) for share, values in logs.items()
            if not np.isinf(values).any()}
    return pd.DataFrame({end: {share: float(np.exp(row[end])) for share, row in rows.items()} for end in ("lo", "hi")})


def settings_by_share(runs: xr.Dataset) -> go.Figure:
    """Final validation accuracy under the settings of Figure 4: a row a setting, a dot a run, its colour and its place
    in the row the share of the pairs; a setting without runs has an empty row."""
    fig, table, rows = go.Figure(), by_setting(runs), list(SETTINGS)
    shares = sorted(table["share"].unique())
    looks = zip(SHARE_COLORS, ("circle", "square", "diamond"), strict=False)
    for k, (share, (color, symbol)) in enumerate(zip(shares, looks, strict=False)):
        ends = table[table["share"] == share]
        means = ends.groupby("setting")["val_acc"].transform("mean")
        lines = [rows.index(name) + (k - (len(shares) - 1) / 2) / 4 for name in ends["setting"]]
        fig.add_scatter(x=ends["val_acc"], y=lines, mode="markers", name=f"{share:.0%} of the pairs",
                        marker={"color": color, "symbol": symbol, "size": 9, "opacity": 0.8},
                        customdata=np.column_stack([ends["setting"], ends["seed"], means]),
                        meta={"share": float(share)},
                        hovertemplate="%{customdata[0]}, seed %{customdata[1]}: %{x:.3f} (mean %{customdata[2]:.3f})"
                                      "<extra></extra>")
    fig.update_yaxes(tickvals=list(range(len(rows))), ticktext=rows, range=[len(rows) - 0.5, -0.5], zeroline=False)
    fig.update_xaxes(ACCURACY_AXIS, title_text="validation accuracy in the end")
    missing = [name for name in rows if name not in set(table["setting"])]
    words = caption(runs, "A dot is a run.", *[f"Not trained yet: {', '.join(missing)}."] * bool(missing))
    return frame(fig, title="Nine settings", plot_height=380, caption=words, left=100)


KIND_COLORS = {"memory": MEMORY_COLOR, "general": ZONE_COLORS["GROKKING"]}
"""The rule is blue, as the zone in which networks find it."""

LINES = {"loss (nats)": {"train_loss": ("train", METRIC_COLORS["train_loss"], "solid"),
                         "val_loss": ("validation", METRIC_COLORS["val_loss"], "solid")},
         "accuracy": {"val_acc": ("validation", METRIC_COLORS["val_acc"], "solid")},
         "weight": {"w_mem": ("of the memory", KIND_COLORS["memory"], "dash"),
                    "w_gen": ("of the rule", KIND_COLORS["general"], "dash")}}
"""Rows of panels, and their lines: column of the table to name, colour and dash."""


GUESSING = {"line": {"color": "#8C8C8C", "dash": "dot", "width": 1.5}}
"""The loss of guessing."""


def _panels(rows: int, columns: list[str]) -> go.Figure:
    """Panels with shared axes, their columns titled where there are several."""
    return side_by_side(columns if len(columns) > 1 else [""], rows=rows, shared_xaxes=True, shared_yaxes="rows",
                        vertical_spacing=0.05, horizontal_spacing=0.04)


def mixture_panels(mixtures: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Losses, validation accuracy and both weights of mixtures against time; a column each, by its title.

    `mixtures` holds tables that `analysis.efficiency.train_mixture` gives.
    """
    fig = _panels(len(LINES), list(mixtures))
    for column, table in enumerate(mixtures.values(), 1):
        later = table.query("time > 0")
        for row, lines in enumerate(LINES.values(), 1):
            fig.add_traces([_line(later, metric, *look) for metric, look in lines.items()], row, column)
    guessing = float(next(iter(mixtures.values()))["train_loss"].iloc[0])
    for row, (title, lines) in enumerate(LINES.items(), 1):
        highest = max(float(table[list(lines)].to_numpy().max()) for table in mixtures.values())
        fig.update_yaxes(ACCURACY_AXIS if title == "accuracy" else {"range": [0, 1.05 * highest]}, row=row)
        fig.update_yaxes(title_text=title, row=row, col=1)
        if title.startswith("loss"):
            fig.update_yaxes(type="log", exponentformat="power", dtick=1, tickfont={"size": 11},
                             range=[-2, np.log10(2 * highest)], title_standoff=12, row=row)
            fig.add_hline(guessing, **GUESSING, row=row)  # pyright: ignore
    fig.update_xaxes(type="log", exponentformat="power", dtick=1)
    if len(mixtures) > 1:
        fig.update_xaxes(tickvals=[0.1, 10], tickangle=0)  # no labels at the ends, where columns meet
    fig.update_xaxes(title_text="time", row=len(LINES))
    name_once(fig)
    note = (f"n = 1 pair of networks a column; {SAMPLE} training pairs and {SAMPLE} that neither network was trained "
            f"on. Dotted: the loss of guessing. Time: learning rate times steps. Train "
            f"accuracy is 1 throughout. Ours: gradient descent, decay {DECAY:g}.")
    return frame(fig, title="A mixture of two frozen networks", caption=note, above=20 if len(mixtures) > 1 else 0,
                 plot_height=440)


def _line(table: pd.DataFrame, metric: str, name: str, color: str, dash: str) -> go.Scatter:
    return go.Scatter(x=table["time"].astype(np.float32), y=table[metric].astype(np.float32), mode="lines", name=name,
                      line={"color": color, "dash": dash, "width": 2.5}, meta={"metric": metric},
                      hovertemplate=f"{name}, time %{{x:.3g}}: %{{y:.3g}}<extra></extra>")


def mixture_scan(scan: pd.DataFrame) -> go.Figure:
    """How far the validation loss rises and where it ends, against w_m2, for each row's `pair` of networks.

    Columns `w_m2`, `pair`, and `peak` and `end` of `analysis.efficiency.told`.
    """
    fig = side_by_side(("at its highest", "in the end"), horizontal_spacing=0.1)
    for (name, rows), color in zip(scan.groupby("pair", sort=False), ("#26358C", "#1B8A9B", "#7CC142"), strict=False):
        for column, metric in enumerate(("peak", "end"), 1):
            fig.add_scatter(x=rows["w_m2"], y=rows[metric], mode="lines+markers", name=str(name), row=1, col=column,
                            line={"color": color, "width": 2.5}, marker={"size": 5},
                            meta={"metric": metric, "pair": name},
                            hovertemplate=f"{name}, w_m2 %{{x:g}}: %{{y:.3g}} nats<extra></extra>")
    fig.add_hline(np.log(113), **GUESSING)  # pyright: ignore
    fig.update_xaxes(type="log", title_text="w_m2, where w_g2 is 1", tickvals=[1, 2, 5, 10, 20])
    fig.update_yaxes(rangemode="tozero")
    fig.update_yaxes(title_text="validation loss (nats)", col=1)
    name_once(fig)
    note = (f"n = 1 mixture a point, {scan['pair'].nunique()} pairs of networks. Dotted: the loss of guessing, ln 113, "
            "from which all begin.")
    return frame(fig, title="How much faster must memory be?", caption=note, plot_height=280, above=20)


def circuit_costs(costs: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Norm and log odds of the right answer of every run at its end, against D_train, memory and rule apart.

    `costs` maps the title of a column to a table that `analysis.efficiency.costs_by_run` gives; lines join means.
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
    fig.update_xaxes(title_text="D_train", nticks=4, tickangle=0, row=2)
    name_once(fig)
    counts = "; ".join(f"{title}: {(table['kind'] == 'memory').sum()} and {(table['kind'] == 'general').sum()}"
                       for title, table in costs.items())
    note = (f"n = {sum(map(len, costs.values()))} runs at their end; of memory and of the rule {counts}. A dot is a "
            "run, a line joins means. A row has one scale. Runs in between, and runs that do not know their pairs, are "
            "left out.")
    return frame(fig, title="What memory and the rule cost", caption=note, plot_height=420, above=20)

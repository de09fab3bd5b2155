"""Addition beside random pairs: accuracy against the size of networks (Huang et al. 2024, Fig 8), and what they forget
while they learn the random pairs."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from plotly.colors import sample_colorscale

from grokbook import analysis
from grokbook.analysis import final
from grokbook.networks import FORGETTING, named
from grokbook.plots import template
from grokbook.plots.cells import never_trained
from grokbook.plots.sizes import FINAL, SIZE_AXIS
from grokbook.plots.traces import name_once, side_by_side

SCALE = "Plasma"
"""Few random pairs are dark, many light; its lightest fifth, which white hides, is left out."""

TASKS = {"additions": ("trained additions", template.METRIC_COLORS["train_acc"], "solid"),
         "random": ("random pairs", template.MEMORY_COLOR, "solid"),
         "twin_free_val_acc": ("new additions, twin-free", template.METRIC_COLORS["twin_free_val_acc"], "solid"),
         "keys": ("embedding's power in the key frequencies", "#C2571A", "dot")}
"""Name, colour and dash of what is drawn of two tasks."""

ARROWS = 0.4
"""Length of a path between two arrows."""


def emergence(runs: xr.Dataset, *, metric: str = "twin_free_val_acc") -> go.Figure:
    """Final accuracy on addition against d_h, a line a number of random pairs: best of the seeds, and their mean.

    `runs`: dimensions d_h, D_random, seed, step. Dots are runs; where one seed ran both columns agree.
    """
    accuracy, pairs = final(runs, metric), runs["D_random"].values.tolist()
    columns = {"best seed": accuracy.max("seed"), "mean of the seeds": accuracy.mean("seed")}
    fig = side_by_side(columns, shared_yaxes=True, horizontal_spacing=0.03)
    for i, D_random in enumerate(pairs):
        color = str(sample_colorscale(SCALE, 0.8 * i / max(len(pairs) - 1, 1))[0])
        for column, (name, values) in enumerate(columns.items(), 1):
            fig.add_trace(_line(values.sel(D_random=D_random), D_random, color, name), row=1, col=column)
        fig.add_trace(_dots(accuracy.sel(D_random=D_random), D_random, color), row=1, col=2)
    fig.update_xaxes(SIZE_AXIS)
    fig.update_yaxes(template.ACCURACY_AXIS)
    fig.update_yaxes(title_text=FINAL[metric], row=1, col=1)
    fig.update_layout(legend_title_text="random pairs ")
    words = template.caption(runs, "Dots: every run.", _holes(runs), never_trained(runs, "d_h"))
    return template.frame(fig, title="Addition beside random pairs", plot_height=320, above=20, caption=words)


def forgetting(runs: xr.Dataset, *, sizes: Sequence[int] | None = None) -> go.Figure:
    """Twin-free accuracy against train accuracy along training, a column a number of random pairs, a line a run.

    `runs` as for `emergence`. A run moves to the right as it learns its pairs, up as it learns to add, and down as it
    takes that back, as its arrows point; a dot is its end. Dotted: all additions and no random pair known.
    """
    runs = runs if sizes is None else runs.sel(d_h=list(sizes))
    shown = [int(D) for D in runs["D_random"].values if D and bool(runs["trained"].sel(D_random=D).any())]
    titles = [f"{D:,} random pairs" for D in shown] or [""]
    fig = side_by_side(titles, shared_yaxes=True, horizontal_spacing=0.02)
    for column, D_random in enumerate(shown, 1):
        for d_h, seed in np.argwhere(runs["trained"].sel(D_random=D_random).transpose("d_h", "seed").values):
            run = runs.sel(D_random=D_random).isel(d_h=d_h, seed=seed)
            fig.add_traces(_path(run, template.d_h_color(int(run["d_h"]), runs["d_h"].values)), rows=1, cols=column)
        known = int(runs["D_train"]) / (int(runs["D_train"]) + D_random)
        fig.add_vline(known, line={"color": template.INK, "dash": "dot", "width": 1}, row=1, col=column)  # pyright: ignore
    fig.update_traces(showlegend=False, selector={"mode": "markers"})
    name_once(fig)
    fig.update_xaxes(template.ACCURACY_AXIS, title_text="train accuracy")
    fig.update_yaxes(template.ACCURACY_AXIS)
    fig.update_yaxes(title_text="twin-free validation accuracy", row=1, col=1)
    fig.update_layout(legend_title_text="d_h ")
    mixed = runs.sel(D_random=shown)
    return template.frame(fig, title="Learned and taken back", plot_height=320, above=20, caption=template.caption(
        mixed, "One line a run, arrows as it trained; dot: its end; dotted: all additions and no random pair known."))


def two_tasks(names: Sequence[str] = tuple(FORGETTING)) -> go.Figure:
    """Along training, one column a network: accuracy on trained additions, on random pairs and on new additions, and
    the power of the embedding in the key frequencies (`analysis.emergence.two_tasks`). Errors as `circuit.stored`.
    """
    titles = [f"seed {named(name).config.seed}" for name in names]
    fig = side_by_side(titles, shared_yaxes=True, horizontal_spacing=0.03)
    tables = [analysis.emergence.two_tasks(name) for name in names]
    for column, table in enumerate(tables, 1):
        for part, (name, color, dash) in TASKS.items():
            fig.add_scatter(x=template.shown_steps(table.index), y=table[part], name=name, legendgroup=part,
                            line={"color": color, "dash": dash}, showlegend=column == 1, meta={"role": part},
                            customdata=table.index, hovertemplate=f"{name}<br>step %{{customdata:,}}: %{{y:.3f}}"
                            "<extra></extra>", row=1, col=column)
    steps = [step for table in tables for step in table.index]
    fig.update_xaxes(type="log", title_text="step", tickvals=[200, 500, 1000, 2000, 5000], tickfont_size=11,
                     range=[np.log10(0.9 * min(steps)), np.log10(1.1 * max(steps))])
    fig.update_yaxes(template.ACCURACY_AXIS)
    fig.update_yaxes(title_text="accuracy, or share", row=1, col=1)
    config, n_same = named(names[0]).config, sum(table["shared"].iloc[-1] == 1 for table in tables)
    return template.frame(fig, title="Two tasks in one network", plot_height=300, above=20, caption=(
        f"n = {len(names)} networks, d_h {config.d_h} on {config.D_train:,} additions and {config.D_random:,} random "
        f"pairs, from weights kept at {len(tables[0])} steps. Key frequencies: those of the step with the highest "
        f"twin-free accuracy, which are those of the end in {n_same} of {len(names)}."))


def competition(runs: xr.Dataset, fewer: xr.Dataset, *, D_random: int, bits: float,
                metric: str = "twin_free_val_acc") -> go.Figure:
    """Do networks beside random pairs behave as smaller ones, or as ones with too few pairs?

    Mean final accuracy against d_h: alone, beside `D_random` random pairs with every run, what `as_smaller` expects of
    the latter if a weight holds `bits`, and networks on fewer additions with none beside (`fewer`, one D_train).
    """
    accuracy, expected = final(runs, metric), analysis.emergence.as_smaller(runs, bits, metric).sel(D_random=D_random)
    beside, few = accuracy.sel(D_random=D_random), final(fewer, metric)
    lines = {"alone": (accuracy.sel(D_random=0).mean("seed"), template.INK, "solid"),
             f"beside {D_random:,} random pairs": (beside.mean("seed"), "#D55E00", "solid"),
             "expected if they only use up memory": (expected, template.MEMORY_COLOR, "dash"),
             f"alone on {int(fewer['D_train']):,}": (few.mean("seed"), "#009E73", "dot")}
    fig = go.Figure(_dots(beside, D_random, "#D55E00").update(legendgroup=None))  # else the legend is a column
    for name, (values, color, dash) in lines.items():
        values = values.dropna("d_h")
        fig.add_scatter(x=values["d_h"].values, y=values.values, name=name, mode="lines+markers",
                        meta={"role": name}, line={"color": color, "dash": dash},
                        hovertemplate=f"{name}: d_h %{{x}}, %{{y:.3f}}<extra></extra>")
    fig.update_xaxes(SIZE_AXIS)
    fig.update_yaxes(template.ACCURACY_AXIS, title_text=FINAL[metric])
    words = (f"Dots: every run beside random pairs. A weight is taken to hold {bits:.2f} bits. Lines: means; dotted: "
             f"n = {int(fewer['trained'].sum())} runs.")
    return template.frame(fig, title="Smaller, or short of pairs?", plot_height=320,
                          caption=template.caption(runs.sel(D_random=[0, D_random]), words))


def _line(values: xr.DataArray, D_random: int, color: str, role: str) -> go.Scatter:
    values = values.dropna("d_h")
    name = f"{D_random:,}"
    return go.Scatter(x=values["d_h"].values, y=values.values, mode="lines+markers", name=name, legendgroup=name,
                      line={"color": color, "width": 2.5}, marker={"size": 6}, showlegend=role == "best seed",
                      meta={"role": role, "D_random": D_random},
                      hovertemplate=f"{name} random pairs, d_h %{{x}}<br>{role}: %{{y:.3f}}<extra></extra>")


def _dots(accuracy: xr.DataArray, D_random: int, color: str) -> go.Scatter:
    runs = accuracy.transpose("seed", "d_h")
    return go.Scatter(x=np.tile(runs["d_h"].values, runs.sizes["seed"]), y=runs.values.ravel(), mode="markers",
                      legendgroup=f"{D_random:,}", showlegend=False, meta={"role": "runs", "D_random": D_random},
                      marker={"color": template.faded(color, 0.5), "size": 5},
                      customdata=np.repeat(runs["seed"].values, runs.sizes["d_h"]),
                      hovertemplate="d_h %{x}, seed %{customdata}: %{y:.3f}<extra></extra>")


def _path(run: xr.Dataset, color: str) -> list[go.Scatter]:
    known = run["train_acc"].notnull().values
    x, y = (run[metric].values[known] for metric in ("train_acc", "twin_free_val_acc"))
    name = str(int(run["d_h"]))
    meta = {"d_h": int(run["d_h"]), "D_random": int(run["D_random"]), "seed": int(run["seed"])}
    hover = f"d_h {name}, seed {meta['seed']}, step %{{customdata:,.0f}}<br>%{{y:.3f}} at %{{x:.3f}}<extra></extra>"
    way = np.cumsum(np.hypot(np.diff(x, prepend=x[0]), np.diff(y, prepend=y[0]))) // ARROWS
    arrows = {"symbol": "arrow", "angleref": "previous", "size": 11 * (np.diff(way, prepend=0) > 0)}
    return [go.Scatter(x=x[part], y=y[part], customdata=run["step"].values[known][part], name=name, legendgroup=name,
                       legendrank=meta["d_h"], mode=mode, line={"color": color, "width": 1.5, "backoff": 0},
                       marker={"color": color, "opacity": 1, "line": {"width": 0}} | marker, meta=meta | {"role": role},
                       hovertemplate=hover)
            for part, mode, role, marker in ((slice(None), "lines+markers", "path", arrows),
                                             (slice(-1, None), "markers", "end", {"size": 8}))]


def _holes(runs: xr.Dataset) -> str:
    """A sentence on the cells without any run."""
    missing = {int(D): runs["d_h"].values[~runs["trained"].sel(D_random=D).any("seed").values].tolist()
               for D in runs["D_random"].values}
    named = [f"d_h {', '.join(map(str, sizes))} beside {D:,}" for D, sizes in missing.items() if sizes]
    return f"Not trained: {'; '.join(named)}." if named else ""

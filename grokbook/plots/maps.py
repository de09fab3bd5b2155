"""Maps over hidden size and training size: zones or accuracy, with the measured D_mem, D_crit and their crossing.

Huang et al. 2024 sketch such a map (Fig 1); here every cell is the runs that were trained there.
"""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import xarray as xr

from grokbook.analysis import capacity, critical_size, final
from grokbook.analysis.sizes import place, star
from grokbook.analysis.zones import Zone, knows_neither, main_zone, zone_label, zone_shares
from grokbook.config import check_among
from grokbook.plots.cells import Runs, as_map, never_trained, row_name
from grokbook.plots.sizes import FINAL
from grokbook.plots.template import INK, MEMORY_COLOR, ZONE_COLORS, caption, frame
from grokbook.plots.traces import discrete, side_by_side

SHOWN = ("zone", *FINAL)

ACCURACY_SCALE = "Cividis"  # runs from dark to light for every reader, with or without colour vision deficiency

ZONE_SCALE = discrete(ZONE_COLORS.values())
"""How a heatmap colours the numbers of zones."""

NEITHER = "knows neither"
"""What legends call cells that are crossed out."""

CROSSED = "Crossed out: most know neither all of their own pairs nor any other."

HALO = "0 0 2px white, 0 0 2px white, 0 0 3px white"
"""Behind words that stand on cells of any colour and on lines."""


MEM_COLOR, CRIT_COLOR = MEMORY_COLOR, "#000000"


def zone_map(runs: Runs, random: xr.Dataset | None = None, *, show: str = "zone") -> go.Figure:
    """The cells (d_h, D_train) coloured by their most frequent zone, or by mean final accuracy.

    `random`: runs on random labels, for D_mem. `show` is "zone", "train_acc", "val_acc" or "twin_free_val_acc". A cell
    whose seeds disagree says how many of them are in the zone shown; a cell that nobody trained stays white. D_crit is
    fitted to the same runs; the star is where it meets D_mem. Bars are 95 % intervals, the star's that of its d_h.
    Over D_random, at a single D_train, the rows are that and there are no lines.
    Raises ValueError: another `show`, or runs that vary over more than d_h, D_train and seed.
    """
    check_among("show", show, SHOWN)
    data = as_map(runs)
    fig = go.Figure(cells := _cells(data, show))
    if show == "zone":
        fig.add_traces([*_zone_legend(fig), _crosses(data)])
    notes = [CROSSED] if show == "zone" else []
    notes += _add_lines(fig, data, random, critical_size(data)) if row_name(data) == "D_train" else []
    fig.add_trace(_labels(cells))
    _lay_out(fig, data)
    title = "The four zones, measured" if show == "zone" else f"Mean {FINAL[show]}"
    return frame(fig, title=title, plot_height=440,
                 caption=caption(data, *notes, white_cells(_white(data)), never_trained(data, "d_h")))


def atlas(runs: Runs, *, budgets: Sequence[int]) -> go.Figure:
    """The map of zones as it looks when every run is stopped at each of the budgets, in steps.

    Raises ValueError: no budget, or one below zero; else as `zone_map`.
    """
    if not len(budgets) or min(budgets) < 0:
        raise ValueError(f"budgets={list(budgets)} is not valid; valid: one or more numbers of steps, 0 or more")
    data = as_map(runs)
    fig = side_by_side((f"{budget:,} steps" for budget in budgets), shared_yaxes=True, horizontal_spacing=0.02)
    for column, budget in enumerate(budgets, 1):
        fig.add_trace(_cells(data.sel(step=slice(0, budget)), "zone"), row=1, col=column)  # hovering says the words
        fig.add_trace(_crosses(data.sel(step=slice(0, budget))), row=1, col=column)
    fig.add_traces(_zone_legend(fig))
    _lay_out(fig, data, columns=6)
    fig.update_yaxes(title_text="", selector=lambda axis: axis.matches)
    return frame(fig, title="The map at several budgets", plot_height=300, above=20,
                 caption=caption(data, "Each map judges the same runs by their first steps.", CROSSED,
                                 white_cells(_white(data)), never_trained(data, "d_h")))


def _cells(data: xr.Dataset, show: str) -> go.Heatmap:
    """The coloured cells, columns of one width and rows of one height, however far apart their sizes are."""
    shown = main_zone(data) if show == "zone" else final(data, show).mean("seed")
    z = shown.transpose("D_train", "d_h").values
    text, hover = texts(data, show)
    scale = ZONE_SCALE if show == "zone" else {"zmin": 0, "zmax": 1, "colorscale": ACCURACY_SCALE}
    return go.Heatmap(z=zone_numbers(z) if show == "zone" else z, xgap=1, ygap=1,
                      **scale, text=text, customdata=hover, hovertemplate="%{customdata}<extra></extra>",
                      meta={"role": "cells"})


def _labels(cells: go.Heatmap) -> go.Scatter:
    """The words of cells whose seeds disagree: above the lines, left of the middle, where marks are."""
    text = np.asarray(cells.text)
    i, j = np.nonzero(text != "")
    return go.Scatter(x=j, y=i, text=[f"{words} " for words in text[i, j]], mode="text", textposition="middle left",
                      textfont={"size": 10, "color": CRIT_COLOR, "shadow": HALO}, hoverinfo="skip", showlegend=False,
                      meta={"role": "labels"})


def zone_numbers(named: np.ndarray) -> np.ndarray:
    """The place in `ZONE_COLORS` of what `main_zone` gives, NaN for nothing: what `ZONE_SCALE` colours."""
    number = {zone: float(i) for i, zone in enumerate(ZONE_COLORS)} | {"": np.nan}
    return np.vectorize(number.get, otypes=[float])(named)


def texts(data: xr.Dataset, show: str) -> tuple[np.ndarray, np.ndarray]:
    """What stands in a cell whose seeds disagree, and what hovering says, both (D_train, d_h)."""
    shares = zone_shares(data).transpose("zone", "D_train", "d_h")
    n = data["trained"].sum("seed").transpose("D_train", "d_h").values
    accuracy = final(data, "val_acc")
    known = accuracy.count("seed")
    accuracy = (accuracy.sum("seed") / known.where(known > 0)).transpose("D_train", "d_h").values
    text, hover = np.full(n.shape, "", object), np.full(n.shape, "", object)
    for i, j in np.ndindex(*n.shape):
        place = f"d_h {data['d_h'].values[j]}, {row_name(data)} {data['D_train'].values[i]:,}"
        if not n[i, j]:
            hover[i, j] = f"{place}<br>not trained"
            continue
        counts = np.rint(shares.values[:, i, j] * n[i, j]).astype(int).tolist()
        if show == "zone" and max(counts) < n[i, j]:
            text[i, j] = f"{max(counts)}/{n[i, j]}"
        listed = ", ".join(f"{zone_label(zone)} {count}" for zone, count in zip(Zone, counts, strict=True) if count)
        hover[i, j] = (f"{place}<br>{listed} of {n[i, j]} seeds<br>mean final validation accuracy {accuracy[i, j]:.3f}")
    return text, hover


def _crosses(data: xr.Dataset) -> go.Scatter:
    """Crossed out: the cells whose networks know neither. No seventh colour is far from the six to every eye."""
    x, y = [], []
    for i, j in np.argwhere(knows_neither(data).transpose("D_train", "d_h").values):
        x += [j - 0.5, j + 0.5, None, j - 0.5, j + 0.5, None]
        y += [i - 0.5, i + 0.5, None, i + 0.5, i - 0.5, None]
    return go.Scatter(x=x, y=y, mode="lines", line={"color": INK, "width": 1}, hoverinfo="skip", showlegend=False,
                      meta={"role": "neither"})


def _zone_legend(fig: go.Figure) -> list[go.Scatter]:
    """Traces without points that name the colours of the zones which the maps show, and the crosses."""
    drawn = np.concatenate([np.ravel(cells.z) for cells in fig.select_traces({"type": "heatmap"})])  # pyright: ignore
    marks: dict[str, dict] = {zone_label(zone): {"symbol": "square", "color": color}
                              for i, (zone, color) in enumerate(ZONE_COLORS.items()) if i in drawn}
    marks[NEITHER] = {"symbol": "square-x", "color": ZONE_COLORS[Zone.PROGRESSION], "line": {"color": INK, "width": 1}}
    return [go.Scatter(x=[None], y=[None], mode="markers", name=name, marker={"size": 12} | mark)
            for name, mark in marks.items()]


def _add_lines(fig: go.Figure, data: xr.Dataset, random: xr.Dataset | None, critical: pd.DataFrame) -> list[str]:
    """Draw D_crit, D_mem and the star where they are known; returns sentences on what they are."""
    fig.add_traces(_edged_line(data, critical, "D_crit", ("D_crit", "lo", "hi"), CRIT_COLOR))
    notes = ["D_crit: where mean final validation accuracy crosses one half. Bars: 95 % intervals."]
    if random is None:
        return notes
    memory = capacity(random).query("task == 'random'")
    fig.add_traces(_edged_line(data, memory, "D_mem", ("D_split", "D_split_lo", "D_split_hi"), MEM_COLOR))
    notes.append(f"D_mem: pairs of a split that the bits held after {random['last_step'].max().item():,} steps are "
                 f"worth, n = {memory['n'].min()} or more seeds.")
    crossing = star(memory, critical).to_dict()
    if not crossing["n_crossings"]:
        return [*notes, "They do not cross where both are known."]
    lo, hi = (crossing["d_h"] if np.isnan(end) else end for end in (crossing["d_h_lo"], crossing["d_h_hi"]))
    middle, lo, hi = _place(data, [crossing["d_h"], lo, hi])
    error = {"array": [hi - middle], "arrayminus": [middle - lo], "width": 5, "thickness": 2, "color": INK}
    mark = {"symbol": "star", "size": 17, "color": INK, "line": {"color": "white", "width": 1.5}}
    fig.add_scatter(x=[middle], y=_up(data, [crossing["D_train"]]), mode="markers", name="crossing", error_x=error,
                    customdata=[crossing["D_train"]], marker=mark, meta={"role": "star"})
    return [*notes, f"They cross at {place(crossing)}."]


def _edged_line(data: xr.Dataset, table: pd.DataFrame, which: str, columns: tuple[str, str, str],
                color: str) -> list[go.Scatter]:
    """A line with its intervals, and the white edge below it that parts it from dark cells."""
    smallest, largest = data["d_h"].values[[0, -1]]
    middle, *ends = columns
    table = table.query("@smallest <= d_h <= @largest").dropna(subset=[middle])
    top = 1.5 * float(data["D_train"].values.max())  # for an end that is open
    lo, hi = (table[end].clip(0, top).fillna(table[middle]) for end in ends)
    y, low, high = (_up(data, values) for values in (table[middle], lo, hi))
    line = go.Scatter(x=_place(data, table["d_h"]), y=y, mode="lines+markers", name=which,
                      line={"color": color, "width": 2.5}, marker={"size": 6, "line": {"color": "white", "width": 1}},
                      error_y={"array": high - y, "arrayminus": y - low, "width": 3, "thickness": 1.2},
                      customdata=np.column_stack([table["d_h"], table[middle], lo, hi]), meta={"role": which},
                      hovertemplate=f"{which} at d_h %{{customdata[0]}}: %{{customdata[1]:,.0f}}<extra></extra>")
    edge = {"line": {"color": "white", "width": 4.5}, "error_y": {"color": "white", "thickness": 3, "width": 4},
            "showlegend": False, "hoverinfo": "skip", "hovertemplate": None, "meta": {"role": "edge"}}
    return [go.Scatter(line).update(edge), line]


def _place(data: xr.Dataset, d_h) -> np.ndarray:
    """Where a hidden size stands on the axis; between two columns by its logarithm."""
    sizes = np.log(data["d_h"].values)
    return np.interp(np.log(np.asarray(d_h, float)), sizes, np.arange(len(sizes)))


def _up(data: xr.Dataset, D_train) -> np.ndarray:
    """Where a training size stands on the axis; between two rows in proportion, and so on for ten rows beyond them."""
    rows = data["D_train"].values.astype(float)
    low, high = edges(rows)[[0, -1]] - rows[[0, -1]]
    return np.interp(np.asarray(D_train, float), [rows[0] + 20 * low, *rows, rows[-1] + 20 * high],
                     [-10, *range(len(rows)), len(rows) + 9])


def edges(centres: np.ndarray) -> np.ndarray:
    """Borders half-way between neighbouring cells, one more than there are cells."""
    centres = np.asarray(centres, float)
    if len(centres) == 1:
        return centres[0] + np.array([-0.5, 0.5])
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


def _lay_out(fig: go.Figure, data: xr.Dataset, columns: int = 14) -> None:
    """Axes that name so many columns, and rows, as can be written without touching."""
    for update, dim, name, most in ((fig.update_xaxes, "d_h", "d_h", columns),
                                    (fig.update_yaxes, "D_train", f"{row_name(data)}, rows of equal height", 14)):
        sizes = data[dim].values
        named = range(0, len(sizes), math.ceil(len(sizes) / most))
        update(title_text=name, tickvals=list(named), ticktext=[str(sizes[i]) for i in named], showgrid=False,
               range=[-0.5, len(sizes) - 0.5])


def white_cells(n: int) -> str:
    """A sentence on the cells of a map that are white."""
    return f"White: {n} {'cell that was' if n == 1 else 'cells that were'} not trained." if n else ""


def _white(data: xr.Dataset) -> int:
    return int((data["trained"].sum("seed") == 0).sum())

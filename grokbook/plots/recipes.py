"""The paper's example cells under other recipes: a row a changed setting, a column a cell."""

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from grokbook.analysis import recipe_zones
from grokbook.analysis.zones import zone_label
from grokbook.plots.captions import CHOSEN, caption, frame, plain
from grokbook.plots.maps import ZONE_SCALE, white_cells, zone_legend, zone_numbers
from grokbook.studies import EXAMPLES

USUAL = "as in the book"

HOW = ("First row: the runs of the book's settings; below it one setting is changed at a time, and n counts those. "
       "Colour: the most frequent zone; in a cell, how many of its seeds agree, and their mean final validation "
       "accuracy.")


def recipe_check(changed: xr.Dataset, usual: xr.Dataset) -> go.Figure:
    """The most frequent zone of each example cell with the usual settings and under each change of one of them.

    `changed` are runs of the study `recipe`, `usual` those of `four_dynamics`. A cell that nobody trained stays white.
    """
    table = recipe_zones(changed, usual).to_dict("records")
    shape = -1, len(EXAMPLES)
    z, text, hover = (np.array([of(row) for row in table], object).reshape(shape) for of in (_number, _text, _hover))
    fig = go.Figure(go.Heatmap(
        x=[f"{example}<br>{cell}" for example, cell in EXAMPLES.items()], y=list(dict.fromkeys(map(_setting, table))),
        z=z.astype(float), xgap=2, ygap=2, text=text, texttemplate="%{text}", textfont={"size": 12}, customdata=hover,
        hovertemplate="%{customdata}<extra></extra>", meta={"role": "cells"}, **ZONE_SCALE))
    fig.add_traces(zone_legend())
    fig.update_xaxes(showgrid=False)
    fig.update_yaxes(autorange="reversed", showgrid=False)
    missing = white_cells(sum(not row["n"] for row in table))
    return frame(fig, title="The paper's example cells under other recipes", plot_height=320, left=90,
                 caption=caption(_examples(changed), HOW, missing))


def _examples(runs: xr.Dataset) -> xr.Dataset:
    """The runs of the example cells alone: the study has other cells too."""
    sizes, samples = zip(*EXAMPLES.values(), strict=True)
    return runs.sel(d_h=runs["d_h"].isin(sizes), D_train=runs["D_train"].isin(samples))


def _setting(row: dict) -> str:
    if not row["field"]:
        return USUAL
    return f"{CHOSEN[row['field']]} {plain(row['value'])}"


def _number(row: dict) -> float:
    return float(zone_numbers(np.array(row["zone"])))


def _text(row: dict) -> str:
    return f"{row['agree']}/{row['n']} · {row['val_acc']:.2f}" if row["n"] else ""


def _hover(row: dict) -> str:
    place = f"{_setting(row)}<br>d_h {row['d_h']}, D_train {row['D_train']:,}<br>"
    if not row["n"]:
        return f"{place}not trained"
    return (f"{place}{zone_label(row['zone'])}: {row['agree']} of {row['n']} seeds<br>mean final validation accuracy "
            f"{row['val_acc']:.3f}")

"""Stored runs as one labelled cube, which is what figures and sliders read."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import xarray as xr

from grokbook.config import IDENTITY, RunConfig
from grokbook.store.shards import CURVES

AXES = ("d_h", "D_train", "seed")  # dimensions that every cube has
MAX_CELLS = 50_000_000  # values of one metric; the six metrics of a cube of this size fill 1.2 GB

PER_RUN = {"run_id": "", "settled": False, "last_step": -1}
"""What a run has once, with the value where nothing was trained."""

CUBE_COLUMNS = (*IDENTITY, *PER_RUN, *CURVES)


def cube(table: pa.Table, limits: Mapping[str, int] | None = None) -> xr.Dataset:
    """Rows of `CUBE_COLUMNS`, each run once, as a Dataset whose form `Store.load` describes.

    `limits` maps every run_id to the last step that is kept of its curves; without it they are kept whole.
    Raises ValueError: the cube would have more than `MAX_CELLS` values a metric.
    """
    table = table.combine_chunks()
    runs = table.select([*IDENTITY, *PER_RUN]).to_pandas()
    of = np.repeat(runs.index, table["step"].combine_chunks().value_lengths().to_numpy())
    curves = pd.DataFrame({name: table[name].combine_chunks().flatten().to_numpy() for name in CURVES}, index=of)
    if limits is not None:
        curves = curves.loc[curves["step"] <= runs["run_id"].map(limits)[curves.index]]
        last_step = curves.groupby(level=0)["step"].max()
        runs = runs.assign(last_step=last_step, settled=runs["settled"] & (last_step == runs["last_step"]))
    varying = [name for name in IDENTITY if name not in AXES and runs[name].nunique() > 1]
    axes = [*AXES, *varying]
    _check_size({name: len(runs[name].unique()) for name in axes} | {"step": len(curves["step"].unique())})
    metrics = runs[axes].join(curves).set_index([*axes, "step"]).to_xarray()
    once = runs.set_index(axes)[list(PER_RUN)].to_xarray()
    trained = once["run_id"].notnull()
    known = {name: once[name].where(trained, missing).astype(type(missing)) for name, missing in PER_RUN.items()}
    fixed = {name: runs[name].iloc[0] for name in IDENTITY if name not in axes}
    return metrics.assign(known | {"trained": trained}).assign_coords(fixed)


def config_of(cell: xr.Dataset | xr.DataArray, **chosen: Any) -> RunConfig:
    """The config of a cell of a cube: its scalar coordinates, and `chosen` for fields that vary or should differ.

    Raises ValueError: a field that is no scalar coordinate and was not chosen; the message names it.
    """
    fields = [name for name in IDENTITY if name not in chosen]
    for name in fields:
        if name not in cell.coords or cell.coords[name].ndim:
            raise ValueError(f"{name} varies over these runs or is unknown; select one value of it")
    return RunConfig(**{name: cell.coords[name].item() for name in fields} | chosen)


def _check_size(sizes: dict[str, int]) -> None:
    if math.prod(sizes.values()) > MAX_CELLS:
        varying = ", ".join(f"{name} ({size} values)" for name, size in sizes.items() if size > 1)
        raise ValueError(f"a cube over {varying} has more than {MAX_CELLS:,} cells; "
                         "narrow the choice to a study in which fewer fields vary")

"""Stored runs as one labelled cube, which is what figures and sliders read."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import xarray as xr

from grokbook.config import IDENTITY
from grokbook.run import METRICS
from grokbook.store.shards import CURVES

AXES = ("d_h", "D_train", "seed")
"""Dimensions that every cube has."""

MAX_CELLS = 50_000_000
"""Values of one metric; the six metrics of a cube of this size fill 1.2 GB."""

CUBE_COLUMNS = (*IDENTITY, "run_id", "settled", "last_step", *CURVES)


def cube(table: pa.Table, limits: Mapping[str, float]) -> xr.Dataset:
    """Rows of `CUBE_COLUMNS`, each run once, as a Dataset whose form `Store.load` describes.

    `limits` maps a run_id to the last step that is kept of its curves.

    Raises:
        ValueError: the cube would have more than `MAX_CELLS` values a metric.
    """
    table = table.combine_chunks()
    row, step, kept = _evaluations(table, limits)
    steps, place = np.unique(step[kept], return_inverse=True)
    axes, indices, fixed = _axes(table)
    sizes = {name: len(values) for name, values in axes.items()} | {"step": len(steps)}
    _check_size(sizes)
    shape = tuple(sizes.values())
    cell = np.ravel_multi_index(indices, shape[:-1])
    at = cell[row[kept]] * len(steps) + place
    data = {name: (tuple(sizes), _scatter(shape, np.float32(np.nan), at, _flat(table, name)[kept])) for name in METRICS}
    for name, empty, values in _per_run(table, row[kept], step[kept]):
        data[name] = (tuple(axes), _scatter(shape[:-1], empty, cell, values))
    return xr.Dataset(data, coords={**axes, "step": steps}, attrs=fixed)


def _evaluations(table: pa.Table, limits: Mapping[str, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The row and step of every stored evaluation, and whether it lies within its run's limit."""
    row = np.repeat(np.arange(len(table)), table["step"].combine_chunks().value_lengths().to_numpy())
    step = _flat(table, "step")
    limit = np.array([limits.get(run_id, np.inf) for run_id in table["run_id"].to_pylist()])
    return row, step, step <= limit[row]


def _axes(table: pa.Table) -> tuple[dict[str, np.ndarray], list[np.ndarray], dict[str, Any]]:
    """The values along each dimension but `step`, every row's index along them, and the fields that do not vary."""
    axes, indices, fixed = {}, [], {}
    for name in (*AXES, *(name for name in IDENTITY if name not in AXES)):
        values, index = np.unique(np.array(table[name].to_pylist()), return_inverse=True)
        if name in AXES or len(values) > 1:
            axes[name] = values
            indices.append(index)
        else:
            fixed[name] = values[0].item()
    return axes, indices, fixed


def _per_run(table: pa.Table, row: np.ndarray, step: np.ndarray):
    """Name, value where nothing was trained, and values of what a run has once; a cut run has not settled."""
    last_step = np.zeros(len(table), np.int64)
    np.maximum.at(last_step, row, step)
    whole = last_step == table["last_step"].to_numpy()
    yield "last_step", np.int64(-1), last_step
    yield "settled", np.False_, table["settled"].to_numpy() & whole
    yield "run_id", np.str_(""), np.array(table["run_id"].to_pylist())


def _check_size(sizes: dict[str, int]) -> None:
    if math.prod(sizes.values()) > MAX_CELLS:
        varying = ", ".join(f"{name} ({size} values)" for name, size in sizes.items() if size > 1)
        raise ValueError(f"a cube over {varying} has more than {MAX_CELLS:,} cells; "
                         "narrow the choice, by wishes or by a study in which fewer fields vary")


def _flat(table: pa.Table, name: str) -> np.ndarray:
    return table[name].combine_chunks().flatten().to_numpy()


def _scatter(shape: tuple[int, ...], empty: np.generic, at: np.ndarray, values: np.ndarray) -> np.ndarray:
    """An array of `values` at flat places `at`, and `empty` elsewhere."""
    whole = np.full(math.prod(shape), empty, values.dtype)
    whole[at] = values
    return whole.reshape(shape)

"""The runs of one cell, one value of everything but the seed, and the cells that nobody trained."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from grokbook.run import Run
from grokbook.store.shards import to_table
from grokbook.store.store import CUBE_COLUMNS, cube

Runs = xr.Dataset | Sequence[Run]
"""What a figure takes: runs as the store loads them, or a list of them as training returns it."""

ADDITIONS = "additions"
"""Where a map keeps D_train while its rows are D_random."""


def as_dataset(runs: Runs) -> xr.Dataset:
    """Runs as the Dataset that the store loads, whichever form they come in. Raises ValueError for an empty list."""
    if isinstance(runs, xr.Dataset):
        return runs
    if not len(runs):
        raise ValueError("there are no runs to show; valid: a list of one or more, or what Store.load gives")
    return cube(to_table(runs).select(CUBE_COLUMNS))


def as_map(runs: Runs) -> xr.Dataset:
    """Runs as a Dataset of cells (d_h, D_train). Raises ValueError where they vary over more than these and seeds.

    Where D_random varies and D_train does not, it takes the place of D_train, whose value becomes that of `additions`;
    `row_name` tells which of the two the rows are.
    """
    data = as_dataset(runs)
    if "D_random" in data.dims and "D_train" not in data.dims:
        data = data.rename(D_train=ADDITIONS, D_random="D_train")
    others = set(map(str, data.dims)) - {"d_h", "D_train", "seed", "step"}
    if others:
        raise ValueError(f"the runs vary over {', '.join(sorted(others))} too; select one value of it first")
    return data


def row_name(data: xr.Dataset) -> str:
    """What the rows of a map are: D_train or D_random."""
    return "D_random" if ADDITIONS in data.coords else "D_train"


def choose(runs: xr.Dataset, **wanted: int | None) -> xr.Dataset:
    """The runs at those values (`d_h=64, D_train=4000`), in which nothing but the seed varies.

    None takes the only value there is. Cells on the grid that were not trained are returned too, without any run.
    Raises ValueError: a value that is not there, or a field of several values of which none was chosen.
    """
    chosen = runs
    for name in [dim for dim in runs.dims if dim not in ("seed", "step")]:
        values, value = runs[name].values, wanted.get(str(name))
        if value is None and len(values) > 1:
            raise ValueError(f"the runs have {len(values)} values of {name}; choose one of {_listed(values)}")
        if value is not None and value not in values:
            raise ValueError(f"{name}={value} is not among the runs; valid: {_listed(values)}")
        chosen = chosen.sel({name: values[0] if value is None else value})
    return chosen


def cells_at(runs: xr.Dataset, wanted: Sequence[tuple[int, int]]) -> list[xr.Dataset]:
    """The cells at those (d_h, D_train), in which nothing but the seed varies; without any run where none is there.

    Raises ValueError: the runs vary over another field too.
    """
    return [choose(runs, d_h=d_h, D_train=D_train) if d_h in runs["d_h"] and D_train in runs["D_train"]
            else _empty(runs, d_h, D_train) for d_h, D_train in wanted]


def trained(cell: xr.Dataset) -> xr.Dataset:
    """The seeds of a cell that were trained, perhaps none."""
    return cell.isel(seed=np.flatnonzero(cell["trained"].values))


def name_of(cell: xr.Dataset) -> str:
    """A cell as titles and hover texts call it."""
    return f"d_h {int(cell['d_h'])}, D_train {int(cell['D_train'])}"


def together(cells: Sequence[xr.Dataset]) -> xr.Dataset:
    """Cells along a new dimension, for a caption that counts their runs; a seed that a cell lacks was not trained."""
    return xr.concat(cells, "cell", join="outer", combine_attrs="drop_conflicts",
                     fill_value={"last_step": -1, "settled": False, "trained": False})


def not_trained(known: xr.DataArray) -> str:
    """A sentence that names the cells (d_h, D_train) where `known` is False; empty if there are none."""
    missing = {int(d_h): known["D_train"].values[~known.sel(d_h=d_h).values] for d_h in known["d_h"].values}
    named = [f"d_h {d_h} at D_train {_listed(sizes)}" for d_h, sizes in missing.items() if len(sizes)]
    return f"Not trained: {'; '.join(named)}." if named else ""


def never_trained(runs: xr.Dataset, *fields: str) -> str:
    """A sentence on the values of these fields that the runs' study has and no run of it; empty without any."""
    missing = runs.attrs.get("never_trained", {})
    named = [f"{field} {_listed(missing[field])}" for field in fields if missing.get(field)]
    return f"In the study, but without any run so far: {'; '.join(named)}." if named else ""


def _empty(runs: xr.Dataset, d_h: int, D_train: int) -> xr.Dataset:
    cell = choose(runs.isel(d_h=0, D_train=0)).assign_coords(d_h=d_h, D_train=D_train)
    none = xr.zeros_like(cell["settled"])
    return cell.assign(last_step=xr.full_like(cell["last_step"], -1), settled=none, trained=none)


def _listed(values) -> str:
    return ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in np.asarray(values).tolist())

"""The paper's example cells under other recipes: one setting changed, every other as in the rest of the book.

Huang et al. 2024 state neither learning rate nor weight decay, initial scale or form of the loss, so all four are ours
and what a zone owes to them is to be measured.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import xarray as xr

from grokbook.analysis.events import final
from grokbook.analysis.zones import main_zone
from grokbook.config import RunConfig
from grokbook.store import Store
from grokbook.studies import CANDIDATES, CHANGES, EXAMPLES, candidate


def recipe_zones(changed: xr.Dataset, usual: xr.Dataset) -> pd.DataFrame:
    """The most frequent zone of each example cell, with the usual settings and under each change of one of them.

    `changed` are runs of the study `recipe`, `usual` those of `four_dynamics`. A row is a change (`field` and `value`,
    both "" for none) and a cell (`d_h`, `D_train`); it has the `zone` (as `main_zone`) and the number of seeds, `n`.
    """
    changes = [("", "", usual), *((field, value, _under(changed, change, usual))
                                  for change in CHANGES for field, value in change.items())]
    cells = [(field, value, *at, trained_cell(runs, *at)) for field, value, runs in changes for at in EXAMPLES.values()]
    return pd.DataFrame([{"field": field, "value": value, "d_h": d_h, "D_train": D_train, "n": cell.sizes["seed"],
                          "zone": main_zone(cell).item() if cell.sizes["seed"] else ""}
                         for field, value, d_h, D_train, cell in cells])


def trained_cell(runs: xr.Dataset, d_h: int, D_train: int) -> xr.Dataset:
    """The trained seeds of one cell, perhaps none, also where that cell is not on the runs' grid."""
    on_grid = d_h in runs["d_h"].values and D_train in runs["D_train"].values
    cell = runs.sel(d_h=d_h, D_train=D_train) if on_grid else runs.isel(d_h=0, D_train=0, seed=[])
    return cell.sel(seed=cell["trained"].values)


def _under(runs: xr.Dataset, change: Mapping, usual: xr.Dataset) -> xr.Dataset:
    """The runs with these settings, and the usual ones of all others that are changed somewhere."""
    for field in dict.fromkeys(field for other in CHANGES for field in other):
        value = change.get(field, usual[field].item())
        chosen = np.flatnonzero(runs[field].values == value)
        if field in runs.dims:
            runs = runs.isel({field: chosen[0] if len(chosen) else 0})
        if not len(chosen):
            runs = runs.isel(seed=[])
    return runs


CHOSEN = {"weight_decay": "decay", "beta2": "β₂", "batch_size": "batch"}
"""What candidates change besides the initial weights and the learning rate."""

STATEMENTS = {"grokking": "(64, 3000)<br>all near 1", "semi_grokking": "(32, 3000)<br>partial",
              "ungrokking": "(32, 2600)<br>memorised, 0", "progression": "(8, 3000)<br>not all known",
              "late_leaps": "(8, 3000)<br>leaps late", "some_never": "(8, 3000)<br>some never"}
"""What Figures 2 and 5 state of single cells, as figures call it."""

NOTHING, NEARLY_ALL, LATE = 0.05, 0.95, 10_000
"""A network below this accuracy knows nothing, above that one nearly all; a leap after this step is late."""

HOLDS: dict[str, tuple[str, Callable]] = {
    "grokking": ("grokking", lambda of: (of.val_acc > NEARLY_ALL).all()),
    "semi_grokking": ("semi-grokking", lambda of: NOTHING <= of.val_acc.mean() <= NEARLY_ALL),
    "ungrokking": ("ungrokking", lambda of: ((of.val_acc < NOTHING) & (of.train_acc > NEARLY_ALL)).all()),
    "progression": ("progression", lambda of: (of.train_acc < NEARLY_ALL).all()
                    and (of.twin_free_val_acc > NOTHING).any()),
    "late_leaps": ("progression", lambda of: (of.train_acc - of.train_acc_late >= NOTHING).any()),
    "some_never": ("progression", lambda of: 0 < (of.twin_free_val_acc < NOTHING).mean() < 1)}
"""The example cell that a statement is about, and whether it holds of the ends of its runs."""


def filtered_recipes(n_steps: int, store: Store | None = None) -> pd.DataFrame:
    """What each of `CANDIDATES` gives in the cells of Figures 2 and 5 of Huang et al. 2024, and whether that is theirs.

    A row is a candidate. Its columns are the statements, each true, false (see `HOLDS`) or None where no run of its
    cell was followed for `n_steps`; `n_` and its name is of how many networks; `right` counts the true ones of those
    judged (`of`).
    """
    rows = []
    for change in CANDIDATES:
        ends = {name: _ends(change, cell, n_steps, store or Store()) for name, cell in EXAMPLES.items()}
        counts = {f"n_{name}": len(ends[cell]) for name, (cell, _) in HOLDS.items()}
        rows.append({"change": _named(change), **_statements(ends), **counts})
    table = pd.DataFrame(rows)
    judged = table[list(STATEMENTS)]
    return table.assign(right=judged.eq(True).sum(axis=1), of=judged.notnull().sum(axis=1))


def _named(change: dict) -> str:
    """A candidate by all that may vary: initial scale and learning rate, then what else is changed."""
    config = RunConfig(**change)
    init = "PyTorch's weights" if "init" in change else f"weights × {config.init_scale:g}"
    return ", ".join([init, f"lr {config.lr:g}", *(f"{CHOSEN[name]} {change[name]:g}" for name in CHOSEN
                                                        if name in change)])


def _ends(change: dict, cell: tuple[int, int], n_steps: int, store: Store) -> pd.DataFrame:
    """A row a run of that cell: accuracies at the last step, and train accuracy at step `LATE`."""
    wanted = [run.replace(n_steps=n_steps) for run in candidate(change) if (run.d_h, run.D_train) == cell]
    try:
        runs = trained_cell(store.load(wanted), *cell)
    except LookupError:
        return pd.DataFrame()
    metrics = ("train_acc", "val_acc", "twin_free_val_acc")
    late = final(runs.sel(step=slice(0, LATE)), "train_acc")
    return pd.DataFrame({name: final(runs, name).values for name in metrics} | {"train_acc_late": late.values})


def _statements(ends: dict[str, pd.DataFrame]) -> dict[str, bool | None]:
    return {name: None if ends[cell].empty else bool(holds(ends[cell])) for name, (cell, holds) in HOLDS.items()}

"""When a run memorised and when it generalised, read off its curves.

The thresholds stand here and nowhere else. One level serves both events, so a run whose train and validation accuracy
rise together has a delay of zero rather than one made by two thresholds. It is just short of 1 because a network that
has finished may still flip a handful of pairs: the papers say "perfect" and "near perfect" and give no number.
"""

import numpy as np
import xarray as xr

from grokbook.run import SETTLED

MEMORISED = 0.99  # train accuracy at which a run has memorised: at most 1 % of its pairs are wrong
GENERALISED = 0.99  # validation accuracy at which a run has generalised
LONG_BEFORE = 2  # validation accuracy rises long after train accuracy if it takes this many times as many steps

SUSTAINED = SETTLED
"""Evaluations in a row that make a crossing count: a fifth more steps on the logarithmic grid.

Long enough to skip a single lucky evaluation on a jagged curve, and as many as a run has at 1 when it stops early, so
every run that settled has its events. "For the rest of the curve" would be the wrong rule: one slingshot of the loss
late in training would postpone an event that happened long before, and longer runs would have later events."""


def crossing(values: xr.DataArray, level: float, *, sustained: int = SUSTAINED) -> xr.DataArray:
    """Step of the first of `sustained` evaluations in a row at or above `level`; NaN if there is none.

    `values` has the dimension `step`, ascending, and is NaN where a run was not evaluated: those evaluations are left
    out, they neither make nor break a row. Returns float64 over the other dimensions. Nothing is interpolated, so an
    event is known to one interval of the grid, 4.7 %.
    """
    return xr.apply_ufunc(_first_of_row, values["step"], values, input_core_dims=[["step"], ["step"]],
                          kwargs={"level": level, "sustained": sustained})


def _first_of_row(step: np.ndarray, values: np.ndarray, level: float, sustained: int) -> np.ndarray:
    seen = ~np.isnan(values)
    count = np.cumsum(seen, axis=-1)
    count_at_last_fall = np.maximum.accumulate(np.where(seen & (values < level), count, 0), axis=-1)
    reached = count - count_at_last_fall >= sustained
    at = reached.argmax(axis=-1)[..., None]
    first = np.take_along_axis(count_at_last_fall, at, axis=-1) + 1
    start = (count == first).argmax(axis=-1)
    return np.where(reached.any(axis=-1), step.astype(float)[start], np.nan)


def events(runs: xr.Dataset) -> xr.Dataset:
    """Steps at which each run memorised and generalised, over all dimensions of `runs` but `step`.

    Returns `t_mem` (train accuracy), `t_gen` (validation accuracy), `t_gen_twin_free` (validation pairs whose mirror
    was not trained on), `delay` = t_gen − t_mem, `trained` and `last_step`. NaN where `trained` is censored: not by
    `last_step`; elsewhere there is no such run. A censored delay is at least last_step − t_mem.
    """
    when = xr.Dataset({"t_mem": crossing(runs["train_acc"], MEMORISED), "t_gen": crossing(runs["val_acc"], GENERALISED),
                       "t_gen_twin_free": crossing(runs["twin_free_val_acc"], GENERALISED)})
    # A dataset cut with .sel(step=slice(…)) still says how far its runs once went.
    followed = np.minimum(runs["last_step"], runs["step"].values[-1])
    return when.assign(delay=when["t_gen"] - when["t_mem"], last_step=followed, trained=runs["trained"])


def final(runs: xr.Dataset, metric: str) -> xr.DataArray:
    """`metric` at the last step each run was evaluated at; NaN where there is no run.

    Raises ValueError: `runs` has no such metric.
    """
    if metric not in runs or "step" not in runs[metric].dims:
        curves = [str(name) for name in runs.data_vars if "step" in runs[name].dims]
        raise ValueError(f"metric={metric!r} is not a curve of these runs; valid: {', '.join(curves)}")
    seen = runs[metric].notnull()
    last = runs.sizes["step"] - 1 - seen.isel(step=slice(None, None, -1)).argmax("step")
    return runs[metric].isel(step=last).drop_vars("step").rename(metric)


def carried(runs: xr.Dataset, metric: str) -> xr.DataArray:
    """A metric's curves, in which runs that settled keep their last value behind their end.

    A run that settled was stopped because its accuracies had stayed at 1; without it a mean over seeds would be one
    over the stragglers. Runs that ended otherwise stay NaN there: nobody knows how they would have gone on.
    """
    held = runs["settled"] & (runs["step"] > runs["last_step"])
    return runs[metric].where(~held, final(runs, metric))


def typical_seed(cell: xr.Dataset) -> int:
    """The seed of the run that stands in the middle by when it generalised: a real run to draw for the whole cell.

    `cell`: runs that differ by `seed` alone. Runs that never generalised come last, ordered by final validation
    accuracy; of an even number the earlier middle one is taken. Raises ValueError: no run of the cell was trained.
    """
    trained = cell.isel(seed=np.flatnonzero(cell["trained"].values))
    if not trained.sizes["seed"]:
        raise ValueError("no seed of this cell was trained")
    t_gen = events(trained)["t_gen"].fillna(np.inf).values
    order = np.lexsort((-final(trained, "val_acc").values, t_gen))
    return int(trained["seed"].values[order[(len(order) - 1) // 2]])

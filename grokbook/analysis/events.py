"""When a run memorised and when it generalised, read off its curves, and what it gets right by a shortcut.

The thresholds stand here and nowhere else. One level serves both events, so a run whose train and validation accuracy
rise together has a delay of zero rather than one made by two thresholds. It is just short of 1 because a network that
has finished may still flip a handful of pairs: the papers say "perfect" and "near perfect" and give no number.

What a network gets right without the rule are mirrors that it was trained on, and 0/b. A random split of a symmetric
table leaves the mirror (b, a) of many a validation pair (a, b) in train: a share of D_train / p² of them, 23.5 % at
3,000 of 12,769. A network that memorises but treats a and b alike answers exactly these. With n_twin of the n_val
validation pairs having their mirror in train,

    n_val · val_acc = n_twin · twin_acc + (n_val − n_twin) · twin_free_val_acc.

Division has no twins; what its split leaves out of `twin_free_val`, the pairs with a = 0, takes their place here. 0/b
is 0 for every b, and a network learns it first (Davies et al. 2022, Fig 7). Half of a table at p = 97 leaves some 48 of
the 96 pairs 0/b for validation. A network that knows the shortcut and nothing else has those right, and of all the
others one in 97: about 96 in all.
"""

import numpy as np
import xarray as xr

from grokbook.run import SETTLED
from grokbook.store import config_of
from grokbook.tasks import split

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


def check_dims(runs: xr.Dataset) -> None:
    """Refuse runs that vary over more or less than d_h, D_train, seed and step, with a ValueError."""
    if set(runs.dims) != {"d_h", "D_train", "seed", "step"}:
        raise ValueError(f"runs vary over {', '.join(map(str, runs.dims))}; valid: d_h, D_train, seed, step, "
                         "with one value selected of anything else")


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


EARLY = 0.1  # train accuracy up to which a network counts as young; a shortcut learned later is not learned first


def twin_share(runs: xr.Dataset) -> xr.DataArray:
    """Share of each run's validation pairs whose mirror is in train: what a symmetric memoriser scores.

    Over the dimensions of `runs` without `step`; NaN where no run is, or where nothing was left to validate on.
    """
    cells = runs["trained"]
    shares = np.full(cells.shape, np.nan)
    for index in zip(*np.nonzero(cells.values), strict=True):
        chosen = split(config_of(cells[dict(zip(cells.dims, index, strict=True))]))
        n_val = chosen.val.sum()
        shares[index] = 1 - chosen.twin_free_val.sum() / n_val if n_val else np.nan
    return cells.copy(data=shares).rename("twin_share")


def twin_accuracy(runs: xr.Dataset) -> xr.DataArray:
    """Accuracy on the validation pairs whose mirror is in train, with all dimensions of the curves; NaN without any."""
    share = twin_share(runs)
    accuracy = (runs["val_acc"] - (1 - share) * runs["twin_free_val_acc"]) / share.where(share > 0)
    return accuracy.clip(0, 1).rename("twin_acc")


def correct_counts(runs: xr.Dataset) -> xr.Dataset:
    """Validation pairs answered right: `zero`, those with a = 0, and `others`, with all dimensions of the curves.

    `n_zero` and `n_others`: how many there are, over the dimensions without `step`; NaN where no run is.
    Raises ValueError: the runs are not of modular division.
    """
    tasks = np.unique(runs["task"].values.astype(str)).tolist()
    if tasks != ["divide"]:
        raise ValueError(f"task={', '.join(map(repr, tasks))} has no 0/b; valid: runs of task='divide' alone")
    p = runs["p"]
    n_val = (p * (p - 1) - runs["D_train"]) * xr.ones_like(runs["last_step"], float).where(runs["trained"])
    n_zero = np.rint(twin_share(runs) * n_val)
    others = np.rint(runs["twin_free_val_acc"] * (n_val - n_zero))
    return xr.Dataset({"zero": np.rint(runs["val_acc"] * n_val) - others, "others": others, "n_zero": n_zero,
                       "n_others": n_val - n_zero})


def early_peak(runs: xr.Dataset) -> xr.Dataset:
    """Where most validation pairs are right before train accuracy reaches `EARLY`, over all dimensions but `step`.

    Returns `step`, `zero` and `others` (pairs right there), `n_zero`, `n_others`, and `others_after`: how many others
    are right after that and before train accuracy reaches one half, a mean over evaluations (the least of many would
    be low by chance alone). NaN where no run is.
    """
    counts = correct_counts(runs)
    young = _before(runs, EARLY)
    total = (counts["zero"] + counts["others"]).where(young)
    trained = total.notnull().any("step")
    at = runs["step"].isel(step=total.fillna(-1).argmax("step"))
    peak = counts.sel(step=at).drop_vars("step").where(trained)
    later = counts["others"].where((runs["step"] > at) & _before(runs, 0.5))
    return peak.assign(step=at.drop_vars("step").where(trained), others_after=later.mean("step"))


def _before(runs: xr.Dataset, level: float) -> xr.DataArray:
    """Evaluations up to the first at which train accuracy reaches the level."""
    return ((runs["train_acc"] >= level).cumsum("step") == 0) & runs["train_acc"].notnull()

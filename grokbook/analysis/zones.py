"""Which of the four training dynamics a run shows, read off its curves (Huang et al. 2024, §3, Fig 1 and 2).

    it never memorised, or generalised on the way        PROGRESSION
    it memorised first, and then                         UNGROKKING      knows nothing but its pairs
                                                         SEMI_GROKKING   has long known part of the others
                                                         STILL_MOVING    knows part, and is on the move
                                                         GROKKING        knows the others

The paper defines its zones by two lines, D_mem and D_crit, and shows one run in each. Here every run is judged by
itself, so the lines can be drawn over the zones as a test. The thresholds stand here, and in `events`; `describe` puts
what they say of a run into words.
"""

from collections.abc import Mapping
from enum import StrEnum

import numpy as np
import xarray as xr

from grokbook.analysis.events import GENERALISED, MEMORISED, events, final
from grokbook.run import ACCURACIES

ON_THE_WAY = 0.5
"""Twin-free validation accuracy at the step of memorising from which a run counts as having generalised on the way.

One half lies far from both ends: at that step networks that grok later are at chance, and networks too small to
memorise near their final accuracy."""

NEGLIGIBLE = 0.05
"""Final twin-free validation accuracy up to which a run knows nothing but its pairs: five times chance.

Chance is 1 in 113. Twin-free, since a symmetric memoriser answers mirrors without knowing any more."""

MOVING = 0.1
"""Change of twin-free validation accuracy over the second half of its steps from which a run is still moving.

A leap takes less than a doubling of the steps, so a plateau that has lasted for one is no leap seen half-way."""

VALLEY = 0.05
"""Depth from which `describe_valley` speaks of one, as the claims on double descent do."""

UNDECIDED = "UNDECIDED"
"""What `main_zone` calls a cell whose seeds are in two zones or more equally often: it has no most frequent one."""


class Zone(StrEnum):
    """The four training dynamics, and that of a run whose curves end in the middle of a leap."""

    PROGRESSION = "PROGRESSION"
    UNGROKKING = "UNGROKKING"
    SEMI_GROKKING = "SEMI_GROKKING"
    GROKKING = "GROKKING"
    STILL_MOVING = "STILL_MOVING"


def zones(runs: xr.Dataset, *, negligible: float = NEGLIGIBLE) -> xr.DataArray:
    """The zone of each run, over all dimensions of `runs` but `step`, as text; empty where there is no run.

    A run is judged by its curves as given: cut them (`runs.sel(step=slice(0, 10_000))`) and it is judged by those. It
    groks if validation accuracy came to `events.GENERALISED` for a while, or ends there.
    """
    when = events(runs)
    memorised_first = when["t_mem"].notnull() & (twin_free_at_memorising(runs, when["t_mem"]) < ON_THE_WAY)
    grokked = when["t_gen"].notnull() | (final(runs, "val_acc") >= GENERALISED)
    last, early = final(runs, "twin_free_val_acc"), runs[["twin_free_val_acc"]].where(
        2 * runs["step"] <= when["last_step"])
    moving = abs(last - final(early, "twin_free_val_acc")) >= MOVING
    partial = xr.where(moving, Zone.STILL_MOVING.value, Zone.SEMI_GROKKING.value)
    later = xr.where(grokked, Zone.GROKKING.value, xr.where(last <= negligible, Zone.UNGROKKING.value, partial))
    zone = xr.where(memorised_first, later, Zone.PROGRESSION.value).where(runs["trained"], "")
    return zone.rename("zone")


def twin_free_at_memorising(runs: xr.Dataset, t_mem: xr.DataArray) -> xr.DataArray:
    """Twin-free validation accuracy at the step `t_mem` of the runs' `events`; of no meaning where that is NaN."""
    return runs["twin_free_val_acc"].sel(step=t_mem.fillna(0), method="nearest").drop_vars("step")


def zone_label(zone: str) -> str:
    """A zone, or what `main_zone` gives, as sentences call it: semi-grokking."""
    return zone.lower().replace("semi_", "semi-").replace("_", " ")


def zone_shares(runs: xr.Dataset) -> xr.DataArray:
    """Share of a cell's seeds in each zone, with the dimension `zone` first; NaN where no seed was trained."""
    zone, n = zones(runs), runs["trained"].sum("seed")
    shares = xr.concat([(zone == name.value).sum("seed") / n.where(n > 0) for name in Zone], "zone")
    return shares.assign_coords(zone=[name.value for name in Zone])


def main_zone(runs: xr.Dataset) -> xr.DataArray:
    """The most frequent zone among a cell's seeds; `UNDECIDED` where no single one is, empty without runs."""
    shares = zone_shares(runs)
    known = shares.fillna(0)  # a slice of NaN would warn, and no warning is caught safely where two threads draw
    first = known.argmax("zone")
    names = np.where((shares == known.max("zone")).sum("zone") > 1, UNDECIDED, shares["zone"].values[first.values])
    return first.copy(data=np.where(shares.isnull().all("zone"), "", names)).rename("zone")


def knows_neither(runs: xr.Dataset) -> xr.DataArray:
    """Cells in which more than half of the seeds know neither all of their pairs nor any other: progression in name."""
    neither = (zones(runs) == Zone.PROGRESSION.value) & (final(runs, "twin_free_val_acc") <= NEGLIGIBLE)
    return 2 * neither.sum("seed") > runs["trained"].sum("seed")


def runs_until(runs: xr.Dataset, n_steps: int) -> xr.Dataset:
    """The runs as they stood at step `n_steps`: curves end there, and a run that settled later has not settled yet."""
    short = runs.sel(step=slice(0, n_steps))
    end = short["step"].where(short["param_norm"].notnull(), -1).max("step").astype(np.int64)
    return short.assign(last_step=end, settled=runs["settled"] & (end == runs["last_step"]))


def outcomes(runs: xr.Dataset) -> xr.Dataset:
    """What `describe` tells of each run, over all dimensions of `runs` but `step`.

    `zone`, `t_mem`, `t_gen`, `at_t_mem` (twin-free validation accuracy at the step of memorising), `trained`,
    `last_step`, and the final accuracies by their metrics' names. NaN where something did not happen or no run is.
    """
    when = events(runs)
    ends = {metric: final(runs, metric) for metric in ACCURACIES} | {"zone": zones(runs)}
    ends["at_t_mem"] = twin_free_at_memorising(runs, when["t_mem"]).where(when["t_mem"].notnull())
    return when[["t_mem", "t_gen", "trained", "last_step"]].assign(ends)


def describe(cell: xr.Dataset, seed: int) -> str:
    """Which zone the run of that seed is in and why, and what the other seeds of the cell did.

    `cell`: the `outcomes` of one (d_h, D_train), with the dimension seed alone.
    """
    seeds = cell["seed"].values[cell["trained"].values].tolist()
    if not seeds:
        return f"No network of d_h {int(cell['d_h'])} was trained on {_pairs(cell)}."
    zone_of = dict(zip(cell["seed"].values.tolist(), cell["zone"].values, strict=True))
    others = [Zone(zone_of[other]) for other in seeds if other != seed]
    if seed not in seeds:
        return f"Seed {seed} was not trained here. {_seeds(others, 'Of the seeds that were')}"
    zone, run = Zone(zone_of[seed]), list(zone_of).index(seed)
    numbers = {str(name): float(cell[name].values[run]) for name in cell.data_vars if name not in ("zone", "trained")}
    why = _why(zone, _pairs(cell), numbers)
    return f"{zone_label(zone).capitalize()}: seed {seed} {why}. {_compared(zone, others)}"


def describe_valley(row: Mapping, additions: int | None = None) -> str:
    """A row of the table of `double_descent` in words: how deep, where, and whether noise makes such valleys.

    `additions`: their number where the rows are those of random pairs beside them.
    """
    place = f"On {_counted(row['D_train'], additions)}"
    if np.isnan(row["depth"]):
        return f"{place} {row['sizes']} sizes of network were trained: too few for a valley."
    counted = f"(n = {row['n']} runs of {row['sizes']} sizes)"
    if row["depth"] < VALLEY:
        return f"{place} mean validation accuracy has no valley of {VALLEY:g} or more over d_h {counted}."
    words = (f"{place} mean validation accuracy falls and rises again by {row['depth']:.3f}: the bottom of the valley, "
             f"{row['bottom']:.3f}, is at d_h {row['at']}")
    if np.isnan(row["p"]):
        return f"{words} {counted}; a size with a single seed leaves open what of it is noise."
    return f"{words}. A curve that only rises would look as deep with p = {row['p']:.3g} {counted}."


def _pairs(cell: xr.Dataset) -> str:
    return _counted(int(cell["D_train"]), int(cell["additions"]) if "additions" in cell.coords else None)


def _counted(rows: int, additions: int | None) -> str:
    return f"{rows:,} pairs" if additions is None else f"{additions:,} additions and {rows:,} random pairs"


def _why(zone: Zone, pairs: str, run: dict[str, float]) -> str:
    end = f"{run['twin_free_val_acc']:.3f} after {run['last_step']:,.0f} steps"
    if np.isnan(run["t_mem"]):
        return (f"never kept {MEMORISED:.0%} of its {pairs} in memory: train accuracy ended at "
                f"{run['train_acc']:.3f}, twin-free validation accuracy at {end}")
    knew = (f"knew its {pairs} at step {run['t_mem']:,.0f}, when twin-free validation accuracy was "
            f"{run['at_t_mem']:.3f}")
    return knew + {
        Zone.PROGRESSION: f", so it had understood on the way; it ended at {end}",
        Zone.UNGROKKING: f", and still knows nothing else: {end}, where up to {NEGLIGIBLE:g} counts as nothing",
        Zone.SEMI_GROKKING: f", and ended having understood a part: {end}",
        Zone.STILL_MOVING: f", and was in the middle of a leap when its curves end: {end}",
        Zone.GROKKING: f", and understood later: validation accuracy passed {GENERALISED:g} "
                       + ("just before the end" if np.isnan(run["t_gen"]) else f"at step {run['t_gen']:,.0f}")
                       + f", and twin-free accuracy ended at {end}"}[zone]


def _compared(zone: Zone, others: list[Zone]) -> str:
    single = len(others) == 1
    if not others:
        return "No other seed was trained here."
    if set(others) == {zone}:
        return f"The other {'seed is' if single else f'{len(others)} seeds are'} in this zone too."
    return _seeds(others, "The other seed" if single else f"Of the other {len(others)} seeds")


def _seeds(zones: list[Zone], begin: str) -> str:
    counts = [f"{zones.count(zone)} {zone_label(zone)}" for zone in Zone if zone in zones]
    return f"{begin}: {', '.join(counts)}."

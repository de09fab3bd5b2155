"""Which of the four training dynamics a run shows, read off its curves (Huang et al. 2024, §3, Fig 1 and 2).

    it never memorised, or generalised on the way        PROGRESSION
    it memorised first, and then                         UNGROKKING      knows nothing but its pairs
                                                         SEMI_GROKKING   has long known part of the others
                                                         STILL_MOVING    knows part, and is on the move
                                                         GROKKING        knows the others

The paper defines its zones by two lines, D_mem and D_crit, and shows one run in each. Here every run is judged by
itself, so the lines can be drawn over the zones as a test. The thresholds stand here, and in `events`.
"""

from enum import StrEnum

import numpy as np
import xarray as xr

from grokbook.analysis.events import GENERALISED, events, final

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

UNDECIDED = "UNDECIDED"
"""What `main_zone` calls a cell whose seeds are in two zones or more equally often: it has no most frequent one."""


class Zone(StrEnum):
    """The four training dynamics, and that of a run whose curves end in the middle of a leap."""

    PROGRESSION = "PROGRESSION"
    UNGROKKING = "UNGROKKING"
    SEMI_GROKKING = "SEMI_GROKKING"
    GROKKING = "GROKKING"
    STILL_MOVING = "STILL_MOVING"


def zones(runs: xr.Dataset, *, on_the_way: float = ON_THE_WAY, negligible: float = NEGLIGIBLE) -> xr.DataArray:
    """The zone of each run, over all dimensions of `runs` but `step`, as text; empty where there is no run.

    A run is judged by its curves as given: cut them (`runs.sel(step=slice(0, 10_000))`) and it is judged by those. It
    groks if validation accuracy came to `events.GENERALISED` for a while, or ends there.
    """
    when = events(runs)
    memorised_first = when["t_mem"].notnull() & (twin_free_at_memorising(runs, when["t_mem"]) < on_the_way)
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
    shares = xr.concat([(zone == one.value).sum("seed") / n.where(n > 0) for one in Zone], "zone")
    return shares.assign_coords(zone=[one.value for one in Zone])


def main_zone(runs: xr.Dataset) -> xr.DataArray:
    """The most frequent zone among a cell's seeds; `UNDECIDED` where no single one is, empty without runs."""
    shares = zone_shares(runs)
    first = shares.fillna(0).argmax("zone")
    names = np.where((shares == shares.max("zone")).sum("zone") > 1, UNDECIDED, shares["zone"].values[first.values])
    return first.copy(data=np.where(shares.isnull().all("zone"), "", names)).rename("zone")

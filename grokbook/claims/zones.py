"""Claims of chapter 03: four zones, one network in each, and how far they depend on our settings."""

import numpy as np
import xarray as xr

from grokbook.analysis import Zone, capacity, critical_size, events, final, main_zone, norm_change, rate, star, zones
from grokbook.analysis.norms import SOME
from grokbook.analysis.star import place
from grokbook.claims.card import Claim, Measured, TooLittle
from grokbook.claims.grokking import ENOUGH_SEEDS, OURS, STEPS, direction, size_of
from grokbook.claims.memory import STEPS as MEMORY_STEPS
from grokbook.studies.zones import EXAMPLES

ZONE_OF = {name: Zone(name.upper().replace("-", "_")) for name in EXAMPLES}
"""The zone that each example cell of the paper stands for."""

ENOUGH_CELLS = 50
"""Cells of two seeds or more that make a map; the laptop size of the study has 88."""

SETTLED = 0.05
"""Share of cells that may still change zone in the second half of the steps for the map to count as settled."""


def judge_zone_map(runs: xr.Dataset, random: xr.Dataset) -> Measured:
    """Whether all four zones occur, and whether D_mem rises once through a D_crit that falls from there on."""
    runs = _sampled(runs)
    zone, table = main_zone(runs), critical_size(runs)
    known = table.dropna(subset=["D_crit"]).to_dict("records")
    held = capacity(random).query("n >= 2")
    if len(known) < 3 or len(held) < 3:
        raise TooLittle(f"D_crit is known at {len(known)} hidden sizes and D_mem at {len(held)}; it takes three each.")
    at, counts = star(held, table).to_dict(), {one: int((zone == one.value).sum()) for one in Zone}
    right = [row for row in known if row["d_h"] > at["d_h"]]
    way = direction(right)
    signs = (all(counts.values()), at["n_crossings"] == 1,
             way == "falls" and held["D_mem"].is_monotonic_increasing)
    verdict = "reproduced" if all(signs) else "partly" if any(signs) else "not reproduced"
    cross = (f"D_mem and D_crit cross {at['n_crossings']:.0f} times, at {place(at)}. D_crit right of there, "
             f"{', '.join(size_of(row) for row in right[:1] + right[1:][-1:])}: {way}" if at["n_crossings"] else
             "D_mem and D_crit do not cross where both are known")
    counted = ", ".join(f"{_plain(one.value)} {count}" for one, count in counts.items())
    return Measured(verdict, f"Cells by their most frequent zone: {counted}. {cross}.",
                    int((runs["last_step"] >= 0).sum()) + sum(held["n"].tolist()))


def _sampled(runs: xr.Dataset) -> xr.Dataset:
    """The map without cells of a single seed.

    Raises:
        TooLittle: fewer than `ENOUGH_CELLS` are left.
    """
    enough = (runs["last_step"] >= 0).sum("seed") >= 2
    if enough.sum() < ENOUGH_CELLS:
        raise TooLittle(f"{int(enough.sum())} cells of the map have two seeds so far; it takes {ENOUGH_CELLS}.")
    curves = {name: runs[name].where(enough) for name in runs.data_vars if "step" in runs[name].dims}
    return runs.assign(curves | {"last_step": runs["last_step"].where(enough, -1)})


def judge_four_dynamics(runs: xr.Dataset) -> Measured:
    """How many seeds of each example cell show the dynamics it is an example of."""
    zone, said, hits, n = zones(runs), [], 0, 0
    for name, (d_h, D_train) in EXAMPLES.items():
        seen = zone.sel(d_h=d_h, D_train=D_train).values
        seen = seen[seen != ""]
        if len(seen) < ENOUGH_SEEDS:
            raise TooLittle(f"The cell ({d_h}, {D_train}) has {len(seen)} seeds; it takes {ENOUGH_SEEDS}.")
        share = np.mean(seen == ZONE_OF[name].value)
        said.append(f"{name} ({d_h}, {D_train}) in {np.sum(seen == ZONE_OF[name].value)} of {len(seen)}")
        hits, n = hits + (share > 0.5), n + len(seen)
    verdict = "reproduced" if hits == len(EXAMPLES) else "partly" if hits >= 2 else "not reproduced"
    return Measured(verdict, f"Seeds that show the dynamics named: {'; '.join(said)}.", n)


def judge_progression_varies(runs: xr.Dataset) -> Measured:
    """Which seeds of the progression cell generalise at all, and when."""
    d_h, D_train = EXAMPLES["progression"]
    cell = runs.sel(d_h=d_h, D_train=D_train)
    last = final(cell, "twin_free_val_acc").dropna("seed")
    n = last.sizes["seed"]
    if n < 5:
        raise TooLittle(f"The cell ({d_h}, {D_train}) has {n} seeds; it takes five, as in the paper.")
    moved = (last >= SOME).values
    begin = norm_change(cell)["begin"].dropna("seed").values
    when = f", beginning at steps {', '.join(f'{step:,.0f}' for step in np.sort(begin))}" if len(begin) else ""
    verdict = "reproduced" if 0 < moved.sum() < n else "not reproduced"
    ends = ", ".join(f"{value:.2f}" for value in np.sort(last.values))
    return Measured(verdict, f"{moved.sum()} of {n} seeds generalise in part{when}; their final twin-free accuracies "
                             f"are {ends}.", n)


def judge_norm(runs: xr.Dataset) -> Measured:
    """In how many runs the norm falls while grokking, and rises in progression."""
    zone, ratio = zones(runs), norm_change(runs)["ratio"]
    shares = {}
    for one, happened in ((Zone.GROKKING, ratio < 1), (Zone.PROGRESSION, ratio > 1)):
        values = happened.where((zone == one.value) & ratio.notnull()).stack(run=zone.dims)
        shares[one] = rate(values, "run")
        if shares[one]["n"] < ENOUGH_SEEDS:
            raise TooLittle(f"{int(shares[one]['n'])} runs generalised by {one.value.lower()}; it takes "
                            f"{ENOUGH_SEEDS}.")
    good = [float(share["lo"]) > 0.5 for share in shares.values()]
    verdict = "reproduced" if all(good) else "partly" if any(good) else "not reproduced"
    said = [f"it {word} in {float(s['mean']):.0%} [{float(s['lo']):.0%}, {float(s['hi']):.0%}] of {int(s['n'])} runs "
            f"by {one.value.lower()}" for (one, s), word in zip(shares.items(), ("falls", "rises"), strict=True)]
    return Measured(verdict, f"While a run generalises {' and '.join(said)}.",
                    sum(int(s["n"]) for s in shares.values()))


def judge_recipe(runs: xr.Dataset, default: xr.Dataset) -> Measured:
    """In how many example cells the most frequent zone stays the same when one setting is changed."""
    cells = list(_changed(runs, default))
    if not cells:
        raise TooLittle("No example cell was trained with another setting so far.")
    kept = sum(same for _, same, _ in cells)
    moved = "; ".join(name for name, same, _ in cells if not same)
    verdict = "reproduced" if kept == len(cells) else "partly" if 2 * kept > len(cells) else "not reproduced"
    return Measured(verdict, f"{kept} of {len(cells)} example cells keep their most frequent zone when one setting "
                             f"changes{'; not: ' + moved if moved else ''}.", sum(n for *_, n in cells))


def _changed(runs: xr.Dataset, default: xr.Dataset):
    """Name of the changed cell, whether its most frequent zone is the default's, and its number of runs."""
    zone, usual = main_zone(runs), main_zone(default)
    n = (runs["last_step"] >= 0).sum("seed")
    for index in np.argwhere(zone.values != ""):
        cell = zone[tuple(index)]
        d_h, D_train = int(cell["d_h"]), int(cell["D_train"])
        if (d_h, D_train) in EXAMPLES.values():
            was = str(usual.sel(d_h=d_h, D_train=D_train).item())
            odd = [f"{dim} {cell[dim].item()}" for dim in zone.dims
                   if dim not in ("d_h", "D_train") and cell[dim].item() != default.attrs.get(str(dim))]
            if was and odd:
                yield (f"{', '.join(odd)} at ({d_h}, {D_train}): {_plain(str(cell.item()))} for {_plain(was)}",
                       str(cell.item()) == was, int(n[tuple(index)]))


def _plain(zone: str) -> str:
    return zone.lower().replace("_", "-")


def judge_time_axis(runs: xr.Dataset) -> Measured:
    """How many cells change their most frequent zone when the budget is doubled to its full length."""
    runs = _sampled(runs)
    budgets = [STEPS // 8, STEPS // 4, STEPS // 2, STEPS]
    maps = [main_zone(runs.sel(step=slice(0, budget))) for budget in budgets]
    there = maps[-1] != ""
    n = int(there.sum())
    moved = [int(((a != b) & there).sum()) for a, b in zip(maps, maps[1:], strict=False)]
    said = ", ".join(f"{count} ({count / n:.1%}) from {a:,} to {b:,}" for count, a, b in
                     zip(moved, budgets, budgets[1:], strict=False))
    late = events(runs)["t_gen"].values
    late = int(np.sum(late > STEPS / 2))
    verdict = "reproduced" if moved[-1] <= SETTLED * n else "not reproduced"
    return Measured(verdict, f"Of {n} cells the most frequent zone changes in {said} steps; {late} runs generalise "
                             f"only after {STEPS // 2:,}.", int((runs["last_step"] >= 0).sum()))


CLAIMS = (
    Claim("zone-map", "Huang et al. 2024, Fig 1, Takeaway 3",
          "Memorisation capacity rises with d_h, critical size falls, they cross once, and four kinds of training "
          "dynamics lie around the crossing. (A sketch in the paper.)",
          "Reproduced if each zone is the most frequent one of some cell, the two measured lines cross once where both "
          "are known, and D_mem rises while D_crit falls from the first d_h right of the crossing to the largest, by "
          "95 % intervals that do not overlap; partly if some of it. Left of it networks cannot memorise, and D_crit "
          "is no border of grokking.",
          OURS.format(STEPS) + "; the zones' thresholds",
          (("zone_map", STEPS), ("capacity", MEMORY_STEPS)), judge_zone_map),
    Claim("four-dynamics", "Huang et al. 2024, Fig 2",
          "Progression at d_h 8 and 3,000 pairs, ungrokking at (32, 2600), grokking at (64, 3000), semi-grokking at "
          "(32, 3000).",
          "Reproduced if most seeds of each cell show the dynamics named; partly if in two cells or three.",
          OURS.format(STEPS) + "; the zones' thresholds", (("four_dynamics", STEPS),), judge_four_dynamics),
    Claim("progression-varies", "Huang et al. 2024, Fig 5",
          "At d_h 8 and 3,000 pairs some of five seeds generalise, with a bump in train accuracy, some as late as "
          "30,000 to 40,000 steps, and some never.",
          f"Reproduced if some seeds end with a twin-free accuracy of {SOME} or more and some do not.",
          OURS.format(STEPS), (("four_dynamics", STEPS),), judge_progression_varies),
    Claim("norm-falls-or-rises", "Huang et al. 2024, Fig 9, Takeaway 4",
          "While a network generalises, its weight norm falls in grokking and rises in progression.",
          "The norm when twin-free accuracy has made nine tenths of its way, over that at one tenth. Reproduced if the "
          "95 % interval of the share of runs in which it falls (grokking) and rises (progression) lies above one half "
          "for both, partly for one.",
          OURS.format(STEPS) + "; all cells of the double-descent study, not the paper's two alone",
          (("double_descent", STEPS),), judge_norm),
    Claim("recipe-robust", "ours",
          "The zones do not hinge on our learning rate, weight decay, initial scale or form of the loss.",
          "Reproduced if every example cell keeps its most frequent zone under each change of one setting, partly if "
          "more than half do.",
          "everything", (("recipe", STEPS), ("four_dynamics", STEPS)), judge_recipe),
    Claim("time-axis", "ours",
          "The map of the zones has settled by the end of our budget.",
          f"Reproduced if at most {SETTLED:.0%} of the cells change their most frequent zone in the second half of it.",
          "everything", (("zone_map", STEPS),), judge_time_axis),
)

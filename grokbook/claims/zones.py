"""Claims of chapter 03: the four zones, and which setting draws them."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from grokbook import analysis, studies
from grokbook.analysis import final, interval, norm_change
from grokbook.analysis.efficiency import SOME
from grokbook.analysis.recipes import recipe_zones, trained_cell
from grokbook.analysis.sizes import border_shift, critical_difference, star
from grokbook.analysis.statistics import by_seed
from grokbook.analysis.zones import UNDECIDED, Zone, main_zone, zone_label
from grokbook.claims.card import (
    ENOUGH_SEEDS,
    OURS,
    RESAMPLED,
    Measured,
    Number,
    TooLittle,
    Verdict,
    claim,
    decided,
    enough,
    enough_cells,
    n_trained,
    number,
    require,
    seeds_of,
    verdict,
)
from grokbook.claims.grokking import LEAPS, critical, direction
from grokbook.studies import CHANGES, EXAMPLES

ZONE_OF = {zone_label(zone): zone for zone in Zone}
"""The zones by the names that sentences and the paper's example cells call them."""

DYNAMICS = [ZONE_OF[example] for example in EXAMPLES]  # the four that the paper names

STEPS = studies.zone_map.shown

ENOUGH_FOR_A_SHARE = 5
"""Seeds of which shares are judged. Where all agree Student's interval has no width, and of four fair coins all show
the same side that was named before in 6 of 100 tosses, of five in 3."""

ENOUGH_FOR_A_CELL = 2
"""Seeds of a cell that is judged by its most frequent zone: what the laptop sizes of the map and of the other recipes
have. No interval rests on them."""

ENOUGH_CELLS = 50  # cells of so many seeds that make a map; the laptop size of the study has 88

STILL_MOVING = 200
"""Pairs by which a critical size may move in the second half of the steps and still count as settled: one step of the
paper's grid."""

COLUMNS = (32, 64)
"""Hidden sizes whose critical sizes the paper names."""


@claim("zone-map", source="Huang et al. 2024, Fig 1, Takeaway 3",
       says="Memorisation capacity rises with d_h, critical size falls, they cross once, and four kinds of training "
            "dynamics lie around the crossing. (A sketch in the paper.)",
       rule="Reproduced if each zone is the most frequent one of some cell, the two measured lines cross once where "
            "both are known, and mean D_mem, in pairs of a split, rises from size to size while D_crit falls from the "
            "first d_h right of the crossing to the largest, by the 95 % interval of the difference "
            f"({RESAMPLED}); partly if some of it. Left of it networks cannot memorise, and D_crit is no border of "
            f"grokking. It takes cells of {ENOUGH_FOR_A_CELL} seeds; those without a most frequent zone are undecided.",
       ours=OURS.format(STEPS) + "; the zones' thresholds", needs=(studies.zone_map, studies.capacity),
       changed="cells without a most frequent zone count as undecided; D_mem is counted in pairs of a split, known by "
               "then was which of the two lines tells better who remembers; " + LEAPS)
def zone_map(runs: xr.Dataset, random: xr.Dataset) -> Measured:
    """Whether all four zones occur, and whether D_mem rises once through a D_crit that falls from there on."""
    runs = _sampled(runs)
    zone, table = main_zone(runs), analysis.critical_size(runs)
    known = table.dropna(subset=["D_crit"]).to_dict("records")
    held = analysis.capacity(random).query("n >= @ENOUGH_FOR_A_CELL")
    require(len(known) >= 3 and len(held) >= 3,
            f"D_crit is known at {len(known)} hidden sizes and D_mem at {len(held)}; it takes three each.")
    crossing, counts = star(held, table).to_dict(), {name: int((zone == name).sum()) for name in (*Zone, UNDECIDED)}
    right = [row for row in known if row["d_h"] > crossing["d_h"]]
    way = (direction(critical_difference(runs, right[0]["d_h"], right[-1]["d_h"])) if len(right) > 1
           else "is not known at both ends")
    cells = tuple(Number(f"cells of {zone_label(name)}", str(count)) for name, count in counts.items())
    met, remark = (), "D_mem and D_crit do not cross where both are known."
    if crossing["n_crossings"]:
        remark = f"From the first d_h right of the crossing to the largest, D_crit {way}."
        ends = {"mean": crossing["d_h"], "lo": crossing["d_h_lo"], "hi": crossing["d_h_hi"]}
        met = (Number("crossings of D_mem and D_crit", f"{crossing['n_crossings']:.0f}"),
               number("the crossing: d_h", ends, ".1f"), Number("the crossing: D_train", f"{crossing['D_train']:,.0f}"),
               *map(critical, right[:1] + right[1:][-1:]))
    return Measured(verdict(all(counts[name] for name in DYNAMICS), crossing["n_crossings"] == 1,
                            way == "falls" and bool(held["D_split"].is_monotonic_increasing)),
                    cells + met, n_trained(runs) + sum(held["n"].tolist()),
                    f"Cells are counted by their most frequent zone. {remark}")


def _sampled(runs: xr.Dataset) -> xr.Dataset:
    """The map without cells of a single seed. Raises TooLittle if fewer than `ENOUGH_CELLS` are left."""
    n = int(enough(runs, ENOUGH_FOR_A_CELL).sum())
    require(n >= ENOUGH_CELLS, f"{n} cells of the map have {ENOUGH_FOR_A_CELL} seeds so far; it takes {ENOUGH_CELLS}.")
    return enough_cells(runs, ENOUGH_FOR_A_CELL)


@claim("four-dynamics", source="Huang et al. 2024, Fig 2",
       says="Progression at d_h 8 and 3,000 pairs, ungrokking at (32, 2600), grokking at (64, 3000), semi-grokking at "
            "(32, 3000).",
       rule="Reproduced if most seeds of each cell, three or more, show the dynamics named; partly if in two cells or "
            "three.",
       ours=OURS.format(studies.four_dynamics.shown) + "; the zones' thresholds", needs=(studies.four_dynamics,),
       changed="100,000 steps instead of 40,000; " + LEAPS)
def four_dynamics(runs: xr.Dataset) -> Measured:
    """How many seeds of each example cell show the dynamics it is an example of."""
    shown = {example: analysis.zones(_cell(runs, *at, ENOUGH_SEEDS)).values == ZONE_OF[example].value
             for example, at in EXAMPLES.items()}
    hits = sum(seeds.mean() > 0.5 for seeds in shown.values())
    return Measured(verdict(hits == len(EXAMPLES), partly=bool(hits >= 2)),
                    tuple(Number(f"seeds at {EXAMPLES[example]} that show {example}", f"{seeds.sum()} of {len(seeds)}")
                          for example, seeds in shown.items()), sum(map(len, shown.values())))


def _cell(runs: xr.Dataset, d_h: int, D_train: int, n_seeds: int) -> xr.Dataset:
    """The trained runs of one cell, over seed. Raises TooLittle if there are fewer than that."""
    cell = trained_cell(runs, d_h, D_train)
    require(cell.sizes["seed"] >= n_seeds,
            f"The cell ({d_h}, {D_train}) has {cell.sizes['seed']} seeds; it takes {n_seeds}.")
    return cell


@claim("progression-varies", source="Huang et al. 2024, Fig 5",
       says="At d_h 8 and 3,000 pairs some of five seeds generalise, with a bump in train accuracy, some as late as "
            "30,000 to 40,000 steps, and some never.",
       rule=f"Reproduced if some seeds end with a twin-free accuracy of {SOME} or more and some do not.",
       ours=OURS.format(studies.four_dynamics.shown), needs=(studies.four_dynamics,),
       changed="100,000 steps instead of 40,000")
def progression_varies(runs: xr.Dataset) -> Measured:
    """Which seeds of the progression cell generalise at all, and when."""
    cell = _cell(runs, *EXAMPLES["progression"], 5)
    last, n = final(cell, "twin_free_val_acc").values, cell.sizes["seed"]
    moved = int((last >= SOME).sum())
    begin = norm_change(cell)["begin"].dropna("seed").values
    steps = ", ".join(f"{step:,.0f}" for step in np.sort(begin))
    return Measured(verdict(0 < moved < n), (
        Number("seeds that generalise in part", f"{moved} of {n}"),
        *([Number("steps at which they begin, where the curves tell", steps)] if steps else []),
        Number("final twin-free accuracies", ", ".join(f"{value:.2f}" for value in np.sort(last)))), n)


@claim("norm-falls-or-rises", source="Huang et al. 2024, Fig 9, Takeaway 4",
       says="While a network generalises, its weight norm falls in grokking and rises in progression.",
       rule="The norm when twin-free accuracy has made nine tenths of its way, over that at one tenth. Reproduced if "
            "the 95 % interval (Student's t) over seeds of the share of a seed's runs in which it falls (grokking) and "
            f"rises (progression) lies above one half for both, partly for one. It takes {ENOUGH_FOR_A_SHARE} seeds.",
       ours=OURS.format(studies.double_descent.shown) + "; all cells of the double-descent study, not the paper's two "
            "alone", needs=(studies.double_descent,),
       changed="Student's interval instead of Wilson's, which takes the share of a seed's runs for a single yes or no, "
               "and five seeds instead of four; known by then were five seeds, of which the two think differently")
def norm(runs: xr.Dataset) -> Measured:
    """Of which share of a seed's runs the norm falls while grokking, and rises in progression."""
    zone, ratio = analysis.zones(runs), norm_change(runs)["ratio"]
    numbers, lowest, seeds, n = [], [], [], 0
    for name, happened, word in ((Zone.GROKKING, ratio < 1, "falls"), (Zone.PROGRESSION, ratio > 1, "rises")):
        generalised = (zone == name.value) & ratio.notnull()
        runs_of_zone = int(generalised.sum())
        require(runs_of_zone, f"No run generalised by {zone_label(name)}.")
        share = interval(by_seed(happened.where(generalised)), within=(0, 1))
        seeds.append(seeds_of(generalised))
        lowest.append(float(share["lo"]))
        numbers.append(number(f"share of a seed's runs by {zone_label(name)} in which the norm {word} "
                              f"({runs_of_zone} runs of {seeds[-1]} seeds)", share, ".0%", seeds[-1]))
        n += runs_of_zone
    judged = verdict(*(lo > 0.5 for lo in lowest))
    return Measured(Verdict.NOT_YET_MEASURED if min(seeds) < ENOUGH_FOR_A_SHARE else judged, tuple(numbers), n,
                    "While a run generalises.")


@claim("recipe-robust", source="ours",
       says="The zones do not hinge on our learning rate, weight decay, initial scale or form of the loss.",
       rule=f"Reproduced if every example cell keeps its most frequent zone under each of {len(CHANGES)} changes of "
            "one setting, partly if more than half do. A cell without a most frequent zone, undecided, keeps none. "
            f"Counted in cells, which must have {ENOUGH_FOR_A_CELL} seeds each, under every change; {ENOUGH_SEEDS} by "
            "the default.",
       ours="everything", needs=(studies.recipe, studies.four_dynamics.at(studies.recipe.shown)),
       changed="cells without a most frequent zone count as undecided; " + LEAPS)
def recipe(runs: xr.Dataset, default: xr.Dataset) -> Measured:
    """In how many example cells the most frequent zone stays the same when one setting is changed."""
    usual = {at: main_zone(_cell(default, *at, ENOUGH_SEEDS)).item() for at in EXAMPLES.values()}
    changed = recipe_zones(runs, default).query("field != ''").to_dict("records")
    sampled = [row for row in changed if row["n"] >= ENOUGH_FOR_A_CELL]
    moved = [row for row in sampled if row["zone"] != usual[_at(row)]]
    kept, missing = len(sampled) - len(moved), len(changed) - len(sampled)
    judged = verdict(not moved, partly=2 * kept > len(changed))
    lacking = (f"Of {len(changed)} such cells {missing} do not have {ENOUGH_FOR_A_CELL} seeds so far; it takes all."
               if missing else "")
    return Measured(Verdict.NOT_YET_MEASURED if missing else judged, (
        Number("example cells that keep their most frequent zone", f"{kept} of {len(sampled)}"),
        *(Number(f"{row['field']} {row['value']} at {_at(row)}",
                 f"{zone_label(row['zone'])} for {zone_label(usual[_at(row)])}", n=row["n"]) for row in moved)),
        sum(row["n"] for row in sampled), lacking)


def _at(row: Mapping) -> tuple[int, int]:
    return row["d_h"], row["D_train"]


@claim("time-axis", source="ours", says="The critical size has settled by the end of our budget.",
       rule="How far each seed's border moved in the second half of the steps: the area between its curves of "
            f"validation accuracy over D_train. Settled at a d_h where the 95 % interval lies within {STILL_MOVING} "
            "pairs of zero, one step of the paper's grid; moving where it lies beyond zero and its mean further off. "
            "Reproduced if settled at d_h 32 and 64 in the usual recipe and in the book's, not reproduced if one "
            f"moves, else not yet measured. Each takes {ENOUGH_SEEDS} seeds.",
       ours="everything", needs=(studies.critical_size, studies.larger_weights),
       changed="it follows D_crit and not the cells of the map; known by then were the usual recipe's critical sizes "
               "at several budgets, not those of the other")
def time_axis(usual: xr.Dataset, larger: xr.Dataset) -> Measured:
    """How far D_crit of two hidden sizes moved in the second half of the budget, in both recipes."""
    shifts = {(name, d_h): _shift(runs, d_h, study.shown // 2) for name, runs, study in (
        ("usual recipe", usual, studies.critical_size), ("the book's recipe", larger, studies.larger_weights))
        for d_h in COLUMNS}
    settled = [max(-shift["lo"], shift["hi"]) <= STILL_MOVING for shift in shifts.values()]
    moving = [shift["lo"] * shift["hi"] > 0 and abs(shift["mean"]) > STILL_MOVING for shift in shifts.values()]
    judged = Verdict.NOT_REPRODUCED if any(moving) else decided(all(settled), False)
    return Measured(judged, tuple(number(f"{name}, d_h {d_h}: pairs that D_crit moved", shift, ",.0f", int(shift["n"]))
                                  for (name, d_h), shift in shifts.items()), n_trained(usual) + n_trained(larger),
                    f"From {studies.critical_size.shown // 2:,} to {studies.critical_size.shown:,} steps in the usual "
                    f"recipe, from {studies.larger_weights.shown // 2:,} to {studies.larger_weights.shown:,} in the "
                    "book's.")


def _shift(runs: xr.Dataset, d_h: int, n_steps: int) -> xr.Dataset:
    """Mean shift of the border of one d_h. Raises TooLittle for too few seeds, or too few sizes for a border."""
    column = enough_cells(runs.sel(d_h=runs["d_h"].isin([d_h])))
    shift = interval(border_shift(column, n_steps).sel(d_h=d_h)) if column.sizes["d_h"] else None
    if shift is None or shift["n"] < ENOUGH_SEEDS:
        raise TooLittle(f"It takes {ENOUGH_SEEDS} seeds of d_h {d_h}, each at every D_train.")
    return shift

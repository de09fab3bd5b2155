"""Claims of chapter 03: four zones, one network in each, and how far they depend on our settings."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from grokbook.analysis import (
    UNDECIDED,
    Zone,
    capacity,
    critical_size,
    events,
    final,
    main_zone,
    norm_change,
    rate,
    star,
    zones,
)
from grokbook.analysis.norms import SOME
from grokbook.analysis.recipes import recipe_zones, trained_cell
from grokbook.analysis.star import place
from grokbook.analysis.statistics import Z, by_seed
from grokbook.analysis.zones import zone_label as name
from grokbook.claims.card import Claim, Measured, TooLittle
from grokbook.claims.grokking import ENOUGH_SEEDS, OURS, RESAMPLED, STEPS, direction, seeds_of, size_of, thick_cells
from grokbook.claims.memory import STEPS as MEMORY_STEPS
from grokbook.studies import CHANGES, EXAMPLES

ZONE_OF = {name(zone): zone for zone in Zone}
"""The zones by the names that sentences and the paper's example cells call them."""

EXAMPLE_STEPS = 100_000
"""Budget of the example cells, which alone were followed for that long: the paper size of their study."""

ENOUGH_FOR_A_SHARE = int(Z**2) + 1
"""Seeds that Wilson's interval takes to lie above one half where all agree: it begins at n / (n + z²)."""

ENOUGH_FOR_A_CELL = 2
"""Seeds of a cell that is judged by its most frequent zone: what the laptop sizes of the map and of the other recipes
have. No interval rests on them."""

ENOUGH_CELLS = 50
"""Cells of so many seeds that make a map; the laptop size of the study has 88."""

SETTLED = 0.05
"""Share of cells that may still change zone in the second half of the steps for the map to count as settled."""


def judge_zone_map(runs: xr.Dataset, random: xr.Dataset) -> Measured:
    """Whether all four zones occur, and whether D_mem rises once through a D_crit that falls from there on."""
    runs = _sampled(runs)
    zone, table = main_zone(runs), critical_size(runs)
    known = table.dropna(subset=["D_crit"]).to_dict("records")
    held = capacity(random).query("n >= @ENOUGH_FOR_A_CELL")
    if len(known) < 3 or len(held) < 3:
        raise TooLittle(f"D_crit is known at {len(known)} hidden sizes and D_mem at {len(held)}; it takes three each.")
    at, counts = star(held, table).to_dict(), {one: int((zone == one).sum()) for one in (*Zone, UNDECIDED)}
    right = [row for row in known if row["d_h"] > at["d_h"]]
    way = direction(right)
    signs = (all(counts[one] for one in Zone), at["n_crossings"] == 1,
             way == "falls" and held["D_mem"].is_monotonic_increasing)
    verdict = "reproduced" if all(signs) else "partly" if any(signs) else "not reproduced"
    cross = (f"D_mem and D_crit cross {at['n_crossings']:.0f} times, at {place(at)}. D_crit right of there, "
             f"{', '.join(size_of(row) for row in right[:1] + right[1:][-1:])}: {way}" if at["n_crossings"] else
             "D_mem and D_crit do not cross where both are known")
    counted = ", ".join(f"{name(one)} {count}" for one, count in counts.items())
    return Measured(verdict, f"Cells by their most frequent zone: {counted}. {cross}.",
                    int(runs["trained"].sum()) + sum(held["n"].tolist()))


def _sampled(runs: xr.Dataset) -> xr.Dataset:
    """The map without cells of a single seed.

    Raises:
        TooLittle: fewer than `ENOUGH_CELLS` are left.
    """
    thick, enough = thick_cells(runs, ENOUGH_FOR_A_CELL)
    if enough.sum() < ENOUGH_CELLS:
        raise TooLittle(f"{int(enough.sum())} cells of the map have {ENOUGH_FOR_A_CELL} seeds so far; it takes "
                        f"{ENOUGH_CELLS}.")
    return thick


def judge_four_dynamics(runs: xr.Dataset) -> Measured:
    """How many seeds of each example cell show the dynamics it is an example of."""
    said, hits, n = [], 0, 0
    for example, at in EXAMPLES.items():
        seen = zones(_cell(runs, *at, ENOUGH_SEEDS)).values
        share = np.mean(seen == ZONE_OF[example].value)
        said.append(f"{example} {at} in {np.sum(seen == ZONE_OF[example].value)} of {len(seen)}")
        hits, n = hits + (share > 0.5), n + len(seen)
    verdict = "reproduced" if hits == len(EXAMPLES) else "partly" if hits >= 2 else "not reproduced"
    return Measured(verdict, f"Seeds that show the dynamics named: {'; '.join(said)}.", n)


def _cell(runs: xr.Dataset, d_h: int, D_train: int, n_seeds: int) -> xr.Dataset:
    """The trained runs of one cell, over seed. Raises TooLittle if there are fewer than that."""
    cell = trained_cell(runs, d_h, D_train)
    if cell.sizes["seed"] < n_seeds:
        raise TooLittle(f"The cell ({d_h}, {D_train}) has {cell.sizes['seed']} seeds; it takes {n_seeds}.")
    return cell


def judge_progression_varies(runs: xr.Dataset) -> Measured:
    """Which seeds of the progression cell generalise at all, and when."""
    cell = _cell(runs, *EXAMPLES["progression"], 5)
    last, n = final(cell, "twin_free_val_acc"), cell.sizes["seed"]
    moved = (last >= SOME).values
    begin = norm_change(cell)["begin"].dropna("seed").values
    steps = ", ".join(f"{step:,.0f}" for step in np.sort(begin))
    when = f", beginning, where the curves tell, at steps {steps}" if steps else ""
    verdict = "reproduced" if 0 < moved.sum() < n else "not reproduced"
    ends = ", ".join(f"{value:.2f}" for value in np.sort(last.values))
    return Measured(verdict, f"{moved.sum()} of {n} seeds generalise in part{when}; their final twin-free accuracies "
                             f"are {ends}.", n)


def judge_norm(runs: xr.Dataset) -> Measured:
    """Of which share of a seed's runs the norm falls while grokking, and rises in progression."""
    zone, ratio = zones(runs), norm_change(runs)["ratio"]
    shares, said, n, seeds = [], [], 0, []
    for one, happened, word in ((Zone.GROKKING, ratio < 1, "falls"), (Zone.PROGRESSION, ratio > 1, "rises")):
        there = (zone == one.value) & ratio.notnull()
        seeds.append(seeds_of(there))
        if not seeds[-1]:
            raise TooLittle(f"No run generalised by {name(one)}.")
        shares.append(rate(by_seed(happened.where(there))))
        mean, lo, hi = (float(shares[-1][part]) for part in ("mean", "lo", "hi"))
        said.append(f"it {word} in {mean:.0%} [{lo:.0%}, {hi:.0%}] of the runs of a seed by {name(one)} "
                    f"({int(there.sum())} runs of {seeds[-1]} seeds)")
        n += int(there.sum())
    good = [float(share["lo"]) > 0.5 for share in shares]
    verdict = ("not yet measured" if min(seeds) < ENOUGH_FOR_A_SHARE else
               "reproduced" if all(good) else "partly" if any(good) else "not reproduced")
    return Measured(verdict, f"While a run generalises {' and '.join(said)}.", n)


def judge_recipe(runs: xr.Dataset, default: xr.Dataset) -> Measured:
    """In how many example cells the most frequent zone stays the same when one setting is changed."""
    usual = {at: main_zone(_cell(default, *at, ENOUGH_SEEDS)).item() for at in EXAMPLES.values()}
    changed = recipe_zones(runs, default).query("field != ''").to_dict("records")
    there = [row for row in changed if row["n"] >= ENOUGH_FOR_A_CELL]
    moved = [row for row in there if row["zone"] != usual[_at(row)]]
    kept, missing = len(there) - len(moved), len(changed) - len(there)
    verdict = ("not yet measured" if missing else "reproduced" if not moved else
               "partly" if 2 * kept > len(changed) else "not reproduced")
    said = "; ".join(f"{row['field']} {row['value']} at {_at(row)}: {name(row['zone'])} for {name(usual[_at(row)])}"
                     for row in moved)
    lacking = (f" Of {len(changed)} such cells {missing} do not have {ENOUGH_FOR_A_CELL} seeds so far; it takes all."
               if missing else "")
    return Measured(verdict, f"{kept} of {len(there)} example cells keep their most frequent zone when one setting "
                             f"changes{'; not: ' + said if said else ''}.{lacking}", sum(row["n"] for row in there))


def _at(row: Mapping) -> tuple[int, int]:
    return row["d_h"], row["D_train"]


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
                             f"only after {STEPS // 2:,}.", int(runs["trained"].sum()))


CLAIMS = (
    Claim("zone-map", "Huang et al. 2024, Fig 1, Takeaway 3",
          "Memorisation capacity rises with d_h, critical size falls, they cross once, and four kinds of training "
          "dynamics lie around the crossing. (A sketch in the paper.)",
          "Reproduced if each zone is the most frequent one of some cell, the two measured lines cross once where both "
          "are known, and mean D_mem rises from size to size while D_crit falls from the first d_h right of the "
          f"crossing to the largest, by 95 % intervals ({RESAMPLED}) that do not overlap; partly if some of it. Left "
          "of it networks cannot memorise, and D_crit is no border of grokking. It takes cells of "
          f"{ENOUGH_FOR_A_CELL} seeds; those without a most frequent zone are undecided.",
          OURS.format(STEPS) + "; the zones' thresholds",
          (("zone_map", STEPS), ("capacity", MEMORY_STEPS)), judge_zone_map),
    Claim("four-dynamics", "Huang et al. 2024, Fig 2",
          "Progression at d_h 8 and 3,000 pairs, ungrokking at (32, 2600), grokking at (64, 3000), semi-grokking at "
          "(32, 3000).",
          "Reproduced if most seeds of each cell, three or more, show the dynamics named; partly if in two cells or "
          "three.",
          OURS.format(EXAMPLE_STEPS) + "; the zones' thresholds", (("four_dynamics", EXAMPLE_STEPS),),
          judge_four_dynamics),
    Claim("progression-varies", "Huang et al. 2024, Fig 5",
          "At d_h 8 and 3,000 pairs some of five seeds generalise, with a bump in train accuracy, some as late as "
          "30,000 to 40,000 steps, and some never.",
          f"Reproduced if some seeds end with a twin-free accuracy of {SOME} or more and some do not.",
          OURS.format(EXAMPLE_STEPS), (("four_dynamics", EXAMPLE_STEPS),), judge_progression_varies),
    Claim("norm-falls-or-rises", "Huang et al. 2024, Fig 9, Takeaway 4",
          "While a network generalises, its weight norm falls in grokking and rises in progression.",
          "The norm when twin-free accuracy has made nine tenths of its way, over that at one tenth. Reproduced if the "
          "95 % interval over seeds of the share of a seed's runs in which it falls (grokking) and rises (progression) "
          f"lies above one half for both, partly for one. It takes {ENOUGH_FOR_A_SHARE} seeds: of fewer, even if all "
          "agree, it reaches below one half.",
          OURS.format(STEPS) + "; all cells of the double-descent study, not the paper's two alone",
          (("double_descent", STEPS),), judge_norm),
    Claim("recipe-robust", "ours",
          "The zones do not hinge on our learning rate, weight decay, initial scale or form of the loss.",
          f"Reproduced if every example cell keeps its most frequent zone under each of {len(CHANGES)} changes of one "
          "setting, partly if more than half do. A cell without a most frequent zone, undecided, keeps none. Counted "
          f"in cells, which must have {ENOUGH_FOR_A_CELL} seeds each, under every change; {ENOUGH_SEEDS} by the "
          "default.",
          "everything", (("recipe", STEPS), ("four_dynamics", STEPS)), judge_recipe),
    Claim("time-axis", "ours",
          "The map of the zones has settled by the end of our budget.",
          f"Reproduced if at most {SETTLED:.0%} of the cells change their most frequent zone in the second half of it, "
          f"where having none, undecided, counts as one more. Cells of {ENOUGH_FOR_A_CELL} seeds or more.",
          "everything", (("zone_map", STEPS),), judge_time_axis),
)

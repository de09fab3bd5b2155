"""Claims of chapter 09: what memorising and generalising cost, where a network forgets, and what speed and cost of two
circuits explain.
"""

import numpy as np
import pandas as pd
import xarray as xr

from grokbook import analysis, studies
from grokbook.analysis import GENERALISED, circuit, efficiency, interval
from grokbook.analysis.efficiency import SOME, costs, growth, norm_crossing, of_any_parent, unlearned
from grokbook.analysis.events import MEMORISED
from grokbook.analysis.sizes import critical_difference
from grokbook.analysis.universality import KINDS
from grokbook.claims.card import (
    ENOUGH_SEEDS,
    OURS,
    RESAMPLED,
    Measured,
    Number,
    TooLittle,
    claim,
    decided,
    n_trained,
    number,
    require,
    verdict,
)
from grokbook.claims.grokking import LEVEL_WITHIN, critical, direction
from grokbook.claims.universality import REPORT, WORDS
from grokbook.networks import NETWORKS

MEMORY, RULES = "ungrokked", ("grokked", "grokked-1", "grokked-2")
"""Networks that are mixed: one that knows its pairs by heart with each of three that know the rule."""

STARTS = ((10.0, 1.0), (1.0, 1.0))
"""What the report starts (w_m2, w_g2) from."""

FLAT = 0.5
"""A cost that grows with less than this share of the exponent of memorising counts as one that does not grow."""

LEAST_SIZES = {"memorising": 3, "generalising": 2}
"""Training sizes that a seed's slope is drawn through."""

FEW = 0.03
"""Largest share of the pairs that counts as much less data."""

LEAST_DECAYS = 3


@claim("training-efficiency", source=f"{REPORT}, §5.1, Fig 5",
       says="A frozen network that memorised and one that generalised, mixed by trained weights, grok where the first "
            "learns faster, (w_m2, w_g2) = (10, 1), and do not where both learn alike, (1, 1).",
       rule="Speed decides if, as the networks are, validation loss rises above that of guessing from (10, 1) and "
            "never from (1, 1), for each of three networks that generalised. The mixture generalises if validation "
            f"loss ends below {efficiency.LOW:g} of that of guessing, from both starts and for all three. Reproduced "
            "if both hold for the networks as they are, partly if one does.",
       ours="the networks (transformers of one layer, the memory with d_h 32 on 2,600 pairs), gradient descent with "
            f"weight decay {efficiency.DECAY:g} in small steps, the time", networks=(MEMORY, *RULES),
       changed="nothing, but it was written when the mixtures had been computed")
def training_efficiency(memory: dict[int, circuit.Weights], *rules: dict[int, circuit.Weights]) -> Measured:
    """What validation loss does from both starts, for the networks as they are and where each costs its norm."""
    table = pd.DataFrame([
        {"by_norm": by_norm, "w_m2": start[0]} | efficiency.told(efficiency.train_mixture(networks, *start))
        for by_norm in (False, True) for name, rule in zip(RULES, rules, strict=True) for networks in (
            efficiency.mixed({MEMORY: efficiency.last(memory), name: efficiency.last(rule)}, by_norm=by_norm),)
        for start in STARTS])
    return judged(table)


def judged(table: pd.DataFrame) -> Measured:
    """The verdict on a row a mixture: `by_norm`, `w_m2`, and what `efficiency.told` says."""
    plain = table[~table["by_norm"]]
    speed = bool((plain["rises"] == (plain["w_m2"] == STARTS[0][0])).all())
    return Measured(verdict(speed, bool(plain["ends"].all())), tuple(
        Number(f"{words}, from ({w_m2:g}, 1): {what}", f"{np.sum(rows[column])} of {len(rows)} mixtures",
               f"{np.min(rows[shown]):.2f} to {np.max(rows[shown]):.2f} nats")
        for by_norm, words in ((False, "as they are"), (True, "where a network costs its norm"))
        for w_m2 in (start[0] for start in STARTS)
        for column, what, shown in (("rises", "validation loss rises above guessing", "peak"),
                                    ("ends", "it ends close to zero", "end"))
        for rows in (table[(table["by_norm"] == by_norm) & (table["w_m2"] == w_m2)],)), len(table),
        f"The loss of guessing is {np.log(NETWORKS[MEMORY].config.p):.2f} nats.")


@claim("model-efficiency", source=f"{REPORT}, Fig 6",
       says="For the same logit of the right answer a feed-forward network that memorises needs the more norm the more "
            "pairs it is shown; one that generalises needs the same.",
       rule="A run's need is its final norm, brought to one logit (log odds 10) by the power of the norm in which its "
            "logits grow. Its slope is that of log need over log D_train, a number a seed, for random labels (memory) "
            f"at {LEAST_SIZES['memorising']} sizes or more and for additions that were understood at "
            f"{LEAST_SIZES['generalising']} or more; runs that do not know their pairs are left out. Reproduced if the "
            f"95 % interval of the memory's slope lies above zero, and that of the rule's within {FLAT:g} of the "
            "memory's mean slope of zero; partly if the first alone; not reproduced if the memory's lies below zero; "
            f"else not yet measured, as with fewer than {ENOUGH_SEEDS} seeds of either.",
       ours="random labels as memory, d_h 32, p = 59, learning rate 3e-3, weight decay 1, the steps", needs=(
           studies.efficiency,),
       changed="the table, once of p = 113, where one seed of the memory was known: its norm rose with its pairs")
def model_efficiency(runs: xr.Dataset) -> Measured:
    """How the norm that one logit takes grows with the number of pairs, for memory and rule."""
    memory, rule = (interval(_slopes(runs, *of)) for of in (("random-ordered", "memorising"), ("add", "generalising")))
    for slope, name, sizes in zip((memory, rule), ("memory", "rule"), LEAST_SIZES.values(), strict=True):
        require(slope["n"] >= ENOUGH_SEEDS,
                f"{int(slope['n'])} seeds of the {name} have a slope; it takes {ENOUGH_SEEDS} with {sizes} sizes each.")
    within = FLAT * float(memory["mean"])
    rises, flat = bool(memory["lo"] > 0), bool(rule["lo"] > -within and rule["hi"] < within)
    require(rises or memory["hi"] < 0, "The interval of the memory's slope holds zero.")
    return Measured(verdict(rises, flat, partly=rises), (
        number("log norm over log D_train, memory", memory, ".3f", int(memory["n"])),
        number("log norm over log D_train, rule", rule, ".3f", int(rule["n"]))), n_trained(runs))


def _slopes(runs: xr.Dataset, task: str, kind: str) -> xr.DataArray:
    """The exponent of need over D_train of each seed, NaN where too few sizes were trained."""
    chosen = runs.expand_dims("task") if "task" not in runs.dims else runs
    if task not in chosen["task"]:
        return xr.full_like(runs["seed"], np.nan, dtype=float)
    cell = chosen.sel(task=task).isel({dim: 0 for dim in ("p", "d_h") if dim in runs.dims})
    need = efficiency.norm_needed(cell).where(efficiency.costs(cell)[kind].notnull())
    return efficiency.growth(need, LEAST_SIZES[kind])["exponent"]


@claim("ungrokking", source=f"{REPORT}, Fig 7",
       says="A network that has generalised loses its validation accuracy when it is trained on with much less data: "
            "transformer, LSTM and feed-forward network alike.",
       rule=f"Networks that begin with a validation accuracy of {GENERALISED:g}, trained on with up to {FEW:.0%} of "
            f"the pairs, weight decay as before. A run unlearns if it ends with a train accuracy of {MEMORISED:g} and "
            f"a twin-free accuracy below {SOME:g}. Reproduced if every run of every kind does, partly if most runs of "
            "two kinds or more do, else not reproduced; not yet measured while a kind has fewer than "
            f"{ENOUGH_SEEDS} such networks.",
       ours="the share, learning rate 3e-3, weight decay 1, the steps; p = 59 and d_h 32, and for the transformer "
            "also those of one layer, p = 113 and d_h 64, of `two-way-critical-size`; the LSTMs learned the rule on "
            "70 % of the pairs, the others of that table on half",
       needs=(studies.retrained, studies.ungrokking),
       changed="nothing, but it was written when it was known that the transformers of one layer forget on 300 pairs, "
               "2 %; those of two layers and the LSTMs joined later, before their runs")
def ungrokking(transformers: xr.Dataset, others: xr.Dataset) -> Measured:
    """Of each kind of network, how many that knew the rule know only their pairs in the end."""
    table = pd.concat([unlearned(transformers), unlearned(others)]).query("share < @FEW + 0.001 and weight_decay == 1")
    kinds = {WORDS[kind]: table.query(f"architecture == '{kind}'") for kind in KINDS}
    shares = [_share(name, rows) for name, rows in kinds.items()]
    found = verdict(min(shares) == 1, partly=sum(share > 0.5 for share in shares) > 1)
    return Measured(found, tuple(_unlearned(name, rows) for name, rows in kinds.items()), len(table))


@claim("ungrokking-any-decay", source=f"{REPORT}, Fig 8",
       says="A feed-forward network that has generalised unlearns on much less data whatever the weight decay.",
       rule=f"As `ungrokking`, feed-forward networks alone, with {LEAST_DECAYS} weight decays or more. Reproduced if "
            "every run at every decay unlearns, partly if every run at one of them does, else not reproduced.",
       ours="the weight decays, and as for `ungrokking`", needs=(studies.ungrokking,))
def ungrokking_any_decay(runs: xr.Dataset) -> Measured:
    """Of each weight decay, how many feed-forward networks that knew the rule know only their pairs in the end."""
    table = unlearned(runs).query("share < @FEW + 0.001 and architecture == 'mlp'")
    decays = {f"weight decay {decay:g}": rows for decay, rows in table.groupby("weight_decay")}
    require(len(decays) >= LEAST_DECAYS, f"{len(decays)} weight decays were trained; it takes {LEAST_DECAYS}.")
    shares = [_share(name, rows) for name, rows in decays.items()]
    return Measured(verdict(min(shares) == 1, partly=max(shares) == 1), tuple(
        _unlearned(name, rows) for name, rows in decays.items()), len(table))


def _share(name: str, rows: pd.DataFrame) -> float:
    """Of the networks that knew the rule, the share that unlearned it. Raises TooLittle: they are too few."""
    require(len(rows) >= ENOUGH_SEEDS,
            f"{len(rows)} runs of {name} had generalised and were trained on; it takes {ENOUGH_SEEDS}.")
    return float(np.mean(rows["unlearns"]))


def _unlearned(name: str, rows: pd.DataFrame) -> Number:
    left = rows["left"]
    return Number(f"{name}: runs that unlearn, and twin-free accuracy in the end",
                  f"{np.sum(rows['unlearns'])} of {len(rows)}, {left.min():.2f} to {left.max():.2f}")


BOTH = (studies.few_pairs, studies.retrained)
OF_BOTH = OURS.format(studies.few_pairs.shown) + "; d_h 64, and weights kept after 3,000 steps"

MORE_SEEDS = ("not the rule, but the seeds: two were added to three, of which one started from a network that had not "
              "settled and so left no third seed to judge by")
"""What was known when seeds 5 and 6 joined `few_pairs` and `retrained`."""


@claim("complexity-curves", source="lecture slides, after Varma et al. 2023",
       says="What it takes to memorise grows with the number of pairs; what it takes to generalise does not.",
       rule="The exponent b of norm ∝ D_train^b, fitted to each seed: of networks that end knowing only their pairs, "
            "trained from scratch, and of those that still know all when retrained on fewer. Reproduced if the 95 % "
            f"interval of the first lies above zero and that of the second ends below {FLAT:g} times the first, partly "
            f"if one of these holds. It takes {ENOUGH_SEEDS} seeds of three sizes each.",
       ours=OF_BOTH, needs=BOTH, changed=MORE_SEEDS)
def complexity_curves(few: xr.Dataset, again: xr.Dataset) -> Measured:
    """How the norms of memorising and of generalising networks grow with the number of pairs."""
    norms = _norms(few, again)
    laws = {name: interval(growth(norm)["exponent"]) for name, norm in norms.items()}
    require(min(int(law["n"]) for law in laws.values()) >= ENOUGH_SEEDS,
            f"It takes {ENOUGH_SEEDS} seeds with three sizes of both kinds of network.")
    grows = bool(laws["memorising"]["lo"] > 0)
    flat = bool(laws["generalising"]["hi"] < FLAT * laws["memorising"]["mean"])
    return Measured(verdict(grows, flat), (
        *(number(f"exponent of the norm, {name}", law, ".2f", int(law["n"])) for name, law in laws.items()),
        *(Number(f"norm, {name}, at D_train {D:,}", f"{float(norm.sel(D_train=D).mean()):.1f}")
          for name, norm in norms.items() for D in _ends(norm))), n_trained(few) + n_trained(again))


@claim("efficiency-crossing", source="ours, after Varma et al. 2023",
       says="Networks generalise from the training size on at which this takes a smaller norm than memorising: the "
            "critical size.",
       rule="The training size at which the power law of memorising reaches the mean norm of generalising, for each "
            "seed. Reproduced if its 95 % interval and that of D_crit from scratch overlap, not reproduced if they do "
            f"not. It takes {ENOUGH_SEEDS} seeds.",
       ours=OF_BOTH, needs=BOTH, changed=MORE_SEEDS)
def efficiency_crossing(few: xr.Dataset, again: xr.Dataset) -> Measured:
    """Where the norms cross, beside where networks generalise."""
    at, row = _crossing(few, again), _critical(few)
    meet = bool(at["lo"] <= row["hi"] and row["lo"] <= at["hi"])
    return Measured(decided(meet, not meet), (number("crossing of the norms, D_train", at, ",.0f", int(at["n"])),
                                              critical(row, ", from scratch")), n_trained(few) + n_trained(again))


@claim("two-way-critical-size", source="ours, after Varma et al. 2023",
       says="A network that generalised on many pairs keeps it on fewer than it would take to come to it.",
       rule="D_crit of retrained networks less D_crit from scratch, at the same number of steps: reproduced if its 95 "
            f"% interval, {RESAMPLED} and with the gap between measured sizes, lies below zero; not reproduced if "
            f"above, or within {LEVEL_WITHIN} pairs of zero; else not yet measured.",
       ours=OF_BOTH, needs=BOTH,
       changed="it no longer takes the crossing of the norms to be known, which its verdict does not use; known by "
               "then were the runs of three seeds, and that their norms cross in two")
def two_way(few: xr.Dataset, again: xr.Dataset) -> Measured:
    """The critical size on the way down beside that on the way up."""
    ways = together([of_any_parent(runs).assign_coords(d_h=[way]) for way, runs in enumerate((few, again))])
    difference, down = critical_difference(ways, 0, 1), _critical(of_any_parent(again))
    way, up = direction(difference), _critical(few)
    numbers = (number("D_crit retrained less D_crit from scratch", difference, ",.0f"),
               critical(down, ", retrained"), critical(up, ", from scratch"))
    return Measured(decided(way == "falls", way in ("rises", "is level")), numbers, n_trained(few) + n_trained(again),
                    _nearer(down["D_crit"], up["D_crit"], few, again))


def _nearer(down: float, up: float, few: xr.Dataset, again: xr.Dataset) -> str:
    """Which of two sizes the border on the way down is nearer to, in a sentence; empty where one is not known."""
    try:
        at = float(_crossing(few, again)["mean"])
    except TooLittle:
        return ""
    nearer = "the crossing of the norms" if abs(down - at) < abs(down - up) else "D_crit from scratch"
    return f"Retrained networks forget nearer to {nearer} (the norms cross at {at:,.0f} pairs)."


def together(ways: list[xr.Dataset]) -> xr.Dataset:
    """Two sets of runs of one hidden size as if these were two, which is what is compared elsewhere."""
    bare = [runs.drop_vars([name for name in runs.coords if name not in runs.dims]) for runs in ways]
    return xr.concat(bare, "d_h", join="outer", combine_attrs="drop",
                     fill_value={"last_step": -1, "settled": False, "trained": False})


def _norms(few: xr.Dataset, again: xr.Dataset) -> dict[str, xr.DataArray]:
    """Norms (D_train, seed) of memorising from scratch and of generalising kept on fewer pairs."""
    return {"memorising": costs(few)["memorising"].isel(d_h=0),
            "generalising": costs(of_any_parent(again))["generalising"].isel(d_h=0)}


def _ends(norm: xr.DataArray) -> list[int]:
    """The smallest and the largest D_train that has a norm."""
    known = norm["D_train"].values[norm.notnull().any("seed").values]
    return sorted({int(known[0]), int(known[-1])}) if len(known) else []


def _crossing(few: xr.Dataset, again: xr.Dataset) -> xr.Dataset:
    at = interval(norm_crossing(*_norms(few, again).values()))
    require(at["n"] >= ENOUGH_SEEDS, f"The norms cross in {int(at['n'])} seeds; it takes {ENOUGH_SEEDS}.")
    return at


def _critical(runs: xr.Dataset) -> dict:
    row = analysis.critical_size(runs).to_dict("records")[0]
    require(row["n"] >= ENOUGH_SEEDS and not np.isnan(row["D_crit"]),
            f"D_crit is not known from {ENOUGH_SEEDS} seeds: it takes sizes on either side of it.")
    return row

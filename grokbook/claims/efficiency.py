"""Claims of chapter 09: what speed and cost of two circuits explain ("Towards Understanding the Mystery behind Grokking
Phenomenon", §5)."""

import numpy as np
import pandas as pd
import xarray as xr

from grokbook import studies
from grokbook.analysis import circuit, efficiency
from grokbook.analysis.efficiency import SOME, unlearned
from grokbook.analysis.events import GENERALISED, MEMORISED
from grokbook.analysis.statistics import interval
from grokbook.analysis.universality import KINDS
from grokbook.claims.card import ENOUGH_SEEDS, Measured, Number, TooLittle, claim, number, verdict
from grokbook.claims.universality import REPORT, WORDS
from grokbook.networks import NETWORKS

MEMORY, RULES = "ungrokked", ("grokked", "grokked-1", "grokked-2")
"""Networks that are mixed: one that knows its pairs by heart with each of three that know the rule."""

STARTS = ((10.0, 1.0), (1.0, 1.0))
"""What the report starts (w_m2, w_g2) from."""

FLAT = 0.5
"""Part of the memory's slope within which the rule's cost counts as flat."""

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
        if slope["n"] < ENOUGH_SEEDS:
            raise TooLittle(f"{int(slope['n'])} seeds of the {name} have a slope; it takes {ENOUGH_SEEDS} with {sizes} "
                            "sizes each.")
    within = FLAT * float(memory["mean"])
    rises, flat = bool(memory["lo"] > 0), bool(rule["lo"] > -within and rule["hi"] < within)
    if not rises and not memory["hi"] < 0:
        raise TooLittle("The interval of the memory's slope holds zero.")
    return Measured(verdict(rises, flat, partly=rises), (
        number("log norm over log D_train, memory", memory, ".3f", int(memory["n"])),
        number("log norm over log D_train, rule", rule, ".3f", int(rule["n"]))), int(runs["trained"].sum()))


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
    if len(decays) < LEAST_DECAYS:
        raise TooLittle(f"{len(decays)} weight decays were trained; it takes {LEAST_DECAYS}.")
    shares = [_share(name, rows) for name, rows in decays.items()]
    return Measured(verdict(min(shares) == 1, partly=max(shares) == 1), tuple(
        _unlearned(name, rows) for name, rows in decays.items()), len(table))


def _share(name: str, rows: pd.DataFrame) -> float:
    """Of the networks that knew the rule, the share that unlearned it. Raises TooLittle: they are too few."""
    if len(rows) < ENOUGH_SEEDS:
        raise TooLittle(f"{len(rows)} runs of {name} had generalised and were trained on; it takes {ENOUGH_SEEDS}.")
    return float(np.mean(rows["unlearns"]))


def _unlearned(name: str, rows: pd.DataFrame) -> Number:
    left = rows["left"]
    return Number(f"{name}: runs that unlearn, and twin-free accuracy in the end",
                  f"{np.sum(rows['unlearns'])} of {len(rows)}, {left.min():.2f} to {left.max():.2f}")

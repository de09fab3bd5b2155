"""Claims of chapter 09: what speed and cost of two circuits explain ("Towards Understanding the Mystery behind Grokking
Phenomenon", §5)."""

import numpy as np
import pandas as pd
import xarray as xr

from grokbook import studies
from grokbook.analysis import circuit, efficiency, norms
from grokbook.analysis.statistics import interval
from grokbook.claims.card import Measured, Number, TooLittle, claim
from grokbook.claims.rules import ENOUGH_SEEDS, number, verdict
from grokbook.claims.universality import REPORT

MEMORY, RULES = "ungrokked", ("grokked", "grokked-1", "grokked-2")
"""Networks that are mixed: one that knows its pairs by heart with each of three that know the rule."""

STARTS = ((10.0, 1.0), (1.0, 1.0))
"""What the report starts (w_m2, w_g2) from."""

FLAT = 0.5
"""Part of the memory's slope within which the rule's cost counts as flat."""

LEAST_SIZES = {"memorising": 3, "generalising": 2}
"""Training sizes that a seed's slope is drawn through."""


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
        f"The loss of guessing is {np.log(studies.NETWORKS[MEMORY].config.p):.2f} nats.")


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
       ours="random labels as memory, d_h 32, p = 113, learning rate 3e-3, weight decay 1, the steps", needs=(
           studies.efficiency,))
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
    cell = chosen.sel(task=task).isel(d_h=0)
    need = efficiency.norm_needed(cell).where(norms.costs(cell)[kind].notnull())
    return norms.growth(need, LEAST_SIZES[kind])["exponent"]

"""Claims of chapter 05: addition beside pairs that can only be remembered, as networks grow."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from grokbook import studies
from grokbook.analysis import interval
from grokbook.analysis.emergence import ABLE, emergent_size, n_params, sharpness
from grokbook.analysis.events import final
from grokbook.claims import card
from grokbook.claims.card import ENOUGH_SEEDS, OURS, Measured, Number, claim, decided, enough_cells, require

ADDITIONS = 5000
"""Additions beside the random pairs; the paper has 3,000, beside which we have too few networks that come back."""

PAPERS_RATIO = 1570
"""Weights of the paper's largest network of two tasks over those of its smallest."""

HARDLY = 2.0
"""Ratio of weights below which the number of random pairs hardly matters; the paper gives none."""

ALIKE = 0.1
"""Difference of two shares of a rise below which they are alike."""

SIZES = f"measured sizes with {ENOUGH_SEEDS} seeds each"

COMES_BACK = (f"The ability is a mean final twin-free accuracy of {ABLE:g}; it comes back between the last of the "
              f"{SIZES} without it and the next, 95 % {card.RESAMPLED}. ")

MIXTURE = (OURS.format(studies.emergence.shown) + f"; {ADDITIONS:,} additions where the paper has 3,000, one layer, "
           "twin-free accuracy, means where the paper shows the best of three; seed 0, left out, had been seen in four "
           "cells when the rules were written; d_h 192 and 256, and seeds 4 and 5 beside 0 and 3,000 random pairs, "
           "were added when 48 runs up to d_h 128 had shown no border, d_h 8 to 16 when 86 from 24 on had shown no "
           "first rise, and seeds 4 and 5 beside 300 and 1,000 when three left all sizes possible")


@claim("emergence", source="Huang et al. 2024, Fig 8, Takeaway 7",
       says="Beside pairs with random labels accuracy on addition stays negligible until the network is far larger, "
            f"about {PAPERS_RATIO:,} times as many weights as without them, and then appears.",
       rule=COMES_BACK + "Emergence is seen beside a number of random pairs if both ends of the interval are measured "
            "and a size that suffices alone fails there. Reproduced if seen beside two numbers of random pairs, partly "
            "beside one, not reproduced if beside each no larger size may be needed than alone, else not yet measured. "
            "The ratio of weights is shown, not judged: the paper's is the span of its own grid.",
       changed="an open interval alone counted as proof that no larger size is needed, which the rule never said; 36 "
               "runs of the first three seeds were known",
       ours=MIXTURE, needs=(studies.emergence,))
def emergence(runs: xr.Dataset) -> Measured:
    """Beside how many random pairs sizes that suffice alone fail, and larger ones do not."""
    runs = _mixture(runs)
    table = _sizes(runs)
    alone, mixed = table.query("D_random == 0").iloc[0], table.query("D_random > 0")
    seen = (mixed["lo"] >= alone["hi"]) & np.isfinite(mixed["hi"])
    refuted = bool((mixed["hi"] <= alone["hi"]).all() and np.isfinite(mixed["hi"]).all())
    judged = card.verdict(seen.sum() >= 2, partly=True) if seen.any() else decided(False, refuted)
    return Measured(judged, (*(_size(row) for row in table.to_dict("records")),
                             *(_ratio(runs, alone, row) for _, row in mixed.iterrows())), card.n_trained(runs))


usual_weights = claim(
    "emergence-usual-weights", source="ours, after Huang et al. 2024, Fig 8", rule=emergence.rule,
    says="With usual initial weights, too, random pairs keep addition from networks that suffice alone, and larger "
         "ones have it.", needs=(studies.mixture_depth,),
    ours=f"{OURS.format(studies.mixture_depth.shown)}, but initial weights as usual; {ADDITIONS:,} additions, one "
         "layer, twin-free accuracy; runs beside 0 and 3,000 random pairs were known when this was written, those "
         "beside 1,000, 2,000 and 4,000 not")(emergence)


@claim("number-of-random-pairs", source="Huang et al. 2024, Takeaway 7",
       says="How many random pairs there are hardly changes the size at which addition emerges.",
       rule=COMES_BACK + "The weights it takes beside the most random pairs over those beside the fewest, at least "
            "twice apart, with the ratios that both intervals allow. Reproduced if all are below "
            f"{HARDLY:g}, not reproduced if all are above, else not yet measured.",
       ours=MIXTURE + f"; the paper varies 3,000 to 6,000 random pairs; {HARDLY:g} as the limit",
       needs=(studies.emergence,))
def number_of_pairs(runs: xr.Dataset) -> Measured:
    """The ratio of weights at which the ability comes back, beside most and fewest random pairs."""
    runs = _mixture(runs)
    mixed = _sizes(runs).query("D_random > 0")
    fewest, most = mixed.iloc[0], mixed.iloc[-1]
    require(most["D_random"] >= 2 * fewest["D_random"],
            "It takes two numbers of random pairs, one at least twice the other.")
    low, high = _ratios(runs, fewest, most)
    return Measured(decided(high < HARDLY, low > HARDLY), (
        _size(fewest), _size(most), _ratio(runs, fewest, most)), card.n_trained(runs))


@claim("sharp-measure", source="Schaeffer et al. 2023, on emergent abilities in general",
       says="An ability seems to emerge at once because accuracy is a sharp measure; measured by the loss it grows "
            "steadily with size.",
       rule="From the size with the lowest mean validation accuracy on, the largest rise from one size to the next, as "
            "a share of all rises; likewise the falls of validation loss. Beside the most random pairs at which mean "
            f"accuracy rises by {ABLE:g} over four {SIZES}. Reproduced if the 95 % interval over seeds of the "
            "difference, accuracy less loss, lies above zero, not reproduced if it ends below "
            f"{ALIKE:g}, else not yet measured.",
       ours=MIXTURE + "; all validation pairs, since the loss was not stored without mirrors",
       needs=(studies.emergence,))
def sharp_measure(runs: xr.Dataset) -> Measured:
    """How much sharper accuracy rises with size than loss falls."""
    rising = [row for _, row in _mixture(runs).groupby("D_random") if _rises(row.squeeze("D_random"))]
    require(rising, f"Beside no number of random pairs mean accuracy rises by {ABLE:g} over four {SIZES}.")
    row = _from_lowest(rising[-1].squeeze("D_random"))
    shares = sharpness(row)
    difference = interval(shares["val_acc"] - shares["val_loss"], within=(-1, 1))
    n, where = int(difference["n"]), f"{int(row['D_random']):,} random pairs"
    return Measured(decided(bool(difference["lo"] > 0), bool(difference["hi"] < ALIKE)), (
        *(card.number(f"{name}: share of its largest step ({where})", interval(shares[name], within=(0, 1)), n=n)
          for name in shares.data_vars), card.number("difference", difference, n=n)), card.n_trained(row))


@claim("separate-parameters", source="Huang et al. 2024, Fig 10, Takeaway 8",
       says="If each task has half of the feed-forward layer to itself, addition emerges at a far smaller size.",
       rule=COMES_BACK + "Reproduced if with halves it has come back at a size at which without them it has not, not "
            "reproduced if it has not come back at a size at which without them it has, else not yet measured. "
            "Only sizes measured both ways count.",
       changed="small networks can add because they cannot remember, so halves of small ones alone would have passed; "
               "no network with halves had been trained then",
       ours=MIXTURE, needs=(studies.separate_parameters,))
def separate(runs: xr.Dataset) -> Measured:
    """Sizes at which the ability comes back with halves of the feed-forward layer, and without."""
    require("split_mlp" in runs.dims, "It takes networks with and without halves.")
    runs = _mixture(runs)
    both = runs["trained"].any("seed").all("split_mlp").any("D_random").values
    require(both.sum() >= 3, f"{both.sum()} sizes have {ENOUGH_SEEDS} seeds both with halves and without; it takes 3.")
    shared, halves = (emergent_size(runs.sel(split_mlp=split, d_h=both)).iloc[-1] for split in (False, True))
    return Measured(decided(halves["hi"] <= shared["lo"], halves["lo"] >= shared["hi"]), (
        _size(shared, ", shared"), _size(halves, ", halves")), card.n_trained(runs))


def _mixture(runs: xr.Dataset) -> xr.Dataset:
    """The networks of one layer on that many additions: dimensions d_h, D_random, seed, step."""
    require(ADDITIONS in runs["D_train"].values, f"It takes networks trained on {ADDITIONS:,} additions.")
    runs = runs.sel({"D_train": ADDITIONS} | {dim: 1 for dim in ("n_layers", "init_scale") if dim in runs.dims})
    return enough_cells(runs if "D_random" in runs.dims else runs.expand_dims("D_random"))


def _sizes(runs: xr.Dataset) -> pd.DataFrame:
    """The table of emergent sizes where three sizes have enough seeds. Raises TooLittle without three rows, 0 first."""
    measured = runs["D_random"].values[(runs["trained"].any("seed").sum("d_h") >= 3).values]
    listed = "; ".join(f"{D_random:,}" for D_random in measured) or "none"
    require(len(measured) >= 3 and 0 in measured,
            f"Numbers of random pairs beside which there are three {SIZES}: {listed}. It takes three such numbers, "
            "with 0 among them.")
    return emergent_size(runs.sel(D_random=measured))


def _rises(row: xr.Dataset) -> bool:
    if row["trained"].any("seed").sum() < 4:
        return False
    mean = final(_from_lowest(row), "val_acc").mean("seed")
    return len(mean) >= 4 and float(mean[-1] - mean[0]) >= ABLE


def _from_lowest(row: xr.Dataset) -> xr.Dataset:
    """The sizes that have runs, from that of the lowest mean accuracy on."""
    row = row.sel(d_h=row["trained"].any("seed").values)
    lowest = int(final(row, "val_acc").mean("seed").argmin("d_h"))
    return row.isel(d_h=slice(lowest, None))


def _size(row: Mapping, by: str = "") -> Number:
    value = (f"from d_h {row['d_h']:.0f}" if np.isfinite(row["d_h"]) else "at no size measured")
    label = f"beside {row['D_random']:,.0f} random pairs{by}: addition comes back"
    return Number(label, value, f"({row['lo']:.0f}, {row['hi']:.0f}]".replace("inf]", "open)"), int(row["n"]))


def _ratios(runs: xr.Dataset, small: Mapping | pd.Series, large: Mapping | pd.Series) -> tuple[float, float]:
    """Least and largest ratio of weights that two intervals of sizes allow; 0 and infinity where nothing is known."""
    below, above = n_params(runs, large["lo"]), n_params(runs, large["hi"])  # pyright: ignore
    return below / n_params(runs, small["hi"]), above / max(n_params(runs, small["lo"]), 1e-9)  # pyright: ignore


def _ratio(runs: xr.Dataset, small: Mapping | pd.Series, large: Mapping | pd.Series) -> Number:
    ratio, *ends = (f"{value:,.1f}" if value < 1e6 else "open" for value in (
        float(large["n_params"]) / float(small["n_params"]), *_ratios(runs, small, large)))  # pyright: ignore
    pairs = " over ".join(f"{row['D_random']:,.0f}" for row in (large, small))
    label = f"weights beside {pairs} random pairs (paper {PAPERS_RATIO:,})"
    return Number(label, ratio, f"({', '.join(ends)})")

"""Abilities that come with size: addition learned beside pairs with random labels (Huang et al. 2024, §5, Fig 8).

A network trained on additions and on subtractions with random labels can do one of the two by rule and both by heart.
Everything is read from twin-free accuracy unless said: a network that knows 5,000 additions by heart and takes a and b
for alike answers 39 % of the others.
"""

import numpy as np
import pandas as pd
import xarray as xr

from grokbook import tasks
from grokbook.analysis import circuit
from grokbook.analysis.events import final
from grokbook.analysis.sizes import N_BOOTSTRAP
from grokbook.analysis.statistics import interval, resampled_interval
from grokbook.networks import named
from grokbook.store import Store, config_of

ABLE = 0.5
"""Mean accuracy from which networks of a size have the ability: half of the pairs."""

SMOOTHED = 5
"""Evaluations whose mean counts as a point of a curve, a quarter more steps: the peak of a raw curve is its noise."""


def n_params(runs: xr.Dataset, d_h: float) -> float:
    """Weights of the networks of that d_h, which neither seed nor data change; 0 and infinity stay what they are."""
    if d_h in (0, np.inf):
        return float(d_h)
    varying = {str(dim): runs[dim].values[0].item() for dim in runs["trained"].dims}
    return float(config_of(runs, **varying | {"d_h": int(d_h)}).n_params)


def emergent_size(runs: xr.Dataset, metric: str = "twin_free_val_acc") -> pd.DataFrame:
    """From which d_h on networks have the ability, one row a number of random pairs.

    `runs` has the dimensions d_h, D_random, seed, step. The ability is there if mean final accuracy is `ABLE`. Small
    networks may have it because they cannot remember, and larger ones lose it; so what counts is the *last* measured
    size without it, `fails_at` (0 if none). Columns:

    - `D_random`, `d_h`, the next measured size (infinite if none has it); `n_params`, its weights; `n` seeds, `sizes`;
    - `lo`, `hi`: sizes between which the ability comes back, 95 % over resampled seeds. `lo` is a size without it, 0 if
      it may be there at all sizes measured; `hi` one with it, infinite if it may be there at none. NaN for one seed.
    """
    accuracy = final(runs, metric).transpose("D_random", "seed", "d_h")
    rows = []
    for D_random in accuracy["D_random"].values:
        cells = accuracy.sel(D_random=D_random).dropna("d_h", how="all").dropna("seed", how="all")
        row = _returns(cells["d_h"].values.astype(float), cells.values)
        rows.append({"D_random": int(D_random)} | row | {"n_params": n_params(runs, row["d_h"])})
    return pd.DataFrame(rows)


def _returns(sizes: np.ndarray, accuracy: np.ndarray) -> dict:
    """A row of that table from accuracies (seed, size), NaN where there is no run."""
    ends, n = np.array([0, *sizes, np.inf]), len(accuracy)
    last = _last_failing(accuracy[None])[0]
    row = {"fails_at": ends[last], "d_h": ends[last + 1], "lo": np.nan, "hi": np.nan, "n": n, "sizes": len(sizes)}
    if n < 2:
        return row
    drawn = np.random.default_rng(0).integers(n, size=(N_BOOTSTRAP, n))
    lo, hi = resampled_interval(float(last), _last_failing(accuracy[drawn]), n)
    return row | {"lo": ends[max(int(np.floor(lo)), 0)], "hi": ends[min(int(np.ceil(hi)), len(sizes)) + 1]}


def _last_failing(accuracy: np.ndarray) -> np.ndarray:
    """Of samples (sample, seed, size), how many sizes there are up to the last one without the ability.

    A size of which a sample drew no seed with a run says nothing in it.
    """
    known = ~np.isnan(accuracy)
    fails = np.nansum(accuracy, axis=1) < ABLE * known.sum(axis=1)
    return np.max(fails * np.arange(1, accuracy.shape[2] + 1), axis=1, initial=0)


def sharpness(runs: xr.Dataset) -> xr.Dataset:
    """How much of a rise over d_h happens between two neighbouring sizes, over all dimensions but d_h and step.

    `val_acc` and `val_loss`: the largest rise of final validation accuracy, or fall of validation loss (nats), from one
    size to the next, as a share of all rises; 1 for a single jump. Both are over the same pairs, mirrors included.
    """
    def share(values: xr.DataArray) -> xr.DataArray:
        rises = values.diff("d_h").clip(min=0)
        total = rises.sum("d_h", skipna=False)
        return rises.max("d_h", skipna=False) / total.where(total > 0)

    return xr.Dataset({"val_acc": share(final(runs, "val_acc")), "val_loss": share(-final(runs, "val_loss"))})


def taken_back(runs: xr.Dataset, metric: str = "twin_free_val_acc") -> xr.Dataset:
    """How much of an accuracy a run had along the way and lost again, over all dimensions but step.

    `peak`, `at` (step), `end`, and `fall` = peak − end, of the mean over `SMOOTHED` evaluations at a time.
    """
    smooth = runs[metric].rolling(step=SMOOTHED).mean()
    peak, end = smooth.max("step"), final(runs.assign({metric: smooth}), metric)
    at = smooth.fillna(-1).idxmax("step").where(peak.notnull())
    return xr.Dataset({"peak": peak, "at": at, "end": end, "fall": peak - end})


def as_smaller(runs: xr.Dataset, bits: float, metric: str = "twin_free_val_acc") -> xr.DataArray:
    """The accuracy to expect if random pairs only used up memory, over d_h and D_random.

    A random pair takes log₂ p bits and a weight holds `bits` (chapter 02), so what is left for addition are the weights
    of a smaller network; taken is the mean accuracy of networks *without* random pairs at that number of weights,
    straight between two sizes on a logarithmic axis. NaN where it lies outside the sizes measured without.
    """
    alone = final(runs.sel(D_random=0), metric).mean("seed").dropna("d_h")
    known = np.log([n_params(runs, d_h) for d_h in alone["d_h"].values])
    weights = xr.DataArray([n_params(runs, d_h) for d_h in runs["d_h"].values], {"d_h": runs["d_h"]})
    left = weights - runs["D_random"] * np.log2(int(runs["p"])) / bits
    expected = np.interp(np.log(left.clip(min=1)), known, alone.values, left=np.nan, right=np.nan)
    return left.copy(data=expected)


def mean_fall(runs: xr.Dataset) -> pd.DataFrame:
    """That fall over seeds as a table: `D_random`, `d_h`, means of `peak`, `at` (to a step), `end`, `fall`; `lo`,
    `hi`, `n`."""
    lost = taken_back(runs)
    fall = interval(lost["fall"], within=(-1, 1)).rename(mean="fall")
    means = lost[["peak", "at", "end"]].mean("seed")
    table = xr.merge([means.assign(at=means["at"].round()), fall]).to_dataframe().reset_index()
    columns = ["D_random", "d_h", "peak", "at", "end", "fall", "lo", "hi", "n"]
    return pd.DataFrame(table.query("n > 0"), columns=columns).sort_values(by=columns[:2], ignore_index=True)


def two_tasks(name: str, store: Store | None = None) -> pd.DataFrame:
    """Both tasks of a network beside random pairs apart, a row a stored step.

    `additions` and `random`, accuracies on the trained pairs of either; `twin_free_val_acc`; `keys`, the share of W_E's
    power in what are key frequencies where that is highest; `shared`, how many of the frequencies that are key then or
    at the step are so at both, as a share. Errors as `circuit.stored`.
    """
    config, by_step = named(name).config, circuit.stored(name, store)
    table, split = tasks.table(config), tasks.split(config)
    parts = {"additions": split.train & table.probe, "random": split.train & ~table.probe,
             "twin_free_val_acc": split.twin_free_val}
    rows, power = {}, {}
    for step, weights in by_step.items():
        answers = np.concatenate([circuit.forward(weights, config, op).logits.argmax(2).ravel() for op in (0, 1)])
        rows[step] = {part: np.mean((answers == table.labels)[pairs]) for part, pairs in parts.items()}
        power[step] = circuit.embedding_power(weights, config.p)
    along = pd.DataFrame(rows).T.rename_axis("step")
    keys = {step: set(circuit.key_frequencies(share)) for step, share in power.items()}
    best = keys[along["twin_free_val_acc"].idxmax()]
    along["keys"] = [sum(share[k - 1] for k in best) for share in power.values()]
    along["shared"] = [len(best & now) / max(len(best | now), 1) for now in keys.values()]
    return along

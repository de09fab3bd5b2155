"""Two frozen networks in one mixture, one that memorised and one that generalised, and what either costs ("Towards
Understanding the Mystery behind Grokking Phenomenon", §5.1, Fig 5, after a toy of Varma et al. 2023, and §5.2, Fig 6).

The mixture's logits are w_m1 w_m2 · memory + w_g1 w_g2 · general. These four weights are all that is trained, from
w_m1 = w_g1 = 0, by descent of

    training loss + decay / 2 · (w_m1² + w_m2² + w_g1² + w_g2²)

in steps so small that only learning rate times steps counts, the time. What w_m1 learns is multiplied by w_m2, and so
is its gradient: at first the memory comes w_m2² times as fast.

What happens to the norm of the weights while a network generalises (Huang et al. 2024, Takeaway 4, Fig 9).

A run generalises from the step at which its twin-free validation accuracy has made a tenth of its way, from 0 to where
it ends, to the step at which it has made nine tenths.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from scipy.integrate import solve_ivp

from grokbook import tasks
from grokbook.analysis import circuit
from grokbook.analysis.events import GENERALISED, MEMORISED, crossing, final
from grokbook.analysis.zones import NEGLIGIBLE
from grokbook.config import RunConfig
from grokbook.networks import NETWORKS
from grokbook.store import Store

WAY = (0.1, 0.9)
"""Parts of the way between which a run counts as generalising; the field's usual rise time."""

SOME = 0.1
"""Final twin-free accuracy that a run needs to have generalised at all: eleven times chance."""


def norm_change(runs: xr.Dataset) -> xr.Dataset:
    """Ratio of the weight norm after generalising to that before, over all dimensions of `runs` but `step`.

    Returns `ratio`, and the steps `begin` and `end`; NaN for runs that did not generalise at all, or from one
    evaluation to the next, between which the norm was not seen.
    """
    last = final(runs, "twin_free_val_acc")
    curves = runs["twin_free_val_acc"] / last.where(last >= SOME)
    begin, end = (crossing(curves, part) for part in WAY)
    happened = begin < end  # also false where one of the two is NaN
    before, after = (runs["param_norm"].sel(step=at.fillna(0), method="nearest").drop_vars("step")
                     for at in (begin, end))
    ratio = (after / before).where(happened, np.nan)
    return xr.Dataset({"ratio": ratio, "begin": begin.where(happened), "end": end.where(happened)})


def costs(runs: xr.Dataset) -> xr.Dataset:
    """The weight norm that networks end with: `memorising` of those that know their pairs and no others, `generalising`
    of those that know all, NaN elsewhere; over all dimensions of `runs` but `step`.

    What weight decay makes of a network that answers its pairs by one of the two is what that costs (Varma et al.
    2023); a norm at a budget, not the least there is.
    """
    norm, knows = final(runs, "param_norm"), final(runs, "train_acc") >= MEMORISED
    none, all_ = final(runs, "twin_free_val_acc") <= NEGLIGIBLE, final(runs, "val_acc") >= GENERALISED
    return xr.Dataset({"memorising": norm.where(knows & none), "generalising": norm.where(knows & all_)})


def growth(norm: xr.DataArray, sizes: int = 3) -> xr.Dataset:
    """A power law, norm = exp(`level`) · D_train ** `exponent`, by least squares on logarithms, for each seed.

    `norm` has the dimensions D_train and seed; NaN for a seed with fewer than `sizes`.
    """
    y = xr.apply_ufunc(np.log, norm.transpose("D_train", "seed").astype(float))
    x = xr.apply_ufunc(np.log, norm["D_train"]).where(y.notnull())
    n, slope = y.notnull().sum("D_train"), xr.cov(x, y, "D_train") / x.var("D_train", ddof=1)
    law = xr.Dataset({"exponent": slope, "level": y.mean("D_train") - slope * x.mean("D_train")})
    return law.where(n >= sizes)


def norm_crossing(memorising: xr.DataArray, generalising: xr.DataArray) -> xr.DataArray:
    """D_train from which on memorising takes the larger norm, for each seed: where its power law reaches the mean norm
    of generalising. Over D_train and seed both."""
    law = growth(memorising)
    log_norm = xr.apply_ufunc(np.log, generalising.mean("D_train"))
    return xr.apply_ufunc(np.exp, (log_norm - law["level"]) / law["exponent"])


def of_any_parent(runs: xr.Dataset) -> xr.Dataset:
    """Runs of which each seed may have started from a parent of its own, without the dimension or coordinate `parent`.

    Of the variables it keeps those that are numbers or yes and no.
    """
    numbers = runs[[name for name in runs.data_vars if runs[name].dtype.kind in "fbi"]]
    whole = numbers.max("parent") if "parent" in runs.dims else numbers.drop_vars("parent", errors="ignore")
    return whole.assign_attrs(runs.attrs)


DECAY, TIMES = 0.03, np.concatenate([[0.0], np.geomspace(0.01, 200, 130)])
"""Our weight decay and times; the report has neither."""

SAMPLE = 400
"""Pairs that the mixture is trained on, and as many that it is validated on, drawn once: it has four weights."""

COLUMNS = ("train_loss", "train_acc", "val_loss", "val_acc")

LOW = 0.1
"""Part of the loss of guessing, ln p, below which a loss is close to zero."""


class Mixture(NamedTuple):
    """Logits of both networks for the same pairs, those of the right answer taken off: (pair, answer), float32."""

    memory: np.ndarray
    general: np.ndarray


class Frozen(NamedTuple):
    """Two frozen networks: on the pairs that the mixture is trained on, and on pairs that neither network has seen."""

    train: Mixture
    val: Mixture


def frozen(memory: str = "ungrokked", general: str = "grokked", *, by_norm: bool = True,
           store: Store | None = None) -> Frozen:
    """Two of `networks.NETWORKS` at their last stored weights, as `mixed`. Errors as `circuit.stored`."""
    return mixed({name: last(circuit.stored(name, store)) for name in (memory, general)}, by_norm=by_norm)


def last(by_step: Mapping[int, circuit.Weights]) -> circuit.Weights:
    """The weights after the last step."""
    return by_step[max(by_step)]


def mixed(weights: Mapping[str, circuit.Weights], *, by_norm: bool = True) -> Frozen:
    """The memory and the rule, in this order, by their names in `networks.NETWORKS`. Trained on the pairs of the first.

    With `by_norm` each network's logits are divided by the square of its weight norm, which is what a product of two
    weights costs: the decay of the mixture then falls on what the networks are made of, and the one that does more
    with less is the cheaper. Without, both cost the same, whatever they are made of. Both are then divided by one
    number, such that the memory's right answers lie 1 above the mean of the others.
    """
    logits = [_relative(NETWORKS[name].config, of, by_norm) for name, of in weights.items()]
    seen, of_the_other = (tasks.split(NETWORKS[name].config).train for name in weights)
    unit = -logits[0][seen].mean()
    drawn = (np.random.default_rng(0).permutation(np.flatnonzero(pairs))[:SAMPLE]
             for pairs in (seen, ~seen & ~of_the_other))
    return Frozen(*(Mixture(*((each[pairs] / unit).astype(np.float32) for each in logits)) for pairs in drawn))


def _relative(config: RunConfig, weights: circuit.Weights, by_norm: bool) -> np.ndarray:
    """Logits of all pairs (p², p) of a network, each pair's less that of the right answer."""
    logits = circuit.forward(weights, config).logits.reshape(config.p**2, config.p)
    squares = sum(float(np.sum(np.square(w, dtype=float))) for w in weights.values())
    right = np.take_along_axis(logits, tasks.table(config).labels[:, None], 1)
    return (logits - right) / (squares if by_norm else 1)


def loss(mixture: Mixture, w_mem: float, w_gen: float) -> tuple[float, float]:
    """Mean cross entropy in nats, and accuracy, of the logits w_mem · memory + w_gen · general."""
    logits = w_mem * mixture.memory + w_gen * mixture.general
    top = logits.max(1)  # 0 or more, the right answer's logit being 0
    return float((top + np.log(np.exp(logits - top[:, None]).sum(1))).mean()), float(np.mean(top <= 0))


def gradient(mixture: Mixture, w_mem: float, w_gen: float) -> np.ndarray:
    """Derivatives of `loss` by w_mem and w_gen: the mean logits that the softmax expects. (2,)"""
    logits = w_mem * mixture.memory + w_gen * mixture.general
    chances = np.exp(logits - logits.max(1, keepdims=True))
    chances /= chances.sum(1, keepdims=True)
    return np.array([np.vdot(chances, each) for each in mixture], float) / len(logits)


def train_mixture(networks: Frozen, w_m2: float = 10.0, w_g2: float = 1.0, *, decay: float = DECAY) -> pd.DataFrame:
    """Train the four weights: a row each of `TIMES`, with `time`, the products `w_mem` and `w_gen`, and `COLUMNS`.

    Raises:
        ValueError: a weight that is not positive, or a negative decay.
    """
    for name, value, valid in (("w_m2", w_m2, w_m2 > 0), ("w_g2", w_g2, w_g2 > 0), ("decay", decay, decay >= 0)):
        if not (valid and np.isfinite(value)):
            raise ValueError(f"{name}={value} is not usable; valid: a finite number above 0, a decay from 0 on")

    def descent(_: float, w: np.ndarray) -> np.ndarray:
        return -np.tile(gradient(networks.train, *(w[:2] * w[2:])), 2) * np.roll(w, 2) - decay * w
    w = solve_ivp(descent, (0, TIMES[-1]), [0.0, 0.0, w_m2, w_g2], method="LSODA", t_eval=TIMES, rtol=1e-5, atol=1e-7).y
    products = (w[:2] * w[2:]).T
    rows = [[time, *product, *(value for part in networks for value in loss(part, *product))]
            for time, product in zip(TIMES, products, strict=True)]
    return pd.DataFrame(rows, columns=["time", "w_mem", "w_gen", *COLUMNS])


def told(table: pd.DataFrame) -> dict[str, float | bool]:
    """What `train_mixture` shows: `close`, the time from which the training loss is close to zero (NaN: never), `rises`
    and `peak`, whether the validation loss is above its start then or ever, and how far it comes, and `ends`, whether
    it is close to zero at the end.

    Close to zero is `LOW` of the loss at the start, which is that of guessing.
    """
    time, train, val = table[["time", "train_loss", "val_loss"]].to_numpy().T
    guessing, peak, end = float(train[0]), float(val.max()), float(val[-1])
    close = time[train < LOW * guessing]
    return {"close": float(close[0]) if len(close) else np.nan, "rises": peak > guessing * 1.001, "peak": peak,
            "end": end, "ends": end < LOW * guessing}


def costs_by_run(runs: xr.Dataset) -> pd.DataFrame:
    """What `costs` gives, one row a run that has a cost: the dimensions of `runs` but `step`, `norm`, `log_odds`,
    and `kind`, `memory` for memorising and `general` for generalising."""
    norm = costs(runs).rename(memorising="memory", generalising="general").to_array("kind")
    table = xr.Dataset({"norm": norm, "log_odds": log_odds(runs)}).to_dataframe().dropna(subset="norm")
    return table.reset_index()


def unlearned(runs: xr.Dataset) -> pd.DataFrame:
    """Of networks that had generalised when they were handed over, one row a run: `architecture`, `weight_decay`,
    `share` of the pairs, `seed`, `left`, the twin-free accuracy in the end, and `unlearns`, whether that is lost while
    the training pairs are known (§5.3, Fig 7, 8)."""
    whole = of_any_parent(runs)
    whole = whole.expand_dims([name for name in ("architecture", "weight_decay") if name not in whole.dims])
    ends = xr.Dataset({"left": final(whole, "twin_free_val_acc"), "known": final(whole, "train_acc"),
                       "knew": whole["val_acc"].isel(step=0, drop=True)})
    table = ends.to_dataframe().reset_index().query(f"knew >= {GENERALISED}")
    lost = (table["left"] < SOME) & (table["known"] >= MEMORISED)
    return table.assign(share=table["D_train"] / int(runs["p"]) ** 2, unlearns=lost)


def log_odds(runs: xr.Dataset) -> xr.DataArray:
    """Logit of the right answer above all others together, on training pairs at the end of each run."""
    return -xr.apply_ufunc(lambda loss: np.log(np.expm1(loss)), final(runs, "train_loss").astype(float))


def norm_needed(runs: xr.Dataset, odds: float = 10.0) -> xr.DataArray:
    """The norm at which a feed-forward network's log odds would be that of all others here, over all dimensions but
    `step`.

    Its logits are a product of n_layers + 2 matrices and ReLUs, so a norm s times as large gives s^(n_layers + 2) times
    the logits, and nearly so the log odds. Raises ValueError for other networks.
    """
    if (runs["architecture"] != "mlp").any():
        raise ValueError(f"architecture={str(np.ravel(runs['architecture'])[0])!r} has no such power; valid: mlp")
    return final(runs, "param_norm") * (odds / log_odds(runs)) ** (1 / (runs["n_layers"] + 2))

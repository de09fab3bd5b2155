"""How long runs will take, by the wall times of those that are stored."""

from collections.abc import Iterable

import pandas as pd

from grokbook.config import FIELDS, RunConfig

KIND = ["device", "architecture", "n_layers", "d_h"]


def hours(runs: Iterable[RunConfig], stored: pd.DataFrame) -> dict[str, tuple[float, int]]:
    """Hours that these take to their last step on each device, as a run stores its name, and of how many none can tell.

    A run takes `n_steps` times its examples a step times the median seconds a step and example of stored runs of that
    device, architecture and depth and of the nearest d_h; from there to its own d_h the time grows with the square. It
    is what the engines and the load of those days made of it, and too long for runs that settle early.

    `stored` is a `Store.frame`; runs without a time, or without a step, do not count.
    """
    timed = stored[(stored["seconds"] > 0) & (stored["last_step"] > 0)]
    each = timed["seconds"] / timed["last_step"] / _examples(timed)
    pace = each.groupby([timed[name] for name in KIND]).median()
    wanted = pd.DataFrame([run.asdict() for run in runs], columns=list(FIELDS))
    work = (wanted["n_steps"] * _examples(wanted)).groupby([wanted[name] for name in KIND[1:]]).agg(["sum", "size"])
    left = {}
    for device in pace.index.unique("device"):
        seconds, unknown = 0.0, 0
        for (architecture, n_layers, d_h), (amount, count) in work.iterrows():
            sizes = pace.loc[device].get((architecture, n_layers))
            if sizes is None:
                unknown += int(count)
            else:
                nearest = min(sizes.index, key=lambda size: max(size, d_h) / min(size, d_h))
                seconds += amount * sizes[nearest] * (d_h / nearest) ** 2
        left[device] = (seconds / 3600, unknown)
    return left


def _examples(runs: pd.DataFrame) -> pd.Series:
    """Examples of a step: a batch, or without batches all."""
    return runs["batch_size"].where(runs["batch_size"] > 0, runs["D_train"] + runs["D_random"])

"""How much a network can know by heart: random labels for all p² pairs (Huang et al. 2024, Fig 4).

The paper's capacity is the number of pairs answered right at the end of training, accuracy × p². Two more measures
make it comparable. *Distinct* labels: where (a, b) and (b, a) share theirs, p(p + 1)/2 of the p² are different. *Bits*:
a label drawn from p values that the network predicts with cross entropy L (nats) holds log₂ p − L / ln 2 bits fewer
than one it knows nothing of, so over all distinct labels the weights store

    bits = n_distinct · (log₂ p − L / ln 2).
"""

import numpy as np
import pandas as pd
import xarray as xr

from grokbook.analysis.events import final
from grokbook.analysis.statistics import interval
from grokbook.store import config_of

SYMMETRIC = {"random": True, "random-ordered": False}
"""Tasks whose labels are random, and whether the label of (a, b) is that of (b, a)."""


def capacity(runs: xr.Dataset) -> pd.DataFrame:
    """Capacity of each d_h, one row a size and task, with 95 % intervals over seeds.

    `runs`, of one kind of network, was trained on random labels of all pairs: dimensions d_h, D_train, seed, step and
    perhaps task. Columns:
    `task`, `d_h`, `n_params`, `n` seeds; `D_mem` with `D_mem_lo`, `D_mem_hi`, in pairs (the paper's measure);
    `distinct`, the same in distinct labels; `bits_per_param` with `_lo`, `_hi`, and `_most`, which a network that knows
    every label would have: none can show more, whatever it could hold; `rising`, the growth of accuracy over
    the second half of the steps: 0 for a network that has settled.

    Raises:
        ValueError: other tasks, or runs that were not given all pairs.
    """
    by_task = runs if "task" in runs.dims else runs.expand_dims("task")
    tables = [_of_task(by_task.sel(task=task), str(task)) for task in by_task["task"].values]
    return pd.concat(tables, ignore_index=True)


def _of_task(runs: xr.Dataset, task: str) -> pd.DataFrame:
    if task not in SYMMETRIC:
        raise ValueError(f"task={task!r} has a rule to learn; valid: {', '.join(SYMMETRIC)}")
    p = int(runs["p"])
    if runs["D_train"].values.tolist() != [p * p]:
        raise ValueError(f"D_train={runs['D_train'].values.tolist()} leaves pairs out; valid: {p * p}, all of them")
    runs = runs.sel(D_train=p * p)
    n_distinct = p * (p + 1) // 2 if SYMMETRIC[task] else p * p
    n_params = xr.DataArray([config_of(runs, d_h=int(d), seed=0).n_params for d in runs["d_h"].values],
                            {"d_h": runs["d_h"]})
    pairs = interval(final(runs, "train_acc") * p * p, within=(0, p * p))
    bits = interval(n_distinct * (np.log2(p) - final(runs, "train_loss") / np.log(2)) / n_params)
    columns = {"task": task, "d_h": runs["d_h"], "n_params": n_params, "n": pairs["n"],
               "D_mem": pairs["mean"], "D_mem_lo": pairs["lo"], "D_mem_hi": pairs["hi"],
               "distinct": pairs["mean"] * n_distinct / p**2, "bits_per_param": bits["mean"],
               "bits_per_param_lo": bits["lo"], "bits_per_param_hi": bits["hi"],
               "bits_per_param_most": n_distinct * np.log2(p) / n_params, "rising": _rising(runs)}
    table = pd.DataFrame({name: getattr(values, "values", values) for name, values in columns.items()})
    return table.query("n > 0").reset_index(drop=True)


def _rising(runs: xr.Dataset) -> xr.DataArray:
    """How much train accuracy grew between half of the steps and the end, mean over seeds."""
    half = runs.sel(step=slice(0, int(runs["step"].values[-1]) // 2))
    return (final(runs, "train_acc") - final(half, "train_acc")).mean("seed")

"""Networks whose weights are kept, so that chapters can open them. Nothing here imports PyTorch."""

from typing import NamedTuple

from grokbook.config import RunConfig
from grokbook.studies import GROKKED, USUAL, critical_size


class Network(NamedTuple):
    """A run whose weights, or those `arrays` of them, are kept after these evaluation steps and the last one."""

    config: RunConfig
    steps: tuple[int, ...] = ()
    arrays: tuple[str, ...] = ()


RISING = (200, 316, 501, 794, 1000, 1259)
"""Steps around those at which networks of 64 and 5,000 pairs leave chance: where their circuit is looked for."""

NETWORKS = {
    "grokked": Network(RunConfig(d_h=64, D_train=5000, n_steps=20_000, **USUAL),
                       (0, 100, 200, 316, 501, 794, 1000, 1259, 1514, 1738, 1995, 2512)),
    **{f"grokked-{seed}": Network(RunConfig(d_h=64, D_train=5000, seed=seed, n_steps=20_000, **USUAL), RISING)
       for seed in range(1, 8)},
    "ungrokked": Network(RunConfig(d_h=32, D_train=2600, n_steps=40_000, **USUAL)),
    "mid-leap": Network(RunConfig(d_h=32, D_train=3400, seed=2, n_steps=40_000, **USUAL)),
    "progression": Network(RunConfig(d_h=8, D_train=3000, n_steps=40_000, **USUAL)),
    "mixture": Network(RunConfig(task="add+random", d_h=32, D_train=5000, D_random=3000, seed=1, n_steps=6_000)),
    **{f"parent-{seed}": Network(config) for seed, config in GROKKED.items()},
}
"""One network of each zone; the grokked one from before it memorised until after it generalised, seven more seeds.
The mixture adds beside random pairs. The parents are where the study `retrained` starts."""

EARLY = {f"early-{config.d_h}-{config.D_train}-{config.seed}": Network(config.replace(n_steps=1_000), (200,), ("W_E",))
         for config in critical_size.laptop if config.d_h in (32, 48)}
"""Embeddings from the early steps of networks behind D_crit: two sizes, to tell one from the other."""


FORGETTING = {f"forgetting-{seed}": Network(RunConfig(task="add+random", d_h=48, D_train=5000, D_random=3000, seed=seed,
                                                      n_steps=6_000), (200, 398, 501, 661, 871, 1096, 1514, 1995, 3020))
              for seed in (1, 2, 3)}
"""All networks of the cell of the study `emergence` that takes back most of its addition, on average."""

KEPT = NETWORKS | EARLY | FORGETTING
"""All that are kept, by name."""


def named(name: str) -> Network:
    """One of `KEPT`. Raises ValueError: there is none of that name."""
    if name not in KEPT:
        raise ValueError(f"network={name!r} is unknown; valid: {', '.join(NETWORKS)}, early-…, forgetting-…")
    return KEPT[name]

"""The few networks whose weights are kept, so that chapters can open them: one of each zone.

Other runs keep their curves alone. The grokked network is kept at several steps, from before it memorised until after
it generalised.
"""

from dataclasses import dataclass

from grokbook.config import RunConfig


@dataclass(frozen=True)
class Network:
    """A run and the evaluation steps at which its weights are kept; those after its last step always are."""

    config: RunConfig
    steps: tuple[int, ...] = ()


NETWORKS = {
    "grokked": Network(RunConfig(d_h=64, D_train=5000, n_steps=20_000),
                       (0, 100, 200, 316, 501, 794, 1000, 1259, 1514, 1738, 1995, 2512)),
    "ungrokked": Network(RunConfig(d_h=32, D_train=2600, n_steps=40_000)),
    "semi-grokked": Network(RunConfig(d_h=32, D_train=3400, seed=2, n_steps=40_000)),
    "progression": Network(RunConfig(d_h=8, D_train=3000, n_steps=40_000)),
}
"""Networks by what became of them."""

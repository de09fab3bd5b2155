"""Made-up runs of the paper's example cells, with the book's settings and with one setting changed."""

from maps import cube, typical

from grokbook.claims.zones import ZONE_OF
from grokbook.studies import CHANGES, EXAMPLES

NAMED = {cell: ZONE_OF[name].value for name, cell in EXAMPLES.items()}

RECIPE = {"lr": 1e-3, "weight_decay": 1.0, "init_scale": 1.0, "loss": "exact"}


def four(zone_of, n_seeds=5):
    """The example cells, whose seeds are in the zones `zone_of(cell, seed)`; None for no run."""
    def curves(d_h, D, seed):
        zone = zone_of((d_h, D), seed) if (d_h, D) in EXAMPLES.values() else None
        return typical(zone) if zone else None
    return cube([8, 32, 64], [2600, 3000], n_seeds, curves)


def recipes(zone_of, trained=lambda change, cell, seed: True):
    """Example cells under other settings, as a store loads them: fields that vary are dimensions."""
    changes = [change for change in CHANGES if any(trained(change, cell, s) for cell in EXAMPLES.values()
                                                   for s in range(2))]
    axes = {field: sorted({(RECIPE | change)[field] for change in changes}) for field in RECIPE}
    varying = [field for field in RECIPE if len(axes[field]) > 1]
    none = four(lambda cell, seed: None, n_seeds=2).drop_vars(list(RECIPE))
    whole = none.expand_dims({field: axes[field] for field in varying}).copy(deep=True)
    for change in changes:
        made = four(lambda cell, seed, c=change: zone_of(c, cell, seed) if trained(c, cell, seed) else None, n_seeds=2)
        at = {field: (RECIPE | change)[field] for field in varying}
        for name in whole.data_vars:
            whole[name].loc[at] = made[name]
    return whole.assign_coords({field: axes[field][0] for field in RECIPE if field not in varying})

"""What happens to the norm of the weights while a network generalises (Huang et al. 2024, Takeaway 4, Fig 9).

A run generalises from the step at which its twin-free validation accuracy has made a tenth of its way, from 0 to where
it ends, to the step at which it has made nine tenths.
"""

import numpy as np
import xarray as xr

from grokbook.analysis.events import crossing, final

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

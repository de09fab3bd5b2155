"""Ask the reader first: they draw what they expect of stored runs, and then see it beside what was measured.

The page does all of it without a kernel (guess.js).
"""

import json

import numpy as np
import xarray as xr

from grokbook.analysis.zones import Zone, zone_label
from grokbook.plots.template import METRIC_COLORS
from grokbook.widgets.explorer import STYLE
from grokbook.widgets.front_end import script, scripted

MOST_HANDLES = 11
"""Places that a reader sets, at most; a curve of more is drawn through so many of them, at equal distances."""

TITLES = {"train_acc": "train accuracy", "val_acc": "validation accuracy", "twin_free_val_acc": "twin-free accuracy"}

NO_SCRIPT = "<p><b>Your guess first.</b> {question} (In the HTML book, and in JupyterLab once the cell was run.)</p>"


class Guess:
    """A figure into which the reader draws a guess, with a button that shows the runs beside it.

    Args:
        measured: a result of each run, over `seed` and one more dimension, that along which is guessed: numbers, as
            `analysis.final` or `analysis.carried` give them (NaN: no run), or zones, as `analysis.zones` does ("").
        question: what is asked.

    Raises:
        ValueError: other dimensions.
    """

    def __init__(self, measured: xr.DataArray, question: str):
        (along, *more) = [str(dim) for dim in measured.dims if dim != "seed"] or [""]
        if more or not along or "seed" not in measured.dims:
            raise ValueError(f"measured has the dimensions {measured.dims}; valid: seed and one more")
        self.question, self.data = question, _data(measured.transpose("seed", along), along)
        self.data |= {"question": question, "title": TITLES.get(str(measured.name), "")}

    def __repr__(self) -> str:
        return f"Guess: {self.question}"

    def _repr_html_(self) -> str:
        data = json.dumps(self.data | {"style": STYLE}, allow_nan=False).replace("<", r"\u003c")
        return scripted(NO_SCRIPT.format(question=self.question),
                        f"const data = {data};\n{script('svg.js', 'guess.js')}")


def _data(measured: xr.DataArray, along: str) -> dict:
    """What the page is told: places and their names, the `handles` among them, `levels` of zones, `runs` as numbers."""
    places, levels = measured[along].values.tolist(), []
    if measured.dtype.kind in "UO":
        zones = [zone.value for zone in Zone if zone is not Zone.STILL_MOVING or (measured == zone.value).any()]
        levels, known = [zone_label(zone) for zone in zones], measured.values != ""
        values = np.array([[zones.index(zone) if zone else -1 for zone in run] for run in measured.values], float)
        values = np.where(known, values, np.nan)
    else:
        values = measured.values.astype(float)
    handles = np.unique(np.linspace(0, len(places) - 1, min(len(places), MOST_HANDLES)).round().astype(int))
    top = 1.0 if levels or not values.size or np.nanmax(values) <= 1 else 1.25 * float(np.nanmax(values))
    return {"along": along, "places": places, "handles": handles.tolist(), "levels": levels, "top": top,
            "color": METRIC_COLORS["val_acc"],
            "runs": [[None if np.isnan(value) else round(float(value), 4) for value in run] for run in values]}

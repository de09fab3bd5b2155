"""What stands around a plot: title and legend above, and in words how many runs, how far, with our settings."""

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from grokbook.plots.template import MARGIN_LEFT

CHOSEN = {"lr": "learning rate", "weight_decay": "weight decay", "n_warmup": "warm-up steps",
          "init_scale": "initial scale", "loss": "cross entropy"}
"""Settings that Huang et al. 2024 do not state, so that the book had to choose them."""

STATED = {"divide": {"lr": 1e-3, "weight_decay": 1e-5, "n_warmup": 0}}
"""What the source of a task does state or its code has (Davies et al. 2022): ours only where it differs."""

NETWORK_NAMES = {"lstm": "LSTM", "mlp": "feed-forward (MLP)"}
"""Networks besides the transformer, as a reader knows them."""

SUBPLOT_TITLE = 16  # size of the titles that plotly puts above its columns, too large beside 13 for all else
OUR_SETTINGS = "Our settings"  # how the last sentence of a caption begins, where it tells them
TITLE, LEGEND_LINE, AXIS = 40, 22, 60  # pixels that a title, a line of the legend and the labels of an axis take


def caption(runs: xr.Dataset, *notes: str) -> str:
    """n, seeds, how far the runs were followed, a network that is no transformer, `notes`, and settings that are ours.

    `runs` holds what the figure shows and nothing else; a cell is one value of every dimension but `seed`.
    """
    return " ".join(part for part in (_count(runs), _reach(runs), _network(runs), *notes, _ours(runs)) if part)


def frame(fig: go.Figure, *, title: str, caption: str, plot_height: int, above: int = 0,
          left: int = 0) -> go.Figure:
    """Put title and legend above a plot of `plot_height` pixels, so that nothing overlaps, and keep its caption.

    `above` is the number of pixels that the plot itself needs above, for the titles of its columns; `left` what it
    needs beside it for the names of its rows, more than numbers take. The caption stands in
    `fig.layout.meta["caption"]` alone: whoever shows the figure prints it as text, which wraps and is read aloud.
    """
    fig.update_annotations(font_size=13, selector=lambda words: words.font.size == SUBPLOT_TITLE)
    top = TITLE + 2 * LEGEND_LINE + above
    height = top + plot_height + AXIS
    return fig.update_layout(title_text=title, height=height, margin={"t": top, "b": AXIS, "l": MARGIN_LEFT + left},
                             legend_y=1 - TITLE / height, meta={"caption": caption})


def _count(runs: xr.Dataset) -> str:
    trained = runs["trained"]
    n = trained.sum("seed").values.ravel()
    n, total = n[n > 0], int(trained.sum())
    if not total:
        return "n = 0: none of these runs was trained."
    seeds = runs["seed"].values[trained.any([dim for dim in trained.dims if dim != "seed"]).values]
    named = f"({'seed' if len(seeds) == 1 else 'seeds'} {_ranges(seeds)})"
    each = f"{n.min()}" if n.min() == n.max() else f"{n.min()} to {n.max()}"
    counted = f"n = {each} {'run' if n.max() == 1 else 'runs'}"
    return f"{counted} {named}." if len(n) == 1 else f"{counted} a cell {named}, {total:,} in all."


def _reach(runs: xr.Dataset) -> str:
    trained = runs["trained"].values
    if not trained.any():
        return ""
    end = runs["last_step"].values[trained]
    last = np.minimum(end, runs["step"].values[-1])  # runs may be cut at a step after they were loaded
    n_settled = int((runs["settled"].values[trained] & (last == end)).sum())
    steps = f"{last.min():,}" if last.min() == last.max() else f"{last.min():,} to {last.max():,}"
    stopped = f"; {n_settled:,} of {len(last):,} stopped early, every accuracy settled at 1" if n_settled else ""
    return f"Followed for {steps} steps{stopped}."


def _network(runs: xr.Dataset) -> str:
    fixed = shared_settings(runs)
    kind = NETWORK_NAMES.get(str(fixed.get("architecture")))
    return f"Networks: {kind}, layers {fixed.get('n_layers', 'varied')}." if kind else ""


def shared_settings(runs: xr.Dataset) -> dict:
    """The settings that all runs share."""
    return {str(name): value.item() for name, value in runs.coords.items() if value.ndim == 0}


def _ours(runs: xr.Dataset) -> str:
    fixed = shared_settings(runs)
    stated = STATED.get(str(fixed.get("task")), {})
    named = [f"{words} {plain(fixed[name])}" for name, words in CHOSEN.items()
             if name in fixed and fixed[name] != stated.get(name)]
    which = "not the paper's" if stated else "not stated in the paper"
    return f"{OUR_SETTINGS}, {which}: {', '.join(named)}." if named else ""


def plain(value) -> str:
    """A setting's value without needless digits."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _ranges(values: np.ndarray) -> str:
    """Ascending integers as ranges: 0–4, 7."""
    groups = np.split(values, np.flatnonzero(np.diff(values) != 1) + 1)
    return ", ".join(f"{group[0]}" if len(group) == 1 else f"{group[0]}–{group[-1]}" for group in groups)

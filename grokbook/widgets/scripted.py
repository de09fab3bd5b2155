"""Widgets whose page answers by itself, without a kernel (patterns.js, circuit.js, guess.js, scorecard.js), and the
mixture, which is trained anew at every move of a slider.
"""

import base64
import json
import threading
from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from typing import Any

import ipywidgets as W
import numpy as np
import plotly.graph_objects as go
import xarray as xr

from grokbook.analysis import circuit, kinds, patterns
from grokbook.analysis.efficiency import frozen, told, train_mixture
from grokbook.analysis.zones import Zone, zone_label
from grokbook.claims.card import COLORS, WORDS, Card
from grokbook.config import RunConfig, check_among
from grokbook.networks import NETWORKS
from grokbook.plots.circuit import SHARES
from grokbook.plots.networks import mixture_panels
from grokbook.plots.patterns import KIND_COLORS, PATTERN_COLORS, pattern_curves
from grokbook.plots.picture import caption_of, picture
from grokbook.plots.template import METRIC_COLORS
from grokbook.store import Store
from grokbook.widgets.explorer import STYLE
from grokbook.widgets.front_end import NEEDS_KERNEL, Picture, Plot, paragraph, script, scripted, watched

RANGES = {"gamma": ("covers γ", 0, 1, 0.01), "alpha": ("speed α", 0, 0.5, 0.005), "b": ("time b", 0, 300, 1),
          "g": ("worth g", 0, 1, 0.01)}
"""Of every slider: its label, both ends, its step."""

NEW = patterns.Pattern(0.5, 0.1, 100, 0.5)
"""What *add a pattern* adds."""

SCRIPT = script("svg.js", "patterns.js")


class PatternExplorer:
    """Presets, a morph from double descent to grokking, sliders for any number of patterns, figures, and a sentence.

    On the left the patterns and the accuracies they add up to, on the right where these parameters lie on the map.
    Raises ValueError: there is no such preset.
    """

    def __init__(self, preset: str = "double descent"):
        check_among("preset", preset, patterns.PRESETS)
        self.preset, self.data = preset, explorer_data() | {"start": preset}

    def __repr__(self) -> str:
        preset = patterns.PRESETS[self.preset]
        return f"PatternExplorer: {len(preset)} patterns, {kinds.kind_of(preset)}"

    def _repr_html_(self) -> str:
        data = json.dumps(self.data, ensure_ascii=False).replace("<", r"\u003c")
        words = escape(NEEDS_KERNEL.format(what="the model on sliders"))
        return scripted(f"<div>{self._picture()}<p>{words}</p></div>",
                        f"{SCRIPT}\nroot.firstElementChild.remove();\nrender_patterns(root, {data});")

    def _picture(self) -> str:
        """Of its start, for pages without scripts; where somebody looks the script runs, and painting takes seconds."""
        png = None if watched() else picture(pattern_curves({self.preset: patterns.PRESETS[self.preset]}))
        code = base64.b64encode(png or b"").decode()
        return f'<img alt="{escape(repr(self))}" src="data:image/png;base64,{code}">' if png else ""


def explorer_data() -> dict[str, Any]:
    """What the page needs: presets, names, sliders, the morph's ends, colours, and the levels of `kinds`."""
    ends = patterns.PATHS["γ₁ and γ₃ together"].tolist()
    return {"presets": {name: _told(preset) for name, preset in patterns.PRESETS.items()}, "own": "(your own)",
            "new": asdict(NEW), "style": STYLE,
            "sliders": {name: {"label": label, "range": ends} for name, (label, *ends) in RANGES.items()},
            "morph": {"label": "morph into grokking",
                      "gammas": [[i, start, end] for i, start, end in zip((0, 2), *ends, strict=True)]},
            "kinds": KIND_COLORS, "colors": PATTERN_COLORS, "test": METRIC_COLORS["val_acc"],
            "levels": {"dip": kinds.DIP, "low": kinds.LOW, "high": kinds.HIGH, "memorised": kinds.MEMORISED,
                       "long_before": kinds.LONG_BEFORE}}


def _told(preset: patterns.Patterns) -> list[dict[str, Any]]:
    """Patterns as the page has them; three have the names of the paper's three types."""
    names = patterns.TYPES if len(preset) == len(patterns.TYPES) else [None] * len(preset)
    return [asdict(pattern) | {"name": name} for pattern, name in zip(preset, names, strict=True)]


CURVES = [{"key": "train_acc", "name": "train accuracy", "color": "var(--gb-train)"},
          {"key": "val_acc", "name": "validation accuracy", "color": METRIC_COLORS["val_acc"]},
          {"key": "embedding", "name": "embedding in key frequencies", "color": SHARES["embedding"][1]}]

WITHOUT = "<p>An explorer of the circuit: it runs in the HTML book, and in JupyterLab once its cell was run.</p>"


class CircuitExplorer:
    """Spectrum, neurons, clock and accuracies of one of `networks.NETWORKS` at every step of which weights are stored.

    Args:
        name: the network.
        a, b: the pair to begin with.
        step: the stored step to begin with; the last if None.
        store: where the weights are; the shipped store if None.

    Raises:
        ValueError: there is no such network, step or number.
        LookupError: its weights are not stored.
    """

    def __init__(self, name: str = "grokked", *, a: int = 37, b: int = 95, step: int | None = None,
                 store: Store | None = None):
        by_step = circuit.stored(name, store)
        config, step = NETWORKS[name].config, max(by_step) if step is None else step
        if step not in by_step:
            raise ValueError(f"step={step} is not stored; valid: {', '.join(map(str, by_step))}")
        for label, value in (("a", a), ("b", b)):
            if not 0 <= value < config.p:
                raise ValueError(f"{label}={value} is not a number of the task; valid: 0 to {config.p - 1}")
        self.name, self.data = name, circuit_data(by_step, config)
        self.data["start"] = {"step": sorted(by_step).index(step), "a": a, "b": b, "k": 0}

    def __repr__(self) -> str:
        return f"CircuitExplorer: the network {self.name} at {len(self.data['steps'])} steps"

    def _repr_html_(self) -> str:
        data = json.dumps(self.data | {"style": STYLE}, separators=(",", ":"), allow_nan=False).replace("<", r"\u003c")
        return scripted(WITHOUT, f"const data = {data};\n{script('svg.js', 'circuit.js')}")


def circuit_data(by_step: dict[int, circuit.Weights], config: RunConfig) -> dict[str, Any]:
    """What the page shows, as plain JSON: `p`, `keys` (of the last step), `steps`, and `networks`, one a step.

    Of each: `spectrum`, the shares of W_E's power at 1 … p // 2; `neurons`, the frequency and the share explained of
    each that ever changes; `votes`, the size of cos w(a + b − c) in the logits at each of `keys`; accuracies.
    """
    steps = sorted(by_step)
    keys = circuit.key_frequencies(circuit.embedding_power(by_step[steps[-1]], config.p))
    return {"p": config.p, "keys": keys, "steps": steps, "tiled": circuit.TILED, "curves": CURVES,
            "networks": [_network(by_step[step], config, keys) for step in steps]}


def _network(weights: circuit.Weights, config: RunConfig, keys: list[int]) -> dict[str, Any]:
    share, (neurons, logits) = circuit.embedding_power(weights, config.p), circuit.forward(weights, config)
    tiles, at = circuit.neuron_frequencies(neurons).dropna(), np.array(keys, int) - 1
    shares = {"embedding": share[at].sum()} | circuit.accuracies(logits, config)
    return {"spectrum": share.round(4).tolist(), "votes": circuit.votes(logits)[at].round(3).tolist(),
            "neurons": [[int(k), round(float(part), 2)] for k, part in tiles.to_numpy()],
            **{name: round(float(value), 4) for name, value in shares.items()}}


SPEEDS = (1, 1.5, 2, 3, 5, 7, 10, 15, 20)
"""Values of w_m2, where w_g2 is 1."""


class MixtureExplorer(Picture, W.VBox):
    """A slider for w_m2, a box for whether a network's cost is its norm, curves, and a sentence on what they show.

    `table` is what was trained. As the last line of a cell it is shown.

    Raises:
        ValueError: w_m2 is no place of the slider. LookupError: the networks' weights are not stored.
    """

    what = "a mixture that trains at every move of its slider"

    def __init__(self, w_m2: float = 10, *, by_norm: bool = True):
        if w_m2 not in SPEEDS:
            raise ValueError(f"w_m2={w_m2!r} is no place of the slider; valid: {', '.join(map(str, SPEEDS))}")
        self._networks = {choice: frozen(by_norm=choice) for choice in (True, False)}
        self._lock = threading.Lock()
        self.speed = W.SelectionSlider(options=[(f"{v:g}", v) for v in SPEEDS], value=w_m2, description="w_m2",
                                       continuous_update=False, layout=W.Layout(width="330px"))
        self.by_norm = W.Checkbox(value=by_norm, description="a network costs its squared norm", indent=False)
        self.said = W.HTML()
        self.plot = Plot(self._trained())
        super().__init__([W.HBox([self.speed, self.by_norm]), self.said, self.plot,
                          W.HTML(paragraph(caption_of(self.plot.figure)))])
        for control in (self.speed, self.by_norm):
            control.observe(self._follow, names="value")
        self.add_class("gb-mixture")

    @property
    def sentence(self) -> str:
        """What the curves show."""
        seen = told(self.table)
        rises = (f"comes up to {seen['peak']:.1f} nats, worse than guessing" if seen["rises"]
                 else "never rises above that of guessing")
        return (f"Training loss is close to zero from time {seen['close']:.2g} on. Validation loss {rises}, and ends "
                f"at {seen['end']:.2f}, where validation accuracy is {self.table['val_acc'].iloc[-1]:.2f}.")

    def pictures(self) -> list[go.Figure]:
        """The figure as it is."""
        return [self.plot.figure]

    def _trained(self) -> go.Figure:
        self.table = train_mixture(self._networks[self.by_norm.value], self.speed.value)
        self.said.value = paragraph(self.sentence)
        return mixture_panels({"": self.table})

    def _follow(self, _: object) -> None:
        with self._lock:
            self.plot.figure = self._trained()


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


COLUMNS = ("verdict", "claim", "measured", "n", "source", "settings", "rule")

BADGE = "color:white;padding:1px 5px;border-radius:3px;white-space:nowrap;"


class Scorecard:
    """All claims with source, verdict, first number and interval, n, whose settings, and since when the rule stands.

    In a notebook and in the book it shows itself as a table. Where scripts run, a click on the head of a column sorts
    it and there is a choice of sources and verdicts; where none runs, it is a plain table. `cards` as
    `claims.judge_all` gives them.
    """

    def __init__(self, cards: Sequence[Card]):
        self.cards = tuple(cards)

    def __repr__(self) -> str:
        return "\n".join(f"{card.claim.id:<22} {card.word:<17} n = {card.measured.n}"
                         for card in self.cards)

    def _repr_html_(self) -> str:
        head = "".join(f"<th scope='col' style='text-align:left'>{name}</th>" for name in COLUMNS)
        table = (f"<table style='font-size:13px;min-width:54em'><thead><tr>{head}</tr></thead>"
                 f"<tbody>{''.join(map(_row, self.cards))}</tbody></table>")
        return scripted(f"<div class='wide' style='overflow-x:auto'>{table}</div>", script("scorecard.js"))


def _row(card: Card) -> str:
    claim, measured = card.claim, card.measured
    word = card.word
    theirs = "all ours" if claim.ours.startswith("everything") or claim.paper == "ours" else "partly ours"
    stands = _folded("changed" if claim.changed else "as first written", claim.changed)
    cells = [(f"<b style='{BADGE}background:{COLORS[word]}'>{word}</b>", WORDS.index(word)),
             (f"<div style='min-width:11em'><code>{claim.id}</code><br>{escape(claim.says)}</div>", claim.id),
             (f"<div style='min-width:14em'>{_numbers(card)}</div>", _first(card)),
             (f"{measured.n:,}", measured.n), (escape(claim.source), claim.source),
             (_folded(theirs, claim.ours), theirs),
             (f"<div style='min-width:6em'>{stands}</div>", bool(claim.changed))]
    return (f"<tr data-source='{escape(claim.paper)}' data-verdict='{word}'>" + "".join(
        f"<td style='text-align:left;vertical-align:top' data-sort='{escape(str(key))}'>{content}</td>"
        for content, key in cells) + "</tr>")


def _first(card: Card) -> str:
    """The first number of a card with its interval; the remark of one that has none."""
    if not card.measured.numbers:
        return card.measured.remark
    label, value, interval, n = card.measured.numbers[0]
    return f"{label}: {value}{f' {interval}' if interval else ''}{f' (n = {n:,})' if n is not None else ''}"


def _numbers(card: Card) -> str:
    return _folded(_first(card), str(card.measured) if card.measured.numbers else "")


def _folded(words: str, more: str) -> str:
    """Words with more behind them, line by line."""
    lines = "<br>".join(map(escape, more.splitlines()))
    return f"<details><summary>{escape(words)}</summary>{lines}</details>" if more else escape(words)

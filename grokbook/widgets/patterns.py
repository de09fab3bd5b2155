"""Pattern explorer: every parameter of the pattern model in the reader's hand.

The model is a closed formula, so the page computes it, at every move and without a kernel (patterns.js).
"""

import base64
import json
from dataclasses import asdict
from html import escape
from typing import Any

from grokbook.analysis import kinds, patterns
from grokbook.analysis.patterns import PRESETS, Pattern
from grokbook.plots.patterns import KIND_COLORS, PATTERN_COLORS, pattern_curves
from grokbook.plots.picture import picture
from grokbook.plots.template import METRIC_COLORS
from grokbook.widgets.explorer import STYLE
from grokbook.widgets.front_end import NEEDS_KERNEL, script, scripted, watched

RANGES = {"gamma": ("covers γ", 0, 1, 0.01), "alpha": ("speed α", 0, 0.5, 0.005), "b": ("time b", 0, 300, 1),
          "g": ("worth g", 0, 1, 0.01)}
"""Of every slider: its label, both ends, its step."""

NEW = Pattern(0.5, 0.1, 100, 0.5)
"""What *add a pattern* adds."""

SCRIPT = script("svg.js", "patterns.js")


class PatternExplorer:
    """Presets, a morph from double descent to grokking, sliders for any number of patterns, figures, and a sentence.

    On the left the patterns and the accuracies they add up to, on the right where these parameters lie on the map.
    Raises ValueError: there is no such preset.
    """

    def __init__(self, preset: str = "double descent"):
        if preset not in PRESETS:
            raise ValueError(f"preset={preset!r} is unknown; valid: {', '.join(PRESETS)}")
        self.preset, self.data = preset, explorer_data() | {"start": preset}

    def __repr__(self) -> str:
        return f"PatternExplorer: {kinds.describe(PRESETS[self.preset])}"

    def _repr_html_(self) -> str:
        data = json.dumps(self.data, ensure_ascii=False).replace("<", r"\u003c")
        words = escape(NEEDS_KERNEL.format(what="the model on sliders"))
        return scripted(f"<div>{self._picture()}<p>{words}</p></div>",
                        f"{SCRIPT}\nroot.firstElementChild.remove();\nrender_patterns(root, {data});")

    def _picture(self) -> str:
        """Of its start, for pages without scripts; where somebody looks the script runs, and painting takes seconds."""
        png = None if watched() else picture(pattern_curves({self.preset: PRESETS[self.preset]}))
        code = base64.b64encode(png or b"").decode()
        return f'<img alt="{escape(repr(self))}" src="data:image/png;base64,{code}">' if png else ""


def explorer_data() -> dict[str, Any]:
    """What the page needs: presets, names, sliders, the morph's ends, colours, and the levels of `kinds`."""
    ends = patterns.PATHS["γ₁ and γ₃ together"].tolist()
    return {"presets": {name: _told(preset) for name, preset in PRESETS.items()}, "own": "(your own)",
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

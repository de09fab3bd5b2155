"""A claim, what was measured about it, and the card that shows both."""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape

VERDICTS = ("reproduced", "partly", "not reproduced", "not yet measured")

COLORS: dict[str, str] = dict(zip(VERDICTS, ("#00795c", "#a05a00", "#b3261e", "#5f6368"), strict=True))
"""Colours of the verdicts, dark enough to be read as text on white."""


@dataclass(frozen=True)
class Measured:
    """What came out: one of `VERDICTS`, a sentence with the numbers and intervals, and n, the runs it rests on."""

    verdict: str
    sentence: str
    n: int


class TooLittle(Exception):
    """There are too few runs to judge by; says what it takes."""


@dataclass(frozen=True)
class Claim:
    """A statement that can be judged. `rule` says in words what `measure` computes.

    `needs` names studies, each with the steps that its runs must have been followed: `measure` gets one Dataset each,
    of those runs on the study's own grid that have been trained, cut at that step. A claim about a model needs none and
    is computed.
    """

    id: str
    source: str
    says: str
    rule: str
    ours: str
    needs: tuple[tuple[str, int], ...]
    measure: Callable[..., Measured]


@dataclass(frozen=True, repr=False)
class Verdict:
    """A claim beside its measurement. In a notebook it shows itself as a card, in print as a line."""

    claim: Claim
    measured: Measured

    def __repr__(self) -> str:
        return f"{self.claim.id}: {self.measured.verdict} ({self._runs()}). {self.measured.sentence}"

    def _repr_markdown_(self) -> str:
        rows = "\n".join(f"| {name} | {text} |" for name, text in self._rows())
        return f"**{self.claim.id}** · *{self.measured.verdict}*\n\n| | |\n|---|---|\n{rows}\n"

    def _repr_html_(self) -> str:
        color = COLORS[self.measured.verdict]
        rows = "".join(f"<dt style='font-weight:600'>{escape(name)}</dt><dd style='margin:0 0 .5em 0'>{escape(text)}"
                       "</dd>" for name, text in self._rows())
        return (f"<div style='border-left:5px solid {color};padding:.4em 1em;max-width:48em'><div><code>"
                f"{escape(self.claim.id)}</code> <b style='color:{color}'>{self.measured.verdict}</b></div>"
                f"<dl style='margin:.5em 0 0 0'>{rows}</dl></div>")

    def _rows(self) -> tuple[tuple[str, str], ...]:
        claim = self.claim
        return (("The source says", f"{claim.says} ({claim.source})"), ("We measured", self.measured.sentence),
                ("Judged by", claim.rule), ("Ours", claim.ours), ("Runs", self._runs()))

    def _runs(self) -> str:
        return f"n = {self.measured.n}" if self.claim.needs else "none: computed"

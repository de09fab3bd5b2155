"""The scorecard: every claim in one table, which a page sorts and filters by itself."""

from collections.abc import Sequence
from html import escape

from grokbook.claims.card import COLORS, WORDS, Card
from grokbook.widgets.front_end import script, scripted

COLUMNS = ("claim", "verdict", "measured", "n", "source", "settings", "rule")

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
        table = (f"<table style='font-size:13px;min-width:60em'><thead><tr>{head}</tr></thead>"
                 f"<tbody>{''.join(map(_row, self.cards))}</tbody></table>")
        return scripted(f"<div style='overflow-x:auto'>{table}</div>", script("scorecard.js"))


def _row(card: Card) -> str:
    claim, measured = card.claim, card.measured
    word = card.word
    theirs = "all ours" if claim.ours.startswith("everything") or claim.paper == "ours" else "partly ours"
    cells = [(f"<div style='min-width:15em'><code>{claim.id}</code><br>{escape(claim.says)}</div>", claim.id),
             (f"<b style='{BADGE}background:{COLORS[word]}'>{word}</b>", WORDS.index(word)),
             (_numbers(card), _first(card)), (f"{measured.n:,}", measured.n), (escape(claim.source), claim.source),
             (_folded(theirs, claim.ours), theirs),
             (_folded("changed" if claim.changed else "as first written", claim.changed), bool(claim.changed))]
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

"""A claim, what was measured about it, the card that shows both, and what rules share: a verdict from its parts, an
interval in words, how many seeds it takes. Then all cards together: how many of each verdict, what those that are open
still take, and a page that can be quoted.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from html import escape
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from grokbook import networks
from grokbook.store import Store
from grokbook.studies import Study


class Verdict(StrEnum):
    """What a claim can come to."""

    REPRODUCED = "reproduced"
    PARTLY = "partly"
    NOT_REPRODUCED = "not reproduced"
    NOT_YET_MEASURED = "not yet measured"


UNDECIDED = "undecided"
"""What is said where runs were measured and leave a claim open."""

WORDS = (*list(Verdict)[:3], UNDECIDED, Verdict.NOT_YET_MEASURED)

COLORS: dict[str, str] = dict(zip(WORDS, ("#00795c", "#a05a00", "#b3261e", "#5d4a8a", "#5f6368"), strict=True))
"""Colours of the verdicts in words, dark enough to be read as text on white."""


TIGHT = "style='margin:.3em 0'"


class Number(NamedTuple):
    """A row of a card's table. `interval` is that of 95 %, `n` how many seeds or runs the value rests on."""

    label: str
    value: str
    interval: str = ""
    n: int | None = None


class Measured(NamedTuple):
    """What came out: the verdict, the numbers that it rests on, n, the runs behind them, and a remark."""

    verdict: Verdict
    numbers: tuple[Number, ...]
    n: int
    remark: str = ""

    def __str__(self) -> str:
        """The remark, and the numbers in columns."""
        columns = zip(*map(_cells, self.numbers), strict=True)
        padded = [[cell.ljust(max(map(len, column))) for cell in column] for column in columns]
        lines = ["  ".join(row).rstrip() for row in zip(*padded, strict=True)]
        return "\n".join([*([self.remark] if self.remark else []), *lines])


class TooLittle(Exception):
    """There are too few runs to judge by; says what it takes."""


def require(holds: Any, otherwise: str) -> None:
    """Raise TooLittle in these words where the runs do not have what a rule takes."""
    if not holds:
        raise TooLittle(otherwise)


class Claim(NamedTuple):
    """A statement that can be judged. `rule` says in words what `measure` computes.

    `changed` says what changed in it after data were seen, and what was known then; empty for a rule that stands as it
    was written before.

    `needs` are studies: `measure` gets one Dataset each, of those runs that have been trained, as the book shows them.
    A claim about a model needs none and is computed. One about `networks` whose weights are stored gets one mapping
    each from the steps to the weights, by name.
    """

    id: str
    source: str
    says: str
    rule: str
    ours: str
    measure: Callable[..., Measured]
    needs: tuple[Study, ...] = ()
    networks: tuple[str, ...] = ()
    changed: str = ""

    @property
    def paper(self) -> str:
        """The source without the place in it: Huang et al. 2024, or ours."""
        return re.split("[,;]", self.source)[0]

    def __call__(self, *runs) -> Measured:
        """What is measured of these runs. Raises TooLittle where they are too few."""
        return self.measure(*runs)


def claim(id: str, **statement: Any) -> Callable[[Callable[..., Measured]], Claim]:
    """Make a claim of the function below, which measures it: the fields of `Claim`, and the rule beside its code."""
    return lambda measure: Claim(id=id, measure=measure, **statement)


class Card(NamedTuple):
    """A claim beside its measurement. In a notebook it shows itself as a card, in print as text."""

    claim: Claim
    measured: Measured

    def __repr__(self) -> str:
        return f"{self.claim.id}: {self.word} ({self._runs()})\n{self.measured}"

    @property
    def word(self) -> str:
        """The verdict in words: numbers that leave it open are no lack of measurement, runs too few to judge by are."""
        verdict, numbers = self.measured.verdict, self.measured.numbers
        return UNDECIDED if verdict is Verdict.NOT_YET_MEASURED and numbers else str(verdict)

    def _repr_html_(self) -> str:
        claim, measured, color = self.claim, self.measured, COLORS[self.word]
        stands = claim.changed or "nothing"
        name, says, source, rule, ours, changed, remark, word = map(escape, (
            claim.id, claim.says, claim.source, claim.rule, claim.ours, stands, measured.remark, self.word))
        who = "We expected" if claim.source.startswith("ours") else "The source says"
        lines = [("Judged by", rule), ("Rule changed after data were seen", changed), ("Ours", ours)]
        parts = [f"<p {TIGHT}>{remark}</p>" if remark else "", _table(measured.numbers),
                 f"<p {TIGHT}><b>{who}</b> {says} ({source})</p>",
                 *(f"<p {TIGHT}><b>{head}</b> {words}</p>" for head, words in lines)]
        return (f"<section aria-label='Claim {name}: {word}' style='border-left:5px solid {color};padding:.4em 1em;"
                "max-width:48em;background:var(--jp-layout-color1,white);color:var(--jp-content-font-color1,#262626)'>"
                f"<details><summary><b style='color:{color}'>{word}</b>, {self._runs()}: {says}</summary>"
                f"{''.join(parts)}</details></section>")

    def _runs(self) -> str:
        if not (self.claim.needs or self.claim.networks):
            return "computed from no runs"
        too_few = ", too few to judge by" if self.measured.n and self.word == Verdict.NOT_YET_MEASURED else ""
        return f"n = {self.measured.n} runs{too_few}"


def _cells(number: Number) -> tuple[str, str, str, str]:
    return number.label, number.value, number.interval, "" if number.n is None else f"n = {number.n:,}"


def _table(numbers: tuple[Number, ...]) -> str:
    """The numbers as a table with headers for those who hear it, without empty columns; empty without any."""
    if not numbers:
        return ""
    columns = {"value": [number.value for number in numbers], "interval": [number.interval for number in numbers],
               "n": ["" if number.n is None else f"{number.n:,}" for number in numbers]}
    columns = {name: texts for name, texts in columns.items() if any(texts)}
    left = "style='text-align:left'"
    head = "".join(f"<th scope='col' {left}>{name}</th>" for name in ("", *columns))
    body = "".join(
        f"<tr><th scope='row' style='text-align:left;font-weight:normal'>{escape(number.label)}</th>"
        + "".join(f"<td {left}>{escape(text)}</td>" for text in texts) + "</tr>"
        for number, *texts in zip(numbers, *columns.values(), strict=True))
    return (f"<table><caption style='text-align:left;font-weight:bold'>We measured</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")


OURS = ("learning rate, weight decay, betas, initial weights, full batch and the number of steps, none of which the "
        "paper states; {:,} steps or an early stop")

def verdict(*parts: bool, partly: bool | None = None) -> Verdict:
    """Reproduced if every part holds, else partly if `partly`, by default if any of several does, else not."""
    if all(parts):
        return Verdict.REPRODUCED
    return Verdict.PARTLY if (any(parts) if partly is None else partly) else Verdict.NOT_REPRODUCED


def decided(shown: bool, refuted: bool) -> Verdict:
    """The verdict of an interval: reproduced, not reproduced, or, while it holds both, not yet measured."""
    return Verdict.REPRODUCED if shown else Verdict.NOT_REPRODUCED if refuted else Verdict.NOT_YET_MEASURED


def number(label: str, stats: Mapping | xr.Dataset, form: str = ".2f", n: int | None = None) -> Number:
    """A row from `mean`, `lo` and `hi`; an end that lies outside of what was measured is open."""
    mean, lo, hi = (float(stats[name]) for name in ("mean", "lo", "hi"))
    ends = ("open" if np.isinf(end) else format(end, form) for end in (lo, hi))
    return Number(label, format(mean, form), f"[{', '.join(ends)}]", n)


ENOUGH_SEEDS = 3  # seeds that means and intervals take, however many runs they have

RESAMPLED = "over resampled seeds, for few of them as wide as that of a mean"  # what cards say of `resampled_interval`


def n_trained(runs: xr.Dataset) -> int:
    """How many runs there are."""
    return int(runs["trained"].sum())


def enough(runs: xr.Dataset, seeds: int = ENOUGH_SEEDS) -> xr.DataArray:
    """Which cells have so many seeds."""
    return runs["trained"].sum("seed") >= seeds


def enough_cells(runs: xr.Dataset, seeds: int = ENOUGH_SEEDS) -> xr.Dataset:
    """The runs without those of cells of fewer seeds, which become cells that nobody trained."""
    cells = enough(runs, seeds)
    curves = {name: runs[name].where(cells) for name in runs.data_vars if "step" in runs[name].dims}
    return runs.assign(curves | {"trained": runs["trained"] & cells})


def enough_sizes(runs: xr.Dataset, at_least: int, what: str = "hidden sizes", where: str = "") -> xr.Dataset:
    """The runs at those d_h that have enough seeds at every D_train. Raises TooLittle if fewer than `at_least` have."""
    sizes = enough(runs).all([dim for dim in ("D_train",) if dim in runs["trained"].dims]).values
    require(sizes.sum() >= at_least, f"{sizes.sum()} {what} have {ENOUGH_SEEDS} seeds{where}; it takes {at_least}.")
    return runs.sel(d_h=sizes)


def seeds_of(happened: xr.DataArray, sentence: str = "") -> int:
    """How many seeds have a run in which something happened.

    Raises TooLittle: `sentence`, in which {n} and {seeds} are filled in, if it is given and they are not enough.
    """
    seeds = int(happened.any([dim for dim in happened.dims if dim != "seed"]).sum())
    if sentence and seeds < ENOUGH_SEEDS:
        raise TooLittle(f"{sentence.format(n=int(happened.sum()), seeds=seeds)}; it takes {ENOUGH_SEEDS} seeds.")
    return seeds


HEADINGS = {Verdict.REPRODUCED: "What held", Verdict.PARTLY: "What held in part",
            Verdict.NOT_REPRODUCED: "What did not hold", UNDECIDED: "What the runs leave open",
            Verdict.NOT_YET_MEASURED: "What was not measured yet"}

FOOTNOTE = ("Each sentence is what the source says, in short; the verdict is this book's, by a rule and with settings "
            "that its card states. *Did not hold* means: not with these settings, sizes and numbers of steps.")


def tally(cards: Sequence[Card]) -> pd.DataFrame:
    """How many claims of each source came to each verdict in words: a row a source, a column a verdict."""
    papers = pd.Series([card.claim.paper for card in cards], name="source")
    counts = pd.crosstab(papers, pd.Series([str(card.word) for card in cards], name="verdict"))
    most_first = sorted(papers.value_counts().index, key="ours".__eq__)  # ours come last
    return counts.reindex(index=most_first, columns=[str(word) for word in WORDS], fill_value=0)


def lacking(cards: Sequence[Card], store: Store | None = None) -> pd.DataFrame:
    """What the claims that are not yet measured could rest on and do not: a row a claim and study.

    Columns: `claim`, `study`, `laptop` and `paper` (runs of either grid that are not stored as far as the book judges
    them), `steps` (how far that is). A claim about weights has a row of the networks whose weights are not stored.
    """
    store, rows = store or Store(), []
    for claim in (card.claim for card in cards if card.measured.verdict == Verdict.NOT_YET_MEASURED):
        for study in claim.needs:
            runs = [store.missing([run.replace(n_steps=study.shown) for run in study.runs(size)])
                    for size in ("laptop", "paper")]
            rows.append((claim.id, study.name, *map(len, runs), study.shown))
        if claim.networks:
            configs = [networks.named(name).config for name in claim.networks]
            n = sum(not store.weight_steps(config.run_id) for config in configs)
            rows.append((claim.id, "weights", n, n, max(config.n_steps for config in configs)))
    return pd.DataFrame(rows, columns=["claim", "study", "laptop", "paper", "steps"])


def summary(cards: Sequence[Card]) -> str:
    """What the sources got right, in part, and not, in Markdown: their statements under the verdicts."""
    table = tally(cards)
    parts = [f"In all {_counted(table.sum())}."]
    for paper, counts in table.iterrows():
        parts.append(f"### {str(paper)[0].upper()}{str(paper)[1:]}: {_counted(counts)}")
        for word, heading in HEADINGS.items():
            said = [f"{card.claim.says} (`{card.claim.id}`)" for card in cards
                    if (card.claim.paper, card.word) == (paper, word)]
            parts += [f"**{heading}.** {' '.join(said)}"] if said else []
    return "\n\n".join([*parts, FOOTNOTE])


def _counted(counts: pd.Series) -> str:
    named = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    return f"{counts.sum()} {'claim' if counts.sum() == 1 else 'claims'}, {named}"

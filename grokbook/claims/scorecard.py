"""All verdicts together: how many of each, what those that are open still take, and a page that can be quoted."""

from collections.abc import Sequence

import pandas as pd

from grokbook import networks
from grokbook.claims.card import UNDECIDED, WORDS, Card, Verdict
from grokbook.store import Store

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

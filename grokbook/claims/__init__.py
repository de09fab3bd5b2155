"""Numbers to verdicts: what a source says, what we measured, and whether they agree, by a rule written before looking;
a card says which rules changed after data had been seen.

A claim is one function of the stored runs, or of a model that needs none, and the decorator above it says all the rest.
Too little data gives *not yet measured*, never a pass; a failed claim stays in the book.
"""

import xarray as xr

from grokbook.analysis import circuit as circuits
from grokbook.claims import circuit, descent, division, efficiency, emergence, grokking, universality, zones
from grokbook.claims.card import Card, Claim, Measured, TooLittle, Verdict, lacking, n_trained, summary
from grokbook.claims.descent import VALLEYS
from grokbook.claims.grokking import PERFECT_FROM
from grokbook.config import check_among
from grokbook.store import Store
from grokbook.studies import Study

__all__ = ["CLAIMS", "PERFECT_FROM", "VALLEYS", "judge", "judge_all", "lacking", "summary"]

CHAPTERS = (grokking, zones, descent, emergence, division, universality, efficiency, circuit)

CLAIMS: dict[str, Claim] = {claim.id: claim for chapter in CHAPTERS for claim in vars(chapter).values()
                            if isinstance(claim, Claim)}
"""Every claim by its id, in the order of the chapters."""


def judge(claim_id: str, store: Store | None = None) -> Card:
    """Judge a claim by the runs in the store (the shipped one if none is given); the result renders as a card.

    Raises ValueError: there is no such claim.
    """
    check_among("claim", claim_id, CLAIMS)
    claim, runs = CLAIMS[claim_id], []
    try:
        for study in claim.needs:
            runs.append(_load(study, store))
        return Card(claim, claim(*runs, *(_weights(name, store) for name in claim.networks)))
    except TooLittle as reason:
        return Card(claim, Measured(Verdict.NOT_YET_MEASURED, (), sum(map(n_trained, runs)), str(reason)))


def judge_all(paper: str = "", store: Store | None = None) -> list[Card]:
    """Judge every claim, or those of one source, such as "Davies et al. 2022", in the order of the chapters.

    Raises:
        ValueError: no claim is of that source.
    """
    papers = {claim.paper for claim in CLAIMS.values()}
    if paper and paper not in papers:
        raise ValueError(f"paper={paper!r} is the source of no claim; valid: {', '.join(sorted(papers))}")
    return [judge(claim.id, store) for claim in CLAIMS.values() if paper in ("", claim.paper)]


def _load(study: Study, store: Store | None) -> xr.Dataset:
    """The runs of a study. Raises TooLittle if there is none; what a measurement raises is no such."""
    try:
        return study.load(store=store)
    except LookupError as nothing:
        raise TooLittle(f"It takes runs of {study.name} ({study.shown:,} steps); there is none yet.") from nothing


def _weights(name: str, store: Store | None) -> dict[int, circuits.Weights]:
    """The stored weights of a network by step. Raises TooLittle if there are none."""
    try:
        return circuits.stored(name, store)
    except LookupError as nothing:
        raise TooLittle(f"It takes the weights of the network {name}; none are stored.") from nothing

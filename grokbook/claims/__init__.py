"""Numbers to verdicts: what a source says, what we measured, and whether they agree, by a rule written before looking.

A claim is one function of the stored runs, or of a model that needs none. Too little data gives *not yet measured*,
never a pass; a failed claim stays in the book.
"""

import xarray as xr

from grokbook import studies
from grokbook.claims import descent, division, grokking, memory, patterns, zones
from grokbook.claims.card import VERDICTS, Claim, Measured, TooLittle, Verdict
from grokbook.store import Store

__all__ = ["CLAIMS", "VERDICTS", "Claim", "Measured", "Verdict", "judge"]

CHAPTERS = (grokking, memory, zones, descent, patterns, division)

CLAIMS: dict[str, Claim] = {claim.id: claim for module in CHAPTERS for claim in module.CLAIMS}
"""Every claim by its id, in the order of the chapters."""


def judge(claim_id: str, store: Store | None = None) -> Verdict:
    """Judge a claim by the runs in the store (the shipped one if none is given); the result renders as a card.

    Raises:
        ValueError: there is no such claim.
    """
    if claim_id not in CLAIMS:
        raise ValueError(f"claim={claim_id!r} is unknown; valid: {', '.join(CLAIMS)}")
    claim = CLAIMS[claim_id]
    try:
        return Verdict(claim, claim.measure(*(_load(name, n_steps, store) for name, n_steps in claim.needs)))
    except TooLittle as reason:
        return Verdict(claim, Measured("not yet measured", str(reason), 0))


def _load(name: str, n_steps: int, store: Store | None) -> xr.Dataset:
    """The runs of a study at that budget. Raises TooLittle if there is none; what a measurement raises is no such."""
    try:
        return studies.load(name, n_steps, store=store)
    except LookupError as nothing:
        raise TooLittle(f"It takes runs of {name} ({n_steps:,} steps); there is none yet.") from nothing

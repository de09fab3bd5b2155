"""Numbers to verdicts: what a source says, what we measured, and whether they agree, by a rule written before looking.

A claim is one function of the stored runs, or of a model that needs none. Too little data gives *not yet measured*,
never a pass; a failed claim stays in the book.
"""

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
        measured = claim.measure(*(studies.named(name).at(n_steps).load(store) for name, n_steps in claim.needs))
    except LookupError:
        needed = ", ".join(f"{name} ({n_steps:,} steps)" for name, n_steps in claim.needs)
        measured = Measured("not yet measured", f"It takes runs of {needed}; some of these studies has none yet.", 0)
    except TooLittle as reason:
        measured = Measured("not yet measured", str(reason), 0)
    return Verdict(claim, measured)

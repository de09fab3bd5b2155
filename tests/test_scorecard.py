"""The scorecard says what `grokbook check` says, in words, in numbers, and on a page without a kernel."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from playwright.sync_api import Browser, expect

from grokbook import Store, cli, plots, studies
from grokbook.claims import CLAIMS, judge, judge_all, lacking, summary
from grokbook.claims.card import WORDS, Card, Measured, Number, Verdict, tally
from grokbook.widgets import Scorecard

SHOWN = ("delay", "commutative-memory", "zero-over-b", "general-circuit")
"""Claims of several chapters that are judged in a moment."""


@pytest.fixture(scope="module")
def cards() -> list[Card]:
    """Every claim with a made-up verdict, each verdict in words a fifth of them."""
    numbers = (Number("share <of> runs", "0.5", "[0.4, 0.6]", 3), Number("another", "7"))
    measured = [Measured(verdict, numbers, 7) for verdict in Verdict]
    measured.append(Measured(Verdict.NOT_YET_MEASURED, (), 0, "Few."))
    return [Card(claim, measured[i % 5]) for i, claim in enumerate(CLAIMS.values())]


def test_the_scorecard_and_the_command_agree():
    told = CliRunner().invoke(cli.main, ["check", *SHOWN]).output.splitlines()
    verdicts = [line.rstrip() for line in told if line and not line.startswith(" ")][:-1]
    shown = [judge(claim) for claim in SHOWN]
    assert repr(Scorecard(shown)).splitlines() == verdicts and len(verdicts) == len(SHOWN)
    text = re.sub("<br>|<[^>]*>", "\n", Scorecard(shown)._repr_html_())
    for number in (number for card in shown for number in card.measured.numbers):
        assert number.value in text and number.interval in text


def test_judging_all_judges_each_claim_once_and_a_source_alone(monkeypatch, tmp_path):
    empty = Store(tmp_path)
    assert [card.claim.id for card in judge_all(store=empty)] == list(CLAIMS)
    theirs = judge_all("Davies et al. 2022", empty)
    assert {card.claim.paper for card in theirs} == {"Davies et al. 2022"} and len(theirs) > 1
    with pytest.raises(ValueError, match="paper='Davies' is the source of no claim; valid: .*Davies et al. 2022"):
        judge_all("Davies", empty)


def test_the_tally_counts_every_claim_once(cards):
    table = tally(cards)
    assert table.to_numpy().sum() == len(CLAIMS) and table.columns.tolist() == [str(word) for word in WORDS]
    fig = plots.verdicts(cards)
    for word in WORDS:
        (bars,) = plots.find(fig, verdict=word)
        assert sum(bars.x) == table[str(word)].sum() > 0


def test_the_summary_quotes_every_claim_under_its_own_verdict(cards):
    text = summary(cards)
    assert text.count("(`") == len(CLAIMS)
    for card in cards:
        before = text[:text.index(f"(`{card.claim.id}`)")]
        assert before.endswith(f"{card.claim.says} ")
        assert re.findall(r"\*\*What (.*?)\.\*\*", before)[-1] == {
            "reproduced": "held", "partly": "held in part", "not reproduced": "did not hold",
            "undecided": "the runs leave open", "not yet measured": "was not measured yet"}[card.word]


def test_what_open_claims_lack_are_the_runs_that_are_not_stored(tmp_path):
    harder, circuit = CLAIMS["harder-task"], CLAIMS["general-circuit"]
    open_claims = [Card(claim, Measured(Verdict.NOT_YET_MEASURED, (), 0, "Few.")) for claim in (harder, circuit)]
    table = lacking([*open_claims, judge("two-patterns")], Store(tmp_path))
    assert table["claim"].tolist() == ["harder-task", "harder-task", "general-circuit"]
    for row, study in zip(table.to_dict("records"), harder.needs, strict=False):
        assert (row["study"], row["steps"]) == (study.name, study.shown)
        assert (row["laptop"], row["paper"]) == (len(study.laptop), len(study.paper))
    assert table.iloc[-1].tolist()[1:4] == ["weights", 4, 4]
    stored = lacking(open_claims)
    assert stored.iloc[-1]["laptop"] == 0
    assert sum(stored["paper"][:2]) < sum(table["paper"][:2]) and studies.harder_task in harder.needs


def test_a_page_without_a_kernel_sorts_and_filters(cards, chromium: Browser, tmp_path: Path):
    html = Scorecard(cards)._repr_html_()
    assert "<button" not in html.partition("<script>")[0] and "<select" not in html.partition("<script>")[0]
    (tmp_path / "page.html").write_text(f"<!DOCTYPE html><meta charset=utf-8><body>{html}", "utf-8")
    page = chromium.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    rows, shown = page.locator("tbody tr"), page.locator("tbody tr:visible")

    def ids() -> list[str]:
        return [text.split()[0] for text in shown.locator("td:nth-child(2) code").all_inner_texts()]
    assert ids() == list(CLAIMS)
    page.get_by_role("button", name="claim").click()
    assert ids() == sorted(CLAIMS)
    page.get_by_role("button", name="claim").click()
    assert ids() == sorted(CLAIMS)[::-1]
    expect(page.locator("th[aria-sort=descending]")).to_have_text("claim")
    page.get_by_label("source").select_option("Davies et al. 2022")
    theirs = [claim.id for claim in CLAIMS.values() if claim.paper == "Davies et al. 2022"]
    assert ids() == sorted(theirs)[::-1]
    page.get_by_label("verdict").select_option("partly")
    partly = [card.claim.id for card in cards if card.claim.id in theirs and card.word == "partly"]
    assert ids() == sorted(partly)[::-1] and partly
    assert page.locator("output").inner_text() == f"{len(ids())} of {len(CLAIMS)} claims"
    expect(rows).to_have_count(len(CLAIMS))

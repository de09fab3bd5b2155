"""Verdicts on curves that were made to deserve them."""

from html.parser import HTMLParser

import numpy as np
import pytest
from bs4 import BeautifulSoup
from maps import usual

from grokbook import Store, claims, tasks
from grokbook.analysis import patterns as model
from grokbook.claims.card import Card, Measured, Number, Verdict
from grokbook.run import METRICS, Run, evaluation_steps


def made_up(d_h=64, D_train=3000, seed=0, t_mem=100.0, t_gen=5000.0, twins=0.0, n_steps=60_000) -> Run:
    """A run that memorises at t_mem, generalises at t_gen (inf: never) and knows a share of the mirrors meanwhile."""
    config = usual(d_h=d_h, D_train=D_train, seed=seed, n_steps=n_steps)
    step, split = evaluation_steps(n_steps), tasks.split(config)
    share = 1 - split.twin_free_val.sum() / split.val.sum()
    twin_free = (step >= t_gen).astype(float)
    known = np.where(step >= t_mem, twins, 0)
    values = {"train_acc": step >= t_mem, "twin_free_val_acc": twin_free,
              "val_acc": np.where(twin_free == 1, 1, share * known)}
    curves = {name: np.asarray(values.get(name, np.ones(len(step))), np.float32) for name in METRICS}
    return Run(config, {"step": step} | curves)


def judge(claim: str, runs: list[Run], folder) -> Card:
    store = Store(folder)
    store.write(runs, "grokking")
    return claims.judge(claim, store)


def cells(generalises) -> list[Run]:
    return [made_up(d_h, D, seed, t_gen=3000 if generalises(d_h, D, seed) else np.inf)
            for d_h in (32, 64) for D in (2000, 2600, 3200, 4000) for seed in range(3)]


def test_a_critical_size_that_falls_is_reproduced(tmp_path):
    verdict = judge("critical-size", cells(lambda d_h, D, seed: D >= (4000 if d_h == 32 else 2600)), tmp_path)
    assert verdict.measured.verdict == "reproduced" and verdict.measured.n == 24


def test_a_critical_size_that_rises_is_not(tmp_path):
    verdict = judge("critical-size", cells(lambda d_h, D, seed: D >= (2600 if d_h == 32 else 4000)), tmp_path)
    assert verdict.measured.verdict == "not reproduced"


def test_a_fall_within_the_spread_of_the_seeds_is_not_yet_measured(tmp_path):
    border = {32: (2600, 4000, 4000), 64: (2500, 3000, 4000)}
    verdict = judge("critical-size", cells(lambda d_h, D, seed: D >= border[d_h][seed]), tmp_path)
    assert verdict.measured.verdict == "not yet measured" and "is undecided" in str(verdict.measured)


@pytest.mark.parametrize("runs", [
    [made_up(seed=seed, D_train=D) for seed in range(3) for D in (2000, 3000, 4000)],
    [made_up(d_h=d_h, D_train=D) for d_h in (32, 64) for D in (2000, 3000, 4000)],
], ids=["one size", "one seed"])
def test_too_little_data_is_not_yet_measured(runs, tmp_path):
    assert judge("critical-size", runs, tmp_path).measured.verdict == "not yet measured"


@pytest.mark.parametrize("delays, verdict", [
    ([50, 60, 70], "reproduced"), ([50, 60, 1.2], "partly"), ([50, 1.1, 1.2], "not reproduced"),
    ([50, 60, np.inf], "not yet measured"),
])
def test_the_delay_is_judged_by_the_runs_that_generalised(delays, verdict, tmp_path):
    runs = [made_up(seed=seed, t_gen=100 * delay) for seed, delay in enumerate(delays)]
    assert judge("delay", runs, tmp_path).measured.verdict == verdict


def test_symmetric_memorisers_flatter_the_split_and_plain_ones_do_not(tmp_path):
    symmetric = judge("twin-free", [made_up(seed=s, twins=0.5 + 0.1 * s) for s in range(3)], tmp_path / "a")
    plain = judge("twin-free", [made_up(seed=s, twins=0.0) for s in range(3)], tmp_path / "b")
    assert symmetric.measured.verdict == "reproduced" and plain.measured.verdict == "not reproduced"
    assert "0.50 to 0.70" in str(symmetric.measured)


@pytest.mark.parametrize("claim", [claim.id for claim in claims.CLAIMS.values() if claim.needs or claim.networks])
def test_an_empty_store_gives_no_verdict(claim, tmp_path):
    assert claims.judge(claim, Store(tmp_path)).measured.verdict == "not yet measured"


@pytest.mark.parametrize("claim", ["pattern-model", "two-patterns"])
def test_a_claim_about_a_model_rests_on_no_runs(claim, tmp_path):
    verdict = claims.judge(claim, Store(tmp_path))
    assert verdict.measured.verdict == "reproduced" and verdict.measured.n == 0
    for text in (str(verdict), verdict._repr_html_()):
        assert "n = 0" not in text and "computed from no runs" in text


def test_a_model_without_heuristics_does_not_descend_twice(monkeypatch):
    """The rule can fail: half of it where one set shows its curve, all of it where neither does."""
    monkeypatch.setattr(model, "DOUBLE_DESCENT", model.GROKKING)
    assert claims.judge("pattern-model").measured.verdict == "partly"
    monkeypatch.setattr(model, "GROKKING", model.GROKKING[:2])
    monkeypatch.setattr(model, "DOUBLE_DESCENT", model.GROKKING)
    assert claims.judge("pattern-model").measured.verdict == "not reproduced"


def test_another_rule_for_the_overlap_is_noticed(monkeypatch):
    monkeypatch.setattr(model, "test_accuracy", lambda patterns, t: patterns[0].g * model.train_accuracy(patterns, t))
    assert claims.judge("two-patterns").measured.verdict == "partly"
    monkeypatch.setattr(model, "simulate", lambda *_, **__: (0.0, 0.0))
    assert claims.judge("two-patterns").measured.verdict == "not reproduced"


def test_an_unknown_claim_is_refused_with_the_ones_there_are():
    with pytest.raises(ValueError, match="claim='delays' is unknown; valid: critical-size, delay, semi-grokking"):
        claims.judge("delays")


def test_a_card_says_both_sides_and_escapes_them(tmp_path):
    verdict = judge("delay", [made_up(seed=s) for s in range(3)], tmp_path)
    html, text = verdict._repr_html_(), str(verdict)
    assert verdict.claim.says in html and "3 of 3 runs" in html and "n = 3" in text and "reproduced" in text
    numbers = (Number("a < b", "1 & 2", "[<]", 3),)
    odd = Card(verdict.claim, Measured(Verdict.PARTLY, numbers, 1, "1 < 2"))
    assert all(words in odd._repr_html_() for words in ("a &lt; b", "1 &amp; 2", "[&lt;]", ">3<", "1 &lt; 2"))


class Reader(HTMLParser):
    """Collects what a screen reader announces of a table: its caption, and the scope of every header."""

    def __init__(self, html: str):
        super().__init__()
        self.open, self.scopes, self.rows = [], [], 0
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.scopes += [value for name, value in attrs if name == "scope"]
        self.rows += tag == "tr"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_a_card_is_sound_html_whose_table_has_headers(tmp_path):
    card = judge("delay", [made_up(seed=s) for s in range(3)], tmp_path)
    reader, numbers = Reader(card._repr_html_()), card.measured.numbers
    assert not reader.open and reader.rows == 1 + len(numbers)
    n_columns = 2 + any(number.interval for number in numbers) + any(number.n is not None for number in numbers)
    assert reader.scopes == ["col"] * n_columns + ["row"] * len(numbers)
    assert "<table" not in claims.judge("delay", Store(tmp_path / "empty"))._repr_html_()


def test_numbers_stand_in_columns():
    numbers = (Number("short", "1"), Number("a longer one", "22", "[1, 3]", 4))
    lines = str(Measured(Verdict.PARTLY, numbers, 4, "A remark.")).splitlines()
    assert lines == ["A remark.", "short         1", "a longer one  22  [1, 3]  n = 4"]


def test_a_card_is_one_line_with_all_else_behind_it(tmp_path):
    card = judge("delay", [made_up(seed=s) for s in range(3)], tmp_path)
    page = BeautifulSoup(card._repr_html_(), "html.parser")
    (summary,) = page.select("section > details:only-child > summary")
    assert summary.text == f"reproduced, n = 3 runs: {card.claim.says}"
    assert page.select("table") and "Judged by" not in summary.text


def test_runs_that_leave_a_claim_open_are_undecided_and_none_at_all_is_not_yet_measured(tmp_path):
    claim = claims.CLAIMS["delay"]
    for n, word, said in ((86, "undecided", "n = 86 runs"), (0, "not yet measured", "too few runs")):
        card = Card(claim, Measured(Verdict.NOT_YET_MEASURED, (), n))
        assert f"delay: {word} ({said}" in str(card) and f">{word}</b>, {said}" in card._repr_html_()


def test_a_claim_of_our_own_names_no_source():
    for claim in claims.CLAIMS.values():
        html = Card(claim, Measured(Verdict.PARTLY, (), 1))._repr_html_()
        assert ("The source says" in html) != claim.source.startswith("ours"), claim.id


def test_a_card_says_what_changed_in_its_rule(tmp_path):
    html = claims.judge("norm-falls-or-rises", Store(tmp_path))._repr_html_()
    assert "Rule changed after data were seen</b> Student&#x27;s interval instead" in html
    assert "seen</b> nothing" in claims.judge("delay", Store(tmp_path))._repr_html_()


def test_every_claim_states_its_source_its_rule_and_what_is_ours():
    for claim in claims.CLAIMS.values():
        assert all((claim.source, claim.says, claim.rule, claim.ours)) and len(claim.says) < 300
        assert claim.needs or claim.networks or claim.id in ("pattern-model", "two-patterns")

"""The circuit explorer on networks into which three frequencies were planted: what it is sent, what a page draws."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from grokbook import models, plots
from grokbook.analysis import circuit
from grokbook.config import RunConfig
from grokbook.networks import NETWORKS, Network
from grokbook.widgets import CircuitExplorer

KEYS, P = [2, 5, 9], 23
CONFIG = RunConfig(p=P, d_h=16, D_train=200)
LARGEST = 300_000
"""Bytes of the explorer of the shipped network."""


@pytest.fixture
def planted(monkeypatch) -> CircuitExplorer:
    """A random network at step 0, circles of three frequencies in its embedding at step 100, which vote 5 each."""
    by_step = {step: models.initial_weights(CONFIG) for step in (0, 100)}
    waves = [f(2 * np.pi * k * np.arange(P) / P) for k in KEYS for f in (np.cos, np.sin)]
    by_step[100]["W_E"][:P] = np.stack(waves + [0 * waves[0]] * 10, 1)
    monkeypatch.setitem(NETWORKS, "planted", Network(CONFIG))
    monkeypatch.setattr(circuit, "stored", lambda name, store=None: by_step)
    explorer = CircuitExplorer("planted", a=20, b=7)
    explorer.data["networks"][1]["votes"] = [5.0] * 3
    return explorer


@pytest.fixture
def page(planted: CircuitExplorer, chromium: Browser, tmp_path: Path):
    """A page without a kernel. Nothing may fail, nor ask for anything."""
    html = planted._repr_html_()
    assert "An explorer" in html.partition("<script>")[0]
    (tmp_path / "page.html").write_text(f"<!DOCTYPE html><meta charset=utf-8><body>{html}", "utf-8")
    page, complaints = chromium.new_page(), []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda sent: complaints.append(sent.url) if "page.html" not in sent.url else None)
    page.goto((tmp_path / "page.html").as_uri())
    yield page
    assert complaints == []


def heights(page: Page) -> dict[int, float]:
    """The bars of the spectrum in pixels, by frequency."""
    bars = page.locator(".gb-explorer-spectrum rect").evaluate_all(
        "bars => bars.map((bar) => [bar.dataset.k, bar.getAttribute('height')])")
    return {int(k): float(height) for k, height in bars}


def test_what_was_planted_is_what_the_page_is_sent(planted: CircuitExplorer):
    data = planted.data
    assert sorted(data["keys"]) == KEYS and data["steps"] == [0, 100]
    before, after = (np.array(network["spectrum"]) for network in data["networks"])
    np.testing.assert_allclose(after[np.array(KEYS) - 1], 1 / 3, atol=1e-4)
    assert circuit.key_frequencies(before) == [] and before.sum() == pytest.approx(1, abs=1e-3)
    assert data["networks"][1]["embedding"] == pytest.approx(1) and data["networks"][0]["embedding"] < 0.5
    assert {len(network["neurons"]) for network in data["networks"]} <= set(range(1, CONFIG.d_mlp + 1))


def test_spectrum_neurons_clock_and_sentence_move_with_the_step(page: Page):
    expect(page.locator(".gb-explorer-sentence")).to_contain_text("Step 100: ")
    late, dots = heights(page), page.locator(".gb-explorer-neurons circle").count()
    assert sorted(k for k, height in late.items() if height > 1) == KEYS
    bars = page.locator(".gb-explorer-clock [data-answer]")
    expect(bars).to_have_count(P)
    sized = "bars => bars.map((bar) => bar.getTotalLength())"
    tallest = bars.evaluate_all(sized)
    assert int(np.argmax(tallest)) == (20 + 7) % P and dots
    expect(page.locator(".gb-explorer-sentence")).to_contain_text("its key frequencies alone vote for 4; right is 4")
    page.get_by_role("slider", name="step").press("Home")
    expect(page.locator(".gb-explorer-sentence")).to_contain_text("Step 0: ")
    early = heights(page)
    assert sum(height > 1 for height in early.values()) > len(KEYS) and early != late
    assert bars.evaluate_all(sized) != tallest


def test_the_reader_chooses_the_pair_and_the_clock(page: Page):
    hands = page.locator(".gb-explorer-clock [data-hand]")
    before = hands.evaluate_all("hands => hands.map((hand) => hand.getAttribute('d'))")
    page.get_by_role("slider", name="b", exact=True).press("ArrowRight")
    after = hands.evaluate_all("hands => hands.map((hand) => hand.getAttribute('d'))")
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False, False]
    expect(page.locator(".gb-explorer-sentence")).to_contain_text("20 + 8 its key frequencies alone vote for 5")
    headings = {page.locator(".gb-explorer-clock h4").inner_text()}
    for _ in KEYS[1:]:
        page.get_by_role("slider", name="k", exact=True).press("ArrowRight")
        headings.add(page.locator(".gb-explorer-clock h4").inner_text())
    assert {int(re.findall(r"k = (\d+)", heading)[0]) for heading in headings} == set(KEYS)


def test_the_shipped_explorer_is_small_and_plain_json():
    html = CircuitExplorer()._repr_html_()
    assert len(html.encode()) < LARGEST
    (data,) = re.findall("^const data = (.*);$", html, re.MULTILINE)
    assert len(json.loads(data)["networks"]) == len(circuit.stored("grokked"))


@pytest.mark.parametrize("values, complaint", [
    ({"a": 113}, "a=113 is not a number of the task; valid: 0 to 112"),
    ({"step": 7}, "step=7 is not stored; valid: 0, "),
    ({"name": "grokkd"}, "network='grokkd' is unknown; valid: ")])
def test_a_start_that_there_is_not_is_refused(values, complaint):
    with pytest.raises(ValueError, match=complaint):
        CircuitExplorer(**values)


def test_the_clock_adds_and_its_votes_choose_the_sum():
    fig = plots.circuit_clock(37, 95)
    (votes,) = plots.find(fig, role="votes")
    assert int(np.argmax(votes.y)) == (37 + 95) % 113
    for k in circuit.key_frequencies(circuit.embedding_power(circuit.stored("grokked")[3162], 113)):
        a, b, total = (complex(hand.y[1], hand.x[1]) for hand in plots.find(fig, k=k))
        assert a * b == pytest.approx(total)

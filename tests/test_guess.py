# pyright: reportOptionalSubscript=false, reportArgumentType=false
"""The guess: what the page is sent, and what it says to a reader who drew one, without a kernel."""

import numpy as np
import pytest
import xarray as xr
from playwright.sync_api import Browser, Page, expect

from grokbook.widgets import Guess

SHARES = xr.DataArray([[0.1, 0.2, 0.9], [0.1, np.nan, 0.7]], dims=("seed", "d_h"), coords={"d_h": [4, 8, 16]},
                      name="val_acc")
ZONES = xr.DataArray([["PROGRESSION", "UNGROKKING", "GROKKING"], ["PROGRESSION", "UNGROKKING", ""],
                      ["PROGRESSION", "GROKKING", ""]], dims=("seed", "d_h"), coords={"d_h": [4, 8, 16]}, name="zone")


def opened(guess: Guess, chromium: Browser) -> Page:
    """A page of a phone's width with the guess alone, in which nothing may fail."""
    page = chromium.new_page(viewport={"width": 390, "height": 700})
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    page.set_content(f"<!DOCTYPE html><meta charset=utf-8><body>{guess._repr_html_()}")
    expect(page.locator("[data-handle]").first).to_be_visible()
    return page


def test_what_was_drawn_stands_beside_what_was_measured(chromium: Browser):
    page = opened(Guess(SHARES, "How accurate?"), chromium)
    told, first = page.locator(".gb-explorer-sentence"), page.locator("[data-handle='0']")
    assert page.locator("[data-run]").count() == 0
    box, start = page.locator("svg").bounding_box(), first.bounding_box()
    page.mouse.move(start["x"] + 8, start["y"] + 8)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 20, box["y"] + 8 - 30)  # in one stride, and above the figure
    page.mouse.up()
    values = [float(page.locator(f"[data-handle='{i}']").get_attribute("aria-valuenow")) for i in range(3)]
    assert values == sorted(values) and values[-1] == 1 and 0.4 < values[0] < 0.6
    page.get_by_role("button", name="Show what was measured").click()
    expect(page.locator("[data-run]")).to_have_count(5)
    off = [abs(value - mean) for value, mean in zip(values, [0.1, 0.2, 0.8], strict=True)]
    expect(told).to_contain_text(f"off by {np.mean(off):.2f} in the mean")
    expect(told).to_contain_text(f"At d_h 8 you said {values[1]:.2f}, and 1 run says 0.20 to 0.20")
    page.get_by_role("button", name="Guess again").click()
    expect(page.locator("[data-run]")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.close()


def test_zones_are_named_by_keys_and_counted_where_most_runs_agree(chromium: Browser):
    page = opened(Guess(ZONES, "Which zone?"), chromium)
    for i, (key, presses) in enumerate([("ArrowDown", 2), ("ArrowUp", 1), ("ArrowUp", 1)]):
        for _ in range(presses):
            page.locator(f"[data-handle='{i}']").press(key)
    page.get_by_role("button", name="Show what was measured").click()
    expect(page.locator(".gb-explorer-sentence")).to_have_text(
        "You named what most runs came to at 2 of 3 places. "
        "At d_h 8 you said grokking, and 2 of 3 runs say ungrokking.")
    page.close()


def test_a_long_curve_is_drawn_through_few_handles_and_shown_whole():
    steps = np.arange(200)
    data = Guess(xr.DataArray(np.ones((2, 200)), dims=("seed", "step"), coords={"step": steps}), "When?").data
    assert len(data["handles"]) == 11 and data["handles"][0] == 0 and data["handles"][-1] == 199
    assert len(data["runs"][0]) == 200


def test_what_is_no_result_of_runs_along_something_is_refused():
    for dims in (("seed",), ("d_h", "D_train", "seed"), ("d_h",)):
        with pytest.raises(ValueError, match="valid: seed and one more"):
            Guess(xr.DataArray(np.zeros([1] * len(dims)), dims=dims), "?")

"""explorer.html: the map to move through without a kernel, opened from a file, with nothing to reach beside it."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from maps import STEPS, cube, rise, typical
from playwright.sync_api import Browser, Page, expect

from grokbook import pages
from grokbook.analysis import describe, outcomes
from grokbook.analysis.descent import double_descent
from grokbook.analysis.zones import describe_valley, runs_until
from grokbook.widgets.explorer_data import ExplorerData

SIZES, PAIRS = (8, 16, 32), (2000, 3000, 4000)
SCREENS = {"laptop": (1280, 800), "window": (800, 900), "telephone": (390, 844)}
LARGEST = 3_000_000
"""Bytes of the page with the runs that are shipped."""


def made_up(d_h: int, D_train: int, seed: int) -> dict | None:
    if (d_h, D_train) == (8, 2000):
        return None
    if d_h == 8:
        return typical("PROGRESSION") | {"train_acc": 0.9 * np.linspace(0, 1, len(STEPS)) ** (1 + seed)} | (
            {"val_acc": 0.0} if D_train == 3000 else {})
    return typical("GROKKING" if D_train == 4000 and not seed else "UNGROKKING") | {"val_acc": rise(7_000 + seed, 0.999)
                                                                                   if D_train == 4000 else 0.0}


@pytest.fixture(scope="module")
def runs() -> xr.Dataset:
    return cube(SIZES, PAIRS, 2, made_up)


def beside_random() -> xr.Dataset:
    """Networks of 16 that add unless random pairs stand beside, of 32 that always do."""
    runs = cube((16, 32), (0, 3000), 2, lambda d_h, D_random, _: typical(
        "GROKKING" if d_h == 32 or not D_random else "UNGROKKING"), task="add+random")
    return runs.drop_vars("D_random").rename(D_train="D_random").assign_coords(D_train=5000)


@pytest.fixture(scope="module")
def address(runs, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("book")
    pages.write([], folder, "A book", [ExplorerData(runs), ExplorerData(beside_random())])
    assert "explorer.html" in (folder / "index.html").read_text()
    for word in ("src=", "import(", "fetch(", "eval("):
        assert word not in (folder / "explorer.html").read_text().replace("srcset", "")
    return (folder / "explorer.html").as_uri()


@pytest.fixture(params=SCREENS)
def page(chromium: Browser, address: str, request):
    """The page on a screen; on the telephone it is touched. Nothing may fail, nor ask for anything."""
    width, height = SCREENS[request.param]
    context = chromium.new_context(viewport={"width": width, "height": height}, has_touch=request.param == "telephone")
    page, complaints = context.new_page(), []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("request", lambda sent: complaints.append(sent.url) if not sent.url.startswith(address) else None)
    page.goto(address)
    yield page
    assert complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    context.close()


def test_the_index_shows_the_map_in_one_picture(address: str, runs):
    text = (Path(address.removeprefix("file://")).parent / "index.html").read_text()
    data = ExplorerData(runs)
    zones = [zone for row in data.view(data.budgets[-1])["shown"]["zone"][::-1] for zone in row if zone is not None]
    fills = re.findall(r'<rect [^>]*fill="([^"]*)"', text)
    assert fills == [data.fixed()["zones"][int(zone)]["color"] for zone in zones] and len(fills) == 8
    assert all(f">{size}<" in text for size in SIZES) and f"after {data.budgets[-1]:,} steps" in text


def slider(page: Page, name: str):
    return page.get_by_role("slider", name=name, exact=True)


def read(page: Page) -> dict[str, int]:
    """What the sliders say, to the eye."""
    return {name: int(page.locator(f"label:has(.gb-explorer-{name}) output").inner_text().replace(",", ""))
            for name in ("d_h", "D_train", "seed", "budget")}


def assert_shows(page: Page, runs: xr.Dataset, d_h: int, D_train: int, seed: int, budget: int) -> None:
    """Sliders, sentences, address, curves and row are those of that run; the frame is round its cell."""
    assert read(page) == {"d_h": d_h, "D_train": D_train, "seed": seed, "budget": budget}
    judged = runs_until(runs, budget)
    outcome, cell = outcomes(judged).sel(d_h=d_h, D_train=D_train), judged.sel(d_h=d_h, D_train=D_train)
    expect(page.locator(".gb-explorer-sentence")).to_have_text(describe(outcome, seed))
    (row,) = double_descent(judged.sel(D_train=[D_train])).to_dict("records")
    expect(page.locator(".gb-explorer-row .gb-explorer-caption")).to_have_text(describe_valley(row))
    for metric in ("train_acc", "val_acc"):
        thick = page.locator(f".gb-explorer-cell [data-metric={metric}][stroke-width='2.5']")
        known = cell[metric].sel(seed=seed).dropna("step")
        expect(thick).to_have_count(1 if known.size else 0)
        if known.size:
            assert len(re.findall("[ML]", thick.get_attribute("d") or "")) == known.size
    marks = page.locator(".gb-explorer-cell [data-event]")
    expect(marks).to_have_count(int(outcome[["t_mem", "t_gen"]].notnull().sum().to_array().sum()))
    place = page.evaluate("""() => {
        const middle = (element) => { const {x, y, width, height} = element.getBoundingClientRect();
                                      return [x + width / 2, y + height / 2]; };
        const frame = middle(document.querySelector(".gb-explorer-frame rect"));
        const ticks = [...document.querySelectorAll(".gb-explorer-map svg > text")]
            .map((text) => [text.textContent, ...middle(text)]);
        const nearest = (axis) => ticks.filter(([words]) => words.replace(",", "").match(/^\\d+$/))
            .sort((a, b) => Math.abs(a[axis] - frame[axis - 1]) - Math.abs(b[axis] - frame[axis - 1]))[0][0];
        return [nearest(1), nearest(2)]; }""")
    assert place == [f"{d_h}", f"{D_train:,}"]


def click_on(page: Page, d_h: int, D_train: int) -> None:
    """Click or tap on a cell of the map, in its middle."""
    left, top, width, height = page.evaluate("""() => { const map = document.querySelector(".gb-explorer-map svg");
        map.scrollIntoView({block: "center"});
        const {x, y, width, height} = map.getBoundingClientRect(); return [x, y, width, height]; }""")
    x = left + 60 + (width - 68) * (SIZES.index(d_h) + 0.5) / len(SIZES)
    y = top + 6 + (height - 44) * (1 - (PAIRS.index(D_train) + 0.5) / len(PAIRS))
    (page.touchscreen.tap if width < 380 else page.mouse.click)(x, y)


def test_every_slider_moves_by_keyboard_and_reads_its_value_aloud(page: Page, runs):
    budgets = ExplorerData(runs).budgets
    for name, key in (("d_h", "Home"), ("D_train", "Home"), ("seed", "End"), ("budget", "Home")):
        slider(page, name).press(key)
    assert_shows(page, runs, 8, 2000, 1, budgets[0])
    for name, key in (("d_h", "ArrowRight"), ("D_train", "ArrowRight"), ("budget", "End")):
        slider(page, name).press(key)
    assert_shows(page, runs, 16, 3000, 1, budgets[-1])
    spoken = [slider(page, name).get_attribute("aria-valuetext") for name in ("d_h", "D_train", "seed", "budget")]
    assert spoken == ["hidden size 16", "3,000 training pairs", "seed 1", "judged after 40,000 steps"]


def test_the_map_is_clicked_or_touched_and_walked_by_arrow_keys(page: Page, runs):
    for d_h, D_train in ((8, 3000), (32, 4000), (16, 2000)):
        click_on(page, d_h, D_train)
        now = read(page)
        assert_shows(page, runs, d_h, D_train, now["seed"], now["budget"])
    for key in ("ArrowRight", "ArrowUp", "ArrowUp", "ArrowUp", "ArrowLeft"):
        page.locator(".gb-explorer-map svg").press(key)
    assert_shows(page, runs, 16, 4000, now["seed"], now["budget"])
    assert "d_h 16, D_train 4,000" in (page.locator(".gb-explorer-map svg").get_attribute("aria-label") or "")


def test_the_other_map_is_chosen_moved_through_and_linked_to(page: Page, address: str):
    page.get_by_label("Rows of the map").select_option("D_random")
    map = page.locator(".gb-explorer-map svg")
    expect(map).to_have_attribute("aria-label", re.compile("^Map of d_h and D_random"))
    map.focus()
    for key in ("ArrowLeft", "ArrowUp"):
        map.press(key)
    sentence = page.locator(".gb-explorer-sentence")
    expect(sentence).to_contain_text("knew its 5,000 additions and 3,000 random pairs")
    expect(page).to_have_url(re.compile("#d_h=16&D_random=3000"))
    told = sentence.text_content()
    page.goto("about:blank")
    page.goto(f"{address}#d_h=16&D_random=3000")
    assert page.locator(".gb-explorer-sentence").text_content() == told


def test_the_colours_of_the_map_are_those_of_the_budget(page: Page):
    cells, choice = page.locator(".gb-explorer-map svg > g rect[fill^='#']"), page.get_by_label("color")
    late = cells.evaluate_all("cells => cells.map((cell) => cell.getAttribute('fill'))")
    slider(page, "budget").press("Home")
    early = cells.evaluate_all("cells => cells.map((cell) => cell.getAttribute('fill'))")
    assert len(early) == len(late) == 8 and early != late
    choice.select_option("validation accuracy")
    shades = page.locator(".gb-explorer-map svg > g rect[fill^='rgb']")
    expect(shades).to_have_count(8)
    assert page.locator(".gb-explorer-map h4").inner_text().startswith("validation accuracy after")


def test_a_link_leads_to_what_it_was_copied_from(page: Page, runs, address: str):
    page.goto(f"{address}#d_h=16&D_train=3000")
    page.reload()
    now = read(page)
    assert_shows(page, runs, 16, 3000, now["seed"], now["budget"])
    slider(page, "d_h").press("End")
    page.get_by_label("color").select_option("train accuracy")
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator(".gb-explorer-note")).to_contain_text("explorer.html#d_h=32&D_train=3000")
    link = page.locator(".gb-explorer-note").inner_text().removeprefix("Copied: ")
    page.wait_for_url(link)
    slider(page, "D_train").press("Home")
    page.wait_for_url(re.compile("D_train=2000"))
    page.goto(link)
    assert_shows(page, runs, 32, 3000, now["seed"], now["budget"])
    expect(page.get_by_label("color")).to_have_value("train_acc")
    page.goto(f"{address}#d_h=17&D_train=4000&cats=1")
    assert_shows(page, runs, 32, 4000, now["seed"], now["budget"])


def test_a_map_first_shows_colours_rows_are_as_high_as_each_other_and_intervals_come_when_asked(page: Page):
    cells = page.locator(".gb-explorer-map svg > g rect[fill^='#'], .gb-explorer-map svg > g rect[data-untrained]")
    heights = cells.evaluate_all("cells => cells.map((cell) => Math.round(cell.getBoundingClientRect().height))")
    assert len(heights) == len(SIZES) * len(PAIRS) and max(heights) - min(heights) <= 1
    expect(page.locator(".gb-explorer-map [data-crossed]")).to_have_count(1)
    expect(page.locator(".gb-explorer-map .gb-explorer-legend")).to_contain_text("knows neither")
    intervals = page.locator(".gb-explorer-map [data-interval]")
    expect(intervals).to_have_count(0)
    page.get_by_label("intervals").check()
    assert intervals.count() > 0
    page.get_by_label("intervals").uncheck()
    expect(intervals).to_have_count(0)
    bands = page.locator(".gb-explorer-row [fill-opacity='0.2']")
    expect(bands).to_have_count(0)  # two seeds a cell: dots say more than an interval


def luminance(color: str) -> float:
    """Of an opaque CSS colour rgb(r, g, b), as WCAG defines it."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_and_curves_stand_out_in_either_scheme(chromium: Browser, address: str, scheme):
    page = chromium.new_page(color_scheme=scheme)
    page.goto(address)
    look = "(element, [what]) => getComputedStyle(element)[what]"
    paper = page.locator(".gb-explorer").evaluate(look, ["backgroundColor"])
    assert (luminance(paper) < 0.2) == (scheme == "dark")
    for place, what in ((".gb-explorer-sentence", "color"), (".gb-explorer-caption >> nth=-1", "color"),
                        (".gb-explorer-cell text >> nth=0", "fill"),
                        (".gb-explorer-cell [data-metric=train_acc] >> nth=0", "stroke")):
        light, dark = sorted([luminance(paper), luminance(page.locator(place).evaluate(look, [what]))])[::-1]
        assert (light + 0.05) / (dark + 0.05) >= (3 if what == "stroke" else 4.5), (place, paper)
    page.close()


def test_pointing_at_a_figure_says_what_is_there(page: Page):
    hint = page.locator(".gb-explorer-hint:visible")
    for name, words in (("map", r"d_h \d+, D_train [\d,]+"), ("row", r"d_h \d+\ntrain")):
        figure = page.locator(f".gb-explorer-{name} svg")
        figure.scroll_into_view_if_needed()
        figure.hover(position={"x": 120, "y": 60})
        expect(hint).to_have_text(re.compile(words))
    page.mouse.move(1, 1)
    expect(hint).to_have_count(0)


def test_every_control_has_a_name(page: Page):
    controls = page.locator("input, select, button, svg, progress")
    assert controls.evaluate_all("""controls => controls.filter((control) => !control.labels?.length
        && !control.getAttribute("aria-label") && !control.textContent.trim()).length""") == 0


def test_the_page_with_the_shipped_runs_is_small(tmp_path: Path):
    pages.write([], tmp_path, "The book", [explored := ExplorerData.stored(), ExplorerData.beside_random()])
    text = (tmp_path / "explorer.html").read_text()
    assert len(text.encode()) < LARGEST
    (data,) = re.findall(r'<script id="data" type="application/json">(.*?)</script>', text)
    assert [int(budget) for budget in json.loads(data)["D_train"]["views"]] == explored.budgets

"""How long the explorer's page takes to open, and to answer a slider, in Chromium.

    grokbook html && python benchmarks/explorer.py _book/explorer.html

*Open* is from the change of address to the map drawn. *Answer* is from a slider's input event, which a key caused, to
the changed page: to the last change of its elements, and to the next frame after it.
"""

import json
import shutil
import statistics
from collections.abc import Sequence
from pathlib import Path

import click
from playwright.sync_api import Page, sync_playwright

DRAWN = """() => { new MutationObserver((_, watch) => {
    if (!document.querySelector(".gb-explorer-map rect[fill]")) return;
    watch.disconnect();
    window.drawn = performance.now(); }).observe(document, {childList: true, subtree: true}); }"""

WATCH = """() => {
    const answers = window.answers = [];
    let since = null;
    addEventListener("input", () => { since = performance.now(); }, {capture: true});
    new MutationObserver(() => {
        if (since === null) return;
        const answer = {changed: performance.now() - since}, begun = since;
        since = null;
        requestAnimationFrame(() => setTimeout(() => answers.push({...answer, frame: performance.now() - begun})));
    }).observe(document.querySelector(".gb-explorer"), {childList: true, subtree: true, attributes: true}); }"""

KEYS = {"d_h": ("Home", "ArrowRight"), "D_train": ("Home", "ArrowRight"), "budget": ("End", "ArrowLeft")}


def opening(page: Page, address: str) -> float:
    """Milliseconds from the change of address until the map is drawn."""
    page.goto("about:blank")
    page.goto(address)
    page.wait_for_function("window.drawn")
    return page.evaluate("window.drawn")


def answers(page: Page, n: int) -> dict[str, list[dict[str, float]]]:
    """For each slider, the milliseconds of `n` moves of it."""
    page.evaluate(WATCH)
    timed = {}
    for name, (home, key) in KEYS.items():
        slider = page.locator(f"input.gb-explorer-{name}")
        steps = int(slider.get_attribute("max") or 0)
        for k in range(n + n // steps + 1):
            before = page.evaluate("answers.length")
            slider.press(home if k % (steps + 1) == 0 else key)
            page.wait_for_function(f"answers.length > {before} || {k} === 0")
        timed[name] = page.evaluate("answers.splice(0)")[:n]
    return timed


def summary(milliseconds: Sequence[float]) -> dict[str, float]:
    return {"median": round(statistics.median(milliseconds), 1), "max": round(max(milliseconds), 1)}


@click.command(help=__doc__)
@click.argument("page", type=click.Path(exists=True, path_type=Path))
@click.option("--openings", default=10, show_default=True)
@click.option("--moves", default=50, show_default=True, help="Moves of each slider.")
@click.option("--json", "as_json", is_flag=True)
def main(page: Path, openings: int, moves: int, as_json: bool) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium") or shutil.which("google-chrome"),
                                             args=["--no-sandbox", "--disable-gpu"])
        opened = browser.new_page(viewport={"width": 1280, "height": 800})
        opened.add_init_script(f"({DRAWN})()")
        rows = [{"what": "open"} | summary([opening(opened, page.resolve().as_uri()) for _ in range(openings)])]
        for name, timed in answers(opened, moves).items():
            rows += [{"what": f"{name}, {part}"} | summary([move[part] for move in timed])
                     for part in ("changed", "frame")]
        browser.close()
    for row in rows:
        words = f"{row['what']:<18} median {row['median']:6.1f} ms, most {row['max']:6.1f}"
        click.echo(json.dumps(row) if as_json else words)


if __name__ == "__main__":
    main()

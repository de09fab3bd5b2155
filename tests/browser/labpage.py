"""One notebook in a JupyterLab page: run cells, move sliders, read what the page draws. Waits are for conditions."""

import re
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, TimeoutError, expect

SHOTS = Path(__file__).parents[2] / "_artefacts" / "browser"
"""Where pictures of the pages are kept; git ignores it."""

SCRIPT = (Path(__file__).parent / "page.js").read_text()
SCREENS = ((1280, 800), (800, 900), (390, 844))
"""Pixels of a small laptop, of a narrow window and of a telephone."""

PATIENCE = 180_000
"""Milliseconds after which a condition counts as failed; a busy machine compiles for minutes."""

REOPENED = 6
"""Times that a notebook is opened before its widgets count as lost."""

EXPECTED = (
    "[anywidget] Failed to initialize model.",  # a page took longer than two seconds; see `grokbook.widgets.front_end`
    'Kernel message validation error: Unexpected token \'s\', "stream.stderr"',
)
"""Errors that pages of other people's making may show. The second: a kernel that has just started tells its log that it
knows no widgets yet ("No such comm"), from two threads at once, and on a busy machine JupyterLab is now and then handed
the halves of two such messages as one, which it drops."""

READY = """() => { const shown = window.jupyterapp?.shell?.currentWidget;
    const kernel = shown?.sessionContext?.session?.kernel;
    return shown?.context?.isReady && kernel?.connectionStatus === 'connected' && kernel.status === 'idle'; }"""


class Lab:
    """A page with JupyterLab, in which nothing may ask for another machine or fail unseen."""

    def __init__(self, page: Page, address: str):
        self.page, self._address = page, address
        self._asked: list[str] = []
        self._errors: list[str] = []
        self._opened: list[Notebook] = []
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda sent: self._asked.append(sent.url))
        page.on("pageerror", self._note)
        page.goto(f"{address}/lab/workspaces/{uuid.uuid4().hex[:8]}")
        page.wait_for_function("() => window.jupyterapp !== undefined")
        page.evaluate("() => window.jupyterapp.restored.then(() => true)")
        page.evaluate("() => window.jupyterapp.shell.collapseLeft()")  # which leaves no room on a telephone
        page.evaluate(SCRIPT)

    def open(self, name: str) -> "Notebook":
        """Open a notebook, with a kernel of its own."""
        self._opened.append(Notebook(self.page, name))
        return self._opened[-1]

    def close_notebooks(self) -> None:
        """End their kernels and leave the page empty. AssertionError for what failed, or asked for another machine."""
        complaints = [complaint for notebook in self._opened for complaint in notebook.complaints()]
        for notebook in self._opened:
            notebook.close()
        self.page.evaluate("() => { book.complaints.length = 0; }")  # what a kernel says as it ends is none of ours
        ours = self._address, f"blob:{self._address}", "data:"
        elsewhere = [url for url in self._asked if not url.startswith(ours)]
        errors, self._asked, self._errors, self._opened = self._errors, [], [], []
        failed = [*elsewhere, *errors, *complaints]
        assert not failed, failed  # pytest rewrites asserts in test modules alone

    def _note(self, error: object) -> None:
        if not any(expected in str(error) for expected in EXPECTED):
            self._errors.append(str(error))

    def screenshot(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=path)


class Notebook:
    """Selectors are CSS; `.gb-start` and the like are the classes that the book's widgets carry."""

    def __init__(self, page: Page, name: str):
        self.page, self.name = page, name
        self._open()

    def _open(self) -> None:
        self.page.evaluate("path => window.jupyterapp.commands.execute('docmanager:open', {path}).then(() => true)",
                           self.name)
        self.page.wait_for_function(READY)
        self.page.evaluate("() => book.kernel().info.then(() => true)")
        self.page.evaluate("() => { book.listen(); }")

    def reopen(self, widget: str) -> None:
        """Close the tab and open it again, saved, with the kernel going on, until it has the widget.

        JupyterLab gives a kernel four seconds to say what widgets it has; on a busy machine that is too few, and a
        reader who sees the kept picture opens the notebook once more.
        """
        self.page.evaluate("() => book.panel().context.save().then(() => true)")
        for _ in range(REOPENED):
            self.page.evaluate("() => { book.panel().context.model.dirty = false; book.panel().dispose(); }")
            self._open()
            with suppress(TimeoutError):
                self.page.wait_for_selector(widget, state="attached", timeout=PATIENCE / REOPENED)
                return
        raise AssertionError(f"opened {REOPENED} times, the notebook never had {widget}")

    def run_all(self, seconds: int = 180) -> None:
        """Run every cell; no output may be an error."""
        self.page.evaluate("ms => book.within(window.jupyterapp.commands.execute('notebook:run-all-cells'), ms)",
                           1000 * seconds)
        errors = self.page.evaluate("() => book.errors()")
        assert not errors, errors

    def run_matching(self, pattern: str) -> None:
        """Run the cells in whose source the pattern is found; no output may be an error."""
        self.page.evaluate("""async ([pattern, ms]) => {
            for (const [i, cell] of book.cells().entries())
                if (cell.model.type === "code" && new RegExp(pattern, "m").test(cell.model.sharedModel.source))
                    await book.within(book.run(i), ms); }""", [pattern, PATIENCE])
        errors = self.page.evaluate("() => book.errors()")
        assert not errors, errors

    def run(self, source: str) -> str:
        """Add a cell at the end and run it; what it printed."""
        cell = self.begin(source)
        self.page.evaluate("ms => book.within(window.begun, ms).then(() => true)", PATIENCE)
        return self.page.evaluate("i => book.text(i)", cell)

    def begin(self, source: str) -> int:
        """Add a cell at the end and run it without waiting; where it stands."""
        return self.page.evaluate("""source => { const i = book.append(source);
            window.begun = book.run(i); return i; }""", source)

    def text(self, cell: int) -> str:
        """What a cell has printed so far."""
        return self.page.evaluate("i => book.text(i)", cell)

    def find(self, selector: str) -> Locator:
        """The one element of that kind."""
        return self.page.locator(selector)

    def click(self, selector: str) -> None:
        self.find(selector).click()

    def slide(self, selector: str, key: str) -> str:
        """Press a key on a slider (ArrowRight, Home, …); what it reads once that has changed.

        The kernel may move the slider too, because of another, until the very moment at which the key goes down.
        """
        handle, readout = self.find(f"{selector} .noUi-handle"), self.find(f"{selector} .widget-readout")
        handle.evaluate("handle => { book.note_when_pressed(handle); }")
        handle.focus()
        handle.press(key)
        before = self.page.evaluate("() => book.when_pressed")
        assert before is not None, f"{key} did not reach the slider {selector}"
        expect(readout).not_to_have_text(before, timeout=PATIENCE)
        return readout.inner_text()

    def wait_for(self, selector: str, pattern: str) -> str:
        """Wait until the text of an element matches; the text. A failure tells what the widgets say of errors."""
        try:
            expect(self.find(selector)).to_have_text(re.compile(pattern), timeout=PATIENCE)
        except AssertionError as error:
            said = self.page.locator(".gb-note, .gb-explorer-note").all_inner_texts()
            error.add_note(f"the widgets say: {said}")
            raise
        return self.find(selector).inner_text()

    def plot(self, selector: str) -> dict[str, Any]:
        """What a plot shows once it is drawn: its title, and of its traces name, meta, x and y."""
        self.page.wait_for_function("where => book.plot(where) !== null", arg=selector)
        return self.page.evaluate("where => book.plot(where)", selector)

    def curve(self, selector: str, **meta) -> list[float]:
        """The y of the one trace whose meta has these values."""
        (trace,) = [t for t in self.plot(selector)["traces"] if meta.items() <= (t["meta"] or {}).items()]
        return trace["y"]

    def wait_for_points(self, selector: str, more_than: int, **meta) -> int:
        """Wait until a trace has more points than that; how many."""
        self.page.wait_for_function(
            """([where, meta, n]) => book.plot(where)?.traces.some(trace => trace.y.length > n &&
                Object.entries(meta).every(([key, value]) => trace.meta?.[key] === value))""",
            arg=[selector, meta, more_than], polling=50)
        return len(self.curve(selector, **meta))

    def wait_for_x(self, selector: str, end: float) -> None:
        """Wait until the curves reach as far as that, and no further."""
        self.page.wait_for_function(
            """([where, end]) => Math.max(...book.plot(where).traces.flatMap(
                trace => trace.x.filter(isFinite))) === end""",
            arg=[selector, end], polling=50)

    def complaints(self) -> list[str]:
        """Errors that widgets raised where no cell shows them."""
        return self.page.evaluate("() => book.complaints")

    def look(self, selector: str, name: str) -> None:
        """Keep pictures of a widget on a small laptop, in a narrow window and on a telephone, and go back.

        Every plot has to become as wide as its place, or it would be cut off there. JupyterLab lays out only cells near
        the window, so the widget is brought there first, as a reader does.
        """
        for width, height in (*SCREENS, SCREENS[0]):
            self.page.set_viewport_size({"width": width, "height": height})
            self.find(selector).evaluate("element => element.scrollIntoView()")
            self.page.wait_for_function("where => book.fits(where)", arg=selector)
            self.page.screenshot(path=SHOTS / f"{name}-{width}x{height}.png")

    def close(self) -> None:
        """End the kernel and close the tab. Until the server has forgotten it, a reader of the same notebook joins."""
        self.page.evaluate("""() => window.jupyterapp.commands.execute('notebook:shutdown-kernel').then(() => true)""")
        self.page.wait_for_function("""name => fetch("/api/sessions").then((answer) => answer.json())
            .then((sessions) => sessions.every(({path}) => path !== name))""", arg=self.name, polling=200)
        self.page.evaluate("() => { book.panel().context.model.dirty = false; book.panel().dispose(); }")

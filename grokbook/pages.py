"""Executed notebooks as pages that work from a file, without a kernel and without a network.

Figures stay interactive: their plotly JSON, which the notebook stores, is drawn by one plotly.js beside the pages.
Formulas are set by one MathJax beside them. A page asks nothing of any server.
"""

import base64
import html
import json
import re
import shutil
from collections.abc import Collection, Sequence
from importlib.metadata import distribution
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nbformat
from nbconvert import HTMLExporter
from traitlets.config import Config

from grokbook.plots.picture import PLOTLY
from grokbook.plots.template import WIDE
from grokbook.widgets.explorer import SCRIPT, STYLE
from grokbook.widgets.explorer_data import ExplorerData

TEMPLATES = Path(__file__).parent / "templates"
SCRIPTS = {"plotly": "plotly/package_data/plotly.min.js",
           "django-static-mathjax": "mathjax/static/mathjax/es5/tex-svg-full.js"}
"""The two scripts that pages use, each by the installed distribution that ships it."""

GLOSSARY = "glossary"
"""The Markdown file whose headings are words that other pages link."""

WAYS = r"(?m)^\[(?:← .*|Contents|Glossary|\d\d .* →)\]\([\w.]*\)(?: ·)?$"
"""Lines of a chapter that lead to its neighbours in JupyterLab; pages have their own."""

SHOWN_FIRST = ["text/html", "text/markdown", "image/svg+xml", "text/latex", "image/png", "image/jpeg", "text/plain"]


def write(notebooks: Sequence[Path], folder: Path, title: str, explored: Sequence[ExplorerData] = (),
          about: str = "") -> Path:
    """Write a page for each executed notebook or Markdown file, and `index.html` that links them; returns the latter.

    `folder` is made where it is missing and gets the scripts as well. Pages are named after their files. With maps
    `explored` there is also `explorer.html`, to move through them, with a picture in the index. `about` is a
    sentence under the title. Of a file called glossary each word is linked where another page first uses it.

    Raises ValueError for a notebook that is damaged or no notebook, before anything is written; OSError as the system.
    """
    opened = {path: _opened(path) for path in notebooks}
    folder.mkdir(parents=True, exist_ok=True)
    for owner, path in SCRIPTS.items():
        shutil.copy(str(distribution(owner).locate_file(path)), folder)
    exporter = HTMLExporter(config=Config(NbConvertBase=Config(display_data_priority=SHOWN_FIRST)),
                            template_name="offline", extra_template_basedirs=[str(TEMPLATES)])
    chapters = [_entry(path, notebook, folder) for path, notebook in opened.items()]
    words = next((_words(path) for path in notebooks if path.stem == GLOSSARY), [])
    for chapter, before, after, notebook in zip(chapters, [None, *chapters], [*chapters[1:], None], opened.values(),
                                                strict=False):
        shown, around = _drawn(notebook, {path.stem for path in notebooks}), {"before": before, "after": after}
        if chapter["number"]:
            _link_words(shown, words)
        told = {"metadata": {"name": chapter["title"]}, "book": chapter | around}
        (folder / chapter["page"]).write_text(exporter.from_notebook_node(shown, told)[0], "utf-8")
    index = folder / "index.html"
    contents = exporter.environment.get_template("contents.html.j2")
    entries = [*([_explorer(explored, folder, exporter)] if explored else []), *chapters]
    pictured = next((chapter for chapter in chapters if chapter["picture"]), None)
    index.write_text(contents.render(title=title, about=about, entries=entries, pictured=pictured,
                                     map=_map(explored[0]) if explored else None), "utf-8")
    return index


def _words(glossary: Path) -> list[str]:
    """The words that a glossary explains, the longest first: `model-wise grokking` before `grokking`."""
    return sorted(re.findall("^### (.+)$", glossary.read_text("utf-8"), re.MULTILINE), key=len, reverse=True)


def _link_words(notebook: nbformat.NotebookNode, words: Collection[str]) -> None:
    """Lead the first use of each word, in any text but headings, code, formulas and links, to the glossary."""
    left = set(words)
    by_form = {form: word for word in words for form in (word, word[0].upper() + word[1:])}
    forms = "|".join(map(re.escape, by_form))
    kept = r"```.*?```|`[^`]*`|\$[^$]+\$|!?\[[^]]*\]\([^)]*\)|<[^>]*>|^#[^\n]*$"

    def link(match: re.Match[str]) -> str:
        if already := re.search(rf"\({GLOSSARY}\.html#(.+)\)$", match[0]):
            left.difference_update([word for word in left if word.replace(" ", "-") == already[1]])
        word = by_form.get(match["word"] or "")
        if word not in left:
            return match[0]
        left.remove(word)
        return f"[{match['word']}]({GLOSSARY}.html#{word.replace(' ', '-')})"
    for cell in notebook.cells:
        if words and cell.cell_type == "markdown":
            cell.source = re.sub(rf"(?ms){kept}|(?<![\w-])(?P<word>{forms})(?![\w-])", link, cell.source)


def _map(explored: ExplorerData) -> dict[str, Any]:
    """The map for the index: rows of coloured cells, the most pairs first; sizes, colours by name, steps."""
    budget = explored.budgets[-1]
    fixed, shown = explored.fixed(), explored.view(budget)["shown"]["zone"]
    rows = [(D_train, [None if zone is None else fixed["zones"][int(zone)] for zone in row])
            for D_train, row in zip(fixed["values"]["D_train"], shown, strict=True)]
    zones = [zone for zone in fixed["zones"] if any(zone in row for _, row in rows)]
    return {"rows": rows[::-1], "sizes": fixed["values"]["d_h"], "zones": zones, "budget": budget}


def _explorer(explored: Sequence[ExplorerData], folder: Path, exporter: HTMLExporter) -> dict[str, Any]:
    """Write the maps to move through, by what their rows are; their entry in the contents."""
    page, heading = folder / "explorer.html", "The map to move through"
    opening = "Every cell is networks that were really trained, with their curves."
    words = {data.row: data.words for data in explored}
    maps = {data.row: {"start": data.start(), "fixed": data.fixed() | {"maps": words}, "row": data.row,
                       "views": {budget: data.view(budget) for budget in data.budgets}} for data in explored}
    data = json.dumps(maps, separators=(",", ":"), allow_nan=False).replace("<", r"\u003c")
    template = exporter.environment.get_template("explorer.html.j2")
    page.write_text(template.render(heading=heading, opening=opening, script=SCRIPT, style=STYLE, data=data), "utf-8")
    return {"page": page.name, "title": heading, "opening": opening, "changed": ""}


def _opened(path: Path) -> nbformat.NotebookNode:
    """A notebook, or a Markdown file as one."""
    if path.suffix == ".md":
        return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(path.read_text("utf-8"))])
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except OSError:
        raise
    except Exception as error:  # nbformat has many
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"{path} is no whole notebook ({reason[:80]}); make it anew, or move it elsewhere") from error
    return notebook


def _drawn(notebook: nbformat.NotebookNode, pages: Collection[str]) -> nbformat.NotebookNode:
    """The notebook with its figures as HTML that plotly.js draws, and its links to notebooks as links to `pages`."""
    def link(match: re.Match[str]) -> str:
        text, name, anchor = match.groups(default="")
        return f"[{text}]({name}.html{anchor})" if name in pages else text
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = re.sub(WAYS, "", cell.source)
            cell.source = re.sub(r"\[([^]]*)\]\(([\w.=+-]+)\.(?:ipynb|py|md)(#[^)]*)?\)", link, cell.source)
        for position, output in enumerate(cell.get("outputs", [])):
            if PLOTLY in output.get("data", {}):
                output.data["text/html"] = _figure(f"figure-{cell.id}-{position}", output.data)
    return notebook


def _figure(name: str, data: dict) -> str:
    figure = data[PLOTLY] | {"config": data[PLOTLY].get("config", {}) | {"responsive": True}}
    spec = json.dumps(figure).replace("<", r"\u003c")  # a title with "</script>" must not end the script
    layout = figure.get("layout", {})
    width = (layout.get("meta") or {}).get("width", WIDE)
    label = html.escape("".join(data.get("text/plain", "Figure")))  # its sentence; its caption follows as an output
    return (f'<div class="figure{" wide" * (width >= WIDE)}" tabindex="0"><div id="{name}" role="img" '
            f'aria-label="{label}" style="height: {layout.get("height", 450)}px; min-width: {width}px"></div></div>\n'
            f'<script>Plotly.newPlot("{name}", {spec});</script>')


def _picture(notebook: nbformat.NotebookNode, file: Path) -> str:
    """Write the first picture of a notebook, for those who link to its page; its name, empty where there is none."""
    pictures = [output.data["image/png"] for cell in notebook.cells for output in cell.get("outputs", [])
                if "image/png" in output.get("data", {})]
    if pictures:
        file.write_bytes(base64.b64decode(pictures[0]))
    return file.name if pictures else ""


def _opening(text: str) -> str:
    """The question that a chapter asks in its first cell; where it asks none, its first sentence."""
    question = re.search(r"\*\*The question:\*\* (.+?)(?:\n\n|\Z)", text, re.DOTALL)
    words = " ".join((question[1] if question else text.strip().partition("\n\n")[0]).split())
    return words[0].upper() + words[1:] if question else re.split(r"(?<=[.!?])\s", words)[0]


def _entry(path: Path, notebook: nbformat.NotebookNode, folder: Path) -> dict[str, Any]:
    """What is said of a notebook: heading, opening words, sections, and what papermill changed."""
    text = next((cell.source for cell in notebook.cells if cell.cell_type == "markdown"), "")
    heading, _, rest = text.strip().partition("\n")
    changed = [line for cell in notebook.cells if "injected-parameters" in cell.metadata.get("tags", [])
               for line in cell.source.splitlines() if not line.startswith("#")]
    sections = [match for cell in notebook.cells if cell.cell_type == "markdown"
                for match in re.findall(r"^## +(.+?) *$", cell.source, re.MULTILINE)]
    number = re.match(r"\d+(?=_)", path.name)
    return {"page": f"{path.stem}.html", "picture": _picture(notebook, folder / f"{path.stem}.png"),
            "number": number[0] if number else "", "title": heading.lstrip("# ") or path.stem,
            "opening": _opening(rest), "changed": ", ".join(changed),
            "sections": [{"title": words, "anchor": quote(words.replace(" ", "-"), "$?!,.'():;&=+*/@")}
                         for words in sections]}

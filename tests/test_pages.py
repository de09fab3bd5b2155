import json
import re
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import grokbook
from grokbook import book, pages

FIGURE = {"data": [{"type": "scatter", "y": [1, 4, 9], "name": "</script><!--<script>"}],
          "layout": {"height": 321, "title": {"text": 'Squares of "k"'}}, "config": {"displaylogo": False}}
CAPTION = "n = 3 numbers, which a page shows as words."
ASKS = "## Other\n\nIt begins.\n\n**The question:** what is\nit?\n\nMore."
TEXT = "# A sample\n\nThe sum of $k$ is *quadratic*. There is more.\n\nRead [on](08_b.ipynb#x) or [not](09_c.ipynb)."


class Addresses(HTMLParser):
    """Every address that a page loads or links to."""

    def __init__(self, page: Path):
        super().__init__()
        self.found: list[str] = []
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "data", "srcset", "action")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book of two chapters, one with a formula and a figure."""
    folder = tmp_path_factory.mktemp("book")
    figure = new_output("display_data", {pages.PLOTLY: FIGURE, "image/png": "aGk=",
                                          "text/plain": 'Squares of "k": n = 3 runs.'})
    caption = new_output("display_data", {"text/html": f"<p>{CAPTION}</p>", "text/plain": CAPTION})
    injected = new_code_cell("# Parameters\nn = 4", metadata={"tags": ["injected-parameters"]})
    cells = [new_markdown_cell(TEXT), injected, new_code_cell("figure", outputs=[figure, caption]),
             new_markdown_cell("## A part & more of $x_{i}$\n\nText."), new_code_cell("gb.widgets.Explorer()")]
    widgets = {"application/vnd.jupyter.widget-state+json": {"version_major": 2, "version_minor": 0, "state": {}}}
    nbformat.write(new_notebook(cells=cells, metadata={"widgets": widgets}), folder / "07_a.ipynb")
    nbformat.write(new_notebook(cells=[new_markdown_cell(ASKS)]), folder / "08_b.ipynb")
    pages.write([folder / "07_a.ipynb", folder / "08_b.ipynb"], folder / "html", "Two chapters", about="A book of two.")
    return folder / "html"


def test_pages_load_and_link_only_files_beside_them(folder: Path):
    for page in folder.glob("*.html"):
        for address in Addresses(page).found:
            assert (folder / address.partition("#")[0]).exists(), f"{page.name} asks for {address}"
        assert not re.search(r"url\(\s*['\"]?https?:|@import|\bimport\(", page.read_text())


def test_a_link_to_a_chapter_leads_to_its_page_or_is_plain_text(folder: Path):
    addresses = Addresses(folder / "07_a.html").found
    assert "08_b.html#x" in addresses and not any("09_c" in address for address in addresses)


def test_every_chapter_leads_to_the_one_before_the_next_the_contents_and_its_sections(folder: Path):
    page, last = (BeautifulSoup((folder / f"{name}.html").read_text(), "html.parser") for name in ("07_a", "08_b"))
    ways = {link["rel"][0]: link["href"] for link in page.select("nav a[rel]")}
    assert ways == {"next": "08_b.html"} and page.title.text == "A sample"  # pyright: ignore
    assert {link["rel"][0]: link["href"] for link in last.select("nav a[rel]")} == {"prev": "07_a.html"}
    assert len(page.select("nav a[href='index.html']")) == 2  # above and below
    (section,) = page.select("nav[aria-label=Sections] li a")
    part = page.find(id=str(section["href"])[1:])
    assert part and part.name == "h2" and section.text == "A part & more of $x_{i}$"


def test_pages_say_what_they_are_to_those_who_link_to_them(folder: Path):
    for name, title in (("07_a", "A sample"), ("index", "Two chapters")):
        page = BeautifulSoup((folder / f"{name}.html").read_text(), "html.parser")
        told = {meta.get("property") or meta.get("name"): meta["content"] for meta in page.select("meta[content]")}
        assert told["og:title"] == title and told["description"] == told["og:description"] != ""
        assert (folder / told["og:image"]).read_bytes() == b"hi"  # pyright: ignore


def test_the_code_of_a_widgets_cell_is_folded_and_no_other(folder: Path):
    page = BeautifulSoup((folder / "07_a.html").read_text(), "html.parser")
    (folded,) = page.select("details.code")
    assert "gb.widgets.Explorer()" in folded.text and len(page.select(".jp-CodeCell")) == 3


def test_a_figure_is_drawn_from_the_data_of_the_notebook(folder: Path):
    (call,) = re.findall(r'Plotly\.newPlot\("(?:[\w-]+)", (.*)\);</script>', (folder / "07_a.html").read_text())
    assert json.loads(call) == FIGURE | {"config": {"displaylogo": False, "responsive": True}}


def test_a_figure_has_a_name_and_its_caption_is_read_after_it(folder: Path):
    page = BeautifulSoup((folder / "07_a.html").read_text(), "html.parser")
    (figure,) = page.find_all(role="img")
    assert figure["aria-label"] == 'Squares of "k": n = 3 runs.'
    assert CAPTION in [words.text for words in figure.find_all_next("p")]


def test_the_contents_tell_titles_questions_or_first_sentences_and_changed_parameters(folder: Path):
    text = (folder / "index.html").read_text()
    assert "<h1>Two chapters</h1>" in text and "<p>A book of two.</p>" in text
    assert '<span class="number">07</span> <a href="07_a.html">A sample</a>' in text
    assert "</a><p>The sum of $k$ is <em>quadratic</em>.</p>" in text
    assert "<p>n = 4</p>" in text and "There is more" not in text
    assert '<a href="08_b.html">Other</a><p>What is it?</p>' in text


def test_on_a_telephone_figures_keep_their_width_and_pages_do_not_scroll_sideways(folder: Path, chromium):
    page = chromium.new_page(viewport={"width": 390, "height": 844})
    page.goto(f"{folder.as_uri()}/07_a.html")
    page.wait_for_selector(".js-plotly-plot .main-svg")
    assert page.evaluate("document.querySelector('.js-plotly-plot').clientWidth") >= 600
    assert "Slide" in page.evaluate("getComputedStyle(document.querySelector('.figure'), '::before').content")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.locator(".modebar").evaluate_all("bars => bars.every((bar) => !bar.checkVisibility())")
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_is_light_or_dark_as_the_reader_wishes(folder: Path, chromium, scheme):
    page = chromium.new_page(color_scheme=scheme)
    page.goto(f"{folder.as_uri()}/07_a.html")
    paper, ink = page.evaluate("""() => [getComputedStyle(document.body).backgroundColor,
        getComputedStyle(document.querySelector(".jp-RenderedMarkdown p")).color]
        .map((color) => color.match(/[0-9.]+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0))""")
    assert (paper < 150 and ink > 500) if scheme == "dark" else (paper > 700 and ink < 150)
    page.close()


def test_a_browser_without_network_draws_figures_and_formulas(folder: Path, chromium):
    page = chromium.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(request.url))
    page.goto(f"{folder.as_uri()}/07_a.html")
    page.wait_for_selector("mjx-container svg", state="attached")
    page.wait_for_selector(".js-plotly-plot .scatterlayer .trace")
    assert page.evaluate("document.querySelector('.js-plotly-plot').data[0]") == FIGURE["data"][0]
    assert page.evaluate("document.querySelector('.js-plotly-plot').clientHeight") == 321
    assert complaints == []


def test_words_lead_to_the_glossary_where_they_are_first_used(tmp_path: Path):
    glossary = tmp_path / "glossary.md"
    glossary.write_text("# Words\n\n### model-wise grokking\n\nA sort.\n\n### grokking\n\n### seed\n\n### a-clock\n")
    texts = ["# A seed\n\nModel-wise grokking, *grokking*, grokking, `seed`, $seed$, seeded.",
             "[seed](a.html), seed, [a-clock](glossary.md#a-clock), a-clock."]
    nbformat.write(new_notebook(cells=[new_markdown_cell(text) for text in texts]), tmp_path / "01_a.ipynb")
    pages.write([tmp_path / "01_a.ipynb", glossary], tmp_path / "html", "A book")
    page = BeautifulSoup((tmp_path / "html" / "01_a.html").read_text(), "html.parser")
    links = [(link.text, str(link["href"])) for link in page.find_all("a", href=re.compile("glossary.html#"))]
    assert links == [("Model-wise grokking", "glossary.html#model-wise-grokking"),
                     ("grokking", "glossary.html#grokking"), ("seed", "glossary.html#seed"),
                     ("a-clock", "glossary.html#a-clock")]
    words = BeautifulSoup((tmp_path / "html" / "glossary.html").read_text(), "html.parser")
    assert all(words.find(id=address.partition("#")[2]) for _, address in links)
    assert not words.find_all("a", href=re.compile("glossary.html#"))


def test_the_glossary_is_in_order_and_every_word_of_it_is_explained():
    parts = re.split("^### ", (book.NOTEBOOKS / "glossary.md").read_text(), flags=re.MULTILINE)[1:]
    words = [part.partition("\n")[0] for part in parts]
    assert words == sorted(words, key=str.lower) and len(set(words)) == len(words)
    assert all(part.partition("\n")[2].strip() for part in parts)


def test_what_chapters_cite_is_in_the_bibliography():
    works = (book.NOTEBOOKS / "bibliography.md").read_text()
    text = " ".join(re.sub("\n# ?", " ", source.read_text()) for source in book.chapters())
    cited = set(re.findall(r"([A-Z][\w-]+)(?: et al\.| and [A-Z][\w-]+),? \(?(20\d\d)", text))
    assert cited and [work for work in cited if not re.search(rf"\b{work[0]}\b[^*]*\({work[1]}\)", works)] == []


def test_the_citation_names_this_version():
    assert yaml.safe_load((book.ROOT / "CITATION.cff").read_text())["version"] == grokbook.__version__


def test_the_first_notebook_links_every_chapter_by_its_title():
    (start, *others), listed = book.chapters(), book.read(book.chapters()[0]).cells[0].source
    for source in others:
        title = book.read(source).cells[0].source.splitlines()[0].removeprefix("# ")
        assert f"[{source.name[:2]} {title}]({source.stem}.ipynb)" in listed, f"{start.name} has no {source.stem}"

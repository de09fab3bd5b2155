"""Chapters as notebooks: find, read, execute with papermill, clean and stamp.

A chapter is a pair in `notebooks/`: `NN_title.py` in percent format, which is what people edit and review, and
`NN_title.ipynb`, the same cells executed, which is what they read. Only the first is a source; the second is always
made from it, and its stamp says from which text, with which parameters.
"""

import ast
import hashlib
import itertools
import logging
import os
import re
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jupytext
import nbformat
import papermill
from nbclient.exceptions import CellTimeoutError, DeadKernelError

import grokbook
from grokbook.config import typed

logging.getLogger("papermill").setLevel(logging.ERROR)  # its remarks on parameters; `checked` refuses what is wrong

ROOT = Path(grokbook.__file__).parents[1]
NOTEBOOKS = ROOT / "notebooks"

KERNELSPEC = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
LANGUAGE = {"name": "python", "pygments_lexer": "ipython3", "file_extension": ".py"}
"""Written to every notebook, so that none names the kernel or the Python of the machine it was made on."""

PARAMETER_KINDS = {"bool": bool, "float": float, "int": int, "str": str}
QUIET = "--IPKernelApp.log_level=CRITICAL"
"""The kernel's own remarks, about its transport and its shutdown, are nothing a reader can act on."""

UNFINISHED = ".partial.ipynb"
WIDGET = "application/vnd.jupyter.widget-view+json"


class ChapterError(Exception):
    """A chapter stopped. The message is one sentence: chapter, cell, reason, and where the part that ran is kept."""


class Parameter(NamedTuple):
    """One line of a chapter's parameters cell, `name: kind = default  # help`."""

    name: str
    kind: type
    default: Any
    help: str

    def parse(self, text: str) -> Any:
        """The value that `text` means, such as "4000" or "1e-3". Raises TypeError where it is not of the kind."""
        if self.kind is str:
            return text
        try:
            value = ast.literal_eval(text.capitalize() if self.kind is bool else text)
        except (ValueError, SyntaxError):
            value = text
        return typed(self.name, self.kind, value)


def chapters() -> list[Path]:
    """The sources of the book's chapters, in order. Raises ValueError where there are none."""
    sources = sorted(NOTEBOOKS.glob("[0-9]*.py"))
    if not sources:
        raise ValueError(f"there are no chapters in {NOTEBOOKS}; run grokbook from a checkout of its repository")
    return sources


def stored(source: Path) -> Path:
    """The executed notebook beside a source. Raises ValueError where it is missing."""
    notebook = source.with_suffix(".ipynb")
    if not notebook.is_file():
        raise ValueError(f"chapter {source.stem} has no notebook yet; make it with: grokbook build {source.stem}")
    return notebook


def finished(folder: Path) -> list[Path]:
    """The notebooks in a folder that ran to their end, in order."""
    return sorted(path for path in folder.glob("*.ipynb") if not path.name.endswith(UNFINISHED))


def find(chapter: str) -> Path:
    """The source of a chapter given as `01`, as `01_grokking` or as a path to either file of its pair.

    Raises ValueError where there is no such chapter or more than one.
    """
    path = Path(chapter)
    if path.suffix in (".py", ".ipynb") and path.stem[:2].isdigit() and path.with_suffix(".py").is_file():
        return path.with_suffix(".py").resolve()
    sources = [source for source in chapters() if chapter in (source.stem, source.stem.split("_")[0])]
    if len(sources) != 1:
        names = ", ".join(source.stem for source in sources or chapters())
        raise ValueError(f"{'more than one' if sources else 'no'} chapter is called {chapter!r}; there are: {names}")
    return sources[0]


def read(source: Path) -> nbformat.NotebookNode:
    """The chapter as a notebook that has not run. Cell ids follow from position and text, so they never drift.

    Raises ValueError where the source has no text, OSError where the system refuses it.
    """
    notebook = jupytext.reads(_text(source), fmt="py:percent")
    notebook.metadata = nbformat.NotebookNode(kernelspec=KERNELSPEC, language_info=LANGUAGE)
    for position, cell in enumerate(notebook.cells):
        cell.metadata = _metadata(cell)
        cell.id = f"{position:03d}-{_digest(cell.source)[:8]}"
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def parameters(source: Path) -> dict[str, Parameter]:
    """What a chapter can be run with, by name; empty where no cell is tagged `parameters`.

    Raises ValueError where a line of that cell is not of the form `name: kind = default  # help`.
    """
    cells = [cell for cell in read(source).cells if "parameters" in cell.metadata.get("tags", [])]
    text = cells[0].source if cells else ""
    return {parameter.name: parameter for parameter in (_parameter(line, text) for line in ast.parse(text).body)}


def checked(source: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """The chapter's parameters, defaults replaced by `values`.

    Raises ValueError for a name that the chapter does not have and for values that its `config` refuses, TypeError for
    a value of the wrong type.
    """
    known = _known(source, values)
    every_value = {name: typed(name, p.kind, values.get(name, p.default)) for name, p in known.items()}
    _make_config(source, every_value)
    return every_value


def grid(source: Path, texts: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
    """Every combination of values, given as text for some parameters, by a name for its notebook that tells them.

    >>> grid(find("01"), {"d_h": ["32", "64"]})  # doctest: +SKIP
    {'01_grokking_d_h=32': {'d_h': 32}, '01_grokking_d_h=64': {'d_h': 64}}

    Raises ValueError and TypeError as `checked` does, and ValueError for texts of which one name tells too little.
    """
    known = _known(source, texts)
    choices = [[known[name].parse(text) for text in texts[name]] for name in texts]
    combinations = [dict(zip(texts, choice, strict=True)) for choice in itertools.product(*choices)]
    named: dict[str, dict[str, Any]] = {}
    for values in combinations:
        checked(source, values)
        name = "_".join([source.stem, *(f"{name}={value}" for name, value in values.items())])
        if (same := named.setdefault(re.sub(r"[^\w.=+-]", "-", name), values)) != values:
            raise ValueError(f"{same} and {values} would be one file; run them into two folders")
    return named


def execute(source: Path, out: Path, values: Mapping[str, Any] | None = None, timeout: int | None = None) -> Path:
    """Run a chapter in this environment's Python, write the executed notebook to `out` and return `out`.

    `values` replace parameters and are checked before anything runs (see `checked`). `timeout` is in seconds a cell,
    None for no limit. While it runs, and if it fails, what there is stands beside `out` as `<name>.partial.ipynb`, so
    `out` is never half a notebook. Raises ChapterError if the chapter stops.
    """
    every_value = checked(source, values or {})
    partial = out.with_suffix(UNFINISHED)
    out.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(read(source), partial)
    with own_kernel():
        _run(source, partial, values or {}, timeout)
    notebook = clean(nbformat.read(partial, as_version=4))
    notebook.metadata["grokbook"] = stamp(source, every_value)
    nbformat.write(notebook, partial)
    return partial.replace(out)


def stamp(source: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """Where an executed notebook comes from: the digest of its source, its parameters, this package's version."""
    return {"source_sha256": _digest(_text(source)), "parameters": dict(values), "version": grokbook.__version__}


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook without what changes from run to run or tells of a machine, in place.

    That is timings, the state of widgets (a page without a kernel shows their pictures instead) and absolute paths.
    """
    notebook.metadata = nbformat.NotebookNode(kernelspec=KERNELSPEC, language_info=LANGUAGE)
    for cell in notebook.cells:
        cell.metadata = _metadata(cell)
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            data.pop(WIDGET, None)
            for kept in (output, data):
                kept.update({kind: _without_paths(text) for kind, text in kept.items()
                             if kind == "text" or kind.startswith("text/")})
    return notebook


def _text(source: Path) -> str:
    try:
        text = source.read_text("utf-8")
    except UnicodeError as error:
        raise ValueError(f"{source} is no text ({error}); write it in UTF-8") from None
    if not text.strip():
        raise ValueError(f"{source} is empty; write its cells, or delete it")
    return text


def _metadata(cell: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A cell's tags; the code of a widget is folded, since a reader came for what it shows."""
    kept = {"tags": tags} if (tags := cell.metadata.get("tags")) else {}
    folded = cell.cell_type == "code" and "gb.widgets." in cell.source
    return nbformat.NotebookNode(kept | ({"jupyter": nbformat.NotebookNode(source_hidden=True)} if folded else {}))


def _known(source: Path, names: Iterable[str]) -> dict[str, Parameter]:
    """The chapter's parameters, having refused names that are not among them."""
    known = parameters(source)
    for name in names:
        if name not in known:
            valid = ", ".join(f"{p.name} ({p.help})" for p in known.values()) or "none"
            raise ValueError(f"{name} is not a parameter of chapter {source.stem}; valid: {valid}")
    return known


def _make_config(source: Path, values: Mapping[str, Any]) -> None:
    """Run the cell in which a chapter makes its `config` of its parameters, as far as that line, if it has one.

    Only that cell knows the task and the network, so only its RunConfig can tell which values are out of range.
    """
    for cell in read(source).cells:
        if cell.cell_type == "code" and re.search("^config = ", cell.source, re.MULTILINE):
            lines = ast.parse(cell.source).body
            end = next(k for k, line in enumerate(lines, 1) if ast.unparse(line).startswith("config = "))
            exec(compile(ast.Module(lines[:end], []), source.name, "exec"), dict(values))
            return


def _without_paths(text: str) -> str:
    text = re.sub(r"\S*/ipykernel_\d+/\d+\.py", "cell", text)
    for folder, name in ((sysconfig.get_path("purelib"), "site-packages"), (sys.prefix, "env"), (ROOT, "."),
                         (Path.home(), "~"), (tempfile.gettempdir(), "tmp")):
        text = text.replace(f"{folder}/", f"{name}/")
    return text


def _run(source: Path, partial: Path, values: Mapping[str, Any], timeout: int | None) -> None:
    try:
        papermill.execute_notebook(
            partial, partial, dict(values), kernel_name=KERNELSPEC["name"], progress_bar=False,
            execution_timeout=timeout, store_widget_state=False, coalesce_streams=True, extra_arguments=[QUIET],
            resources={"metadata": {"path": str(source.parent)}})  # `cwd` would move this process, and a chapter beside
    except papermill.PapermillExecutionError as error:
        reason = f"{error.ename}: {error.evalue}".splitlines()[0]
        raise ChapterError(f"chapter {source.stem} stopped in cell [{error.exec_count}] with {reason}; "
                           f"what ran is in {partial}") from None
    except (CellTimeoutError, DeadKernelError) as error:
        reason = f"a cell took more than {timeout} s" if isinstance(error, CellTimeoutError) else "its kernel died"
        raise ChapterError(f"chapter {source.stem} stopped: {reason}; what ran is in {partial}") from None


def _parameter(line: ast.stmt, cell: str) -> Parameter:
    """A line of a parameters cell. papermill.inspect_notebook drops one with a second `=` in its value or comment."""
    end = cell.encode().splitlines()[(line.end_lineno or 0) - 1]
    help = end[line.end_col_offset:].decode().strip("# ")
    match line:
        case ast.AnnAssign(target=ast.Name(name), annotation=ast.Name(kind), value=ast.expr() as value) if help:
            if kind in PARAMETER_KINDS:
                default = typed(name, PARAMETER_KINDS[kind], ast.literal_eval(value))
                return Parameter(name, PARAMETER_KINDS[kind], default, help)
    raise ValueError(f"{ast.unparse(line)!r} cannot stand in a parameters cell; valid: `name: kind = value  # meaning` "
                     f"with one of the kinds {', '.join(PARAMETER_KINDS)}")


@contextmanager
def own_kernel() -> Iterator[None]:
    """Let `python3` mean this interpreter, whatever kernels the reader has installed elsewhere.

    Its NumPy multiplies on one thread unless the environment says otherwise: two kernels with two threads each on two
    cores wait for one another, and a chapter of half a minute takes over three.
    """
    before = {name: os.environ.get(name) for name in ("JUPYTER_PATH", "OPENBLAS_NUM_THREADS")}
    own = str(Path(sys.prefix) / "share" / "jupyter")
    os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, (own, before["JUPYTER_PATH"])))
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

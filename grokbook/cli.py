"""The command line. Commands import what they need when they run, so help is quick and training needs no Jupyter."""

import importlib.util
import io
import itertools
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Any

import click

import grokbook
from grokbook import interrupts

if TYPE_CHECKING:
    from grokbook.store import Store

ABOUT = "Why neural networks suddenly understand, measured on networks that were really trained."

AT_ONCE = 2
"""Chapters that run at the same time: each has a kernel of its own, and most of them keep one core busy."""

_out = partial(click.option, "--out", show_default=True, type=click.Path(path_type=Path, file_okay=False),
               help="Folder to write to.")

_store = click.option("--store", metavar="FOLDER", type=click.Path(path_type=Path, file_okay=False),
                      help="Where runs are kept; without it GROKBOOK_DATA, else the shipped store.")


class _Commands(click.Group):
    """Commands that SIGTERM and SIGHUP end as ^C does, and whose warnings and errors are a sentence each.

    Only what the package never raises on purpose shows a traceback; in Python's development mode (-X dev) all do.
    """

    def invoke(self, ctx: click.Context) -> Any:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # a letter that a terminal lacks ends no command
        with warnings.catch_warnings(), interrupts.heeded():
            warnings.showwarning = lambda message, *_, **__: click.echo(f"Warning: {message}", err=True)
            try:
                return super().invoke(ctx)
            except KeyboardInterrupt:
                raise click.ClickException("interrupted; what was trained or written before is kept") from None
            except (ValueError, TypeError, LookupError, OSError, UserWarning) as error:
                if sys.flags.dev_mode or isinstance(error, KeyError | IndexError):
                    raise
                raise click.ClickException(_sentence(error)) from None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(grokbook.__version__)
def main() -> None:
    """grokbook: grokking, double descent and emergence, measured on networks that are trained here.

    A CHAPTER is named by its number (01), its name (01_grokking) or its path.
    """


@main.command()
@click.argument("chapters", metavar="[CHAPTER]...", nargs=-1)
def build(chapters: tuple[str, ...]) -> None:
    """Make the notebooks of chapters (all, if none is named) anew from their sources, in place."""
    from grokbook import book

    sources = [book.find(chapter) for chapter in chapters] or book.chapters()
    _, failures = _run_all({source.with_suffix(".ipynb"): (source, {}) for source in sources}, book.NOTEBOOKS)
    _report(failures)


@main.command()
@click.argument("chapter")
@click.option("--set", "settings", multiple=True, metavar="NAME=V1,V2...", help="Values for a parameter; repeatable.")
@click.option("--timeout", type=click.IntRange(1), help="Seconds that a cell may take; without it, no limit.")
@_out(default="_reruns")
def rerun(chapter: str, settings: tuple[str, ...], timeout: int | None, out: Path) -> None:
    """Run a chapter with other parameters: a notebook for every combination of the values, and an index.html."""
    from grokbook import book, pages

    source = book.find(chapter)
    grid = book.grid(source, _by_name(settings))
    out.mkdir(parents=True, exist_ok=True)
    _, failures = _run_all({out / f"{name}.ipynb": (source, values) for name, values in grid.items()}, out, timeout)
    click.echo(f"wrote {pages.write(book.finished(out), out, 'Reruns')}")
    _report(failures)


@main.command()
@click.option("--execute", is_flag=True, help="Run every chapter first, rather than show the notebooks as stored.")
@_out(default="_book")
def html(execute: bool, out: Path) -> None:
    """Write the book as HTML pages that need no network; index.html is the first."""
    from grokbook import book, pages

    failures: list[str] = []
    out.mkdir(parents=True, exist_ok=True)
    if execute:
        wanted = {out / f"{source.stem}.ipynb": (source, {}) for source in book.chapters()}
        notebooks, failures = _run_all(wanted, out, at_once=AT_ONCE)
    else:
        notebooks = [book.stored(source) for source in book.chapters()]
    beside = sorted(book.NOTEBOOKS.glob("*.md"))  # bibliography, glossary
    click.echo(f"wrote {pages.write([*notebooks, *beside], out, 'grokbook', _stored_maps(), ABOUT)}")
    _report(failures)


@main.command()
@click.argument("study")
@click.option("--size", default="laptop", show_default=True, help="laptop, or paper for the source's own grid.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, …")
@click.option("--budget", metavar="TIME", help="End cleanly after so long: 90s, 25m, 3h.")
@click.option("--dask", metavar="ADDRESS", help="Train on a dask.distributed cluster, tcp://… of its scheduler.")
@_store
def sweep(study: str, size: str, device: str, budget: str | None, dask: str | None, store: Path | None) -> None:
    """Train what STUDY wants and the store lacks. ^C, SIGTERM or SIGHUP end it; what it has is stored."""
    from grokbook import studies
    from grokbook.store import Store

    wanted, seconds = studies.named(study), None if budget is None else _seconds(budget)
    wanted.runs(size)  # refuses a size that there is not
    from grokbook.sweep import sweep as train_missing

    with _cluster(dask) as executor:
        click.echo(report := train_missing(wanted, Store(store), executor, size=size, device=device, budget=seconds))
    if report.errors:
        raise SystemExit(1)


@main.command()
@_store
def status(store: Path | None) -> None:
    """How much of every study is trained, by study and size, and how long the rest may take."""
    from grokbook import studies
    from grokbook.run import hours

    with _existing(store) as runs:
        click.echo(f"{'study':<20} {'size':<7} {'wanted':>6} {'there':>6} {'missing':>7}")
        left: dict[str, dict] = {size: {} for size in studies.SIZES}
        for study, size in itertools.product(studies.STUDIES.values(), studies.SIZES):
            wanted, missing = len(study.runs(size)), study.missing(size, runs)
            left[size] |= {run.run_id: run for run in missing}
            click.echo(f"{study.name:<20} {size:<7} {wanted:>6} {wanted - len(missing):>6} {len(missing):>7}")
        timed = list(runs.frame().itertuples())
        for size, missing in left.items():
            times = [f", at most about {time:,.{int(time < 10)}f} h on {device}"
                     + (f" and {unknown} of a kind not timed yet" if unknown else "")
                     for device, (time, unknown) in hours(missing.values(), timed).items()]
            click.echo(f"{size}: {len(missing)} runs missing{''.join(times)}")
        click.echo("Hours are those of stored runs of the same size that go to their last step; many settle sooner.")


@main.command()
@click.argument("networks", metavar="[NETWORK]...", nargs=-1)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, …")
@_store
def weights(networks: tuple[str, ...], device: str, store: Path | None) -> None:
    """Train the NETWORKs (all, if none is named) that chapters open, unless they are kept already; keep their weights.
    """
    from grokbook.networks import KEPT, named
    from grokbook.store import Store
    from grokbook.sweep import keep_weights

    kept = Store(store)
    for name, network in {name: named(name) for name in networks or KEPT}.items():
        if set(network.steps) < set(kept.weight_steps(network.config.run_id)):  # its last step, which it chose itself
            click.echo(f"{name}: its weights are there; delete them to train it anew")
        else:
            keep_weights(name, kept, device=device, say=click.echo)


@main.command()
@click.argument("claims", metavar="[CLAIM]...", nargs=-1)
@_store
def check(claims: tuple[str, ...], store: Path | None) -> None:
    """Judge CLAIMs (all, if none is named) by the stored runs: the verdicts that the chapters show."""
    from grokbook.claims import CLAIMS, judge

    verdicts = Counter[str]()
    with _existing(store) as runs:
        for claim in claims or CLAIMS:
            card = judge(claim, runs)
            verdicts[card.word] += 1
            click.echo(f"{claim:<22} {card.word:<17} n = {card.measured.n}\n{indent(str(card.measured), '    ')}")
        counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
        click.echo(f"{verdicts.total()} claims: {counts}")


@main.command()
@click.argument("study")
@_store
def pack(study: str, store: Path | None) -> None:
    """Merge the files of STUDY into one."""
    with _existing(store) as runs:
        click.echo(f"wrote {runs.pack(study.replace('-', '_'))}")


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("options", metavar="[OPTION]...", nargs=-1, type=click.UNPROCESSED)
def lab(options: tuple[str, ...]) -> None:
    """Open the chapters in JupyterLab, with OPTIONs of its own, such as --no-browser."""
    folder = Path(grokbook.__file__).parents[1] / "notebooks"
    if not folder.is_dir():
        raise click.ClickException(f"there are no chapters in {folder}; run grokbook from a checkout of its repository")
    if importlib.util.find_spec("jupyterlab") is None:
        raise click.ClickException("JupyterLab is not installed; install it: pip install jupyterlab")
    # What JupyterLab starts from: no question about its news over the map, whole names of chapters, whole pictures.
    templates = Path(grokbook.__file__).parent / "templates"
    paths = os.pathsep.join(filter(None, [os.environ.get("JUPYTER_CONFIG_PATH"), str(templates)]))
    style = ["--custom-css", f"--ServerApp.tornado_settings={dict(static_custom_path=[str(templates / 'custom')])}"]
    command = [sys.executable, "-m", "jupyterlab", str(folder / "00_explore.ipynb"), *style, *options]
    os.execve(sys.executable, command, os.environ | {"JUPYTER_CONFIG_PATH": paths})


@main.command()
def doctor() -> None:
    """Look for what would keep the book from running here, and say how to mend it."""
    from grokbook.doctor import examine

    findings = list(examine())
    for finding in findings:
        click.echo(f"problem: {finding.seen}\n    fix: {finding.fix}" if finding.fix else f"     ok: {finding.seen}")
    if any(finding.fix for finding in findings):
        raise SystemExit(1)


@contextmanager
def _existing(folder: Path | None) -> Iterator["Store"]:
    """The store of that folder, which has to be there: a mistyped one is not an empty one.

    What is made of it comes with exit status 1 where a file of it cannot be used, for then runs are lacking.
    """
    from grokbook.store import Store

    store, damaged, show = Store(folder), [], warnings.showwarning
    if not store.path.is_dir():
        raise click.ClickException(f"there is no store {store.path}; valid: a folder that a sweep has written to")
    warnings.showwarning = lambda message, *rest, **more: damaged.append(message) or show(message, *rest, **more)
    yield store
    if damaged:
        raise SystemExit(1)


def _sentence(error: Exception) -> str:
    """What an error says, without the system's numbers."""
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename} cannot be read or written: {error.strerror}"
    return getattr(error, "strerror", None) or str(error)


def _run_all(wanted: Mapping[Path, tuple[Path, Mapping[str, Any]]], folder: Path, timeout: int | None = None,
             at_once: int = 1) -> tuple[list[Path], list[str]]:
    """Make notebooks of sources and values, saying how each went; returns those that were made, what stopped others.

    A file `.unfinished` stands in the folder meanwhile. Where a call that was ended has left it, this one goes on:
    what was made since it began is not made again, unless its source or the package has changed.
    """
    import asyncio
    from multiprocessing.pool import ThreadPool

    from grokbook import book

    failures, begun = {}, folder / ".unfinished"
    goes_on = begun.exists()
    if not goes_on:
        begun.touch()
    package = Path(grokbook.__file__).parent.rglob("*.py")
    changed = max(path.stat().st_mtime_ns for path in (begun, *package))

    def make(path: Path) -> tuple[Path, str]:
        """A notebook, and how it went, in words."""
        (source, values), start = wanted[path], time.monotonic()
        try:
            if goes_on and path.exists() and path.stat().st_mtime_ns > max(changed, source.stat().st_mtime_ns):
                return path, "made before the interruption"
            book.execute(source, path, values, timeout)
        except (book.ChapterError, ValueError, TypeError, OSError) as error:
            failures[path] = _sentence(error)
            return path, "failed"
        finally:  # end the event loop that papermill makes in each thread, and leaves open
            with suppress(RuntimeError):  # where none was made
                asyncio.get_event_loop().close()
            asyncio.set_event_loop(None)
        return path, f"{time.monotonic() - start:.0f} s"

    with book.own_kernel(), ThreadPool(at_once) as pool:  # its threads end with the process, whatever they wait for
        for number, (path, went) in enumerate(pool.imap_unordered(make, wanted), 1):
            click.echo(f"[{number}/{len(wanted)}] {path.stem} … {went}")
    begun.unlink(missing_ok=True)  # as another call in this folder may have
    return [path for path in wanted if path not in failures], list(failures.values())


def _report(failures: Sequence[str]) -> None:
    if failures:
        raise click.ClickException("\n".join([f"{len(failures)} failed", *failures]))


def _stored_maps():
    """The maps that the book's explorer shows, and a line for one of which no run is stored."""
    from grokbook.widgets.explorer_data import ExplorerData

    maps = []
    for stored in (ExplorerData.stored, ExplorerData.beside_random):
        try:
            maps.append(stored())
        except LookupError as nothing:
            click.echo(f"a map is missing in explorer.html: {nothing}", err=True)
    return maps


def _by_name(settings: Sequence[str]) -> dict[str, list[str]]:
    """`["d_h=8,16"]` as `{"d_h": ["8", "16"]}`. Raises ValueError for other forms."""
    values: dict[str, list[str]] = {}
    for setting in settings:
        name, equals, texts = setting.partition("=")
        if not equals:
            raise ValueError(f"--set {setting} sets nothing; valid: --set NAME=VALUE or --set NAME=VALUE,VALUE")
        values.setdefault(name.strip(), []).extend(text.strip() for text in texts.split(","))
    return values


def _seconds(text: str) -> float:
    """`90s`, `25m`, `3h` or plain seconds as seconds. Raises ValueError for anything else."""
    units = {"s": 1, "m": 60, "h": 3600}
    number, unit = (text[:-1], text[-1]) if text[-1:] in units else (text, "s")
    try:
        seconds = float(number) * units[unit]
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ValueError(f"--budget {text} is not a time; valid: a number with s, m or h, such as 25m")
    return seconds


@contextmanager
def _cluster(address: str | None) -> Iterator[Any]:
    """A client of the Dask cluster at that address; None where none is named."""
    if address is None:
        yield None
        return
    try:
        from dask.distributed import Client
    except ImportError:
        raise click.ClickException("--dask needs dask.distributed; install it: pip install 'grokbook[dask]'") from None
    try:
        client = Client(address, timeout="20s")
    except (OSError, ValueError) as error:
        raise click.ClickException(f"--dask {address} does not answer ({error}); valid: tcp://host:port") from None
    with client:
        yield client

"""The store: what `grokbook.store` describes, as a class, and stored runs as one labelled cube."""

import functools
import math
import os
import re
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import xarray as xr

from grokbook.config import FIELDS, IDENTITY, RunConfig
from grokbook.run import Run, covers
from grokbook.store import shards

INDEX_COLUMNS = ("run_id", "last_step", "settled", "trained_at")  # what tells the duplicates of a run apart
WEIGHTS = "weights"  # the folder of weights, hence a name that no study can have

AXES = ("d_h", "D_train", "seed")  # dimensions that every cube has
MAX_CELLS = 50_000_000  # values of one metric; the six metrics of a cube of this size fill 1.2 GB

PER_RUN = {"run_id": "", "settled": False, "last_step": -1}
"""What a run has once, with the value where nothing was trained."""

CUBE_COLUMNS = (*IDENTITY, *PER_RUN, *shards.CURVES)

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _undisturbed(read: Callable[_P, _T]) -> Callable[_P, _T]:
    """Read anew when another process has packed away a shard between its listing and its reading."""
    @functools.wraps(read)
    def patient(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        """`read`, up to eleven times."""
        for _ in range(10):
            with suppress(FileNotFoundError):
                return read(*args, **kwargs)
        return read(*args, **kwargs)
    return patient


class Store:
    """The runs under one folder. It keeps nothing but `path`, so any number of processes may use one folder at once.

    `path` defaults to the environment variable GROKBOOK_DATA, else to the folder `data` beside the package, else to
    `./data`. Nothing is created before something is written.

    A shard that cannot be used is left out with a `DamagedShard` warning that names it; `check` lists all complaints.
    Of a run that is stored several times the longest copy is read, among equals the one trained first.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None):
        beside = Path(__file__).resolve().parents[2] / "data"
        self.path = Path(path or os.environ.get("GROKBOOK_DATA") or (beside if beside.is_dir() else "data"))

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    def write(self, runs: Sequence[Run], study: str) -> Path:
        """Add runs to a study, as one new file; nothing stored before is touched. Weights are written separately.

        Raises:
            ValueError: no runs, curves that do not belong together, unknown provenance, or an unusable study name.
            OSError: no room, or no right to write; the message names the path, and readers see no half file.
        """
        if not runs:
            raise ValueError(f"there are no runs to write to study {study!r}")
        return shards.write_shard(self._folder(study), shards.to_table(runs))

    @_undisturbed
    def missing(self, requests: Sequence[RunConfig]) -> list[RunConfig]:
        """The requests that no stored run covers, in their order; several for one run become one that covers all."""
        stored = self._longest()
        merged: dict[str, RunConfig] = {}
        for request in requests:
            if not _covered(stored, request):
                other = merged.get(request.run_id, request)
                merged[request.run_id] = request.replace(n_steps=max(request.n_steps, other.n_steps),
                                                         stop_early=request.stop_early and other.stop_early)
        return list(merged.values())

    @_undisturbed
    def frame(self, study: str | None = None) -> pd.DataFrame:
        """One row a run of a study, or of all: config fields, run_id, settled, last_step, schema and provenance."""
        columns = [name for name in shards.COLUMNS.names if name not in shards.CURVES]
        table = self._take(self._longest(study).values(), columns)
        return table.to_pandas().sort_values(list(FIELDS), ignore_index=True)

    def followed(self, study: str | None = None) -> list[RunConfig]:
        """The runs in a study's files, or in all, each as a request for the steps that it was followed there.

        Raises LookupError: there are none.
        """
        rows = self.frame(study)
        if rows.empty:
            raise LookupError(self._nothing("there are no runs", study))
        return [RunConfig(**row) for row in rows[list(FIELDS)].assign(n_steps=rows["last_step"]).to_dict("records")]

    @_undisturbed
    def load(self, requests: Sequence[RunConfig]) -> xr.Dataset:
        """The curves of the requested runs that were followed far enough, each cut at its request's `n_steps`.

        Dimensions are `d_h`, `D_train` and `seed`, then every other field that varies, then `step`; a field that does
        not vary is a scalar coordinate. The six metrics are float32, NaN where nothing was trained, after the end of a
        run, and at steps at which only other runs were looked at. `trained`, `last_step` (−1 where nothing was
        trained), `settled` (by the early-stop rule, before a request cut it) and `run_id` have one value a run. Of two
        requests for one run the longer that is covered counts.

        Raises:
            LookupError: there is nothing to load.
            ValueError: the cube would be too large for memory; the message says which fields vary.
        """
        stored = self._longest()
        limits: dict[str, int] = {}
        for request in requests:
            if _covered(stored, request):
                limits[request.run_id] = max(request.n_steps, limits.get(request.run_id, 0))
        table = self._take([stored[run_id] for run_id in limits], CUBE_COLUMNS)
        if not len(table):
            raise LookupError(self._nothing("none of the requested runs is"))
        return cube(table, limits)

    @_undisturbed
    def pack(self, study: str) -> Path:
        """Merge a study's shards into one, without the duplicates of a run that are not its longest.

        The new shard is in place before the old ones go, and only shards that were read go, so neither a crash nor
        another writer loses anything. Damaged shards stay.
        Raises LookupError: the study has no runs. OSError: as in `write`.
        """
        tables = dict(self._tables(study, shards.COLUMNS.names))
        if not tables:
            raise LookupError(self._nothing("there are no runs", study))
        longest = _longest(tables.items()).values()
        packed = shards.write_shard(self._folder(study), _gathered(longest, shards.COLUMNS.names, tables.get))
        for shard in tables:
            shard.unlink(missing_ok=True)
        return packed

    def try_writing(self) -> None:
        """Write a file and delete it, to know before a long training. Raises OSError as `write` does."""
        shards.write_file(self.path / ".trial.tmp", b"").unlink(missing_ok=True)

    def write_weights(self, run: Run, step: int | None = None) -> Path:
        """Store the weights that a run carries, as those after `step` updates; None stands for its last step.

        Raises ValueError: the run carries no weights. OSError: as in `write`.
        """
        if not run.weights:
            raise ValueError(f"run {run.config.run_id} carries no weights; a run just trained does, one read back does "
                             "not")
        path = self._weights(run.config.run_id, run.last_step if step is None else step)
        return shards.write_file(path, shards.weights_file(run))

    def weights(self, run_id: str, step: int | None = None) -> dict[str, np.ndarray]:
        """The stored weights of a run by name, after `step` updates; None stands for the latest.

        Raises:
            FileNotFoundError: there are none; the message lists the steps that are there.
            OSError: the file is damaged.
        """
        kept = self.weight_steps(run_id)
        if not kept or step not in (None, *kept):
            raise FileNotFoundError(f"no weights of run {run_id} at step {'any' if step is None else step} in "
                                    f"{self.path / WEIGHTS}; steps there: {', '.join(map(str, kept)) or 'none'}")
        return shards.read_weights_file(self._weights(run_id, kept[-1] if step is None else step))

    def weight_steps(self, run_id: str) -> list[int]:
        """The steps of which a run's weights are stored, ascending; empty if there are none."""
        steps = (path.stem.partition("@")[2] for path in (self.path / WEIGHTS).glob(f"{run_id}@*.safetensors"))
        return sorted(int(step) for step in steps if step.isdecimal())

    @_undisturbed
    def check(self) -> list[str]:
        """Read everything, and say in one sentence each what is wrong and what to do; empty if all is well."""
        complaints = []
        for shard in self._shards():
            try:
                complaints += _misnamed(shard, shards.read_shard(shard, shards.COLUMNS.names))
            except shards.DamagedShard as damage:
                complaints.append(str(damage))
        for path in sorted(self.path.glob(f"{WEIGHTS}/*.safetensors")):
            try:
                shards.read_weights_file(path)
            except OSError as error:
                complaints.append(str(error))
        complaints += [f"{path} was left by a writer that did not finish; delete it, unless one is at work now"
                       for path in sorted(self.path.rglob(".*")) if path.suffix in (".tmp", ".end")]
        return complaints

    def _folder(self, study: str) -> Path:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", study) or study == WEIGHTS:
            raise ValueError(f"study={study!r} cannot name a folder of runs; valid: up to 64 letters, digits, _ and -, "
                             f"the first a letter or digit, but not {WEIGHTS!r}")
        return self.path / study

    def _weights(self, run_id: str, step: int) -> Path:
        return self.path / WEIGHTS / f"{run_id}@{step}.safetensors"

    def _shards(self, study: str | None = None) -> list[Path]:
        return sorted(self.path.glob("*/*.parquet") if study is None else self._folder(study).glob("*.parquet"))

    def _tables(self, study: str | None, columns: Sequence[str]) -> Iterator[tuple[Path, pa.Table]]:
        for shard in self._shards(study):
            table = _read_or_warn(shard, columns)
            if table is not None:
                yield shard, table

    def _longest(self, study: str | None = None) -> dict[str, Any]:
        return _longest(self._tables(study, INDEX_COLUMNS))

    def _take(self, rows: Iterable[Any], columns: Sequence[str]) -> pa.Table:
        return _gathered(rows, columns, lambda shard: _read_or_warn(shard, columns))

    def _nothing(self, what: str, study: str | None = None) -> str:
        place = self.path if study is None else self.path / study
        studies = sorted({shard.parent.name for shard in self._shards()})
        return f"{what} in {place}, train them first; studies in {self.path}: {', '.join(studies) or 'none'}"


def _longest(tables: Iterable[tuple[Path, pa.Table]]) -> dict[str, Any]:
    """Where the longest copy of each run lies, by run_id: `INDEX_COLUMNS`, `shard` and `row`, as a named tuple.

    `tables` pairs shards with their `INDEX_COLUMNS`. A run counts as settled if any of its copies is.
    """
    copies = [table.select(INDEX_COLUMNS).to_pandas().assign(shard=shard, row=range(len(table)))
              for shard, table in tables]
    if not copies:
        return {}
    index = pd.concat(copies).sort_values(["last_step", "trained_at"], ascending=[False, True], kind="stable")
    settled = index.groupby("run_id")["settled"].transform("any")
    longest = index.assign(settled=settled).drop_duplicates("run_id")
    return {row.run_id: row for row in longest.itertuples(index=False)}  # pyright: ignore


def _covered(stored: dict[str, Any], request: RunConfig) -> bool:
    row = stored.get(request.run_id)
    return row is not None and covers(row.last_step, row.settled, request)


def _gathered(rows: Iterable[Any], columns: Sequence[str], read: Callable[[Path], pa.Table | None]) -> pa.Table:
    """Those rows as one table, shard by shard, without those whose shard `read` gives as None."""
    by_shard = defaultdict(list)
    for row in rows:
        by_shard[row.shard].append(row.row)
    tables = {shard: read(shard) for shard in by_shard}
    parts = [table.take(by_shard[shard]) for shard, table in tables.items() if table is not None]
    return pa.concat_tables([shards.COLUMNS.empty_table().select(list(columns)), *parts])


def _read_or_warn(shard: Path, columns: Sequence[str]) -> pa.Table | None:
    try:
        return shards.read_shard(shard, columns)
    except shards.DamagedShard as damage:
        warnings.warn(damage, stacklevel=2)
        return None


def _misnamed(shard: Path, table: pa.Table) -> list[str]:
    """A complaint for each row whose config is not usable, or is not the one its run_id stands for."""
    complaints = []
    for row in range(len(table)):
        run_id = table["run_id"][row].as_py()
        try:
            named = shards.to_run(table, row).config.run_id
        except (TypeError, ValueError) as error:
            complaints.append(f"{shard} holds run {run_id} with an unusable config ({error}); train it again")
        else:
            if named != run_id:
                complaints.append(f"{shard} holds run {run_id} with the config of {named}: it was altered, or a "
                                  "default has changed since; train it again")
    return complaints


def cube(table: pa.Table, limits: Mapping[str, int] | None = None) -> xr.Dataset:
    """Rows of `CUBE_COLUMNS`, each run once, as a Dataset whose form `Store.load` describes.

    `limits` maps every run_id to the last step that is kept of its curves; without it they are kept whole.
    Raises ValueError: the cube would have more than `MAX_CELLS` values a metric.
    """
    table = table.combine_chunks()
    runs = table.select([*IDENTITY, *PER_RUN]).to_pandas()
    of = np.repeat(runs.index, table["step"].combine_chunks().value_lengths().to_numpy())
    curves = pd.DataFrame({name: table[name].combine_chunks().flatten().to_numpy() for name in shards.CURVES}, index=of)
    if limits is not None:
        curves = curves.loc[curves["step"] <= runs["run_id"].map(limits)[curves.index]]
        last_step = curves.groupby(level=0)["step"].max()
        runs = runs.assign(last_step=last_step, settled=runs["settled"] & (last_step == runs["last_step"]))
    varying = [name for name in IDENTITY if name not in AXES and runs[name].nunique() > 1]
    axes = [*AXES, *varying]
    sizes = {name: len(runs[name].unique()) for name in axes} | {"step": len(curves["step"].unique())}
    if math.prod(sizes.values()) > MAX_CELLS:
        several = ", ".join(f"{name} ({size} values)" for name, size in sizes.items() if size > 1)
        raise ValueError(f"a cube over {several} has more than {MAX_CELLS:,} cells; "
                         "narrow the choice to a study in which fewer fields vary")
    metrics = runs[axes].join(curves).set_index([*axes, "step"]).to_xarray()
    once = runs.set_index(axes)[list(PER_RUN)].to_xarray()
    trained = once["run_id"].notnull()
    known = {name: once[name].where(trained, missing).astype(type(missing)) for name, missing in PER_RUN.items()}
    fixed = {name: runs[name].iloc[0] for name in IDENTITY if name not in axes}
    return metrics.assign(known | {"trained": trained}).assign_coords(fixed)


def config_of(cell: xr.Dataset | xr.DataArray, **chosen: Any) -> RunConfig:
    """The config of a cell of a cube: its scalar coordinates, and `chosen` for fields that vary or should differ.

    Raises ValueError: a field that is no scalar coordinate and was not chosen; the message names it.
    """
    fields = [name for name in IDENTITY if name not in chosen]
    for name in fields:
        if name not in cell.coords or cell.coords[name].ndim:
            raise ValueError(f"{name} varies over these runs or is unknown; select one value of it")
    return RunConfig(**{name: cell.coords[name].item() for name in fields} | chosen)

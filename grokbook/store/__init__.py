"""What has been trained: a folder of Parquet shards, append-only, read as a table or as one labelled cube.

    data/<study>/<unique name>.parquet           one row a run: config, provenance, curves
    data/weights/<run_id>@<step>.safetensors

A run counts wherever it lies, so one that two studies share is trained once.
"""

import functools
import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import xarray as xr

from grokbook.config import FIELDS, RunConfig
from grokbook.run import Run
from grokbook.store import weights
from grokbook.store.copies import COPY_COLUMNS, Copy, answer, by_run, gather, needed
from grokbook.store.cube import CUBE_COLUMNS, cube
from grokbook.store.shards import COLUMNS, CURVES, DamagedShard, read_shard, to_run, to_table, write_file, write_shard

__all__ = ["DamagedShard", "Store"]

WEIGHTS = "weights"
"""The folder of weights, hence a name that no study can have."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _undisturbed(read: Callable[_P, _T]) -> Callable[_P, _T]:
    """Read anew when another process has packed away a shard between its listing and its reading."""
    @functools.wraps(read)
    def patient(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        for _ in range(10):
            try:
                return read(*args, **kwargs)
            except FileNotFoundError:
                continue
        return read(*args, **kwargs)
    return patient


class Store:
    """The runs under one folder. It keeps nothing but `path`, so any number of processes may use one folder at once.

    `path` defaults to the environment variable GROKBOOK_DATA, else to the folder `data` beside the package, else to
    `./data`. Nothing is created before something is written.

    A shard that cannot be used is left out with a `DamagedShard` warning that names it; `check` lists all complaints.
    Of a run that is stored several times, the copy that answers and reaches furthest is read (see `store.copies`).
    """

    def __init__(self, path: str | os.PathLike[str] | None = None):
        self.path = Path(path or os.environ.get("GROKBOOK_DATA") or _default_path())

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
        return write_shard(self._folder(study), to_table(runs))

    @_undisturbed
    def missing(self, wishes: Sequence[RunConfig]) -> list[RunConfig]:
        """The wishes that no stored run answers, in their order; several for one run become one that answers all."""
        copies = self._copies()
        merged: dict[str, RunConfig] = {}
        for wish in wishes:
            if answer(copies.get(wish.run_id, []), wish) is None:
                other = merged.get(wish.run_id, wish)
                merged[wish.run_id] = wish.replace(n_steps=max(wish.n_steps, other.n_steps),
                                                   stop_early=wish.stop_early and other.stop_early)
        return list(merged.values())

    @_undisturbed
    def frame(self, study: str | None = None) -> pd.DataFrame:
        """One row a run of a study, or of all: config fields, run_id, settled, last_step, schema and provenance."""
        columns = [name for name in COLUMNS.names if name not in CURVES]
        table = self._take([copies[0] for copies in self._copies(study).values()], columns)
        return table.to_pandas().sort_values(list(FIELDS), ignore_index=True)

    @_undisturbed
    def runs(self, wishes: Sequence[RunConfig]) -> list[Run]:
        """The stored runs that answer the wishes, in their order, as they were trained: perhaps longer than wished."""
        table = self._take([copy for _, copy in self._answers(wishes)], COLUMNS.names)
        return [to_run(table, row) for row in range(len(table))]

    @_undisturbed
    def load(self, study: str | None = None, *, wishes: Sequence[RunConfig] | None = None) -> xr.Dataset:
        """The curves in a study's files, or of the runs that answer the wishes (with both, from that study's files).

        Dimensions are `d_h`, `D_train` and `seed`, then every other field that varies, then `step`; fields that do not
        vary are in `attrs`. The six metrics are float32, NaN where nothing was trained, after the end of a run, and at
        steps at which only other runs were looked at. `last_step` (−1 where nothing was trained), `settled` and
        `run_id` have one value a run. With wishes, curves end at the wished `n_steps`, and a run that was not followed
        that far is left out.

        >>> Store().load("zone_map").val_acc.sel(d_h=48, D_train=3000)  # doctest: +SKIP

        Raises:
            LookupError: there is nothing to load.
            ValueError: the cube would be too large for memory; the message says which fields vary.
        """
        if wishes is None:
            chosen = {run_id: (copies[0], np.inf) for run_id, copies in self._copies(study).items()}
        else:
            answers = self._answers(sorted(wishes, key=lambda wish: wish.n_steps), study)
            chosen = {copy.run_id: (copy, wish.n_steps) for wish, copy in answers}
        table = self._take([copy for copy, _ in chosen.values()], CUBE_COLUMNS)
        if not len(table):
            raise LookupError(self._nothing(study, wishes is not None))
        return cube(table, {run_id: limit for run_id, (_, limit) in chosen.items()})

    @_undisturbed
    def pack(self, study: str) -> Path:
        """Merge a study's shards into one, without copies that a better one replaces.

        The new shard is in place before the old ones go, and only shards that were read go, so neither a crash nor
        another writer loses anything. Damaged shards stay.

        Raises:
            LookupError: the study has no runs.
            OSError: as in `write`.
        """
        tables = dict(self._tables(study, COLUMNS.names))
        if not tables:
            raise LookupError(self._nothing(study, False))
        kept = [copy for copies in by_run(tables.items()).values() for copy in needed(copies)]
        packed = write_shard(self._folder(study), gather(kept, COLUMNS.names, tables.get))
        for shard in tables:
            shard.unlink(missing_ok=True)
        return packed

    def try_writing(self) -> None:
        """Write a file and delete it, to know before a long training. Raises OSError as `write` does."""
        write_file(self.path / ".trial.tmp", b"").unlink(missing_ok=True)

    def write_weights(self, run: Run, step: int | None = None) -> Path:
        """Store the weights that a run carries, as those after `step` updates; None stands for its last step.

        Raises:
            ValueError: the run carries no weights.
            OSError: as in `write`.
        """
        return weights.write(self.path / WEIGHTS, run, run.last_step if step is None else step)

    def weights(self, run_id: str, step: int | None = None) -> dict[str, np.ndarray]:
        """The stored weights of a run by name, after `step` updates; None stands for the latest.

        Raises:
            FileNotFoundError: there are none; the message lists the steps that are there.
            OSError: the file is damaged.
        """
        return weights.read(self.path / WEIGHTS, run_id, step)

    @_undisturbed
    def check(self) -> list[str]:
        """Read everything, and say in one sentence each what is wrong and what to do; empty if all is well."""
        complaints = []
        for shard in self._shards():
            try:
                complaints += _misnamed(shard, read_shard(shard, COLUMNS.names))
            except DamagedShard as damage:
                complaints.append(str(damage))
        for path in sorted(self.path.glob(f"{WEIGHTS}/*.safetensors")):
            try:
                weights.read_file(path)
            except OSError as error:
                complaints.append(str(error))
        complaints += [f"{path} was left by a writer that did not finish; delete it, unless one is at work now"
                       for path in sorted(self.path.glob("*/.*.tmp"))]
        return complaints

    def _folder(self, study: str) -> Path:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", study) or study == WEIGHTS:
            raise ValueError(f"study={study!r} cannot name a folder of runs; valid: up to 64 letters, digits, _ and -, "
                             f"the first a letter or digit, but not {WEIGHTS!r}")
        return self.path / study

    def _shards(self, study: str | None = None) -> list[Path]:
        return sorted(self.path.glob("*/*.parquet") if study is None else self._folder(study).glob("*.parquet"))

    def _tables(self, study: str | None, columns: Sequence[str]) -> Iterator[tuple[Path, pa.Table]]:
        for shard in self._shards(study):
            table = _read_or_warn(shard, columns)
            if table is not None:
                yield shard, table

    def _copies(self, study: str | None = None) -> dict[str, list[Copy]]:
        return by_run(self._tables(study, COPY_COLUMNS))

    def _take(self, copies: Sequence[Copy], columns: Sequence[str]) -> pa.Table:
        return gather(copies, columns, lambda shard: _read_or_warn(shard, columns))

    def _answers(self, wishes: Sequence[RunConfig], study: str | None = None) -> list[tuple[RunConfig, Copy]]:
        copies = self._copies(study)
        answers = [(wish, answer(copies.get(wish.run_id, []), wish)) for wish in wishes]
        return [(wish, copy) for wish, copy in answers if copy is not None]

    def _nothing(self, study: str | None, wished: bool) -> str:
        runs = "none of the wished runs is" if wished else "there are no runs"
        place = self.path if study is None else self.path / study
        studies = sorted({shard.parent.name for shard in self._shards()})
        return f"{runs} in {place}, train them first; studies in {self.path}: {', '.join(studies) or 'none'}"


def _default_path() -> Path:
    beside = Path(__file__).resolve().parents[2] / "data"
    return beside if beside.is_dir() else Path("data")


def _read_or_warn(shard: Path, columns: Sequence[str]) -> pa.Table | None:
    try:
        return read_shard(shard, columns)
    except DamagedShard as damage:
        warnings.warn(damage, stacklevel=2)
        return None


def _misnamed(shard: Path, table: pa.Table) -> list[str]:
    """A complaint for each row whose config is not usable, or is not the one its run_id stands for."""
    complaints = []
    for row in range(len(table)):
        run_id = table["run_id"][row].as_py()
        try:
            named = to_run(table, row).config.run_id
        except (TypeError, ValueError) as error:
            complaints.append(f"{shard} holds run {run_id} with an unusable config ({error}); train it again")
        else:
            if named != run_id:
                complaints.append(f"{shard} holds run {run_id} with the config of {named}: it was altered, or a "
                                  "default has changed since; train it again")
    return complaints

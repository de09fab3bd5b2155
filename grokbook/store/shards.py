"""Files of the store, written whole or not at all: Parquet shards with one row a run, and weights as safetensors.

A shard holds every field of RunConfig, so it stays readable when fields are added later: they get their default. It is
checked whenever it is read. Weights have one file a run and step, named as `RunConfig.parent` names it; the safetensors
library is imported on first use, so that a sweep on a bare machine does without it.
"""

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from grokbook.config import FIELDS, SCHEMA, RunConfig
from grokbook.run import METRICS, Run

PROVENANCE = {"engine": "", "device": "", "torch": "", "commit": "", "seconds": math.nan, "trained_at": ""}
"""What is kept of how a run was trained, with the value that says unknown. `trained_at` is UTC, in ISO 8601."""

_TYPES = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
_OPTIONAL: dict[str, Any] = {f.name: f.default for f in dataclasses.fields(RunConfig)} | PROVENANCE

COLUMNS = pa.schema(
    [(name, _TYPES[type(value)]) for name, value in _OPTIONAL.items()]
    + [("run_id", pa.string()), ("settled", pa.bool_()), ("last_step", pa.int64()), ("schema", pa.int64())]
    + [("step", pa.list_(pa.int64()))]
    + [(name, pa.list_(pa.float32())) for name in METRICS])
"""Every column of a shard, with its type in the file."""

CURVES = ("step", *METRICS)


class DamagedShard(UserWarning):
    """A file of the store that cannot be used; the message names it and says what to do. The others still load."""


def to_table(runs: Sequence[Run]) -> pa.Table:
    """Runs as rows of a shard.

    Raises:
        ValueError: curves that are missing, of unequal lengths or out of order, or provenance that has no column.
    """
    return pa.Table.from_pylist([_row(run) for run in runs], schema=COLUMNS)


def to_run(table: pa.Table, i: int) -> Run:
    """Row `i` of a table with all columns as a Run, without weights."""
    (fields,), (provenance,) = (table.select(names).slice(i, 1).to_pylist() for names in (FIELDS, [*PROVENANCE]))
    curves = {name: np.array(table[name][i].values) for name in CURVES}
    return Run(RunConfig(**fields), curves, provenance)


def write_shard(folder: Path, table: pa.Table) -> Path:
    """Write a new shard of that folder, under a name no other writer can have. See `write_file` for errors."""
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    return write_file(folder / f"{uuid.uuid4().hex}.parquet", buffer.getvalue())


def write_file(path: Path, content: Any) -> Path:
    """Put a whole file (bytes or a buffer) in place: it is written under a temporary name beside, then renamed.

    Raises:
        OSError: no room, or no right to write; the message names the path. What was there before is untouched.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(error.errno, f"cannot write {path}: {error.strerror}. Everything stored before is untouched; "
                                   "make room or name another folder in GROKBOOK_DATA, and write again") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return path


def read_shard(path: Path, columns: Sequence[str]) -> pa.Table:
    """Some columns of a shard, in that order; fields younger than the shard get their default.

    Raises:
        DamagedShard: the file is truncated or altered, is no shard, or comes from another version.
        FileNotFoundError: the shard is gone.
    """
    try:
        # opened here, since Arrow takes no path that the locale cannot spell
        with open(path, "rb") as content, pq.ParquetFile(content, page_checksum_verification=True) as file:
            names = file.schema_arrow.names
            _check_columns(path, names)
            table = file.read([name for name in names if name in (*columns, "schema")])
        _check_schema(path, table)
        types = [COLUMNS.field(name) for name in columns]
        return pa.Table.from_arrays([_column(table, name) for name in columns], schema=pa.schema(types))
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, UnicodeError) as error:
        if getattr(error, "errno", None):  # the system refuses, the file may well be sound
            reason = getattr(error, "strerror", None)
            raise DamagedShard(f"{path} cannot be read ({reason}); see to it that it can, and read again") from error
        reason = str(error).partition("\n")[0]
        raise DamagedShard(f"{path} is damaged ({reason}); delete it and train its runs again") from error


def _row(run: Run) -> dict[str, Any]:
    curves = {name: np.asarray(run.curves[name]) for name in CURVES if name in run.curves}
    if set(curves) != set(CURVES) or {curve.shape for curve in curves.values()} != {curves["step"].shape}:
        shapes = {name: curve.shape for name, curve in curves.items()}
        raise ValueError(f"run {run.config.run_id} has curves {shapes}; valid: {', '.join(CURVES)}, all of one length")
    if not len(curves["step"]) or np.any(np.diff(curves["step"]) <= 0):
        raise ValueError(f"run {run.config.run_id} has step={curves['step']}; valid: one step or more, ascending")
    unknown = set(run.provenance) - set(PROVENANCE)
    if unknown:
        raise ValueError(f"provenance {', '.join(sorted(unknown))} has no column; valid: {', '.join(PROVENANCE)}")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    named = {"run_id": run.config.run_id, "settled": run.settled, "last_step": run.last_step, "schema": SCHEMA}
    known = {name: value for name, value in run.provenance.items() if value is not None}
    return dataclasses.asdict(run.config) | PROVENANCE | {"trained_at": now} | known | named | curves


def _check_columns(path: Path, names: Sequence[str]) -> None:
    missing = set(COLUMNS.names) - set(names) - set(_OPTIONAL)
    if missing:
        raise DamagedShard(f"{path} is no shard of runs, it lacks {', '.join(sorted(missing))}; move it elsewhere")
    unknown = set(names) - set(COLUMNS.names)
    if unknown:
        raise DamagedShard(f"{path} has columns that this version does not know, {', '.join(sorted(unknown))}: "
                           "a newer grokbook wrote it; update grokbook to read it")


def _check_schema(path: Path, table: pa.Table) -> None:
    others = [schema for schema in table["schema"].unique().to_pylist() if schema != SCHEMA]
    if others:
        raise DamagedShard(f"{path} holds runs of schema {others[0]}, this version reads {SCHEMA}: the same config "
                           "means another training there; read it with the version that wrote it, or move it elsewhere")


def _column(table: pa.Table, name: str) -> pa.Array | pa.ChunkedArray:
    kind = COLUMNS.field(name).type
    if name in table.column_names:
        return table[name].cast(kind)
    return pa.repeat(pa.scalar(_OPTIONAL[name], kind), len(table))


def weights_file(run: Run) -> bytes:
    """What a file of the run's weights holds: the arrays, and in the metadata its config as JSON and a digest."""
    from safetensors.numpy import save
    arrays = {name: np.ascontiguousarray(array) for name, array in run.weights.items()}
    return save(arrays, {"config": json.dumps(dataclasses.asdict(run.config)), "sha256": _digest(arrays)})


def read_weights_file(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file. Raises OSError, naming it, where it is damaged, another run's, or the system refuses it."""
    from safetensors import SafetensorError
    from safetensors.numpy import load
    try:
        content = path.read_bytes()
        arrays = dict(sorted(load(content).items()))
        about = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
        named = RunConfig(**json.loads(about["config"])).run_id
        if about.get("sha256", digest := _digest(arrays)) != digest:  # older files have none
            raise ValueError("its numbers were altered")
    except (SafetensorError, LookupError, TypeError, ValueError) as error:
        raise OSError(f"{path} is damaged or another program's ({error}); delete it and train the run again") from error
    except OSError as error:
        raise OSError(f"{path} cannot be read ({error.strerror}); see to it that it can, and read again") from error
    if named != path.stem.partition("@")[0]:
        raise OSError(f"{path} holds weights of run {named}; name it after that run, or delete it")
    return arrays


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    return hashlib.sha256(b"".join(arrays[name].tobytes() for name in sorted(arrays))).hexdigest()

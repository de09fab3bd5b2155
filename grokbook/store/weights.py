"""Files of weights: safetensors, one file a run and step, named as `RunConfig.parent` names it.

The safetensors library is imported on first use, so that a sweep on a bare machine does without it.
"""

import json
from pathlib import Path

import numpy as np

from grokbook.run import Run
from grokbook.store.shards import write_file


def write(folder: Path, run: Run, step: int) -> Path:
    """Write `<run_id>@<step>.safetensors`, with the config as JSON in its metadata; see `Store.write_weights`."""
    if not run.weights:
        raise ValueError(f"run {run.config.run_id} carries no weights; a run just trained does, one read back does not")
    from safetensors.numpy import save
    arrays = {name: np.ascontiguousarray(array) for name, array in run.weights.items()}
    content = save(arrays, {"config": json.dumps(run.config.asdict())})
    return write_file(folder / f"{run.config.run_id}@{step}.safetensors", content)


def steps(folder: Path, run_id: str) -> list[int]:
    """The steps of a run's files, ascending."""
    return sorted(int(path.stem.partition("@")[2]) for path in folder.glob(f"{run_id}@*.safetensors"))


def read(folder: Path, run_id: str, step: int | None) -> dict[str, np.ndarray]:
    """Read one file, the latest step if `step` is None; see `Store.weights`."""
    kept = steps(folder, run_id)
    if not kept or step not in (None, *kept):
        raise FileNotFoundError(f"no weights of run {run_id} at step {'any' if step is None else step} in {folder}; "
                                f"steps there: {', '.join(map(str, kept)) or 'none'}")
    return read_file(folder / f"{run_id}@{kept[-1] if step is None else step}.safetensors")


def read_file(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file. Raises OSError where it is damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file
    try:
        return load_file(path)
    except SafetensorError as error:
        raise OSError(f"{path} is damaged ({error}); delete it and train the run again") from error

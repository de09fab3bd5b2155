"""How many seeds a rule takes, and which runs have them."""

import xarray as xr

from grokbook.claims.card import TooLittle, require

ENOUGH_SEEDS = 3  # seeds that means and intervals take, however many runs they have

RESAMPLED = "over resampled seeds, for few of them as wide as that of a mean"  # what cards say of `resampled_interval`


def n_trained(runs: xr.Dataset) -> int:
    """How many runs there are."""
    return int(runs["trained"].sum())


def enough(runs: xr.Dataset, seeds: int = ENOUGH_SEEDS) -> xr.DataArray:
    """Which cells have so many seeds."""
    return runs["trained"].sum("seed") >= seeds


def enough_cells(runs: xr.Dataset, seeds: int = ENOUGH_SEEDS) -> xr.Dataset:
    """The runs without those of cells of fewer seeds, which become cells that nobody trained."""
    cells = enough(runs, seeds)
    curves = {name: runs[name].where(cells) for name in runs.data_vars if "step" in runs[name].dims}
    return runs.assign(curves | {"trained": runs["trained"] & cells})


def enough_sizes(runs: xr.Dataset, at_least: int, what: str = "hidden sizes", where: str = "") -> xr.Dataset:
    """The runs at those d_h that have enough seeds at every D_train. Raises TooLittle if fewer than `at_least` have."""
    sizes = enough(runs).all([dim for dim in ("D_train",) if dim in runs["trained"].dims]).values
    require(sizes.sum() >= at_least, f"{sizes.sum()} {what} have {ENOUGH_SEEDS} seeds{where}; it takes {at_least}.")
    return runs.sel(d_h=sizes)


def seeds_of(happened: xr.DataArray, sentence: str = "") -> int:
    """How many seeds have a run in which something happened.

    Raises TooLittle: `sentence`, in which {n} and {seeds} are filled in, if it is given and they are not enough.
    """
    seeds = int(happened.any([dim for dim in happened.dims if dim != "seed"]).sum())
    if sentence and seeds < ENOUGH_SEEDS:
        raise TooLittle(f"{sentence.format(n=int(happened.sum()), seeds=seeds)}; it takes {ENOUGH_SEEDS} seeds.")
    return seeds

"""A study: a named list of runs that one result rests on."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import xarray as xr

from grokbook.config import RunConfig
from grokbook.store import Store

SIZES = ("paper", "laptop")
"""`paper`: the grid and seeds of the source. `laptop`: a declared part of it that two CPU cores can train."""


@dataclass(frozen=True)
class Study(Sequence[RunConfig]):
    """The runs wanted for one result. A sequence of RunConfig that knows its name, its size and where it comes from."""

    name: str
    size: str
    source: str
    configs: tuple[RunConfig, ...]

    def __len__(self) -> int:
        return len(self.configs)

    def __iter__(self) -> Iterator[RunConfig]:
        return iter(self.configs)

    def __getitem__(self, index):
        return self.configs[index]

    def at(self, n_steps: int) -> "Study":
        """The same runs with a budget of `n_steps`: what to load where not all were followed as long as wished.

        >>> from grokbook.studies import critical_size
        >>> {run.n_steps for run in critical_size().at(40_000)}
        {40000}
        """
        return replace(self, configs=tuple(dict.fromkeys(run.replace(n_steps=n_steps) for run in self.configs)))

    def where(self, **values: Any) -> "Study":
        """The runs of which these fields have these values, perhaps none; AttributeError for a field there is not.

        >>> from grokbook.studies import critical_size
        >>> len(critical_size().where(d_h=64, seed=0))
        11
        """
        return replace(self, configs=tuple(run for run in self.configs
                                           if all(getattr(run, name) == value for name, value in values.items())))

    def missing(self, store: Store | None = None) -> list[RunConfig]:
        """The runs that the store (the shipped one if none is given) does not have yet."""
        return (store or Store()).missing(self.configs)

    def load(self, store: Store | None = None) -> xr.Dataset:
        """The curves of those runs that have been trained, as `Store.load` gives them; LookupError if none has.

        Sizes at which no run at all was trained have no place in it; `attrs["never_trained"]` lists them by field, so
        that a figure can name them.
        """
        data = (store or Store()).load(wishes=self.configs)
        return data.assign_attrs(never_trained={
            name: sorted({getattr(run, name) for run in self.configs} - set(data[name].values.tolist()))
            for name in ("d_h", "D_train")})


def grid(base: Mapping[str, Any], **axes: Sequence) -> tuple[RunConfig, ...]:
    """Every combination of the axes' values on top of `base`; the last axis runs fastest."""
    return tuple(RunConfig(**{**base, **dict(zip(axes, values, strict=True))})
                 for values in itertools.product(*axes.values()))


def chosen(size: str, by_size: Mapping[str, Callable[[], tuple[RunConfig, ...]]]) -> tuple[RunConfig, ...]:
    """The runs of that size. Raises ValueError for a size that there is not."""
    if size not in by_size:
        raise ValueError(f"size={size!r} is unknown; valid: {', '.join(by_size)}")
    return by_size[size]()

"""The explorer: the measured map, the curves behind each of its cells, its rows, and a button that trains a cell anew.

The page draws and moves by itself (explorer.js); this says what there is, follows what was chosen, and trains.
"""

from contextlib import suppress
from typing import Any

import ipywidgets as W
import numpy as np
import plotly.graph_objects as go
import xarray as xr
from traitlets import Bool, Dict, Int, TraitError, Unicode, validate

from grokbook.analysis.zones import runs_until
from grokbook.config import RunConfig
from grokbook.plots import accuracy_by_size, grokking_panels, zone_map
from grokbook.plots.cells import choose, trained
from grokbook.plots.template import shown_steps
from grokbook.store import Store, config_of
from grokbook.widgets.explorer_data import COLORINGS, DRAWN, ExplorerData
from grokbook.widgets.front_end import Drawing, script
from grokbook.widgets.stored import usual_step
from grokbook.widgets.trainer import UNDER_WAY, Steered, Trainer, progress

SCRIPT, STYLE = script("svg.js", "explorer_figures.js", "explorer.js"), script("explorer.css")
"""What draws the explorer, here and in the page of the book that has no kernel."""

TRAITS = ("d_h", "D_train", "D_random", "seed", "budget", "color")


class ExplorerDrawing(Drawing):
    """Draws an `Explorer`."""

    _esm, _css = SCRIPT + script("keys.js", "drawing.js"), STYLE


class Explorer(Steered, W.VBox):
    """The map, the curves of one cell, the row of final accuracies in which it stands, a sentence on the chosen run.

    Traits `d_h`, `D_train`, `seed`, `budget` (steps after which all is judged) and `color` (one of `plots.maps.SHOWN`)
    may be set, here or on the page. `selection` and `sentence` follow. Of runs that vary over D_random at one D_train
    the map's rows are that, and `D_random` is the trait. Both maps are there if no runs are given; `row` says which is
    shown, and another one starts anew. As the last line of a cell it is shown; where nobody watches it leaves pictures.

    *Train this* trains the chosen run over its stored curves; `result()` is what was trained, `keep()` stores it.

    Args:
        runs: a map as `gb.load("zone_map")` gives it; if not given, the stored ones.
        random: runs on random labels, for D_mem.
        d_h, D_train, D_random, seed, budget, color: where to start; if not given, at a run that understood late. A
            budget between the slider's values joins them. With `D_random`, on the map over it.
        store: where `keep` writes. If not given, the folder GROKBOOK_DATA, else `my-runs` here; not the shipped runs.

    Raises:
        TraitError: a start that is not on the map.
        ValueError: runs that vary over other fields.
        LookupError: no runs were given and none are stored.
    """

    what = "a map to move through, with a button that trains its cells"

    d_h, D_train, D_random, seed, budget = (Int().tag(sync=True) for _ in range(5))
    row, color = Unicode().tag(sync=True), Unicode("zone").tag(sync=True)
    # `views` goes out as a copy: it grows, perhaps while a thread writes it for a page that was loaded anew.
    fixed, views = Dict().tag(sync=True), Dict().tag(sync=True, to_json=lambda views, _: {**views})
    note, wrong = Unicode().tag(sync=True), Bool().tag(sync=True)
    live = Dict().tag(sync=True)
    """The training on the page: its run, its curves, a line of words, and what can be done with it."""

    def __init__(self, runs: xr.Dataset | None = None, random: xr.Dataset | None = None, *, d_h: int | None = None,
                 D_train: int | None = None, D_random: int | None = None, seed: int | None = None,
                 budget: int | None = None, color: str | None = None, store: Store | None = None):
        maps = _stored_maps() if runs is None else [ExplorerData(runs, random)]
        self.maps = {data.row: data for data in maps}
        self.data = self._training = maps[0] if D_random is None else self.maps.get("D_random", maps[0])
        self.data.include(budget)
        given = dict(zip(TRAITS, (d_h, D_train, D_random, seed, budget, color), strict=True))
        chosen: dict[str, Any] = self.data.start() | {name: value for name, value in given.items() if value is not None}
        self._check(chosen)
        super().__init__(store=store, row=self.data.row, **self._map(chosen["budget"]), **chosen)
        self.children = [ExplorerDrawing(of=self)]
        self.observe(self._change_map, "row")
        self.on_msg(lambda _, message, __: self._saying_errors(lambda: self._answer(message))(None))

    def choose(self, **values: Any) -> None:
        """Set several of the traits at once. Raises TraitError for a value that is not on the map."""
        with self.hold_sync(), self.hold_trait_notifications():
            for name, value in values.items():
                setattr(self, name, value)

    def _map(self, budget: int) -> dict[str, Any]:
        """What a page needs of the map that is shown."""
        words = {row: data.words for row, data in self.maps.items()}
        return {"fixed": self.data.fixed() | {"maps": words}, "views": {str(budget): self.data.view(budget)}}

    def _change_map(self, _: object) -> None:
        self.data = self.maps[self.row]
        start = self.data.start()
        with self.hold_sync():  # a page that had one without the other would look for cells that are not there
            self.choose(**self._map(start["budget"]), **start)

    @property
    def selection(self) -> xr.Dataset:
        """The runs of the chosen cell as they stood at the budget: dimensions seed and step, perhaps no seed."""
        return trained(choose(runs_until(self.data.runs, self.budget), **self._cell()))

    @property
    def sentence(self) -> str:
        """What became of the chosen run by the budget, and how it compares with the other seeds."""
        return self.data.view(self.budget)["told"]["{},{}".format(*self._cell().values())][self.seed]

    def config(self) -> RunConfig:
        """The chosen run, with the budget as its number of steps."""
        return self._config({name: getattr(self, name) for name in TRAITS})

    def _cell(self) -> dict[str, int]:
        """The chosen d_h and row."""
        return {name: getattr(self, name) for name in ("d_h", self.data.row)}

    def train(self) -> None:
        """Begin to train the chosen run; a training that was begun here before ends."""
        self._begin([self.config()])

    def pictures(self) -> list[go.Figure]:
        """The map with the chosen cell framed, the cell's curves, and its row."""
        runs, seeds, chosen = runs_until(self.data.runs, self.budget), self.selection["seed"], self._cell()
        row = runs.sel({self.data.row: chosen[self.data.row]})
        cell = grokking_panels(row, cells=[(self.d_h, int(row["D_train"]))], rows=("accuracy", "norm"),
                               seed=self.seed if self.seed in seeds else None)
        return [self.kept(), cell, accuracy_by_size(row.expand_dims("D_train"))]

    def kept(self) -> go.Figure:
        """The map with the chosen cell framed."""
        chart = zone_map(runs_until(self.data.runs, self.budget), self.data.random, show=self.color)
        return chart.add_traces(_frame(self.data.cells, *self._cell().values()))

    def _begin(self, *args, **kwargs) -> None:
        with self._lock:
            self._training = self.data
            super()._begin(*args, **kwargs)

    @validate("row", *TRAITS)
    def _on_the_map(self, proposal) -> Any:
        self._check({proposal["trait"].name: proposal["value"]})
        return proposal["value"]

    def _check(self, chosen: dict[str, Any]) -> None:
        values = self.data.values() | {"color": [*COLORINGS], "row": [*self.maps]}
        for name, value in chosen.items():
            if value not in values.get(name, []):
                valid = ", ".join(map(str, values.get(name, [f"none, its rows are {self.data.row}"])))
                raise TraitError(f"{name}={value} is not on the map; valid: {valid}")

    def _answer(self, message: dict[str, Any]) -> None:
        """Do what the page asks for. It says what it shows: a busy kernel hears of a click before a slider's move."""
        match message:
            case {"act": "view", "budget": budget}:
                self._check({"budget": budget})
                self.views[str(budget)] = self.data.view(budget)  # a page that opens later finds it there
                self.send({"budget": budget, "view": self.data.view(budget)})
            case {"act": "train", **chosen}:
                self._check(chosen)
                self._begin([self._config(chosen)])
            case {"act": "pause" | "stop" | "keep" as act}:
                {"pause": self.pause_or_resume, "stop": self.stop, "keep": self.keep}[act]()

    def _config(self, chosen: dict[str, Any]) -> RunConfig:
        return config_of(self.data.runs, **{name: chosen[name] for name in ("d_h", self.data.row, "seed")},
                         n_steps=chosen["budget"])

    def _show_phase(self, trainer: Trainer, phase: str, keepable: bool) -> None:
        config, curves = trainer.configs[0], trainer.runs[0].curves if trainer.runs else {}
        lines = [np.round(curves[name], 4).tolist() for name in DRAWN] if curves else [[]] * len(DRAWN)
        row = self._training.row
        cell = {name: getattr(config, name) for name in ("d_h", row)}
        usual = usual_step(choose(self._training.runs, **cell))
        words = f"d_h {config.d_h}, {row} {cell[row]:,}, seed {config.seed}: {progress(trainer, phase, usual)}"
        self.live = cell | {"seed": config.seed, "n_steps": config.n_steps,
                     "step": trainer.step, "words": words, "under_way": phase in UNDER_WAY,
                     "paused": phase == "paused", "keepable": keepable, "lines": lines,
                     "x": shown_steps(curves["step"]).tolist() if curves else []}


def _stored_maps() -> list[ExplorerData]:
    """The stored map, and that over D_random if it is stored too."""
    maps = [ExplorerData.stored()]
    with suppress(LookupError):
        maps.append(ExplorerData.beside_random())
    return maps


def _frame(runs: xr.Dataset, d_h: int, D_train: int) -> list[go.Scatter]:
    """Lines round a cell of the map, black on white so that they are seen on any colour."""
    column, row = runs["d_h"].values.tolist().index(d_h), runs["D_train"].values.tolist().index(D_train)
    left, right, low, high = column - 0.5, column + 0.5, row - 0.5, row + 0.5
    return [go.Scatter(x=[left, right, right, left, left], y=[low, low, high, high, low], mode="lines", line=line,
                       hoverinfo="skip", showlegend=False, cliponaxis=False, meta={"role": "outline"})
            for line in ({"color": "white", "width": 6}, {"color": "black", "width": 3})]

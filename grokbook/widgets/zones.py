"""Zone explorer: the measured map, the curves behind each of its cells, and a button that trains the cell anew."""

import threading

import ipywidgets as W
import xarray as xr
from IPython.display import display
from traitlets import Int, TraitError, Unicode, validate

from grokbook.analysis import describe
from grokbook.config import RunConfig
from grokbook.plots import grokking_panels, zone_map
from grokbook.plots.cells import choose, name_of, trained
from grokbook.plots.explored import cell_figure, cell_lines
from grokbook.plots.lookup import Lookup
from grokbook.plots.maps import SHOWN
from grokbook.store import config_of
from grokbook.widgets.explorer import Explorer, frame_on, row, show_values
from grokbook.widgets.front_end import paragraph, redraw, show_picture, watched
from grokbook.widgets.live import LiveRun

NAMES = dict(zip(SHOWN, ("zone", "train accuracy", "validation accuracy", "twin-free accuracy"), strict=True))
"""What the map can be coloured by."""


class ZoneExplorer(Explorer):
    """The map on the left, the curves of one cell on the right; sliders and clicks on the map choose the cell.

    Traits `d_h`, `D_train`, `seed`, `budget` (steps after which all is judged) and `color` (one of `plots.maps.SHOWN`)
    may be set; `sentence` says what became of the chosen run. `live` is the training that *Train this* began.

    Args:
        runs: a map as `gb.load("zone_map")` gives it; if not given, the stored one.
        random: runs on random labels, for D_mem.
        d_h, D_train, seed, budget: where to start; if not given, in the middle and at the last step. A budget
            between the slider's values joins them.

    Raises:
        TraitError: a start that is not on the map.
        ValueError: runs that vary over other fields.
        LookupError: no runs were given and none are stored.
    """

    d_h, D_train, seed, budget = Int(), Int(), Int(), Int()
    color = Unicode("zone")
    live: LiveRun | None = None

    def __init__(self, runs: xr.Dataset | None = None, random: xr.Dataset | None = None, *, d_h: int | None = None,
                 D_train: int | None = None, seed: int | None = None, budget: int | None = None):
        lookup = Lookup.stored() if runs is None else Lookup(runs, random)
        super().__init__(lookup, {"d_h": d_h, "D_train": D_train, "seed": seed, "budget": budget}, "zones")
        self.map, left = self._half(lookup.map(self.budget), "map")
        self.curves, right = self._half(cell_figure(lookup.budgets[-1]), "curves")
        self.colors = self._classed(W.Dropdown(options=[(name, metric) for metric, name in NAMES.items()],
                                               description="color", layout=W.Layout(width="210px"),
                                               style={"description_width": "54px"}), "color")
        self.train_this = self._classed(W.Button(description="Train this", icon="play", layout=W.Layout(width="120px"),
                                                 tooltip="Train exactly this network here and now"), "train")
        self.below = W.VBox()
        self.sliders["color"] = self.colors
        self._follow("color", self.colors)
        self.train_this.on_click(self._saying_errors(lambda _: self.train()))
        self.children = [row(*self.sliders.values()), row(left, right, align="flex-start"), self._sentence,
                         row(self.train_this, self._note), self.below, self._caption]
        self._drawn = ()
        self._draw()

    @property
    def selection(self) -> xr.Dataset:
        """The runs of the chosen cell as they stood at the budget: dimensions seed and step, perhaps no seed."""
        return trained(choose(self.lookup.at(self.budget), d_h=self.d_h, D_train=self.D_train))

    def config(self) -> RunConfig:
        """The chosen run, with the budget as its number of steps."""
        return config_of(self.lookup.runs, d_h=self.d_h, D_train=self.D_train, seed=self.seed, n_steps=self.budget)

    def train(self) -> LiveRun:
        """Begin to train the chosen run, below; a training that was begun here before ends.

        Until its first step is done it follows the sliders, as a live run does those of its own.
        """
        with self._lock:
            live = LiveRun(self.config())
            if self.live:
                threading.Thread(target=self.live.close, name="closing", daemon=True).start()  # which waits for a step
            self.live, self.below.children = live, [live]
            live.start()
            return live

    def close(self) -> None:
        """End a training that was begun here, and take the widget from the page."""
        if self.live:
            self.live.close()
        super().close()

    def show(self) -> None:
        """Display this; where nobody watches, leave pictures of the map and of the chosen cell."""
        if watched():
            self.warm()
            display(self)
            return
        chart = zone_map(self.lookup.at(self.budget), self.lookup.random, show=self.color,
                         critical=self.lookup.critical(self.budget))
        frame_on(chart, self.lookup.outline(self.d_h, self.D_train))
        show_picture(chart, "a map to click on, with sliders and a button that trains its cells")
        print(self.sentence)
        here = (self.d_h, self.D_train)
        grokking_panels(self.lookup.at(self.budget), cells=[here], rows=("accuracy", "norm"),
                        seed=self.seed if self.seed in self.selection["seed"] else None).show("grokbook")

    @validate("d_h", "D_train", "seed", "budget")
    def _on_the_map(self, proposal) -> int:
        return self._valid(proposal)

    @validate("color")
    def _can_be_shown(self, proposal) -> str:
        if proposal["value"] not in SHOWN:
            raise TraitError(f"color={proposal['value']!r} is not valid; valid: {', '.join(SHOWN)}")
        return proposal["value"]

    def _draw(self) -> None:
        """Let map, curves and sentence show what is chosen."""
        self._draw_map()
        cell, facts = self.selection, self.lookup.facts(self.budget).sel(d_h=self.d_h, D_train=self.D_train)
        self._say(describe(facts, self.seed) + ("" if cell.sizes["seed"] else " Press Train this."))
        show_values(self.curves, cell_lines(cell, facts.sel(seed=cell["seed"]), self.seed))
        self.curves.update_layout(title_text=f"{name_of(facts)}, seed {self.seed}")
        if self.live and self.live.beginning and self.live.config != self.config():
            self.train()

    def _draw_map(self) -> None:
        wanted, here = (self.budget, self.color), self.lookup.outline(self.d_h, self.D_train)
        if wanted != self._drawn:
            fig = self.lookup.map(*wanted)
            redraw(self.map, fig)
            self._on_click(self.map)
            self._caption.value = paragraph(fig.to_dict()["layout"]["meta"]["caption"])
            self._drawn = wanted
        frame_on(self.map, here)

    def _make_all(self) -> None:
        for budget in reversed(self.lookup.budgets):
            self.lookup.map(budget)
            self.lookup.facts(budget)

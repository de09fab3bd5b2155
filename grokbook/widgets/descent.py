"""Double-descent explorer: a row of the measured map, and the accuracies along it."""

import xarray as xr
from IPython.display import display
from traitlets import Int, validate

from grokbook.analysis import describe_valley
from grokbook.plots import accuracy_by_size, zone_map
from grokbook.plots.lookup import Lookup
from grokbook.widgets.explorer import Explorer, frame_on, row
from grokbook.widgets.front_end import paragraph, redraw, show_picture, watched

SHOWN = "val_acc"
"""What the map is coloured by: double descent is told of validation accuracy."""


class DescentExplorer(Explorer):
    """Final accuracies against d_h on the left, and on the right the map with the row that they are.

    Traits `D_train` and `budget` (steps after which all is judged) may be set, or a row be clicked on; `sentence` says
    how deep the valley of validation accuracy is, where, and how often noise alone makes one as deep.

    Args:
        runs: a map as `gb.load("double_descent")` gives it; if not given, the stored map of the zones.
        random: runs on random labels, for D_mem.
        D_train, budget: where to start; if not given, in the middle and at the last step. A budget
            between the slider's values joins them.

    Raises:
        TraitError: a start that is not on the map.
        ValueError: runs that vary over other fields.
        LookupError: no runs were given and none are stored.
    """

    D_train, budget = Int(), Int()

    def __init__(self, runs: xr.Dataset | None = None, random: xr.Dataset | None = None, *,
                 D_train: int | None = None, budget: int | None = None):
        lookup = Lookup.stored() if runs is None else Lookup(runs, random)
        super().__init__(lookup, {"D_train": D_train, "budget": budget}, "descent")
        self.curves, left = self._half(lookup.row(self.budget, self.D_train), "curves")
        self.map, right = self._half(lookup.map(self.budget, SHOWN), "map")
        self.children = [row(*self.sliders.values()), row(left, right, align="flex-start"), self._sentence,
                         self._note, self._caption]
        self._draw()

    def show(self) -> None:
        """Display this; where nobody watches, leave pictures of the row and of the map."""
        if watched():
            self.warm()
            display(self)
            return
        runs = self.lookup.at(self.budget)
        show_picture(accuracy_by_size(runs.sel(D_train=[self.D_train])), "a row to move through the map")
        print(self.sentence)
        chart = zone_map(runs, self.lookup.random, show=SHOWN, critical=self.lookup.critical(self.budget))
        frame_on(chart, self.lookup.outline(None, self.D_train))
        chart.show("grokbook")

    @validate("D_train", "budget")
    def _on_the_map(self, proposal) -> int:
        return self._valid(proposal)

    def _draw(self) -> None:
        self._say(describe_valley(self.lookup.descent(self.budget)[self.D_train]))
        redraw(self.map, self.lookup.map(self.budget, SHOWN))
        self._on_click(self.map)
        frame_on(self.map, self.lookup.outline(None, self.D_train))
        fig = self.lookup.row(self.budget, self.D_train)
        self._caption.value = paragraph(fig.to_dict()["layout"]["meta"]["caption"])
        redraw(self.curves, fig)

    def _make_all(self) -> None:
        for budget in sorted(self.lookup.budgets, key=lambda one: one != self.budget):
            self.lookup.map(budget, SHOWN)
            self.lookup.descent(budget)
            for D_train in self.lookup.runs["D_train"].values.tolist():
                self.lookup.row(budget, D_train)

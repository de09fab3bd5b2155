"""The controls of the live run and what they say; no training here."""

from collections.abc import Iterable

import ipywidgets as W

from grokbook.config import RunConfig
from grokbook.widgets.steered import UNDER_WAY, progress
from grokbook.widgets.trainer import Trainer

D_H = (4, 8, 16, 24, 32, 48, 64, 96, 128)
D_TRAIN = range(500, 12_501, 500)
STEPS = (200, 1_000, 2_000, 5_000, 10_000, 20_000, 40_000, 60_000, 100_000)
SEEDS = 8


class Panel(W.VBox):
    """Sliders for the run, buttons, a bar and a line of words. Small enough to wrap in a narrow window.

    Sliders hold values that can be trained with this config, its own among them.
    """

    def __init__(self, config: RunConfig, n_seeds: int, place: str):
        self.d_h = _slider("d_h", (d_h for d_h in D_H if d_h % config.n_heads == 0), config.d_h)
        least = config.batch_size - config.D_random
        self.D_train = _slider("D_train", (size for size in D_TRAIN if least <= size <= config.n_pairs), config.D_train)
        self.n_seeds = _slider("seeds", range(1, SEEDS + 1), n_seeds)
        self.n_steps = _slider("steps", STEPS, config.n_steps)
        self.start = _button("Start", "play", "120px", "Train with these values; a training under way ends")
        self.pause = _button("Pause", "pause", "95px", "Rest, and go on later")
        self.stop = _button("Stop", "stop", "80px", "End here; what was trained stays")
        self.keep = _button("Add to my store", "save", "150px", f"Keep the curves, in {place}")
        self.bar = W.IntProgress(0, 0, 1, layout=W.Layout(flex="1 1 160px", max_width="360px"))
        self.status = W.HTML("Start trains this network.", layout=W.Layout(flex="1 1 350px"))
        super().__init__([_row(self.d_h, self.D_train, self.n_seeds, self.n_steps),
                          _row(self.start, self.pause, self.stop, self.keep, self.bar, self.status)])
        for name in ("d_h", "D_train", "n_seeds", "n_steps", "start", "pause", "stop", "keep", "bar", "status"):
            getattr(self, name).add_class(f"gb-{name}")

    def configs(self, config: RunConfig) -> list[RunConfig]:
        """The config with the values of the sliders, one for each seed from its own on; ValueError as for them."""
        chosen = config.replace(d_h=self.d_h.value, D_train=self.D_train.value, n_steps=self.n_steps.value)
        return [chosen.replace(seed=config.seed + k) for k in range(self.n_seeds.value)]

    def follow(self, trainer: Trainer | None, phase: str, keepable: bool) -> None:
        """Say how far the training in that phase is, and enable what can be done with it."""
        under_way = phase in UNDER_WAY
        self.start.description = "Start" if phase == "idle" else "Start anew"
        self.pause.description, self.pause.icon = ("Resume", "play") if phase == "paused" else ("Pause", "pause")
        self.pause.disabled = self.stop.disabled = not under_way
        self.keep.disabled = not keepable
        if trainer:
            self.bar.max, self.bar.value = trainer.configs[0].n_steps, trainer.step
            self.status.value = progress(trainer, phase)


def _slider(label: str, values: Iterable[int], value: int) -> W.SelectionSlider:
    """A slider over these values and the one it starts at."""
    options = [(f"{v:,}", v) for v in sorted({*values, value})]
    return W.SelectionSlider(options=options, value=value, description=label, continuous_update=False,
                             layout=W.Layout(flex="1 1 200px", max_width="330px"), style={"description_width": "50px"})


def _button(label: str, icon: str, width: str, tooltip: str) -> W.Button:
    return W.Button(description=label, icon=icon, tooltip=tooltip, layout=W.Layout(width=width))


def _row(*parts: W.Widget) -> W.Box:
    return W.Box(parts, layout=W.Layout(display="flex", flex_flow="row wrap", align_items="center"))

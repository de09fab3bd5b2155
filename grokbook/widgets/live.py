"""The live run: choose a network, train it for real while the kernel stays free, watch its curves grow, keep it."""

from collections.abc import Iterable, Sequence

import ipywidgets as W
import numpy as np
import plotly.graph_objects as go

from grokbook.config import RunConfig
from grokbook.plots import grokking_panels
from grokbook.plots.curves import loss_ticks
from grokbook.plots.picture import caption_of
from grokbook.plots.template import step_axis
from grokbook.run import METRICS, Run
from grokbook.store import Store
from grokbook.widgets.front_end import ERROR, Plot, paragraph
from grokbook.widgets.stored import Replay, Stored
from grokbook.widgets.trainer import UNDER_WAY, Steered, Trainer, progress

HEIGHT = 520
"""Pixels of the figure: with the controls above it fills the page of a small laptop."""


class LiveRun(Steered, W.VBox):
    """A training that a reader steers: sliders, start, pause, stop, growing curves, and a button that keeps the runs.

    The sliders are `panel.d_h`, `panel.D_train`, `panel.weight_decay`, `panel.n_seeds`, `panel.n_steps` and, where the
    task has random pairs, `panel.D_random`; beside them stands `panel.architecture` where there is a choice. Code may
    set their `value` too.
    A training follows them until its first step is done. Several seeds train together. `plot.figure` is what is shown.

    Two traits can be observed: `note`, what the widget says below its buttons (an error, or where runs were kept), and
    `phase`, idle or one of a `Trainer`, which changes after all else is drawn.

    As the last line of a cell it is shown. Where nobody watches, as when papermill runs the notebook, it then trains to
    the end and leaves a picture; ^C ends that early, and RuntimeError says why it failed.

    Args:
        config: what the sliders start at, with the settings that they do not change; seeds count up from its own.
        n_seeds: how many. architectures: networks to choose from, that of `config` among them.
        store: where `keep` writes. If not given, the folder GROKBOOK_DATA, else `my-runs` here; not the shipped runs.

    Raises:
        ValueError: a number of seeds that is none.
    """

    what = "a live training with sliders and buttons"

    def __init__(self, config: RunConfig | None = None, *, n_seeds: int = 1, architectures: Sequence[str] = (),
                 store: Store | None = None):
        if not isinstance(n_seeds, int) or n_seeds < 1:
            raise ValueError(f"n_seeds={n_seeds!r} is not valid; valid: 1, 2, 3 and so on")
        self.config = config or RunConfig(n_steps=20_000)
        self._drawn: list[Run] = []
        super().__init__(store=store)
        self.panel = Panel(self.config, n_seeds, str(self.store.path), architectures)
        self.plot = Plot(go.Figure())
        self._note, self._caption = W.HTML(), W.HTML()
        self.children = [self.panel, self._note, self.plot, self._caption]
        self.panel.follow(None, self.phase, False)
        self._show_stored(self.panel.configs(self.config))
        self.add_class("gb-live")
        self._note.add_class("gb-note")
        for button, act in ((self.panel.start, self.start), (self.panel.replay, self.replay),
                            (self.panel.pause, self.pause_or_resume), (self.panel.stop, self.stop),
                            (self.panel.keep, self.keep)):
            button.on_click(self._saying_errors(act))
        for slider in self.panel.choices.values():
            slider.observe(self._saying_errors(self._follow_sliders), names="value")

    def start(self) -> None:
        """Train with the values of the sliders, in the background. Raises ValueError where they cannot be trained."""
        configs = self.panel.configs(self.config)
        with self._lock:
            self._stored = Stored.of(configs[0])
            self._begin(configs)

    def replay(self) -> None:
        """Play the stored runs of the cell as if they trained. Raises LookupError where there are none."""
        with self._lock:
            if not self._stored:
                raise LookupError("no runs of this network are stored; Start trains one")
            self._begin([run.config for run in self._stored.runs], Replay(self._stored.runs))

    def pictures(self) -> list[go.Figure]:
        """Train to the end; the figure of what was trained, none if ^C ended it before its first evaluation."""
        self.start()
        try:
            self.wait()
        except KeyboardInterrupt:
            self.stop()
            self.wait()
        if self.phase == "failed":
            raise RuntimeError(self.note)
        return [_panels(self.runs)] if self.runs else []

    def _follow_sliders(self) -> None:
        """Until its first step is done, a training is begun anew with what the sliders say.

        A busy kernel is told of a click at once, but of a slider's last move only when it has answered the one before:
        a reader who moves a slider and presses Start would see another network trained than the sliders show.
        """
        with self._lock:
            if self._trainer and self._trainer.beginning:
                self.start()
            elif self.phase == "idle" or (not self.runs and self.phase not in UNDER_WAY):
                self._show_stored(self.panel.configs(self.config))

    def _show_stored(self, configs: list[RunConfig]) -> None:
        """Draw what is stored of the cell that the sliders show, for a training to paint over."""
        self._stored = Stored.of(configs[0])
        self.plot.figure = _growing([_at_start(config) for config in configs], self._stored)
        self.panel.replay.disabled = not self._stored
        self.panel.status.value = f"Start trains this network. {self._stored.told if self._stored else ''}"

    def kept(self) -> go.Figure:
        """What the page shows."""
        return self.plot.figure

    def _draw(self, trainer: Trainer, runs: list[Run]) -> None:
        if runs is self._drawn:
            return
        fig = _growing(runs or [_at_start(config) for config in trainer.configs], self._stored)
        self.plot.subject = str(fig.to_dict()["layout"]["title"]["text"])
        self.plot.figure = fig
        self._caption.value = paragraph(caption_of(fig)) if runs else ""
        self._drawn = runs

    def _show_phase(self, trainer: Trainer, phase: str, keepable: bool) -> None:
        self.panel.follow(trainer, phase, keepable, self._stored.usual if self._stored else None)
        self.panel.replay.disabled = not self._stored or keepable or phase in UNDER_WAY
        if phase not in UNDER_WAY:
            self.keep_picture()

    def _say(self, words: str, wrong: bool = False) -> None:
        super()._say(words, wrong)
        self._note.value = paragraph(words, ERROR if wrong else "") if words else ""


def _at_start(config: RunConfig) -> Run:
    """A run of which nothing is known yet."""
    return Run(config, {"step": np.zeros(1, np.int64)} | {name: np.full(1, np.nan, np.float32) for name in METRICS})


def _panels(runs: Sequence[Run]) -> go.Figure:
    """Accuracy, loss and norm of runs of one cell."""
    config = runs[0].config
    fig = grokking_panels(runs, cells=[(config.d_h, config.D_train)])
    if config.D_train == config.n_pairs:  # no pairs are left to validate on
        fig.data = [trace for trace in fig.data if "val" not in trace.meta["metric"]]  # pyright: ignore
    kind = "" if config.architecture == "transformer" else f"{config.architecture}, "
    beside = f", D_random {config.D_random}" if config.task == "add+random" else ""
    return fig.update_layout(title_text=f"{kind}d_h {config.d_h}, D_train {config.D_train}{beside}")


def _growing(runs: Sequence[Run], stored: Stored | None) -> go.Figure:
    """The same for the page: up to the last step that is allowed, lower, without the caption, which HTML wraps, over
    what is stored."""
    fig = _panels(runs)
    fig.update_xaxes(step_axis(max(run.config.n_steps for run in runs)))
    if not max(run.last_step for run in runs):  # one point or none, and no scale yet
        fig.update_yaxes(range=[-4, 1], row=2).update_yaxes(range=[0, 80], row=3)
    if stored:
        fig = stored.under(fig)
    ticks = loss_ticks(*fig.to_dict()["layout"]["yaxis2"]["range"])
    return fig.update_layout(yaxis2=ticks, annotations=(), height=HEIGHT, margin={"t": 134, "b": 48},
                             legend_y=1 - 120 / HEIGHT)


D_H = (4, 8, 16, 24, 32, 48, 64, 96, 128)
D_TRAIN = range(500, 12_501, 500)
D_RANDOM = (0, 100, 300, *range(1_000, 6_001, 1_000))
DECAYS = (0.0, 0.1, 0.3, 1.0, 3.0)
STEPS = (200, 1_000, 2_000, 5_000, 10_000, 20_000, 40_000, 60_000, 100_000)
SEEDS = 8


class Panel(W.VBox):
    """Sliders for the run, buttons, a bar and a line of words. Small enough to wrap in a narrow window.

    Sliders hold values that can be trained with this config, its own among them.
    """

    def __init__(self, config: RunConfig, n_seeds: int, place: str, architectures: Sequence[str] = ()):
        if architectures:
            self.architecture = W.Dropdown(options=list(dict.fromkeys([config.architecture, *architectures])),
                                           value=config.architecture, description="network",
                                           layout=W.Layout(width="230px"), style={"description_width": "60px"})
        self.d_h = _slider("d_h", (d_h for d_h in D_H if d_h % config.n_heads == 0), config.d_h)
        least = config.batch_size - config.D_random
        self.D_train = _slider("D_train", (size for size in D_TRAIN if least <= size <= config.n_pairs), config.D_train)
        if config.task == "add+random":
            self.D_random = _slider("D_random", (n for n in D_RANDOM if n <= config.p**2), config.D_random)
        self.weight_decay = _slider("decay", DECAYS, config.weight_decay)
        self.n_seeds = _slider("seeds", range(1, SEEDS + 1), n_seeds)
        self.n_steps = _slider("steps", STEPS, config.n_steps)
        self.start = _button("Start", "play", "120px", "Train with these values; a training under way ends")
        self.replay = _button("Replay", "history", "95px", "Play the stored runs, which are drawn pale")
        self.pause = _button("Pause", "pause", "95px", "Rest, and go on later")
        self.stop = _button("Stop", "stop", "80px", "End here; what was trained stays")
        self.keep = _button("Add to my store", "save", "150px", f"Keep the curves, in {place}")
        self.bar = W.IntProgress(0, 0, 1, layout=W.Layout(flex="1 1 160px", max_width="360px"))
        self.status = W.HTML("Start trains this network.", layout=W.Layout(flex="1 1 350px"))
        every = ("architecture", "d_h", "D_train", "D_random", "weight_decay", "n_seeds", "n_steps")
        self.choices = {name: getattr(self, name) for name in every if hasattr(self, name)}
        super().__init__([_row(*self.choices.values()),
                          _row(self.start, self.replay, self.pause, self.stop, self.keep, self.bar, self.status)])
        for name in (*self.choices, "start", "replay", "pause", "stop", "keep", "bar", "status"):
            getattr(self, name).add_class(f"gb-{name}")

    def configs(self, config: RunConfig) -> list[RunConfig]:
        """The config with the values of the sliders, one for each seed from its own on; ValueError as for them."""
        chosen = config.replace(**{name: choice.value for name, choice in self.choices.items() if name != "n_seeds"})
        return [chosen.replace(seed=config.seed + k) for k in range(self.n_seeds.value)]

    def follow(self, trainer: Trainer | None, phase: str, keepable: bool, usual: int | None = None) -> None:
        """Say how far the training in that phase is, and enable what can be done with it."""
        under_way = phase in UNDER_WAY
        self.start.description = "Start" if phase == "idle" else "Start anew"
        self.pause.description, self.pause.icon = ("Resume", "play") if phase == "paused" else ("Pause", "pause")
        self.pause.disabled = self.stop.disabled = not under_way
        self.keep.disabled = not keepable
        if trainer:
            self.bar.max, self.bar.value = trainer.configs[0].n_steps, trainer.step
            self.status.value = progress(trainer, phase, usual)


def _slider(label: str, values: Iterable[float], value: float) -> W.SelectionSlider:
    """A slider over these values and the one it starts at."""
    options = [(f"{v:,g}" if isinstance(v, float) else f"{v:,}", v) for v in sorted({*values, value})]
    return W.SelectionSlider(options=options, value=value, description=label, continuous_update=False,
                             layout=W.Layout(flex="1 1 200px", max_width="330px"),
                             style={"description_width": "initial"})


def _button(label: str, icon: str, width: str, tooltip: str) -> W.Button:
    return W.Button(description=label, icon=icon, tooltip=tooltip, layout=W.Layout(width=width))


def _row(*parts: W.Widget) -> W.Box:
    return W.Box(parts, layout=W.Layout(display="flex", flex_flow="row wrap", align_items="center"))

"""Figures of the pattern model (Davies et al. 2022): its curves, its two-pattern squares, its map, and its fits."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from grokbook.analysis import patterns as model
from grokbook.analysis.kinds import DIP, HIGH, KINDS, LONG_BEFORE, LOW, MEMORISED, kind_map, kind_of
from grokbook.plots import template
from grokbook.plots.cells import name_of
from grokbook.plots.traces import discrete, name_once, side_by_side

PATTERN_COLORS = (template.HEURISTIC_COLOR, template.MEMORY_COLOR, "#00795C", "#56B4E9", "#8C6D31", "#E377C2")
"""Of the first pattern, the second …; beyond the sixth they begin anew."""

KIND_COLORS: dict[str, str] = {"neither": template.ZONE_COLORS["PROGRESSION"], "double descent": "#8C510A",
                               "both": "#E0B98A", "grokking": template.ZONE_COLORS["GROKKING"]}

SPLITS = {"train_acc": "train", "val_acc": "validation"}

COMPUTED = "Computed from Eq 1 and 2 of Davies, Langosco and Krueger (2022), no network is trained."

CRITERIA = (f"Double descent: test accuracy rises, falls and rises again, each by {DIP:g} or more. Grokking: it is "
            f"at most {LOW:g} when train accuracy reaches {MEMORISED:g}, and reaches {HIGH:g} after at least "
            f"{LONG_BEFORE} times as long.")


def pattern_curves(panels: Mapping[str, model.Patterns], *, names: Sequence[str] | None = None) -> go.Figure:
    """Predictiveness of every pattern above train and test accuracy, a column a set of patterns (Fig 2).

    `names` are those of the patterns, "pattern 1" and so on if not given.
    """
    fig = side_by_side(panels, rows=2, shared_xaxes=True, shared_yaxes=True, vertical_spacing=0.06,
                       horizontal_spacing=0.04)
    for column, patterns in enumerate(panels.values(), 1):
        fig.add_traces(list(pattern_traces(patterns, model.TIMES, names=names)), rows=1, cols=column)
        fig.add_traces(list(accuracy_traces(patterns, model.TIMES)), rows=2, cols=column)
    fig.update_xaxes(title_text="time t", row=2)
    fig.update_yaxes(template.ACCURACY_AXIS)
    fig.update_yaxes(title_text="predictiveness", row=1, col=1)
    fig.update_yaxes(title_text="accuracy", row=2, col=1)
    name_once(fig)
    notes = [f"{title.capitalize()}: {_values(patterns)}." for title, patterns in panels.items()]
    dashed = "Dashed: preferred." if any(p.preferred for patterns in panels.values() for p in patterns) else ""
    return template.frame(fig, title="Patterns, and the accuracy they add up to",
                          caption=" ".join(filter(None, [COMPUTED, dashed, *notes])), plot_height=420, above=20)


def pattern_traces(patterns: model.Patterns, t, *, names: Sequence[str] | None = None) -> Iterator[go.Scatter]:
    """p_i(t), a line a pattern, the preferred one dashed."""
    for i, (pattern, p) in enumerate(zip(patterns, model.predictiveness(patterns, t), strict=True)):
        name = names[i] if names else f"pattern {i + 1}"
        yield _line(t, p, f"{name} (g = {pattern.g:.2g})", PATTERN_COLORS[i % len(PATTERN_COLORS)],
                    {"role": "pattern", "pattern": i}, dash="dash" if pattern.preferred else "solid")


def accuracy_traces(patterns: model.Patterns, t) -> Iterator[go.Scatter]:
    """Train and test accuracy of the model."""
    for metric, name, curve in (("train_acc", "train", model.train_accuracy), ("val_acc", "test", model.test_accuracy)):
        yield _line(t, curve(patterns, t), name, template.METRIC_COLORS[metric], {"role": "line", "metric": metric})


def two_pattern_squares(patterns: model.Patterns = model.TWO, *, t: float = float(model.TIMES[-1])) -> go.Figure:
    """Two patterns at time `t` as areas of a square that holds all examples (Fig 3).

    Pattern 1 covers a strip of width p₁, pattern 2 one of height p₂. The four squares: which patterns cover what, train
    accuracy, test accuracy, and test accuracy when pattern 1 is preferred. Raises ValueError: not two patterns.
    """
    if len(patterns) != 2:
        raise ValueError(f"{len(patterns)} patterns make no square; valid: two patterns")
    first, second = patterns
    p = model.predictiveness(patterns, t)
    mean, share = (first.g + second.g) / 2, p[0] * p[1]
    squares = {"covered by": [["both", "2"], ["1", "none"]], "train accuracy": [[1, 1], [1, 0]],
               "test accuracy": [[mean, second.g], [first.g, 0]],
               "test, 1 preferred": [[first.g, second.g], [first.g, 0]]}
    area = np.array([[share, p[1] - share], [p[0] - share, 1 - p[0] - p[1] + share]])
    titles = [name if name == "covered by" else f"{name} {np.sum(area * cells):.3f}" for name, cells in squares.items()]
    fig = make_subplots(rows=2, cols=2, subplot_titles=titles, horizontal_spacing=0.12, vertical_spacing=0.16)
    for place, (name, cells) in enumerate(squares.items()):
        row, column = place // 2 + 1, place % 2 + 1
        fig.add_trace(_square(cells, p, name), row=row, col=column)
        for label in _labels(cells, p):
            fig.add_annotation(label, row=row, col=column)
    fig.update_xaxes(range=[0, 1], tickvals=[0, float(p[0]), 1], ticktext=["0", f"{p[0]:.2f}", "1"],
                     title_text="pattern 1", title_standoff=0)
    fig.update_yaxes(range=[0, 1], tickvals=[0, float(p[1]), 1], ticktext=["0", f"{p[1]:.2f}", "1"],
                     title_text="pattern 2", title_standoff=0)
    words = (f"{COMPUTED} The square holds all examples; pattern 1 covers its left strip, pattern 2 its lower one, at "
             f"t = {t:g}. Numbers are the accuracy on each part, titles the whole. {_values(patterns)}. The paper's "
             "figure gives no numbers; these are ours.")
    return template.frame(fig, title="Two patterns as areas", caption=words, plot_height=560, above=24)


def _square(cells: list[list], p: np.ndarray, name: str) -> go.Heatmap:
    """Four areas: rows are with and without pattern 2, columns with and without pattern 1."""
    scale = {"z": cells, "zmin": 0, "zmax": 1, "colorscale": [[0, "#FFFFFF"], [1, template.METRIC_COLORS["val_acc"]]]}
    if name == "covered by":
        scale = {"z": [[3, 2], [1, 0]]} | discrete(("#FFFFFF", "#F3C6A5", "#CDB5DC", "#B98BA0"))
    return go.Heatmap(x=[0, p[0], 1], y=[0, p[1], 1], **scale | {"showscale": False}, hoverinfo="skip",
                      meta={"role": "square", "shows": name})


def _labels(cells: list[list], p: np.ndarray) -> Iterator[dict]:
    x, y = ([value / 2, (1 + value) / 2] for value in p)
    for row, column in np.ndindex(2, 2):
        value = cells[row][column]
        text, dark = (value, False) if isinstance(value, str) else (f"{value:.2f}", value > 0.6)
        yield {"x": x[column], "y": y[row], "text": text, "showarrow": False,
               "font": {"color": "white" if dark else template.INK}}


def pattern_morph(*, n_steps: int = 11) -> go.Figure:
    """Test accuracy along each way from double descent to grokking, a panel a way, a line a stop, coloured by its kind.
    """
    fig = side_by_side(model.PATHS, shared_yaxes=True, horizontal_spacing=0.04)
    for column, (name, path) in enumerate(model.PATHS.items(), 1):
        for share in np.linspace(0, 1, n_steps):
            stop = model.along(path, float(share))
            kind = kind_of(stop)
            line = _line(model.TIMES, model.test_accuracy(stop, model.TIMES), kind, KIND_COLORS[kind],
                         {"role": "stop", "path": name, "share": float(share), "kind": kind})
            ends = share in (0, 1)
            fig.add_trace(line.update(line_width=3 if ends else 1.5, text=f"{share:.0%} of the way"), row=1, col=column)
    fig.update_xaxes(title_text="time t")
    fig.update_yaxes(template.ACCURACY_AXIS)
    fig.update_yaxes(title_text="test accuracy", col=1)
    name_once(fig)
    words = (f"{COMPUTED} {n_steps} stops a path, equally far apart; thick: the two ends. Only γ₁ and γ₃ change. "
             f"{CRITERIA}")
    return template.frame(fig, title="From double descent to grokking", caption=words, plot_height=300, above=20)


def pattern_map(patterns: model.Patterns = model.DOUBLE_DESCENT, *, paths: Mapping[str, np.ndarray] | None = None,
                size: int = 81) -> go.Figure:
    """What the model shows over γ of the first and of the last pattern, all else as in `patterns`.

    The dot is `patterns` itself. `paths` (γ₁, γ₃) are drawn as lines. Raises ValueError: fewer than two patterns.
    """
    fig = go.Figure(list(map_traces(patterns, size=size)))
    for dash, (name, path) in zip(("solid", "dash", "dot"), (paths or {}).items(), strict=False):
        fig.add_trace(go.Scatter(x=path[:, 0], y=path[:, 1], mode="lines", name=name, meta={"role": "path"},
                                 line={"color": template.INK, "width": 1.5, "dash": dash}))
    fig.update_xaxes(title_text=f"γ₁ of pattern 1 (g = {patterns[0].g:g})", range=[-0.01, 1.01])
    subscript = str(len(patterns)).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))
    title = f"γ{subscript} of pattern {len(patterns)} (g = {patterns[-1].g:g})"
    fig.update_yaxes(title_text=title, range=[-0.01, 1.01])
    words = (f"{COMPUTED} {size} by {size} values, times {model.TIMES[0]:g} to {model.TIMES[-1]:g}. {CRITERIA} "
             f"All else: {_values(patterns)}.")
    return template.frame(fig, title="Where the model groks, and where it descends twice", plot_height=400,
                          caption=words)


def map_traces(patterns: model.Patterns, *, size: int) -> Iterator[go.Heatmap | go.Scatter]:
    """The map's colours, its legend, and the dot that is `patterns`."""
    gamma = np.linspace(0, 1, size)
    kinds = kind_map(patterns, size=size)
    yield go.Heatmap(x=gamma, y=gamma, z=kinds.T.astype(np.int8), **discrete([KIND_COLORS[kind] for kind in KINDS]),
                     opacity=0.75, meta={"role": "map"}, hovertemplate="γ %{x:.2f}, %{y:.2f}<extra></extra>")
    for i, kind in enumerate(KINDS):
        if share := np.mean(kinds == i):
            yield go.Scatter(x=[None], y=[None], mode="markers", name=f"{kind} ({share:.0%})",
                             marker={"color": KIND_COLORS[kind], "symbol": "square", "size": 11, "opacity": 0.75},
                             meta={"role": "key", "kind": kind})
    yield go.Scatter(x=[patterns[0].gamma], y=[patterns[-1].gamma], mode="markers", name="here", showlegend=False,
                     meta={"role": "here"}, hovertemplate="here: γ %{x:.2f}, %{y:.2f}<extra></extra>",
                     marker={"color": "white", "size": 13, "line": {"color": template.INK, "width": 2.5}})


def pattern_fit(run: xr.Dataset, fit: model.Fit) -> go.Figure:
    """A measured run with the fitted model, the patterns that it consists of, and what is left over.

    `run`: the one that was fitted, of one d_h, D_train and seed.
    """
    fig = make_subplots(rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.05, row_heights=[0.42, 0.33, 0.25])
    x = template.shown_steps(fit.step)
    pairs = zip(SPLITS.items(), (fit.train, fit.val), accuracy_traces(fit.patterns, fit.t), strict=True)
    for (metric, name), measured, line in pairs:
        line.update(x=x, name=f"{name}, fitted")
        dots = go.Scatter(x=x, y=measured.astype(np.float32), mode="markers", name=f"{name}, measured",
                          marker={"color": template.METRIC_COLORS[metric], "size": 5, "opacity": 0.45},
                          meta={"role": "measured", "metric": metric})
        fig.add_traces([dots, line], rows=1, cols=1)
        left = fit.residuals[metric]
        fig.add_trace(_line(x, left, "residual", template.METRIC_COLORS[metric], {"role": "residual", "metric": metric})
                      .update(showlegend=False), row=3, col=1)
    fig.add_traces([trace.update(x=x) for trace in pattern_traces(fit.patterns, fit.t)], rows=2, cols=1)
    fig.update_xaxes(template.step_axis(float(fit.step[-1])))
    fig.update_xaxes(title_text="step", row=3)
    for row, title in enumerate(("accuracy", "predictiveness", "residual"), 1):
        fig.update_yaxes(title_text=title, row=row)
    fig.update_yaxes(template.ACCURACY_AXIS, row=1).update_yaxes(template.ACCURACY_AXIS, row=2)
    cell = run.expand_dims("seed") if run["seed"].ndim == 0 else run
    return template.frame(fig, title=f"The pattern model fitted to {name_of(cell)}", plot_height=520,
                          caption=template.caption(cell, *_fit_notes(fit)))


def _fit_notes(fit: model.Fit) -> list[str]:
    clock = "the step" if fit.clock == "linear" else "log10(1 + step)"
    n = 4 * len(fit.patterns)
    rms = " and ".join(f"{value:.4f} ({'train' if name == 'train_acc' else 'validation'})"
                       for name, value in fit.rms.items())
    return [f"{len(fit.patterns)} patterns, {n} parameters, least squares over {2 * len(fit.step)} accuracies, time is "
            f"{clock}; root mean square residual {rms}. Dashed: preferred. {_values(fit.patterns)}."]


def _line(x, y, name: str, color: str, meta: dict, *, dash: str = "solid") -> go.Scatter:
    return go.Scatter(x=np.asarray(x, np.float32), y=np.asarray(y, np.float32), mode="lines", name=name,
                      legendgroup=name, line={"color": color, "width": 2.5, "dash": dash}, meta=meta,
                      hovertemplate=f"{name}: %{{y:.3f}}<extra></extra>")


def _values(patterns: Sequence[model.Pattern]) -> str:
    """(γ, α, b, g) of every pattern in a line."""
    values = [f"({p.gamma:.3g}, {p.alpha:.3g}, {float(f'{p.b:.4g}'):g}, {p.g:.3g}){' preferred' * p.preferred}"
              for p in patterns]
    return f"(γ, α, b, g) {', '.join(values)}"

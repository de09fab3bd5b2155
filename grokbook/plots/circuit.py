"""The general circuit: the spectra of networks, its growth along training, and a sum on its clocks."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from grokbook.analysis import circuit
from grokbook.networks import NETWORKS
from grokbook.plots.template import ACCURACY_AXIS, MEMORY_COLOR, METRIC_COLORS, frame, shown_steps, step_axis
from grokbook.plots.traces import name_once, side_by_side

LOSSES = {"train_loss": ("train", METRIC_COLORS["train_loss"], "solid"),
          "val_loss": ("validation", METRIC_COLORS["val_loss"], "solid"),
          "restricted_loss": ("restricted", "#C2571A", "dash"), "excluded_loss": ("excluded", MEMORY_COLOR, "dot")}

SHARES = {"embedding": ("embedding", "#1B8A9B", "solid"), "unembedding": ("unembedding", "#56B4E9", "dash"),
          "neurons": ("neurons", "#8C6D31", "solid"), "logits": ("logits", "#CC5FA0", "dot")}

HAND_COLORS = ("#1B8A9B", "#B8860B", "#262626")  # of a, b and a + b

ROWS = ("power of W_E", "power of W_U", "neurons")


def circuit_spectra(names: Sequence[str] = ("grokked", "mid-leap", "ungrokked", "progression", "mixture")) -> go.Figure:
    """By frequency, the shares of power of W_E and of W_U, and of the neurons that it tiles; one column a network.

    Key frequencies are orange. Errors as `circuit.stored`.
    """
    fig = side_by_side(names, rows=3, shared_xaxes=True, shared_yaxes="rows", vertical_spacing=0.06,
                       horizontal_spacing=0.03)
    for column, name in enumerate(names, 1):
        by_step = circuit.stored(name)
        for row, values in enumerate(_spectra(by_step[max(by_step)], name), 1):
            fig.add_trace(values, row=row, col=column)
    fig.update_xaxes(title_text="frequency k", row=3)
    for row, words in enumerate(ROWS, 1):
        fig.update_yaxes(rangemode="tozero", nticks=5, row=row)
        fig.update_yaxes(title_text=words, row=row, col=1)
    fig.update_layout(showlegend=False)
    cells = "; ".join(f"{name} d_h {NETWORKS[name].config.d_h}, D_train {NETWORKS[name].config.D_train:,}, seed "
                      f"{NETWORKS[name].config.seed}, step {max(circuit.stored(name)):,}" for name in names)
    note = (f"n = 1 network a column: {cells}. Shares of power or of all neurons; orange: key frequencies, "
            f"{circuit.KEY} times the even share of W_E's power or more. A neuron counts where one frequency explains "
            f"{circuit.TILED:g} of its variance.")
    return frame(fig, title="Which frequencies a network uses", caption=note, plot_height=460, above=20)


def _spectra(weights: circuit.Weights, name: str) -> list[go.Bar]:
    """The bars of one network, a row each."""
    config = NETWORKS[name].config
    share = circuit.embedding_power(weights, config.p)
    tiles = circuit.neuron_frequencies(circuit.forward(weights, config).neurons)
    counts = np.bincount(tiles["frequency"][tiles["share"] >= circuit.TILED], minlength=len(share) + 1)[1:]
    keys, k = circuit.key_frequencies(share), np.arange(1, len(share) + 1)
    colors = np.where(np.isin(k, keys), "#C2571A", "#8C8C8C").tolist()
    values = (share, circuit.unembedding_power(weights, config.p), counts / len(tiles))
    return [go.Bar(x=k, y=value, marker={"color": colors, "line": {"width": 0}}, name=words,
                   meta={"network": name, "metric": words}, hovertemplate="k = %{x}: %{y:.3f}<extra></extra>")
            for words, value in zip(ROWS, values, strict=True)]


def circuit_growth(along: pd.DataFrame, *, name: str = "grokked") -> go.Figure:
    """Losses with and without the key frequencies above their shares, against the step, in the phases of training.

    `along` is what `circuit.along_training` gives of the network of that name.
    """
    fig = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.06)
    for row, lines in enumerate((LOSSES, SHARES), 1):
        for metric, (words, color, dash) in lines.items():
            fig.add_scatter(x=shown_steps(along.index), y=along[metric], name=words, row=row, col=1,
                            mode="lines+markers", line={"color": color, "dash": dash, "width": 2}, marker={"size": 5},
                            meta={"metric": metric},
                            hovertemplate=f"{words}, step %{{x:,.0f}}: %{{y:.3g}}<extra></extra>")
    name_once(fig)
    for i, (phase, steps) in enumerate(circuit.phases(along).items()):
        if steps[0] < steps[1]:
            x0, x1 = shown_steps(pd.Index(steps))
            fig.add_vrect(x0=x0, x1=x1, fillcolor="#262626", opacity=(0.03, 0.09)[i % 2], line_width=0)
            fig.add_annotation(x=np.log10(x0 * x1) / 2, y=1, yref="y domain", text=phase, showarrow=False,
                               yanchor="bottom", font_size=12)
    fig.update_xaxes(step_axis(int(along.index.to_numpy().max())))
    fig.update_xaxes(title_text="step", row=2)
    fig.update_yaxes(type="log", exponentformat="power", nticks=6, title_text="loss (nats)",
                     tickfont={"size": 11}, title_standoff=12, row=1)
    fig.update_yaxes(ACCURACY_AXIS | {"title": "share"}, row=2)
    config = NETWORKS[name].config
    note = (f"n = 1 network: d_h {config.d_h}, D_train {config.D_train:,}, seed {config.seed}, at {len(along)} stored "
            f"steps. The {along['n_keys'].iloc[-1]:.0f} key frequencies are those of the last step. Restricted: over "
            "all pairs, with these alone; excluded: over training pairs, without them; where it turns, a phase ends. "
            "Shares: of power, of neurons, of the logits' variance.")
    return frame(fig, title="The circuit along training", caption=note, plot_height=460, above=20, wide=True)


def circuit_clock(a: int, b: int, *, name: str = "grokked") -> go.Figure:
    """A sum on the clocks of a network's key frequencies, and how much each answer gets of their votes.

    Votes are the sizes of cos w(a + b − c) in the logits of its last stored step. A network without key frequencies
    shows its strongest one. Errors as `circuit.stored`.
    """
    by_step, config = circuit.stored(name), NETWORKS[name].config
    weights, p = by_step[max(by_step)], config.p
    share = circuit.embedding_power(weights, p)
    keys = circuit.key_frequencies(share) or [int(share.argmax()) + 1]
    size = circuit.votes(circuit.forward(weights, config).logits)[np.array(keys) - 1]
    fig = make_subplots(rows=2, cols=len(keys), row_heights=[0.42, 0.58], vertical_spacing=0.14,
                        specs=[[{}] * len(keys), [{"colspan": len(keys)}, *[None] * (len(keys) - 1)]],
                        column_titles=[f"k = {k}" for k in keys])
    for column, k in enumerate(keys, 1):
        for trace in _hands(k, p, {"a": a, "b": b, "a + b": (a + b) % p}):
            fig.add_trace(trace, row=1, col=column)
        fig.update_xaxes(visible=False, range=[-1.35, 1.35], row=1, col=column)
        fig.update_yaxes(visible=False, range=[-1.35, 1.35], scaleanchor=f"x{column if column > 1 else ''}", row=1,
                         col=column)
    c = np.arange(p)
    vote = size @ np.cos(2 * np.pi * np.outer(keys, a + b - c) / p)
    colors = np.where(c == (a + b) % p, "#262626", "#A6A6A6").tolist()
    fig.add_trace(go.Bar(x=c, y=vote, showlegend=False, meta={"role": "votes"}, marker={"color": colors},
                         hovertemplate="%{x}: %{y:.1f}<extra></extra>"), row=2, col=1)
    fig.update_xaxes(title_text="answer c", row=2, col=1)
    fig.update_yaxes(title_text="votes (nats)", row=2, col=1)
    name_once(fig)
    note = (f"n = 1 network: {name}, step {max(by_step):,}. Above, {a} and {b} as angles on the clock of each key "
            f"frequency, and their sum. Below, what all clocks together give to each answer; dark: {(a + b) % p}.")
    return frame(fig, title=f"{a} + {b} on the clocks", caption=note, plot_height=420, above=20)


def _hands(k: int, p: int, numbers: dict[str, int]) -> list[go.Scatter]:
    """The clock of one frequency: a dot a number, and a hand from the middle to each of those named."""
    dots, hands = 2 * np.pi * k * np.arange(p) / p, dict(zip(numbers, HAND_COLORS, strict=True))
    face = go.Scatter(x=np.sin(dots), y=np.cos(dots), mode="markers", marker={"size": 2, "color": "#A6A6A6"},
                      showlegend=False, hoverinfo="skip")
    return [face, *(go.Scatter(x=[0, np.sin(dots[n])], y=[0, np.cos(dots[n])], mode="lines", name=words,
                               line={"color": hands[words], "width": 3}, meta={"k": k, "hand": words},
                               hovertemplate=f"{words} = {n}<extra></extra>") for words, n in numbers.items())]

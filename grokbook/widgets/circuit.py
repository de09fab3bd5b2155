"""The circuit explorer: what is inside a network at the step that a slider chooses, and a pair's sum on its clock.

All of it is computed here from stored weights; the page moves through it without a kernel (circuit.js).
"""

import json
from typing import Any

import numpy as np

from grokbook.analysis import circuit
from grokbook.config import RunConfig
from grokbook.networks import NETWORKS
from grokbook.plots.circuit import SHARES
from grokbook.plots.template import METRIC_COLORS
from grokbook.store import Store
from grokbook.widgets.explorer import STYLE
from grokbook.widgets.front_end import script, scripted

CURVES = [{"key": "train_acc", "name": "train accuracy", "color": "var(--gb-train)"},
          {"key": "val_acc", "name": "validation accuracy", "color": METRIC_COLORS["val_acc"]},
          {"key": "embedding", "name": "embedding in key frequencies", "color": SHARES["embedding"][1]}]

WITHOUT = "<p>An explorer of the circuit: it runs in the HTML book, and in JupyterLab once its cell was run.</p>"


class CircuitExplorer:
    """Spectrum, neurons, clock and accuracies of one of `networks.NETWORKS` at every step of which weights are stored.

    Args:
        name: the network.
        a, b: the pair to begin with.
        step: the stored step to begin with; the last if None.
        store: where the weights are; the shipped store if None.

    Raises:
        ValueError: there is no such network, step or number.
        LookupError: its weights are not stored.
    """

    def __init__(self, name: str = "grokked", *, a: int = 37, b: int = 95, step: int | None = None,
                 store: Store | None = None):
        by_step = circuit.stored(name, store)
        config, step = NETWORKS[name].config, max(by_step) if step is None else step
        if step not in by_step:
            raise ValueError(f"step={step} is not stored; valid: {', '.join(map(str, by_step))}")
        for label, value in (("a", a), ("b", b)):
            if not 0 <= value < config.p:
                raise ValueError(f"{label}={value} is not a number of the task; valid: 0 to {config.p - 1}")
        self.name, self.data = name, circuit_data(by_step, config)
        self.data["start"] = {"step": sorted(by_step).index(step), "a": a, "b": b, "k": 0}

    def __repr__(self) -> str:
        return f"CircuitExplorer: the network {self.name} at {len(self.data['steps'])} steps"

    def _repr_html_(self) -> str:
        data = json.dumps(self.data | {"style": STYLE}, separators=(",", ":"), allow_nan=False).replace("<", r"\u003c")
        return scripted(WITHOUT, f"const data = {data};\n{script('svg.js', 'circuit.js')}")


def circuit_data(by_step: dict[int, circuit.Weights], config: RunConfig) -> dict[str, Any]:
    """What the page shows, as plain JSON: `p`, `keys` (of the last step), `steps`, and `networks`, one a step.

    Of each: `spectrum`, the shares of W_E's power at 1 … p // 2; `neurons`, the frequency and the share explained of
    each that ever changes; `votes`, the size of cos w(a + b − c) in the logits at each of `keys`; accuracies.
    """
    steps = sorted(by_step)
    keys = circuit.key_frequencies(circuit.embedding_power(by_step[steps[-1]], config.p))
    return {"p": config.p, "keys": keys, "steps": steps, "tiled": circuit.TILED, "curves": CURVES,
            "networks": [_network(by_step[step], config, keys) for step in steps]}


def _network(weights: circuit.Weights, config: RunConfig, keys: list[int]) -> dict[str, Any]:
    share, (neurons, logits) = circuit.embedding_power(weights, config.p), circuit.forward(weights, config)
    tiles, at = circuit.neuron_frequencies(neurons).dropna(), np.array(keys, int) - 1
    shares = {"embedding": share[at].sum()} | circuit.accuracies(logits, config)
    return {"spectrum": share.round(4).tolist(), "votes": circuit.votes(logits)[at].round(3).tolist(),
            "neurons": [[int(k), round(float(part), 2)] for k, part in tiles.to_numpy()],
            **{name: round(float(value), 4) for name, value in shares.items()}}

"""What several tests draw from: configs of every kind, and runs that nobody had to train."""

import numpy as np
from hypothesis import strategies as st

from grokbook.config import LOSSES, TASKS, RunConfig
from grokbook.run import METRICS, Run, evaluation_steps

RATES = st.floats(0, 10, allow_nan=False)


@st.composite
def configs(draw) -> RunConfig:
    """Any valid config of a small prime."""
    task, p, n_heads = draw(st.sampled_from(TASKS)), draw(st.sampled_from([2, 3, 7, 113])), draw(st.integers(1, 8))
    return RunConfig(
        task=task,
        p=p,
        D_train=draw(st.integers(1, p * (p - 1) if task == "divide" else p * p)),
        D_random=draw(st.integers(0, p * p)) if task == "add+random" else 0,
        d_h=n_heads * draw(st.integers(1, 64)),
        n_heads=n_heads,
        n_layers=draw(st.integers(1, 8)),
        seed=draw(st.integers(0, 2**63 - 1)),
        init_scale=draw(RATES),
        lr=draw(RATES),
        weight_decay=draw(RATES),
        n_warmup=draw(st.integers(0, 100)),
        loss=draw(st.sampled_from(LOSSES)),
        parent=draw(st.sampled_from(["", "0123456789abcdef@0", "0123456789abcdef@20000"])),
        n_steps=draw(st.integers(0, 10**6)),
        stop_early=draw(st.booleans()),
    )


def fake_run(config: RunConfig, last_step: int | None = None, **more) -> Run:
    """A run whose curves follow from config and step alone, so that a longer one continues a shorter one."""
    step = evaluation_steps(config.n_steps if last_step is None else last_step)
    phase = int(config.run_id, 16) % 10_007
    curves = {name: np.sin(phase + k + step).astype(np.float32) for k, name in enumerate(METRICS)}
    return Run(config, {"step": step} | curves, **more)

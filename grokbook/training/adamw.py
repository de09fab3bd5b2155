"""AdamW on the flat weights of a cohort, and the noise that a step may add, in plain PyTorch.

With learning rate η (after warm-up), weight decay λ and the point w that it pulls towards, 0 or where the run started:

    θ ← θ − η λ (θ − w);   m ← β₁ m + (1 − β₁) g;   v ← β₂ v + (1 − β₂) g²;   θ ← θ − η (m̂ / (√v̂ + ε) + σ n)

Three kinds of noise, each n ~ N(0, 1) for every weight anew, follow from a run's seed and the step alone: on the
gradient, g + σ n, and on the weights at which it is taken, θ + σ n, beside that on the update. The second and third,
and decay towards the start, are as the authors of Power et al. 2022 have them in their code (github.com/openai/grok:
`CustomAdamW` in grok/training.py, the layers of grok/transformer.py); Fig 4 of "Towards Understanding the Mystery
behind Grokking Phenomenon" repeats their list. Two things are ours: they divide the noise on the update by 1 − β₁ᵗ, as
m, so theirs is larger for the first forty steps; and their positions are not learned, so have none. Noise on the
gradient is that of Neelakantan et al. 2015, which the text at Fig 4 names, but for σ, which here does not fall.
"""

import torch
from torch import Tensor
from torch.func import vmap

from grokbook.config import BETAS, EPS, RunConfig
from grokbook.models import gaussian, splitmix64
from grokbook.training.cohort import Cohort

NOISES = ("gradient_noise", "update_noise", "weight_noise")
"""Fields of `RunConfig`, in the order that tells their random numbers apart."""


class AdamW:
    """The optimiser's state of a cohort: `m` and `v`, (member, n_params), and its rates, (member, 1) float64."""

    def __init__(self, cohort: Cohort, theta: Tensor):
        self.m, self.v = torch.zeros_like(theta), torch.zeros_like(theta)
        self.anchor = theta.clone() if cohort.config.decay_towards == "init" else None
        self.rates = torch.as_tensor(cohort.rates, device=theta.device)

    def step(self, theta: Tensor, gradient: Tensor, t: Tensor, members: slice = slice(None),
             noise: Tensor | None = None) -> None:
        """Update `theta` (member, n_params) of those members in place; this is step number `t`, scalar float64, from 1.

        `noise` (member, n_params) is added to the update.
        """
        beta1, dtype = BETAS[0], theta.dtype
        lr, decay, n_warmup, beta2 = self.rates[members].split(1, dim=1)  # each (member, 1)
        m, v, lr = self.m[members], self.v[members], lr * (t / n_warmup).clamp(max=1)
        pull = (lr * decay).to(dtype)
        if self.anchor is None:
            theta.mul_(1 - pull)
        else:
            theta.sub_(pull * (theta - self.anchor[members]))
        m.lerp_(gradient, 1 - beta1)
        v.mul_(beta2.to(dtype)).addcmul_(gradient, gradient * (1 - beta2).to(dtype))
        root = (1 - beta2**t).sqrt().to(dtype)
        theta.sub_((lr / (1 - beta1**t)).to(dtype) * m / (v.sqrt() / root + EPS))
        if noise is not None:
            theta.add_(lr.to(dtype) * noise)

    def keep(self, members: Tensor) -> None:
        """Go on with these members only, in this order."""
        self.m, self.v, self.rates = self.m[members], self.v[members], self.rates[members]
        self.anchor = None if self.anchor is None else self.anchor[members]


def step_keys(seeds: Tensor, t: Tensor) -> Tensor:
    """What the random numbers of step `t` follow from, for each seed: (member,) int64."""
    return splitmix64(seeds) + splitmix64(t.long())


def noise(kind: str, config: RunConfig, keys: Tensor, like: Tensor) -> Tensor | None:
    """Noise of that kind for every weight, (member, n_params), or None where the config asks for none."""
    if not getattr(config, kind):
        return None
    drawn = vmap(lambda key: gaussian(splitmix64(key) + NOISES.index(kind), like.shape[1]))(keys)
    return (getattr(config, kind) * drawn).to(like.dtype)

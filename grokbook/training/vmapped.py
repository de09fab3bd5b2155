"""The plain network, lifted to a cohort by `torch.func`: any architecture, CPU or CUDA. The reference engine.

All weights of a member are one vector, so the cohort is one matrix (member, n_params) and AdamW is a few operations on
it, with learning rate and weight decay as values a member:

    θ ← θ (1 − lr λ);   m ← β₁ m + (1 − β₁) g;   v ← β₂ v + (1 − β₂) g²;   θ ← θ − lr m̂ / (√v̂ + ε)
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

from grokbook import models, tasks
from grokbook.config import BETAS, EPS, RunConfig
from grokbook.run import METRICS
from grokbook.training.loss import CROSS_ENTROPY, exact_cross_entropy

ROWS = 4096
"""Table rows evaluated at a time, to bound memory."""


class Vmapped:
    """A cohort of same-shape networks stepping together, full batch. Members may differ in D_train, seed, lr, decay.

    Args:
        configs: the members; one architecture, task, p, shape and loss.
        weights: starting weights of each member, flat, (member, n_params).
        device: a torch device. dtype: of all arithmetic, float32 or float64.
    """

    name = "vmapped"

    def __init__(self, configs: Sequence[RunConfig], weights: np.ndarray, device: torch.device | str = "cpu",
                 dtype: str = "float32"):
        self.config, self.step = configs[0], 0
        self.device, self.dtype = torch.device(device), getattr(torch, dtype)
        self._network = models.build(self.config, dtype=self.dtype).to(self.device)
        self.theta = self._tensor(weights)
        self.m, self.v = torch.zeros_like(self.theta), torch.zeros_like(self.theta)
        self.lr = self._tensor([[c.lr] for c in configs])
        self.weight_decay = self._tensor([[c.weight_decay] for c in configs])
        self.n_warmup = self._tensor([[max(c.n_warmup, 1)] for c in configs])
        tables, splits = [tasks.table(c) for c in configs], [tasks.split(c) for c in configs]
        self._tokens = torch.as_tensor(tables[0].tokens, device=self.device)
        self._labels = torch.as_tensor(np.stack([t.labels for t in tables]), device=self.device)
        self._masks = torch.as_tensor(np.stack([[s.train, s.val, s.twin_free_val] for s in splits]),
                                      device=self.device)
        self._rows, self._share = self._train_rows()
        self._gradient = vmap(grad(self._loss))
        self._examine = vmap(self._judge, in_dims=(0, None, 0))

    def advance(self, n_steps: int) -> None:
        """Take that many steps of AdamW."""
        for _ in range(n_steps):
            self.step += 1
            labels = self._labels.gather(1, self._rows)
            self._adamw(self._gradient(self.theta, self._tokens[self._rows], labels, self._share))

    def evaluate(self) -> dict[str, np.ndarray]:
        """The six metrics now, each (member,) float64."""
        with torch.no_grad():
            parts = [self._examine(self.theta, self._tokens[i : i + ROWS], self._labels[:, i : i + ROWS])
                     for i in range(0, len(self._tokens), ROWS)]
            loss, right = (torch.cat([part[k] for part in parts], 1) for k in (0, 1))
            n = self._masks.sum(2)
            losses = (self._masks * loss[:, None]).sum(2, dtype=torch.float64) / n
            accs = (self._masks & right[:, None]).sum(2) / n.double()
            values = (losses[:, 0], accs[:, 0], losses[:, 1], accs[:, 1], accs[:, 2], self.theta.norm(dim=1))
        return {name: value.double().cpu().numpy() for name, value in zip(METRICS, values, strict=True)}

    def weights(self, member: int) -> np.ndarray:
        """The flat weights of one member, (n_params,)."""
        return self.theta[member].cpu().numpy().copy()

    def keep(self, members: Sequence[int]) -> None:
        """Go on with these members only, in this order."""
        rows = torch.as_tensor(members, device=self.device)
        for name in ("theta", "m", "v", "lr", "weight_decay", "n_warmup", "_labels", "_masks"):
            setattr(self, name, getattr(self, name)[rows])
        self._rows, self._share = self._train_rows()

    def gradient(self) -> np.ndarray:
        """The gradient of the training loss at the present weights, (member, n_params)."""
        labels = self._labels.gather(1, self._rows)
        return self._gradient(self.theta, self._tokens[self._rows], labels, self._share).cpu().numpy()

    def _tensor(self, values) -> Tensor:
        return torch.as_tensor(np.asarray(values), dtype=self.dtype, device=self.device)

    def _train_rows(self) -> tuple[Tensor, Tensor]:
        """Row numbers of each member's training pairs, padded to the longest, and each one's share of the mean."""
        train = self._masks[:, 0]
        n = train.sum(1)
        rows = torch.argsort(~train, dim=1, stable=True)[:, : int(n.max())]
        share = torch.arange(rows.shape[1], device=self.device) < n[:, None]
        return rows, share.to(self.dtype) / n[:, None]

    def _logits(self, theta: Tensor, tokens: Tensor) -> Tensor:
        shapes = models.weight_shapes(self.config)
        parts = theta.split([math.prod(shape) for shape in shapes.values()])
        named = {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
        return functional_call(self._network, named, (tokens,))

    def _loss(self, theta: Tensor, tokens: Tensor, labels: Tensor, share: Tensor) -> Tensor:
        return (share * CROSS_ENTROPY[self.config.loss](self._logits(theta, tokens), labels)).sum()

    def _judge(self, theta: Tensor, tokens: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of each row, by the exact form whatever trains, and whether its label's logit is above all others."""
        logits = self._logits(theta, tokens)
        own = logits.gather(-1, labels[..., None])
        is_label = torch.arange(logits.shape[-1], device=self.device) == labels[..., None]
        return exact_cross_entropy(logits, labels), (is_label | (logits < own)).all(-1)

    def _adamw(self, g: Tensor) -> None:
        beta1, beta2 = BETAS
        lr = self.lr * torch.clamp(self.step / self.n_warmup, max=1)
        self.theta *= 1 - lr * self.weight_decay
        self.m.lerp_(g, 1 - beta1)
        self.v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
        scale = (self.v / (1 - beta2**self.step)).sqrt_().add_(EPS)
        self.theta -= lr / (1 - beta1**self.step) * self.m / scale

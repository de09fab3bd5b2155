"""The CPU engine for every network and option: PyTorch's autograd over distinct prefixes, one network a thread.

A network of which there are fewer than threads is split by rows over all of them, one after the other. Rows go forward
and back `ROWS` at a time, so that activations stay in the cache; the tables that they share (`prefixes`) are computed
once a step, and once more backward when all rows have added to their gradient. All of it runs on threads of the
engine's own, which flush subnormal numbers (`cohort`) and each compute alone.

Its cross entropy keeps its gradient when the answer is nearly certain (docs/fused.md, 4). With the correct class y and
logits l, let m = log Σ_{j≠y} exp(l_j − l_y). Then

    loss = log(1 + e^m)          ∂loss/∂l_y = −σ(m)          ∂loss/∂l_j = σ(m) · softmax_{j≠y}(l)_j

and nothing is subtracted from 1, which others compute in float64 for that (Nanda et al. 2023; Prieto et al. 2025 call
the effect softmax collapse). `plain` is the usual form, an option because the papers probably trained with it.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from grokbook.config import RunConfig
from grokbook.training.cohort import State, flushed_threads, noise, results, step_keys
from grokbook.training.prefixes import PASSES, named

ROWS = 1024
"""Examples that go forward and back at a time. Twice or half as many took as long at d_h 128."""

LEAST_ROWS = 512
"""Examples below which a network is not split further over threads."""


class Autograd(State):
    """A cohort on the CPU, with as many threads as PyTorch would use unless told."""

    name = "autograd"

    def __init__(self, configs: Sequence[RunConfig], weights: np.ndarray, device: torch.device | str = "cpu",
                 dtype: str = "float32", n_threads: int | None = None):
        super().__init__(configs, weights, "cpu", dtype)
        self.step, self.n_threads = 0, n_threads or torch.get_num_threads()
        self._passes = PASSES[self.config.architecture](self.config, self._cohort.tokens, self.device,
                                                         InPlaceReLU.apply)
        self._pool = flushed_threads(self.n_threads)
        self._prepare()

    def advance(self, n_steps: int) -> None:
        if len(self.theta) >= self.n_threads:
            self._together([(self._advance, k, n_steps) for k in range(len(self.theta))])
        else:
            for k in range(len(self.theta)):
                for i in range(1, n_steps + 1):
                    if self._batches or self.config.weight_noise:
                        self._together([(self._begin, k, self.step + i)])
                    self._together([(part, self._key(k, self.step + i)) for part in self._parts[k]])
                    self._together([(self._end, k, self.step + i)])
        self.step += n_steps

    def evaluate(self) -> dict[str, np.ndarray]:
        n_parts = math.ceil(self.n_threads / len(self.theta))
        rows = torch.arange(len(self._tokens)).tensor_split(n_parts)
        judged = self._together([(self._judge, k, part) for k in range(len(self.theta)) for part in rows])
        loss, right = (torch.cat(values).view(len(self.theta), -1) for values in zip(*judged, strict=True))
        return self._metrics(loss, right)

    def gradient(self) -> np.ndarray:
        """The gradient of the loss on the training rows, or on the next batch, at these weights, (member, n_params)."""
        for k in range(len(self.theta)):
            self._together([(self._differentiate, k, self.step)])
        return self._gradients.numpy().copy()

    def _prepare(self) -> None:
        """The parts that each member's rows are cut into, for the members that are left."""
        self._points = self.theta.clone() if self.config.weight_noise else self.theta
        at_once = self.n_threads if len(self.theta) < self.n_threads else 1
        self._parts = []
        for k, rows in enumerate(self._cohort.train_rows):
            n_rows = self.config.batch_size or len(rows)
            n_parts = max(1, min(at_once, n_rows // LEAST_ROWS))
            parts = [_Part(self, self._points[k], self._gradients[k] if i == 0 else None) for i in range(n_parts)]
            self._parts.append(parts)
            if not self._batches:
                self._deal(k, torch.as_tensor(rows))

    def _deal(self, k: int, rows: Tensor) -> None:
        """Give a member's parts the rows of the table that they differentiate."""
        for part, own in zip(self._parts[k], rows.tensor_split(len(self._parts[k])), strict=True):
            part.deal(own, self._labels[k], len(rows))

    def _advance(self, k: int, n_steps: int) -> None:
        """Steps of one member on the calling thread."""
        for t in range(self.step + 1, self.step + n_steps + 1):
            self._begin(k, t)
            for part in self._parts[k]:
                part(self._key(k, t))
            self._end(k, t)

    def _differentiate(self, k: int, t: int) -> None:
        self._begin(k, t)
        for part in self._parts[k]:
            part(self._key(k, t))
        self._collect(k, t)

    def _key(self, k: int, t: int) -> Tensor:
        return step_keys(self._seeds[k : k + 1], torch.tensor(t))

    def _begin(self, k: int, t: int) -> None:
        """What precedes the gradient of step t: the batch, and noise on the weights."""
        if self._batches:
            self._deal(k, torch.as_tensor(next(self._batches[k])))
        added = noise("weight_noise", self.config, self._key(k, t), self.theta)
        if added is not None:
            self._points[k] = self.theta[k] + added[0]

    def _collect(self, k: int, t: int) -> None:
        """The parts' gradients together in the first one's, which lies in `_gradients`."""
        for part in self._parts[k][1:]:
            self._gradients[k] += part.gradient
        added = noise("gradient_noise", self.config, self._key(k, t), self.theta)
        if added is not None:
            self._gradients[k] += added[0]

    def _end(self, k: int, t: int) -> None:
        """What follows on the parts' gradients: their sum, and the optimiser's step."""
        self._collect(k, t)
        one = slice(k, k + 1)
        added = noise("update_noise", self.config, self._key(k, t), self.theta)
        self._optimiser.step(self.theta[one], self._gradients[one], torch.tensor(t, dtype=torch.float64), one, added)

    @torch.no_grad()
    def _judge(self, k: int, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and rightness of some rows of the table, (row,) each."""
        w = named(self.theta[k], self.config)
        tables = self._passes.tables(w)
        judged = [judge(self._passes.logits(w, tables, self._passes.rows.at(own)),
                        self._labels[k, own]) for own in rows.split(ROWS)]
        loss, right = zip(*judged, strict=True)
        return torch.cat(loss), torch.cat(right)

    def _together(self, calls: list[tuple]) -> list:
        """What the calls give, run on the engine's threads."""
        return results([self._pool.submit(*call) for call in calls])


class _Part:
    """Some of a member's rows, which one thread differentiates: views of the weights, and the gradient it fills."""

    def __init__(self, engine: Autograd, theta: Tensor, gradient: Tensor | None):
        self.config, self.passes, self.network = engine.config, engine._passes, engine._network
        self.tokens = engine._tokens
        self.gradient = torch.zeros_like(theta) if gradient is None else gradient
        grads = named(self.gradient, self.config)
        # .data, since members share a matrix, and autograd would take one's step for a change of another's weights
        self.w = {name: view.data.requires_grad_() for name, view in named(theta, self.config).items()}
        for name, view in self.w.items():
            view.grad = grads[name]  # into which autograd adds

    def deal(self, rows: Tensor, labels: Tensor, n_rows: int) -> None:
        """Take these rows of the table, of `n_rows` that the loss is the mean over."""
        chunks = rows.tensor_split(max(1, math.ceil(len(rows) / ROWS))) if not self.config.dropout else [rows]
        self.chunks = [(own, self.passes.rows.at(own), labels[own]) for own in chunks]
        self.n_rows = n_rows

    def __call__(self, key: Tensor) -> None:
        """Fill the gradient."""
        self.gradient.zero_()
        if self.config.dropout:  # which drops other entries of every example: nothing is shared
            for rows, _, labels in self.chunks:
                self._backward(functional_call(self.network, self.w, (self.tokens[rows], key[0])), labels)
            return
        tables = self.passes.tables(self.w)
        held = tuple(table.detach().requires_grad_() for table in tables)
        for _, rows, labels in self.chunks:
            self._backward(self.passes.logits(self.w, held, rows), labels)
        used = [(table, leaf.grad) for table, leaf in zip(tables, held, strict=True) if leaf.grad is not None]
        torch.autograd.backward([table for table, _ in used], [grad for _, grad in used])

    def _backward(self, logits: Tensor, labels: Tensor) -> None:
        logits.backward(loss_gradient(logits, labels, self.config.loss) / self.n_rows)


class InPlaceReLU(torch.autograd.Function):
    """max(0, x), written over x, and its gradient over the one that comes: neither is read by anyone else here."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.mark_dirty(x.relu_())
        ctx.save_for_backward(x)
        return x

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return torch.ops.aten.threshold_backward.grad_input(gradient, x, 0, grad_input=gradient)


def exact_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Loss of each example in nats. logits (…, d_vocab), labels (…) int64 -> (…)."""
    right = torch.arange(logits.shape[-1], device=logits.device) == labels[..., None]
    rivals = logits.masked_fill(right, -math.inf)
    top = rivals.detach().amax(-1, keepdim=True)
    others = _exponential(rivals - top).sum(-1).log() + top[..., 0]
    return F.softplus(others - logits.gather(-1, labels[..., None])[..., 0], threshold=50)


def plain_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """The same by log-softmax in the precision of the logits, as most code does it."""
    return -logits.log_softmax(-1).gather(-1, labels[..., None])[..., 0]


CROSS_ENTROPY = {"exact": exact_cross_entropy, "plain": plain_cross_entropy}


@torch.no_grad()
def loss_gradient(logits: Tensor, labels: Tensor, kind: str) -> Tensor:
    """The gradient of the sum of the losses, (row, d_vocab), of either kind, by the formula above.

    Autograd arrives at it by thrice as many walks through memory.
    """
    e, y = _exponential(logits - logits.amax(1, keepdim=True)), labels[:, None]
    own = e.gather(1, y)  # (row, 1)
    rest = e.scatter_(1, y, 0).sum(1, keepdim=True)
    z = rest + own
    return e.div_(z).scatter_(1, y, -rest / z if kind == "exact" else own / z - 1)


def _exponential(x: Tensor) -> Tensor:
    """e^x, but at least the smallest normal numbers, of rows that each hold a 0.

    On a CPU PyTorch's is MKL's, which does not flush whatever the thread is set to, and takes 25 times as long where
    the result is subnormal: a quarter of the step of a network that knows its pairs. Beside e^0 = 1 nothing is lost.
    """
    return x.clamp(min=math.log(torch.finfo(x.dtype).tiny) + 1).exp_()


def judge(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Loss of each row, by the exact form whatever trains, and whether its label's logit is above all others."""
    own = logits.gather(-1, labels[..., None])
    is_label = torch.arange(logits.shape[-1], device=logits.device) == labels[..., None]
    return exact_cross_entropy(logits, labels), (is_label | (logits < own)).all(-1)

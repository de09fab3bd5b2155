"""Cross entropy that keeps its gradient when the answer is nearly certain.

With the correct class y and logits l, let m = log Σ_{j≠y} exp(l_j − l_y). Then

    loss = log(1 + e^m)          ∂loss/∂l_y = −σ(m)          ∂loss/∂l_j = σ(m) · softmax_{j≠y}(l)_j

and nothing is subtracted from 1. The usual p_y − 1 is zero in float32 as soon as p_y rounds to 1, at a loss of 6e-8,
which is why others compute this loss in float64 (Nanda et al. 2023; Prieto et al. 2025 call the effect softmax
collapse). `plain` is the usual form, kept as an option because the papers probably trained with it.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def exact_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Loss of each example in nats. logits (…, d_vocab), labels (…) int64 -> (…)."""
    right = torch.arange(logits.shape[-1], device=logits.device) == labels[..., None]
    others = logits.masked_fill(right, -math.inf).logsumexp(-1)
    return F.softplus(others - logits.gather(-1, labels[..., None])[..., 0], threshold=50)


def plain_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """The same by log-softmax in the precision of the logits, as most code does it."""
    return -logits.log_softmax(-1).gather(-1, labels[..., None])[..., 0]


CROSS_ENTROPY = {"exact": exact_cross_entropy, "plain": plain_cross_entropy}

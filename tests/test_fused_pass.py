"""The steps of docs/fused.md one by one, each against the plain formula in NumPy, float64."""

import math

import numpy as np
import pytest

from grokbook import models, tasks
from grokbook.config import RunConfig
from grokbook.training import fused_pass
from grokbook.training.fused import Member

CONFIGS = [RunConfig(p=13, d_h=12, D_train=100, seed=1),
           RunConfig(p=7, d_h=10, n_heads=2, task="add+random", D_train=30, D_random=20)]


class Plain:
    """Every quantity of the page for the training rows, computed row by row the long way."""

    def __init__(self, config: RunConfig):
        self.config, self.w = config, models.initial_weights(config)
        layer = {name.removeprefix("layers.0."): w for name, w in self.w.items()}
        table, train = tasks.table(config), tasks.split(config).train
        self.tokens, self.labels = table.tokens[train], table.labels[train]
        self.x = layer["W_E"][self.tokens] + layer["W_pos"]
        q, k, v = (np.einsum("rid,hde->rhie", self.x, layer[name]) for name in ("W_Q", "W_K", "W_V"))
        scores = np.einsum("rhe,rhie->rhi", q[:, :, -1], k) / math.sqrt(config.d_head)
        self.scores, self.v = scores, v
        self.a = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
        self.z = np.einsum("rhi,rhie->rhe", self.a, v).reshape(len(self.labels), -1)
        self.mid = self.x[:, -1] + self.z @ layer["W_O"].reshape(config.d_h, config.d_h)
        self.hidden = np.maximum(self.mid @ layer["W_in"], 0)
        self.out = self.mid + self.hidden @ layer["W_out"]
        self.logits = self.out @ layer["W_U"]
        self.probabilities = np.exp(self.logits) / np.exp(self.logits).sum(1, keepdims=True)


@pytest.fixture(params=CONFIGS, ids=["one task", "two tasks"])
def both(request):
    """The plain quantities, and a member after `tabulate` with a tile large enough for all rows."""
    plain = Plain(request.param)
    member = Member(request.param, models.flatten(plain.w, request.param), np.float64)
    member.tabulate()
    return plain, member, np.zeros((member.n_features, member.train_rows.shape[1]))


def forward(member, work):
    x, _, table = member.shared
    n, last = member.train_rows.shape[1], member.entries.shape[1] - 1
    fused_pass._forward(member.theta, member.sizes, member.train_rows, 0, n, x, table, last, work)
    return fused_pass._workspace(work, member.sizes)


def test_1_the_table_holds_every_rows_values_and_scores(both):
    plain, member, _ = both
    x, _, table = member.shared
    n, d = len(plain.labels), plain.config.d_h
    fetched = table[member.train_rows[:, :n]]  # (position, row, value and score)
    np.testing.assert_allclose(x.T[member.train_rows[:, :n]], plain.x.transpose(1, 0, 2), rtol=1e-12)
    np.testing.assert_allclose(fetched[..., :d], plain.v.transpose(2, 0, 1, 3).reshape(-1, n, d), atol=1e-12)
    np.testing.assert_allclose(fetched[..., d : d + plain.config.n_heads], plain.scores.transpose(2, 0, 1), atol=1e-12)


def test_1_the_table_is_as_small_as_promised(both):
    plain, member, _ = both
    p = plain.config.p
    assert member.entries.shape[1] == (2 * p + 1 if plain.config.n_ctx == 3 else 2 * p + 3)


def test_2_a_tile_goes_forward_as_its_rows_do(both):
    plain, member, work = both
    _, a, z, mid, out, _, hidden, _, logits, _ = forward(member, work)
    n, config = len(plain.labels), plain.config
    shares = a[:, :n].reshape(config.n_ctx, config.n_heads, n)
    for name, ours, theirs in (("a", shares, plain.a.transpose(2, 1, 0)), ("z", z[:, :n], plain.z.T),
                               ("mid", mid[:, :n], plain.mid.T), ("hidden", hidden[:, :n], plain.hidden.T),
                               ("out", out[:, :n], plain.out.T), ("logits", logits[:, :n], plain.logits.T)):
        np.testing.assert_allclose(ours, theirs, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("is_plain", [False, True])
def test_3_the_gradient_of_the_loss_is_that_of_the_mean_over_rows_and_padding_has_none(both, is_plain):
    plain, member, work = both
    *_, logits, stats = forward(member, work)
    n = len(plain.labels)
    fused_pass._loss_gradient(logits, stats, member.train_y, member.share, 0, logits.shape[1], is_plain)
    expected = (plain.probabilities - np.eye(plain.config.d_vocab)[plain.labels]) / n
    np.testing.assert_allclose(logits[:, :n], expected.T, atol=1e-14)
    assert not logits[:, n:].any()


def test_4_5_parts_add_up_to_the_gradient_by_finite_differences(both):
    plain, member, work = both
    for k in range(fused_pass.PARTS):
        member.part(k, work)
    gradient = member.gradient().copy()
    generator = np.random.default_rng(0)
    for _ in range(5):
        direction, eps = generator.standard_normal(gradient.size), 1e-5
        ends = [mean_loss(plain.config, member.theta + sign * eps * direction) for sign in (1, -1)]
        assert gradient @ direction == pytest.approx((ends[0] - ends[1]) / (2 * eps), rel=1e-6)


def mean_loss(config: RunConfig, theta: np.ndarray) -> float:
    return Member(config, theta, np.float64).evaluate(np.zeros((1000, 64)))[0]


def test_7_rows_beyond_the_last_part_do_not_exist_and_parts_are_whole_vectors(both):
    _, member, _ = both
    edges = member.bounds
    assert edges[0, 0] == 0 and edges[-1, 1] == member.train_rows.shape[1]
    assert (edges[1:, 0] == edges[:-1, 1]).all() and not (edges % 64).any()

"""The steps of docs/fused.md one by one, each against the plain formula in NumPy, float64."""

import json
import math

import numpy as np
import pytest
from samples import finish, run_python

from grokbook import models, tasks
from grokbook.config import RunConfig
from grokbook.training import fused, layout
from grokbook.training.cohort import Cohort
from grokbook.training.layout import PARTS

ONE_TASK = RunConfig(p=13, d_h=12, D_train=100, seed=1)
TWO_TASKS = RunConfig(p=7, d_h=10, n_heads=2, task="add+random", D_train=30, D_random=20)


class Plain:
    """Every quantity of the page for the training rows, computed row by row the long way."""

    def __init__(self, config: RunConfig):
        self.config, self.w = config, models.initial_weights(config)
        layer = {name.removeprefix("layers.0."): w for name, w in self.w.items()}
        table, train = tasks.table(config), tasks.split(config).train
        self.tokens, self.labels = table.tokens[train], table.labels[train]
        self.x = layer["W_E"][self.tokens] + layer["W_pos"]
        q, k, v = (np.einsum("rid,hde->rhie", self.x, layer[name]) for name in ("W_Q", "W_K", "W_V"))
        self.scores = np.einsum("rhe,rhie->rhi", q[:, :, -1], k) / math.sqrt(config.d_head)
        self.a = np.exp(self.scores) / np.exp(self.scores).sum(-1, keepdims=True)
        self.residual = np.einsum("rhie,hed->rhid", v, layer["W_O"])  # what an entry adds, by head
        self.mid = self.x[:, -1] + np.einsum("rhi,rhid->rd", self.a, self.residual)
        self.hidden = np.maximum(self.mid @ layer["W_in"], 0)
        self.out = self.mid + self.hidden @ layer["W_out"]
        self.logits = self.out @ layer["W_U"]
        self.probabilities = np.exp(self.logits) / np.exp(self.logits).sum(1, keepdims=True)


class Ours:
    """One network of the engine, with its room, as `advance` leaves them: tables filled, the last tile forward."""

    def __init__(self, config: RunConfig, theta: np.ndarray):
        cohort = Cohort([config])
        names, entries = layout.entries_of(cohort.tokens, config.d_vocab)
        train = cohort.masks[0, 0]
        self.config, self.train_entries, self.names = config, entries[:, train], names
        self.member = fused.Member(config, theta, names, entries, cohort.labels[0], train, np.float64)
        self.room = layout.room_of(config, names.shape[1], 1, np.float64)

    def gradient(self) -> np.ndarray:
        self.member.advance(0, self.room)
        return self.member.moments.grad.copy()

    def losses(self) -> np.ndarray:
        return self.member.evaluate(self.room)[0]


@pytest.fixture(params=["narrow", "wide"])
def shape(request, monkeypatch):
    """Both ways through the layer, whatever these small networks would choose."""
    sizes_of = layout.sizes_of
    monkeypatch.setattr(layout, "sizes_of", lambda config: sizes_of(config, request.param == "wide"))
    return request.param


@pytest.fixture(params=[ONE_TASK, TWO_TASKS], ids=["one task", "two tasks"])
def both(request, shape):
    plain = Plain(request.param)
    ours = Ours(request.param, models.flatten(plain.w, request.param))
    ours.gradient()
    return plain, ours


def test_1_an_entry_is_the_sum_of_two_rows_of_X_and_there_are_few(both):
    plain, ours = both
    p, config = plain.config.p, plain.config
    X = ours.member.weights.X
    entries = ours.train_entries  # (position, row)
    x = X[ours.names[0][entries]] + X[ours.names[1][entries]]
    np.testing.assert_allclose(x, plain.x[:, :-1].transpose(1, 0, 2), rtol=1e-12)
    assert ours.names.shape[1] == (2 * p if config.n_ctx == 3 else 2 * p + 2)


def test_1_scores_and_base_are_measured_from_the_last_position(both):
    plain, ours = both
    table = ours.room.table
    relative = plain.scores - plain.scores[..., -1:]
    scores = table.scores[ours.train_entries][..., : plain.config.n_heads]
    np.testing.assert_allclose(scores, relative[..., :-1].transpose(2, 0, 1), atol=1e-12)
    attends_to_itself = plain.x[0, -1] + plain.residual[0, :, -1].sum(0)
    np.testing.assert_allclose(table.mid[0, : plain.config.d_h], attends_to_itself, atol=1e-12)


def test_2_the_table_holds_what_an_entry_adds_to_neurons_and_to_out_or_logits(both, shape):
    plain, ours = both
    sizes, table, config = ours.room.sizes, ours.room.table, plain.config
    relative = (plain.residual - plain.residual[:, :, -1:])[:, :, :-1].transpose(2, 0, 1, 3)  # (position, row, head, d)
    rows = table.rows.reshape(-1, config.n_heads, table.rows.shape[1])[ours.train_entries]
    np.testing.assert_allclose(rows[..., : config.d_mlp], relative @ plain.w["layers.0.W_in"], atol=1e-12)
    rest = relative @ plain.w["W_U"] if shape == "wide" else relative
    np.testing.assert_allclose(rows[..., sizes.m_pad : sizes.m_pad + rest.shape[-1]], rest, atol=1e-12)


def test_3_every_row_of_the_table_has_the_loss_of_the_plain_network(both):
    plain, ours = both
    train = tasks.split(plain.config).train
    expected = -np.log(plain.probabilities[np.arange(len(plain.labels)), plain.labels])
    np.testing.assert_allclose(ours.losses()[: len(train)][train], expected, rtol=1e-10,
                               atol=1e-15)  # below which the plain formula is rounded to zero or to its last digit


@pytest.mark.parametrize("kind", ["exact", "plain"])
@pytest.mark.parametrize("config", [ONE_TASK, TWO_TASKS], ids=["one task", "two tasks"])
def test_4_5_the_gradient_by_finite_differences(config, kind, shape):
    config = config.replace(loss=kind)
    theta = models.flatten(models.initial_weights(config), config)
    gradient, generator = Ours(config, theta).gradient(), np.random.default_rng(0)
    train = tasks.split(config).train
    for _ in range(5):
        direction, eps = generator.standard_normal(gradient.size), 1e-5
        ends = [Ours(config, theta + sign * eps * direction).losses()[: len(train)][train].mean() for sign in (1, -1)]
        assert gradient @ direction == pytest.approx((ends[0] - ends[1]) / (2 * eps), rel=1e-6)


def test_6_the_cheaper_shape_is_chosen():
    """Multiply-adds of a row, forward: the gathered features, then the products (docs/fused.md, 6)."""
    def cost(config, wide):
        d, m, v, terms = config.d_h, config.d_mlp, config.d_vocab, (config.n_ctx - 1) * config.n_heads
        return terms * (m + v) + m * v if wide else terms * (m + d) + m * d + d * v
    for d_h in range(4, 260, 4):
        for task in ("add", "add+random"):
            config = RunConfig(d_h=d_h, task=task)
            least = min((True, False), key=lambda wide: cost(config, wide))
            assert layout.sizes_of(config).wide == least


def test_7_parts_have_first_entries_of_their_own_and_padding_has_no_share(both):
    plain, ours = both
    rows, n = ours.member.rows, len(plain.labels)
    assert rows.bounds[0] == 0 and len(rows.bounds) == PARTS + 1 and rows.bounds[-1] == rows.entries.shape[1]
    owners = rows.owner[rows.entries[0]]
    for k in range(PARTS):
        assert (owners[rows.bounds[k] : rows.bounds[k + 1]] == k).all()
    assert (rows.owner[rows.entries[1:]] == -1).all()
    real = rows.share > 0
    assert real.sum() == n and rows.share.sum() == pytest.approx(1)
    seen = sorted(map(tuple, np.concatenate([rows.entries, rows.y])[:, real].T.tolist()))
    labels = ours.member.all_rows.y[0]
    expected = sorted((*entry, label) for *entry, label in
                      np.concatenate([ours.train_entries, plain.labels[None]]).T.tolist())
    assert seen == expected and len(labels) >= n


def test_rows_of_arrays_lie_an_odd_number_of_cache_lines_apart():
    for columns in range(1, 600, 7):
        for dtype in (np.float32, np.float64):
            array = layout.zeros((2, columns), dtype)
            assert array.shape[1] >= columns and array.strides[0] // 64 % 2 == 1 and array.strides[0] % 64 == 0


OTHER_PROCESSOR = """
import json, platform, sys
import numpy as np
from llvmlite import binding
machine, features = sys.argv[1], json.loads(sys.argv[2])
own = platform.machine, binding.get_host_cpu_features
class Features(dict):
    flatten = own[1]().flatten  # for Numba, which compiles for this processor
platform.machine, binding.get_host_cpu_features = lambda: machine, lambda: Features(features)
from grokbook.training import compiled, products
platform.machine, binding.get_host_cpu_features = own
print(json.dumps([products.VECTOR_BYTES, products.VECTORS, compiled.FLUSH]))
# What the other processor's registers hold is compiled for this one; its instructions this one has not.
compiled.FOLDER, compiled.X86, compiled.ARM = None, own[0]() in ("x86_64", "AMD64"), own[0]() in ("aarch64", "arm64")
compiled.FLUSH = 0x8040 if compiled.X86 else 1 << 24 if compiled.ARM else 0
from grokbook import RunConfig, models
from grokbook.training import engine_named
for config in (RunConfig(p=7, d_h=12, D_train=45), RunConfig(p=5, d_h=48, task="add+random", D_train=9, D_random=7))[
        :2 * (sys.argv[3] == "True")]:
    start = models.flatten(models.initial_weights(config), config)[None]
    engines = (engine_named(name)([config], start, "cpu", "float64") for name in ("fused", "vmapped"))
    ours, reference = (engine.gradient()[0] for engine in engines)
    print(np.linalg.norm(ours - reference) / np.linalg.norm(reference))
"""


@pytest.mark.parametrize("machine, features, chosen, compiled", [
    ("x86_64", {"avx512f": True, "avx2": True}, [64, 4, 0x8040], True),
    ("AMD64", {"avx2": True}, [32, 2, 0x8040], False),
    ("x86_64", {"avx512f": False, "avx2": False}, [16, 2, 0x8040], False),
    ("arm64", {}, [16, 4, 1 << 24], True)])
def test_registers_are_those_of_the_processor_and_gradients_right_with_any(machine, features, chosen, compiled):
    """LLVM makes do with what this processor has, so only speed differs. Widest and narrowest are compiled, for half a
    minute each."""
    words = finish(run_python(OTHER_PROCESSOR, machine, json.dumps(features), str(compiled))).splitlines()
    assert json.loads(words[0]) == chosen
    assert len(words) == 1 + 2 * compiled and all(float(error) < 1e-12 for error in words[1:])

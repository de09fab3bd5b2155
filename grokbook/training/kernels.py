"""The fused pass as Triton kernels over (model, tile of rows): the forward half, and the sizes that all are built for.

An entry is a (token, position): entry 0 is `=`, then come n_vocab entries for each other position. A row that holds the
entries t goes forward, and back by the chain rule (`kernels_back`); docs/fused.md, 10, says why it is cut up so:

    x_t = W_E + W_pos        q = x_0 W_Q / √d_head        u = W_K q
    values_t = x_t W_V       scores_t = x_t u             side by side in a table, computed once a step
    a = softmax_t(scores_t)                     z = Σ_t a_t values_t                mid = x_0 + z W_O
    hidden = relu(mid W_in)                     out = mid + hidden W_out            logits = out W_U

Every sum runs in an order that the member's own config decides and nothing is added atomically, so a member's result is
the same bit for bit alone or in any cohort.
"""

# pyright: reportAttributeAccessIssue=false, reportOperatorIssue=false, reportGeneralTypeIssues=false
# pyright: reportArgumentType=false, reportAssignmentType=false
# (inside a kernel Python's syntax means Triton's types; its own functions say that they return them)

import math
from dataclasses import dataclass

import triton
import triton.language as tl

from grokbook.config import BETAS, EPS, RunConfig

COHORT = ("max_rows", "max_groups")
"""Arguments that depend on the cohort; code compiled specially for a value might sum in another order."""


@dataclass(frozen=True)
class Shape:
    """What the kernels are compiled for: the sizes of a network, and in capitals those of the blocks that hold it.

    Blocks are powers of two, at least 16 where they enter a product; what sticks out is masked. They decide in which
    order sums run, so they follow from the config alone, never from the cohort. All are fields rather than properties,
    since Triton tells compiled kernels apart by them.
    """

    n_vocab: int
    n_ctx: int
    n_heads: int
    d: int
    e: int  # features of a head
    root: float  # √e
    width: int  # numbers that the table holds for an entry: values, then scores
    n_entries: int
    at_Q: int  # where W_Q begins in the flat weights, then W_K, W_V
    at_O: int  # where W_O begins, then W_in, W_out, W_U
    n_params: int
    n_sums: int  # sums over rows: gradients of W_O to W_U, of x_0, and of the table's entry 0
    n_grad: int  # gradients of all weights, of x_0, and of the table
    D: int
    H: int
    E: int  # lanes of a head's features
    L: int  # lanes of a head whose score rides along as lane e
    NEURONS: int  # neurons at a time, or classes
    TOKENS: int  # entries at a time, of one position
    plain: bool
    ROWS: int  # rows of a tile
    precision: str  # of products in float32
    GROUP: int = 256  # rows whose gradients one program sums
    HELD: int = 32  # rows at a time that hold an entry
    BLOCK: int = 1024  # weights at a time
    beta1: float = BETAS[0]
    beta2: float = BETAS[1]
    eps: float = EPS

    @classmethod
    def of(cls, config: RunConfig) -> "Shape":
        """The shape of a one-layer transformer's config."""
        n_vocab, n_ctx, n_heads, d, e = config.d_vocab, config.n_ctx, config.n_heads, config.d_h, config.d_head
        width, n_entries = d + n_heads, 1 + (n_ctx - 1) * n_vocab
        at_Q = (n_vocab + n_ctx) * d
        at_O = at_Q + 3 * d**2
        D, H = max(16, triton.next_power_of_2(d)), triton.next_power_of_2(n_heads)
        return cls(n_vocab, n_ctx, n_heads, d, e, math.sqrt(e), width, n_entries, at_Q, at_O, config.n_params,
                   n_sums=config.n_params - at_O + d + width, n_grad=config.n_params + d + n_entries * width,
                   D=D, H=H, E=max(16 // H, triton.next_power_of_2(e)), L=max(16, triton.next_power_of_2(e + 1)),
                   NEURONS=min(64, 2048 // D), TOKENS=32, plain=config.loss == "plain",
                   ROWS=32 if D <= 32 else 64, precision="ieee" if D <= 32 else "tf32x3")


@triton.jit
def dot(a, b, S: tl.constexpr):
    """A matrix product in the precision of its operands; Triton's default would round them to ten bits.

    `tf32x3` splits them into three such roundings, whose products add up to nearly float32's.
    """
    precision: tl.constexpr = "ieee" if a.dtype == tl.float64 else S.precision
    return tl.dot(a, b, input_precision=precision, out_dtype=a.dtype)


@triton.jit
def relu(x):
    """max(0, x), but what is not a number stays so, for a network that has gone astray must show it."""
    return tl.where(x <= 0.0, 0.0, x)


@triton.jit
def streams(theta, token, position, inside, S: tl.constexpr):
    """Residual streams x (T, D) of T entries."""
    f = tl.arange(0, S.D)[None, :]
    inside = inside[:, None] & (f < S.d)
    embedded = tl.load(theta + token[:, None] * S.d + f, inside, other=0.0)
    return embedded + tl.load(theta + (S.n_vocab + position[:, None]) * S.d + f, inside, other=0.0)


@triton.jit
def last_stream(theta, S: tl.constexpr):
    """x_0 (D,), the residual stream of `=`."""
    f = tl.arange(0, S.D)
    embedded = tl.load(theta + (S.n_vocab - 1) * S.d + f, f < S.d, other=0.0)
    return embedded + tl.load(theta + (S.n_vocab + S.n_ctx - 1) * S.d + f, f < S.d, other=0.0)


@triton.jit
def place_of_head(h, S: tl.constexpr):
    """Where head h's part of W_Q, W_K or W_V is as a (D, L) block: offsets from its start, and which exist."""
    f, k = tl.arange(0, S.D)[:, None], tl.arange(0, S.L)[None, :]
    return h * S.d * S.e + f * S.e + k, (f < S.d) & (k < S.e)


@triton.jit
def head_lanes(h, S: tl.constexpr):
    """Columns of the table that hold head h's values and, as lane e, its score, (L,), and which exist."""
    k = tl.arange(0, S.L)
    return tl.where(k < S.e, h * S.e + k, S.d + h), k <= S.e


@triton.jit
def block(weights, place):
    """A block of weights, 0 where none exist."""
    at, inside = place
    return tl.load(weights + at, inside, other=0.0)


@triton.jit
def mixing(theta, heads, h, S: tl.constexpr):
    """W_V of head h with u as lane e, (D, L): x times this is the head's part of the table."""
    f, k = tl.arange(0, S.D)[:, None], tl.arange(0, S.L)[None, :]
    u = tl.load(heads + h * S.d + f, (f < S.d) & (k == S.e), other=0.0)
    return block(theta + S.at_Q + 2 * S.d * S.d, place_of_head(h, S)) + u


@triton.jit
def query(theta, heads, S: tl.constexpr):
    """What a head asks for. Grid (n_heads, model). Out: heads (model, n_heads d + 2 d), first u, then q."""
    model, h = tl.program_id(1).to(tl.int64), tl.program_id(0)
    theta += model * S.n_params
    heads += model * (S.n_heads + 2) * S.d
    f, k = tl.arange(0, S.D), tl.arange(0, S.L)
    W_Q, W_K = block(theta + S.at_Q, place_of_head(h, S)), block(theta + S.at_Q + S.d * S.d, place_of_head(h, S))
    q = tl.sum(W_Q * last_stream(theta, S)[:, None], 0) / S.root
    tl.store(heads + h * S.d + f, tl.sum(W_K * q[None, :], 1), f < S.d)
    tl.store(heads + S.n_heads * S.d + h * S.e + k, q, k < S.e)


@triton.jit
def tabulate(theta, heads, table, S: tl.constexpr):
    """Values and scores of a tile of entries. Grid (tiles, model). Out: table (model, n_entries, width)."""
    model = tl.program_id(1).to(tl.int64)
    theta += model * S.n_params
    entry = tl.program_id(0) * S.TOKENS + tl.arange(0, S.TOKENS)
    inside = entry < S.n_entries
    token = tl.where(entry == 0, S.n_vocab - 1, (entry + S.n_vocab - 1) % S.n_vocab)
    position = tl.where(entry == 0, S.n_ctx - 1, (entry + S.n_vocab - 1) // S.n_vocab - 1)
    x = streams(theta, token, position, inside, S)
    heads += model * (S.n_heads + 2) * S.d
    table += model * S.n_entries * S.width
    for h in range(S.n_heads):
        column, lanes = head_lanes(h, S)
        values = dot(x, mixing(theta, heads, h, S), S)
        tl.store(table + entry[:, None] * S.width + column[None, :], values, inside[:, None] & lanes[None, :])


@triton.jit
def fetch(table, entry, inside, S: tl.constexpr):
    """Values (R, H, E) and scores (R, H) of one entry a row."""
    h, k = tl.arange(0, S.H), tl.arange(0, S.E)
    heads = inside[:, None] & (h < S.n_heads)[None, :]
    lanes = heads[:, :, None] & (k < S.e)[None, None, :]
    base = table + entry[:, None] * S.width
    values = tl.load((base + h[None, :] * S.e)[:, :, None] + k[None, None, :], lanes, other=0.0)
    return values, tl.load(base + S.d + h[None, :], heads, other=0.0)


@triton.jit
def attend(table, tokens, rows, n_table, inside, S: tl.constexpr):
    """Mixed values z (R, H, E), and the top score and the sum of exponentials that give the shares back, (R, H)."""
    last = tl.zeros_like(rows)
    _, top = fetch(table, last, inside, S)
    for i in tl.static_range(S.n_ctx - 1):
        _, score = fetch(table, tl.load(tokens + i * n_table + rows, inside, other=0), inside, S)
        top = tl.maximum(top, score)
    value, score = fetch(table, last, inside, S)
    total = tl.exp(score - top)
    z = total[:, :, None] * value
    for i in tl.static_range(S.n_ctx - 1):
        value, score = fetch(table, tl.load(tokens + i * n_table + rows, inside, other=0), inside, S)
        part = tl.exp(score - top)
        total += part
        z += part[:, :, None] * value
    return z / total[:, :, None], top, total


@triton.jit
def place_of_O(S: tl.constexpr):
    """Where W_O is as a (H·E, D) block: offsets from its start, and which exist. The places of the others follow."""
    j, f = tl.arange(0, S.H * S.E)[:, None], tl.arange(0, S.D)[None, :]
    h, k = j // S.E, j % S.E
    return (h * S.e + k) * S.d + f, (h < S.n_heads) & (k < S.e) & (f < S.d)


@triton.jit
def place_of_in(start, S: tl.constexpr):
    """W_in of the neurons from `start`, (D, M)."""
    f, m = tl.arange(0, S.D)[:, None], start + tl.arange(0, S.NEURONS)[None, :]
    return S.d * S.d + f * (4 * S.d) + m, (f < S.d) & (m < 4 * S.d)


@triton.jit
def place_of_out(start, S: tl.constexpr):
    """W_out of the neurons from `start`, (M, D)."""
    m, f = start + tl.arange(0, S.NEURONS)[:, None], tl.arange(0, S.D)[None, :]
    return 5 * S.d * S.d + m * S.d + f, (m < 4 * S.d) & (f < S.d)


@triton.jit
def place_of_U(start, S: tl.constexpr):
    """W_U of the classes from `start`, (D, C)."""
    f, j = tl.arange(0, S.D)[:, None], start + tl.arange(0, S.NEURONS)[None, :]
    return 9 * S.d * S.d + f * S.n_vocab + j, (f < S.d) & (j < S.n_vocab)


@triton.jit
def forward(weights, x_0, z, S: tl.constexpr):
    """Residual streams (R, D) after attention, mid, and after the neurons, out."""
    mid = x_0[None, :] + dot(z, block(weights, place_of_O(S)), S)
    out = mid
    for start in range(0, 4 * S.d, S.NEURONS):
        hidden = relu(dot(mid, block(weights, place_of_in(start, S)), S))
        out += dot(hidden, block(weights, place_of_out(start, S)), S)
    return mid, out


@triton.jit
def logits_of(out, W_U, start, label, S: tl.constexpr):
    """Logits (R, C) of the classes from `start`, −∞ past the end, and which one is the label's."""
    j = start + tl.arange(0, S.NEURONS)[None, :]
    return tl.where(j < S.n_vocab, dot(out, W_U, S), float("-inf")), j == label[:, None]


@triton.jit
def soften(weights, out, label, S: tl.constexpr):
    """The label's own logit, the largest of the others, `rival`, and rest = Σ_{j≠y} exp(l_j − rival), each (R,)."""
    own, rest = tl.zeros_like(tl.sum(out, 1)), tl.zeros_like(tl.sum(out, 1))
    rival = own + float("-inf")
    for start in range(0, S.n_vocab, S.NEURONS):
        logits, mine = logits_of(out, block(weights, place_of_U(start, S)), start, label, S)
        others = tl.where(mine, float("-inf"), logits)
        higher = tl.maximum(rival, tl.max(others, 1))
        own += tl.sum(tl.where(mine, logits, 0.0), 1)
        rest = rest * tl.exp(rival - higher) + tl.sum(tl.exp(others - higher[:, None]), 1)
        rival = higher
    return own, rival, rest


@triton.jit
def _log1p(x):
    """log(1 + x) without losing a small x: the rounding of 1 + x is divided out again."""
    u = 1.0 + x
    exact = u == 1.0
    return tl.where(exact, x, tl.log(u) * (x / tl.where(exact, 1.0, u - 1.0)))


@triton.jit
def _exact_loss(own, rival, rest):
    """log(1 + Σ_{j≠y} exp(l_j − l_y)) of each row, (R,); far below its rivals the label itself adds nothing."""
    far = rival - own > 80.0
    odds = rest * tl.exp(tl.where(far, 0.0, rival - own))
    return tl.where(far, tl.log(rest) + (rival - own), _log1p(odds))


@triton.jit
def examine(theta, table, tokens, labels, masks, found, n_table, S: tl.constexpr):
    """Sums of losses and of right answers over a group of the table's tiles. Grid (groups, model).

    masks (model, n_table): bit 0 for training rows, 1 for validation, 2 for those without a twin. Out: found (model,
    group, 2, 4) float64, losses then right answers, one column a bit.
    """
    model, group = tl.program_id(1).to(tl.int64), tl.program_id(0)
    theta, table = theta + model * S.n_params, table + model * S.n_entries * S.width
    labels, masks = labels + model * n_table, masks + model * n_table
    bit = tl.arange(0, 4)
    losses, rights = tl.full((4,), 0.0, tl.float64), tl.full((4,), 0.0, tl.float64)
    x_0 = last_stream(theta, S)
    first = group * S.GROUP
    for start in range(first, tl.minimum(first + S.GROUP, n_table), S.ROWS):
        row = start + tl.arange(0, S.ROWS)
        inside = row < n_table
        z, _, _ = attend(table, tokens, row, n_table, inside, S)
        _, out = forward(theta + S.at_O, x_0, tl.reshape(z, (S.ROWS, S.H * S.E)), S)
        own, rival, rest = soften(theta + S.at_O, out, tl.load(labels + row, inside, other=0), S)
        loss = _exact_loss(own, rival, rest)
        counted = ((tl.load(masks + row, inside, other=0)[:, None] >> bit[None, :]) & 1) != 0
        losses += tl.sum(tl.where(counted, loss[:, None].to(tl.float64), 0.0), 0)
        right = (own > rival) & (rest == rest)  # a maximum passes over what is not a number, a sum does not
        rights += tl.sum(tl.where(counted & right[:, None], 1.0, 0.0).to(tl.float64), 0)
    at = found + (model * tl.num_programs(0) + group) * 8 + bit
    tl.store(at, losses)
    tl.store(at + 4, rights)


@triton.jit
def norms(theta, found, S: tl.constexpr):
    """Sum of squares of a block of weights, found (model, block) float64. Grid (blocks of n_params, model)."""
    model = tl.program_id(1).to(tl.int64)
    k = tl.program_id(0) * S.BLOCK + tl.arange(0, S.BLOCK)
    weight = tl.load(theta + model * S.n_params + k, k < S.n_params, other=0.0).to(tl.float64)
    tl.store(found + model * tl.num_programs(0) + tl.program_id(0), tl.sum(weight * weight))

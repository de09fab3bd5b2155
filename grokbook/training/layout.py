"""The arrays of the CPU engine, by name and shape.

Numba reads named tuples of arrays, so compiled code says `table.rows` and `operands.M`. Sizes ending in `_pad` are
rounded up to whole registers; what sticks out is zero and stays zero. `n` is the number of rows of X, a vocabulary of
tokens and the positions below it.
"""

from typing import NamedTuple

import numpy as np

from grokbook import models
from grokbook.config import RunConfig
from grokbook.training.products import LANES, padded
from grokbook.training.tiles import STRIP

PARTS = 4
"""Parts that the training rows are cut into; a lone run uses up to this many threads."""

CACHE_BYTES = 384 * 1024
"""Room for a tile's activations: three quarters of a small second-level cache."""

TILE_ROWS = 64, 1024
"""Least and most rows of a tile."""


class Sizes(NamedTuple):
    """Numbers that say how large everything is. `width` is that of a table row: neurons, then out or logits."""

    n_vocab: int
    n_ctx: int
    n_heads: int
    d: int
    d_head: int
    d_mlp: int
    wide: bool
    d_pad: int
    m_pad: int
    v_pad: int
    width: int

    @property
    def n(self) -> int:
        """Rows of X."""
        return self.n_vocab + self.n_ctx


def sizes_of(config: RunConfig, wide: bool | None = None) -> Sizes:
    """The sizes of a network; narrow or wide, whichever multiplies less for a row, unless told."""
    d, v, mlp = config.d_h, config.d_vocab, config.d_mlp
    if wide is None:
        per_entry = (config.n_ctx - 1) * config.n_heads
        wide = (mlp + per_entry) * v < (mlp + per_entry) * d + d * v
    d_pad, m_pad, v_pad = padded(d), padded(mlp), padded(v)
    return Sizes(v, config.n_ctx, config.n_heads, d, config.d_head, mlp, wide, d_pad, m_pad, v_pad,
                 m_pad + (v_pad if wide else d_pad))


class Weights(NamedTuple):
    """Views of a flat vector in the order of `models.weight_shapes`; X is W_E above W_pos."""

    X: np.ndarray  # (n, d)
    W_Q: np.ndarray  # (n_heads, d, d_head)
    W_K: np.ndarray  # (n_heads, d, d_head)
    W_V: np.ndarray  # (n_heads, d, d_head)
    W_O: np.ndarray  # (n_heads, d_head, d)
    W_in: np.ndarray  # (d, d_mlp)
    W_out: np.ndarray  # (d_mlp, d)
    W_U: np.ndarray  # (d, n_vocab)


def views(vector: np.ndarray, config: RunConfig) -> Weights:
    """The weights inside a flat vector."""
    _, _, *layer, W_U = models.unflatten(vector, config).values()
    X = vector[: (config.d_vocab + config.n_ctx) * config.d_h].reshape(-1, config.d_h)
    return Weights._make([X, *layer, W_U])


class Operands(NamedTuple):
    """Weights as the products read them, copied once a step: padded, heads side by side, some transposed."""

    W_V: np.ndarray  # (d, d_pad)
    W_O: np.ndarray  # (d, d_pad)
    W_in: np.ndarray  # (d, m_pad)
    out: np.ndarray  # (m_pad, d_pad)
    out_T: np.ndarray  # (d_pad, m_pad)
    U: np.ndarray  # (d_pad, v_pad)
    U_T: np.ndarray  # (v_pad, d_pad)
    M: np.ndarray  # (m_pad, v_pad), wide: W_out W_U
    M_T: np.ndarray  # (v_pad, m_pad)


class Table(NamedTuple):
    """What all rows share, computed once a step by `folding.fold`, and room for its way back."""

    u: np.ndarray  # (n_heads, d): a key's score is x · u
    values: np.ndarray  # (n, d_pad): X W_V, heads side by side
    O_in: np.ndarray  # (d, m_pad): W_O W_in, a head's rows below another's
    residual: np.ndarray  # (n_heads, n, d_pad): values W_O
    folded: np.ndarray  # (n, head · width): what a row of X adds to neurons, and to out or logits
    folded_last: np.ndarray  # (1, head · width): the same of `=` at the last position
    X_scores: np.ndarray  # (n, n_heads)
    rows: np.ndarray  # (entry · head, width): the same of an entry, less that of `=`
    wide_rows: np.ndarray  # (entry, head · width), the same memory
    scores: np.ndarray  # (entry, n_heads), less that of `=`
    base: np.ndarray  # (1, width): what a row gets that attends to `=` alone
    mid: np.ndarray  # (1, d_pad): its residual stream before the neurons
    d_mid: np.ndarray
    d_values: np.ndarray
    d_residual: np.ndarray  # (n, d_pad), of one head
    d_folded: np.ndarray
    d_O_in: np.ndarray
    d_V: np.ndarray  # as the operands
    d_O: np.ndarray
    d_W_in: np.ndarray
    d_U: np.ndarray  # (d, v_pad)


class Sums(NamedTuple):
    """Gradients that rows add into, several of a kind. A part of the rows has its own; they are added to another."""

    table: np.ndarray  # (slot, entry · head, width)
    wide_table: np.ndarray  # (slot, entry, head · width), the same memory
    base: np.ndarray  # (slot, 1, width)
    scores: np.ndarray  # (slot, entry, n_heads)
    first: np.ndarray  # (slot, d_mlp, v_pad or d_pad): of M where wide, else of W_out
    second: np.ndarray  # (slot, d, v_pad): of W_U where narrow


class Tile(NamedTuple):
    """The activations of a tile of rows, and room for their way back."""

    a: np.ndarray  # (n_ctx · head, row)
    da: np.ndarray
    mixed: np.ndarray  # (width, row)
    logits: np.ndarray  # (v_pad, row); where wide, the last rows of `mixed`
    d_hidden: np.ndarray  # (d_mlp, row)
    turned: np.ndarray  # (row, v_pad or d_pad)
    stats: np.ndarray  # (4, row)
    strip: np.ndarray  # (LANES, STRIP)


def spread(columns: int, dtype: type) -> int:
    """So many columns, or a few more: rows of an even number of cache lines would compete for the same few places."""
    line = 64 // np.dtype(dtype).itemsize
    return line * (-(-columns // line) | 1)


def zeros(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """An array with rows of `spread` length."""
    return np.zeros((*shape[:-1], spread(shape[-1], dtype)), dtype)


def operands_of(s: Sizes, dtype: type) -> Operands:
    """Room for the operands of one network."""
    narrow = [(s.m_pad, s.d_pad), (s.d_pad, s.m_pad)]
    wide = [(s.m_pad, s.v_pad), (s.v_pad, s.m_pad)] if s.wide else [(1, 1), (1, 1)]
    shapes = [(s.d, s.d_pad), (s.d, s.d_pad), (s.d, s.m_pad), *narrow, (s.d_pad, s.v_pad), (s.v_pad, s.d_pad), *wide]
    return Operands._make(zeros(shape, dtype) for shape in shapes)


def table_of(s: Sizes, n_entries: int, dtype: type) -> Table:
    """Room for what the rows of one network share."""
    rows, O_in, values = zeros((n_entries * s.n_heads, s.width), dtype), (s.d, s.m_pad), (s.n, s.d_pad)
    wide_rows = rows.reshape(n_entries, -1)
    folded = s.n, wide_rows.shape[1]
    before = [(s.n_heads, s.d), values, O_in, (s.n_heads, *values), folded, (1, folded[1]), (s.n, s.n_heads)]
    after = [(n_entries, s.n_heads), (1, s.width), (1, s.d_pad), (1, s.d_pad), values, values, folded, O_in,
             (s.d, s.d_pad), (s.d, s.d_pad), (s.d, s.m_pad), (s.d, s.v_pad)]
    first, last = ([zeros(shape, dtype) for shape in shapes] for shapes in (before, after))
    return Table._make([*first, rows, wide_rows, *last])


def sums_of(s: Sizes, n_entries: int, n_slots: int, dtype: type) -> Sums:
    """Gradients of a part of the rows, or of all, at zero, in each slot."""
    table = zeros((n_slots, n_entries * s.n_heads, s.width), dtype)
    shapes = [(1, s.width), (n_entries, s.n_heads), (s.d_mlp, s.v_pad if s.wide else s.d_pad),
              (1, 1) if s.wide else (s.d, s.v_pad)]
    return Sums(table, table.reshape(n_slots, n_entries, -1), *(zeros((n_slots, *shape), dtype) for shape in shapes))


def tile_of(s: Sizes, dtype: type) -> Tile:
    """Room for one tile, of as many rows as the cache holds."""
    features = 2 * s.n_ctx * s.n_heads + s.width + (0 if s.wide else s.v_pad) + s.d_mlp + max(s.v_pad, s.d_pad) + 4
    least, most = TILE_ROWS
    n = spread(min(max(CACHE_BYTES // (features * np.dtype(dtype).itemsize), least), most), dtype)
    mixed = zeros((s.width, n), dtype)
    logits = mixed[s.m_pad :] if s.wide else zeros((s.v_pad, n), dtype)
    shares, rest = [(s.n_ctx * s.n_heads, n)] * 2, [(s.d_mlp, n), (n, max(s.v_pad, s.d_pad)), (4, n), (LANES, STRIP)]
    first, last = ([zeros(shape, dtype) for shape in shapes] for shapes in (shares, rest))
    return Tile._make([*first, mixed, logits, *last])


class Room(NamedTuple):
    """Where one network after another is trained, by a thread or by several that meet at `counter`."""

    sizes: Sizes
    operands: Operands
    table: Table
    parts: Sums
    total: Sums
    tile: Tile
    counter: np.ndarray  # (1,) int64


def room_of(config: RunConfig, n_entries: int, n_slots: int, dtype: type) -> Room:
    """Room for networks of that shape, with so many slots for the gradients of parts."""
    s = sizes_of(config)
    return Room(s, operands_of(s, dtype), table_of(s, n_entries, dtype), sums_of(s, n_entries, n_slots, dtype),
                sums_of(s, n_entries, 1, dtype), tile_of(s, dtype), np.zeros(1, np.int64))


class Rows(NamedTuple):
    """Rows to go through, padded to whole registers in each part.

    An entry is a (token, position) besides `=`, and `names` gives both as rows of X. Training rows are sorted by their
    first entry, and a part has first entries of its own: `owner` is their part, −1 for entries that all parts share.
    """

    names: np.ndarray  # (2, entry) int64
    entries: np.ndarray  # (n_ctx − 1, row) int32
    y: np.ndarray  # (1, row) int32
    share: np.ndarray  # (row,): a row's part of the mean; 0 for padding
    bounds: np.ndarray  # (PARTS + 1,) int64
    owner: np.ndarray  # (entry,) int64


def entries_of(tokens: np.ndarray, n_vocab: int) -> tuple[np.ndarray, np.ndarray]:
    """The distinct (token, position) before the last, as rows of X, (2, entry), and of each row (n_ctx − 1, row)."""
    columns = [np.unique(column, return_inverse=True) for column in tokens.T[:-1]]
    starts = np.cumsum([0] + [len(values) for values, _ in columns])
    names = np.concatenate([[values, np.full(len(values), n_vocab + i)] for i, (values, _) in enumerate(columns)], 1)
    entries = np.stack([start + inverse for start, (_, inverse) in zip(starts, columns, strict=False)])
    return names.astype(np.int64), entries


def rows_of(names: np.ndarray, entries: np.ndarray, y: np.ndarray, dtype: type) -> Rows:
    """Training rows, cut into parts at first entries, as evenly as these allow."""
    order = np.argsort(entries[0], kind="stable")
    entries, y = entries[:, order], y[order]
    first = int(names[1].min())
    is_first = names[1] == first
    ends = np.cumsum(np.bincount(entries[0], minlength=int(is_first.sum())))
    middle = ends - np.diff(ends, prepend=0) / 2
    owner = np.where(is_first, 0, -1)
    owner[is_first] = np.minimum(middle * PARTS // max(len(y), 1), PARTS - 1)
    part = owner[entries[0]]
    pieces = [np.flatnonzero(part == k) for k in range(PARTS)]
    rows = [np.concatenate([piece, np.repeat(piece[:1], -len(piece) % LANES)]) for piece in pieces]
    shares = [np.repeat([1 / len(y), 0], [len(piece), len(row) - len(piece)])
              for piece, row in zip(pieces, rows, strict=True)]
    bounds = np.cumsum([0] + [len(row) for row in rows])
    index = np.concatenate(rows)
    return Rows(names, entries[:, index].astype(np.int32), y[None, index].astype(np.int32),
                np.concatenate(shares).astype(dtype), bounds, owner)


def all_rows_of(names: np.ndarray, entries: np.ndarray, y: np.ndarray, dtype: type) -> Rows:
    """All rows of a table in their order, to evaluate."""
    index = np.concatenate([np.arange(len(y)), np.zeros(-len(y) % LANES, np.int64)])
    return Rows(names, entries[:, index].astype(np.int32), y[None, index].astype(np.int32),
                np.zeros(len(index), dtype), np.array([0, len(index)]), np.full(names.shape[1], -1))

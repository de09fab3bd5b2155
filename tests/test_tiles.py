"""The vector code of a tile against NumPy, over shapes that do not divide by anything."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from grokbook.training import tiles

TOLERANCE = {np.float32: 2e-5, np.float64: 1e-13}
dtypes = st.sampled_from([np.float32, np.float64])
counts = st.integers(1, 21)
seeds = st.integers(0, 2**16)
rows = st.sampled_from([64, 128, 192])


@njit
def multiply(W, X, C, n, add):
    tiles.multiply(W, X, C, n, add)


@njit
def correlate(X, Y, G, n):
    tiles.correlate(X, Y, G, n)


@njit
def gather(table, rows, at, tile, n):
    tiles.gather(table, rows, at, tile, n)


@njit
def scatter(tile, rows, at, table, n):
    tiles.scatter(tile, rows, at, table, n)


@njit
def exponentiate(A, n):
    tiles.exponentiate(A, n)


@njit
def soften_and_scale(L, y, S, factors, n):
    tiles.soften(L, y, S, n)
    sums = S.copy()
    S[:2] = factors
    tiles.scale(L, y, S, n)
    return sums


def draw(seed, dtype, *shapes):
    generator = np.random.default_rng(seed)
    return [generator.standard_normal(shape).astype(dtype) for shape in shapes]


@settings(max_examples=30, deadline=None)
@given(seeds, dtypes, counts, counts, rows, st.booleans(), st.booleans())
def test_multiply_is_a_matrix_product(seed, dtype, n_out, n_in, n, turned, add):
    W, X, C = draw(seed, dtype, (n_out, n_in), (n_in, n + 64), (n_out, n + 64))
    expected, rest = W @ X[:, :n] + (C[:, :n] if add else 0), C[:, n:].copy()
    multiply(np.asfortranarray(W) if turned else W, X, C, n, add)
    np.testing.assert_allclose(C[:, :n], expected, atol=10 * TOLERANCE[dtype])
    assert np.array_equal(C[:, n:], rest)


@settings(max_examples=30, deadline=None)
@given(seeds, dtypes, counts, counts, rows)
def test_correlate_adds_the_product_over_rows(seed, dtype, n_x, n_y, n):
    X, Y, G = draw(seed, dtype, (n_x, n + 64), (n_y, n + 64), (n_x, n_y))
    expected = G + X[:, :n] @ Y[:, :n].T
    correlate(X, Y, G, n)
    np.testing.assert_allclose(G, expected, atol=50 * TOLERANCE[dtype])


@settings(max_examples=20, deadline=None)
@given(seeds, dtypes, st.integers(1, 9), st.integers(1, 3), rows)
def test_scatter_is_the_way_back_of_gather(seed, dtype, n_entries, vectors, n):
    width = vectors * tiles.VECTOR_BYTES // np.dtype(dtype).itemsize
    table, tile, change = draw(seed, dtype, (n_entries, width), (width, n), (n_entries, width))
    names = np.random.default_rng(seed).integers(n_entries, size=(1, n + 64)).astype(np.int32)
    gather(table, names, 64, tile, n)
    assert np.array_equal(tile, table[names[0, 64:]].T)
    expected = change.copy()
    np.add.at(expected, names[0, 64:], tile.T)
    scatter(tile, names, 64, change, n)
    np.testing.assert_allclose(change, expected, atol=50 * TOLERANCE[dtype])


@pytest.mark.parametrize("dtype, error", [(np.float32, 3e-7), (np.float64, 1e-15)])
def test_the_exponential_is_accurate_down_to_where_it_underflows(dtype, error):
    lowest = -87.0 if dtype is np.float32 else -708.0
    x = np.linspace(lowest, 0, 64 * 500).astype(dtype).reshape(500, 64)
    values = x.copy()
    exponentiate(values, 64)
    assert np.max(np.abs(values / np.exp(x.astype(np.float64)) - 1)) < error * (1 if dtype is np.float32 else 20)
    astray = np.full((1, 64), np.nan, dtype)
    exponentiate(astray, 64)
    assert np.isnan(astray).all()
    below = np.full((1, 64), 5 * lowest, dtype)
    exponentiate(below, 64)
    assert (below >= 0).all() and (below < 2 * np.exp(lowest)).all()


@settings(max_examples=30, deadline=None)
@given(seeds, dtypes, st.integers(2, 21), rows, st.sampled_from([1.0, 10.0]))
def test_soften_sums_the_others_without_the_label_and_scale_puts_it_back(seed, dtype, n_classes, n, spread):
    (logits,) = draw(seed, dtype, (n_classes, n))
    logits *= spread
    y = np.random.default_rng(seed).integers(n_classes, size=(1, n)).astype(np.int32)
    factors, stats, values = draw(seed + 1, dtype, (2, n))[0], np.zeros((4, n), dtype), logits.copy()
    sums = soften_and_scale(values, y, stats, factors, n)
    own, others = logits[y[0], np.arange(n)], np.where(np.arange(n_classes)[:, None] == y, -np.inf, logits)
    exponentials = np.exp(logits.astype(float) - logits.max(0))
    mine = np.arange(n_classes)[:, None] == y
    assert np.array_equal(sums[0], own) and np.array_equal(sums[1], others.max(0))
    tolerance = 20 * TOLERANCE[dtype]
    np.testing.assert_allclose(sums[2], np.where(mine, 0, exponentials).sum(0), rtol=tolerance)
    np.testing.assert_allclose(sums[3], exponentials[mine.nonzero()[0][np.argsort(mine.nonzero()[1])], np.arange(n)],
                               rtol=tolerance)
    np.testing.assert_allclose(values, np.where(mine, factors[1], exponentials * factors[0]), rtol=tolerance,
                               atol=tolerance * 1e-2)

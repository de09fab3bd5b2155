"""The vector code of the fused pass against NumPy, over shapes that do not divide by anything."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from grokbook.training import products, tiles
from grokbook.training.products import LANES

TOLERANCE = {np.float32: 2e-5, np.float64: 1e-13}
dtypes = st.sampled_from([np.float32, np.float64])
counts = st.integers(1, 21)
seeds = st.integers(0, 2**16)
vectors = st.integers(1, 9).map(lambda k: k * LANES)


@njit
def multiply(W, X, C, n, add):
    products.multiply(W, X, C, n, add)


@njit
def correlate(X, Y, G, n):
    products.correlate(X, Y, G, n)


@njit
def transposed(X, Y, m, n):
    products.transposed(X, Y, m, n)


@njit
def mix(table, base, entries, at, a, n_heads, n_rectified, n_features, tile, n, strip):
    tiles.mix(table, base, entries, at, a, n_heads, n_rectified, n_features, tile, n, strip)


@njit
def unmix(tile, table, entries, at, a, n_heads, n_features, n, strip, d_table, d_base, da):
    tiles.unmix(tile, table, entries, at, a, n_heads, n_features, n, strip, d_table, d_base, da)


@njit
def exponentiate(A, n):
    tiles.exponentiate(A, n)


@njit
def softmax_and_scale(L, y, S, factors, n):
    tiles.softmax(L, y, S, n)
    sums = S.copy()
    S[:2] = factors
    tiles.scale(L, y, S, n)
    return sums


def draw(seed, dtype, *shapes):
    generator = np.random.default_rng(seed)
    return [generator.standard_normal(shape).astype(dtype) for shape in shapes]


@settings(max_examples=60, deadline=None)
@given(seeds, dtypes, counts, counts, vectors, st.booleans(), st.booleans())
def test_multiply_is_a_matrix_product(seed, dtype, n_out, n_in, n, turned, add):
    W, X, C = draw(seed, dtype, (n_out, n_in), (n_in, n + 64), (n_out, n + 64))
    expected, rest = W @ X[:, :n] + (C[:, :n] if add else 0), C[:, n:].copy()
    multiply(np.asfortranarray(W) if turned else W, X, C, n, add)
    np.testing.assert_allclose(C[:, :n], expected, atol=10 * TOLERANCE[dtype])
    assert np.array_equal(C[:, n:], rest)


@settings(max_examples=60, deadline=None)
@given(seeds, dtypes, counts, counts, vectors)
def test_correlate_adds_the_product_with_the_transpose(seed, dtype, n_x, n_y, n):
    X, Y, G = draw(seed, dtype, (n_x, n + 64), (n_y, n + 64), (n_x, n_y))
    expected = G + X[:, :n] @ Y[:, :n].T
    correlate(X, Y, G, n)
    np.testing.assert_allclose(G, expected, atol=50 * TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_long_sums_are_taken_a_stretch_at_a_time(dtype):
    depth = products.DEPTH * 2 + LANES
    W, X, C, Y, G = draw(0, dtype, (7, depth), (depth, LANES), (7, LANES), (5, depth), (7, 5))
    long, sums = W @ X, G + W @ Y.T
    multiply(W, X, C, LANES, False)
    correlate(W, Y, G, depth)
    np.testing.assert_allclose(C, long, atol=100 * TOLERANCE[dtype])
    np.testing.assert_allclose(G, sums, atol=100 * TOLERANCE[dtype])


@settings(max_examples=20, deadline=None)
@given(seeds, dtypes, vectors, vectors)
def test_transposed_turns_a_matrix(seed, dtype, m, n):
    X, Y = draw(seed, dtype, (m, n + 8), (n, m + 8))
    rest = Y[:, m:].copy()
    transposed(X, Y, m, n)
    assert np.array_equal(Y[:, :m], X[:, :n].T) and np.array_equal(Y[:, m:], rest)


@settings(max_examples=60, deadline=None)
@given(seeds, dtypes, st.integers(1, 3), st.integers(1, 9), st.integers(1, 5), vectors,
       st.sampled_from([LANES, 7 * LANES, tiles.STRIP + LANES]))
def test_a_mixture_of_table_rows_and_its_way_back(seed, dtype, n_positions, n_heads, n_entries, n, width):
    """Against einsum over (row, position, head); entries repeat, so gradients of one meet."""
    at, rectified = 2 * LANES, width // 2 - width // 2 % LANES
    table, base, a = draw(seed, dtype, (n_entries, n_heads, width), (1, width), (n_positions, n_heads, n))
    entries = np.random.default_rng(seed).integers(n_entries, size=(n_positions, at + n)).astype(np.int32)
    fetched = table[entries[:, at:]]  # (position, row, head, feature)
    tile, strip = np.zeros((width, n), dtype), np.zeros((LANES, tiles.STRIP), dtype)
    mix(table.reshape(-1, width), base, entries, at, a.reshape(-1, n), n_heads, rectified, width, tile, n, strip)
    expected = base.T + np.einsum("ihr,irhf->fr", a, fetched)
    expected[:rectified] = np.maximum(expected[:rectified], 0)
    tolerance = 100 * TOLERANCE[dtype]
    np.testing.assert_allclose(tile, expected, atol=tolerance)

    change, d_table, d_base, da = draw(seed + 1, dtype, (width, n), table.shape, base.shape, a.shape)
    expected_table, expected_base = d_table.copy(), d_base + change.sum(1)
    np.add.at(expected_table, entries[:, at:], np.einsum("ihr,fr->irhf", a, change))
    expected_da = da + np.einsum("fr,irhf->ihr", change, fetched)
    unmix(change, table.reshape(-1, width), entries, at, a.reshape(-1, n), n_heads, width, n, strip,
          d_table.reshape(-1, width), d_base, da.reshape(-1, n))
    for ours, theirs in ((d_table, expected_table), (d_base, expected_base), (da, expected_da)):
        np.testing.assert_allclose(ours, theirs, atol=10 * tolerance)


@pytest.mark.parametrize("dtype, error", [(np.float32, 3e-7), (np.float64, 2e-14)])
def test_the_exponential_is_accurate_down_to_the_least_normal_number_and_zero_below(dtype, error):
    lowest = -86.99 if dtype is np.float32 else -707.99
    x = np.linspace(lowest, 0, 64 * 500).astype(dtype).reshape(500, 64)
    values = x.copy()
    exponentiate(values, 64)
    assert np.max(np.abs(values / np.exp(x.astype(np.float64)) - 1)) < error
    for given_value in (5 * lowest, -np.inf, np.nan):
        (astray,) = (np.full((1, 64), given_value, dtype),)
        exponentiate(astray, 64)
        assert np.array_equal(astray, np.full((1, 64), np.nan if np.isnan(given_value) else 0), equal_nan=True)


@settings(max_examples=30, deadline=None)
@given(seeds, dtypes, st.integers(2, 21), vectors, st.sampled_from([1.0, 10.0]))
def test_softmax_sums_the_others_without_the_label_and_scale_puts_it_back(seed, dtype, n_classes, n, spread):
    (logits,) = draw(seed, dtype, (n_classes, n))
    logits *= spread
    y = np.random.default_rng(seed).integers(n_classes, size=(1, n)).astype(np.int32)
    factors, stats, values = draw(seed + 1, dtype, (2, n))[0], np.zeros((4, n), dtype), logits.copy()
    sums = softmax_and_scale(values, y, stats, factors, n)
    is_label = np.arange(n_classes)[:, None] == y
    exponentials = np.exp(logits.astype(float) - logits.max(0))
    assert np.array_equal(sums[0], logits[y[0], np.arange(n)])
    assert np.array_equal(sums[1], np.where(is_label, -np.inf, logits).max(0))
    tolerance = 20 * TOLERANCE[dtype]
    np.testing.assert_allclose(sums[2], np.where(is_label, 0, exponentials).sum(0), rtol=tolerance)
    np.testing.assert_allclose(sums[3], exponentials[y[0], np.arange(n)], rtol=tolerance)
    np.testing.assert_allclose(values, np.where(is_label, factors[1], exponentials * factors[0]), rtol=tolerance,
                               atol=tolerance * 1e-2)

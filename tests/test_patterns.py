"""The pattern model against the paper's own sum in exact fractions, against limits worked out by hand, and drawn."""

from dataclasses import replace
from fractions import Fraction
from itertools import chain, combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grokbook.analysis import patterns as model
from grokbook.analysis.patterns import DOUBLE_DESCENT, GROKKING, PATHS, PRESETS, TIMES, Pattern

unit = st.floats(0, 1)


@st.composite
def sets(draw, most: int = 6, preference: bool = True) -> list[Pattern]:
    """Patterns, at most one of them preferred."""
    patterns = st.builds(Pattern, unit, st.floats(0, 1), st.floats(0, 300), unit)
    drawn = draw(st.lists(patterns, min_size=1, max_size=most))
    k = draw(st.none() | st.integers(0, len(drawn) - 1)) if preference else None
    return drawn if k is None else [replace(p, preferred=i == k) for i, p in enumerate(drawn)]


def summed(patterns, t) -> np.ndarray:
    """Eq 2 as it is written, subset by subset, the empty one contributing 0."""
    p = model.predictiveness(patterns, t)
    preferred = next((i for i, pattern in enumerate(patterns) if pattern.preferred), None)
    P, size, total, held = np.ones((1, *p.shape[1:])), np.zeros(1), np.zeros(1), np.zeros(1, bool)
    for i, pattern in enumerate(patterns):  # every subset so far, without pattern i and with it
        P = np.concatenate([P * (1 - p[i]), P * p[i]])
        size, total = np.concatenate([size, size + 1]), np.concatenate([total, total + pattern.g])
        held = np.concatenate([held, held | (i == preferred)])
    G = np.divide(total, size, out=np.zeros_like(total), where=size > 0)
    return np.tensordot(G if preferred is None else np.where(held, patterns[preferred].g, G), P, axes=1)


def exact(patterns, t: float) -> tuple[Fraction, Fraction]:
    """Eq 1 and Eq 2 over every subset in exact fractions, from p_i(t) as floats."""
    p = [Fraction(float(value)) for value in model.predictiveness(patterns, t)]
    places = range(len(p))
    train = test = Fraction(0)
    for A in chain.from_iterable(combinations(places, size) for size in range(1, len(p) + 1)):
        P = Fraction(1)
        for i in places:
            P *= p[i] if i in A else 1 - p[i]
        answering = [i for i in A if patterns[i].preferred] or A
        train += P
        test += P * sum(Fraction(patterns[i].g) for i in answering) / len(answering)
    return train, test


@pytest.mark.parametrize("name", PRESETS)
def test_curves_are_those_of_the_papers_sum_in_exact_fractions(name: str):
    for t in (0, 10, 30, 44, 50, 98, 150, 200, 300):
        train, test = exact(PRESETS[name], t)
        assert float(model.train_accuracy(PRESETS[name], t)) == pytest.approx(float(train), abs=1e-14)
        assert float(model.test_accuracy(PRESETS[name], t)) == pytest.approx(float(test), abs=1e-14)
        assert float(summed(PRESETS[name], t)) == pytest.approx(float(test), abs=1e-14)


def test_parameters_of_figure_2_are_the_papers():
    parameters = [(p.gamma, p.alpha, p.b, p.g, p.preferred) for p in DOUBLE_DESCENT]
    assert parameters == [(0.7, 0.15, 30, 1, False), (1, 0.15, 50, 0, False), (0.2, 0.05, 200, 1, True)]
    assert [p.gamma for p in GROKKING] == [0, 1, 1]
    assert [replace(p, gamma=0) for p in GROKKING] == [replace(p, gamma=0) for p in DOUBLE_DESCENT]


def test_a_sigmoid_is_at_half_its_height_at_b_and_grows_by_alpha():
    pattern = Pattern(0.6, 0.1, 40, 1)
    at = model.predictiveness([pattern], [40, 40 + np.log(3) / 0.1, 1e9])
    np.testing.assert_allclose(at, [[0.3, 0.45, 0.6]])


@pytest.mark.parametrize("n", [1, 2, 3, 7, 12, 20])
@pytest.mark.parametrize("preferred", [False, True])
def test_the_integral_equals_the_sum_over_subsets(n: int, preferred: bool):
    rng = np.random.default_rng(n)
    patterns = [Pattern(*rng.random(4) * [1, 0.3, 200, 1], preferred=preferred and i == n // 2) for i in range(n)]
    times = [0.0, 80.0, 1e6]
    np.testing.assert_allclose(model.test_accuracy(patterns, times), summed(patterns, times),
                               atol=1e-12)


def test_patterns_of_more_subsets_than_could_be_summed_are_no_trouble():
    hundred = [Pattern(0.5, 0.1, i, i / 100) for i in range(100)]
    assert model.test_accuracy(hundred, 1e6) == pytest.approx(np.mean([p.g for p in hundred]), abs=1e-9)


@given(sets(), st.floats(0, 400))
def test_values_are_probabilities_and_usage_adds_up_to_train_accuracy(patterns: list[Pattern], t: float):
    used, train = model.usage(patterns, t), float(model.train_accuracy(patterns, t))
    test = float(model.test_accuracy(patterns, t))
    assert (used >= 0).all() and used.sum() == pytest.approx(train, abs=1e-12)
    assert min(p.g for p in patterns) * train - 1e-12 <= test <= max(p.g for p in patterns) * train + 1e-12 <= 1 + 2e-12


@given(sets(), st.randoms(use_true_random=False), st.floats(0, 400))
def test_the_order_of_patterns_does_not_matter(patterns: list[Pattern], random, t: float):
    shuffled = random.sample(patterns, len(patterns))
    for curve in (model.train_accuracy, model.test_accuracy):
        assert float(curve(shuffled, t)) == pytest.approx(float(curve(patterns, t)), abs=1e-13)


@given(sets(), st.floats(0, 0.5), st.floats(0, 300), unit, st.booleans())
def test_a_pattern_without_height_is_not_there(patterns: list[Pattern], alpha: float, b: float, g: float, liked: bool):
    liked = liked and not any(p.preferred for p in patterns)
    more = [*patterns, Pattern(0, alpha, b, g, preferred=liked)]
    np.testing.assert_allclose(model.test_accuracy(more, TIMES), model.test_accuracy(patterns, TIMES), atol=1e-13)


@given(sets(most=1), st.floats(0, 400))
def test_one_pattern_has_test_accuracy_g_p_preferred_or_not(patterns: list[Pattern], t: float):
    p = float(model.predictiveness(patterns, t)[0])
    assert float(model.test_accuracy(patterns, t)) == pytest.approx(patterns[0].g * p, abs=1e-14)


@given(sets(), unit, st.floats(0, 400))
def test_with_one_g_for_all_test_accuracy_is_g_times_train_accuracy(patterns: list[Pattern], g: float, t: float):
    same = [replace(pattern, g=g) for pattern in patterns]
    assert float(model.test_accuracy(same, t)) == pytest.approx(g * float(model.train_accuracy(same, t)), abs=1e-12)


@given(sets(preference=False), st.floats(0, 400))
def test_preferring_the_best_pattern_never_harms_and_the_worst_never_helps(patterns: list[Pattern], t: float):
    plain = float(model.test_accuracy(patterns, t))
    for pick, sign in ((max, 1), (min, -1)):
        k = patterns.index(pick(patterns, key=lambda p: p.g))
        liked = [replace(p, preferred=i == k) for i, p in enumerate(patterns)]
        assert sign * (float(model.test_accuracy(liked, t)) - plain) >= -1e-12


def test_a_preferred_pattern_that_covers_everything_answers_everything():
    patterns = [Pattern(1, 1, 0, 0.25, preferred=True), Pattern(1, 1, 0, 1), Pattern(0.5, 1, 0, 0)]
    assert float(model.test_accuracy(patterns, 1e6)) == pytest.approx(0.25)
    np.testing.assert_allclose(model.usage(patterns, 1e6), [1, 0, 0], atol=1e-15)


def test_the_empty_subset_contributes_nothing():
    assert float(model.test_accuracy([Pattern(0.5, 1, 0, 1)], 1e6)) == 0.5
    assert float(model.test_accuracy([Pattern(0, 1, 0, 1)], 1e6)) == 0


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("t", [45.0, 100.0, 220.0])
def test_drawn_examples_agree_with_both_equations(name: str, t: float):
    """Appendix A, a hundred thousand examples: within four standard errors."""
    n = 100_000
    for drawn, curve in zip(model.simulate(PRESETS[name], t, n_examples=n), (model.train_accuracy, model.test_accuracy),
                            strict=True):
        p = float(curve(PRESETS[name], t))
        assert abs(drawn - p) <= 4 * np.sqrt(p * (1 - p) / n)


def test_simulations_repeat_themselves_and_differ_by_seed():
    assert model.simulate(GROKKING, 200) == model.simulate(GROKKING, 200) != model.simulate(GROKKING, 200, seed=1)


def test_curves_have_the_shape_of_time():
    times = np.arange(6.0).reshape(2, 3)
    assert model.predictiveness(GROKKING, times).shape == (3, 2, 3) == model.usage(GROKKING, times).shape
    assert model.test_accuracy(GROKKING, times)[1, 0] == model.test_accuracy(GROKKING, 3)
    assert model.train_accuracy(GROKKING, times).shape == (2, 3)


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_every_path_leads_from_double_descent_to_grokking(path):
    assert tuple(model.along(path, 0)) == DOUBLE_DESCENT and tuple(model.along(path, 1)) == GROKKING
    stop = model.along(path, 0.5)
    assert 0 <= stop[0].gamma <= 0.7 and 0.2 <= stop[2].gamma <= 1 and stop[1] == DOUBLE_DESCENT[1]


@pytest.mark.parametrize("field, value, valid", [
    ("gamma", 1.5, "0 to 1"), ("gamma", float("nan"), "0 to 1"), ("g", -0.1, "0 to 1"),
    ("alpha", -1, "a finite number, 0 or more"), ("alpha", float("inf"), "finite"), ("b", -0.5, "0 or more"),
])
def test_bad_parameters_are_refused_by_name(field: str, value: float, valid: str):
    with pytest.raises(ValueError, match=f"^{field}=.* is not valid; valid: .*{valid}"):
        replace(DOUBLE_DESCENT[0], **{field: value})


def test_other_types_and_impossible_sets_are_refused():
    with pytest.raises(TypeError, match="gamma='a' is of type str; gamma takes float"):
        Pattern("a", 0, 0, 0)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="preferred=1 is of type int"):
        Pattern(0, 0, 0, 0, preferred=1)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="there are no patterns; valid: one or more"):
        model.test_accuracy([], 0)
    with pytest.raises(ValueError, match="patterns 1, 3 are preferred; valid: at most one"):
        model.usage([replace(p, preferred=i != 1) for i, p in enumerate(GROKKING)], 0)
    with pytest.raises(ValueError, match="share=1.5 is not on the way; valid: 0 to 1"):
        model.along(PATHS["first γ₁, then γ₃"], 1.5)

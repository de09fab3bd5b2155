import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import fake_run

from grokbook.config import RunConfig
from grokbook.run import ACCURACIES, PER_DECADE, SETTLED, covers, evaluation_steps, has_settled

BUDGETS = st.integers(0, 200_000)
NAN = float("nan")


@given(BUDGETS)
def test_a_run_is_looked_at_first_and_last_and_ever_more_rarely(n_steps):
    steps = evaluation_steps(n_steps)
    assert steps.dtype == np.int64
    assert (steps[0], steps[-1]) == (0, n_steps)
    assert np.all(np.diff(steps) > 0)
    later = steps[steps >= PER_DECADE]
    assert np.all(later[1:] <= later[:-1] * 10 ** (1 / PER_DECADE) + 1)


@given(BUDGETS, BUDGETS)
def test_budgets_share_their_grid(budget, other):
    shorter, longer = sorted([budget, other])
    shared = evaluation_steps(longer)
    np.testing.assert_array_equal(evaluation_steps(shorter)[:-1], shared[shared < shorter])


def test_the_grid_is_the_one_that_stored_curves_have():
    assert evaluation_steps(0).tolist() == [0]
    assert evaluation_steps(100_000)[[1, 20, 25, 50, 100, -2]].tolist() == [1, 20, 25, 79, 794, 95_499]
    assert len(evaluation_steps(100_000)) == 206


def ending(*tail, start=0.5):
    """Accuracies (evaluation, 3) that end in the given rows."""
    return np.array([[start] * 3] * 3 + [list(row) for row in tail])


@pytest.mark.parametrize(("accuracies", "settled"), [
    (ending(*[(1, 1, 1)] * SETTLED), True),
    (ending(*[(1, 1, 1)] * (SETTLED - 1)), False),
    (ending((1, 1, 0.9999), *[(1, 1, 1)] * SETTLED), True),
    (ending(*[(1, 1, 1)] * (SETTLED - 1), (1, 1, 0.9999)), False),
    (ending(*[(1, 1, 1)] * SETTLED, (1, 0.9999, 1)), False),
    (np.ones((SETTLED - 1, 3)), False),
    (np.ones((SETTLED, 3)), True),
    (ending(*[(1, NAN, NAN)] * SETTLED), True),
    (ending(*[(0.9, NAN, NAN)] * SETTLED), False),
    (ending(*[(1, 1, NAN)] * (SETTLED - 1), (1, 0.9, NAN)), False),
    (ending(*[(NAN, NAN, NAN)] * SETTLED), False),
    (np.empty((0, 3)), False),
])
def test_a_run_has_settled_once_every_accuracy_that_exists_stayed_at_one(accuracies, settled):
    assert has_settled(accuracies) is settled


@pytest.mark.parametrize(("last_step", "settled", "stop_early", "reached"), [
    (1000, False, True, True),
    (1000, False, False, True),
    (2000, False, False, True),
    (999, False, True, False),
    (999, True, True, True),
    (999, True, False, False),
    (1000, True, False, True),
])
def test_a_run_covers_a_request_that_asks_no_further(last_step, settled, stop_early, reached):
    assert covers(last_step, settled, RunConfig(n_steps=1000, stop_early=stop_early)) is reached


def test_a_run_settled_if_it_did_anywhere_along_its_curves():
    run = fake_run(RunConfig(n_steps=1000), settled=True)
    assert run.settled and not fake_run(RunConfig(n_steps=1000)).settled
    trained_on = fake_run(RunConfig(n_steps=3000))
    for name in ACCURACIES:
        trained_on.curves[name][40 : 40 + SETTLED] = 1
    assert trained_on.settled

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grokbook.config import TASKS, RunConfig
from grokbook.tasks import rng, split, table

RULES = {
    "add": lambda a, b, p: (a + b) % p,
    "square": lambda a, b, p: (a + b) * (a + b) % p,
    "divide": lambda a, b, p: next(c for c in range(p) if c * b % p == a),
}


def small(task, p=7, D_train=20, **more):
    return RunConfig(task=task, p=p, D_train=D_train, **more)


def pairs(t):
    """(a, b) of every row."""
    return [(int(row[0]), int(row[-2])) for row in t.tokens]


@pytest.mark.parametrize("p", [2, 3, 5, 7, 11, 13])
@pytest.mark.parametrize("task", RULES)
def test_labels_are_those_of_arithmetic_done_by_hand(task, p):
    t = table(small(task, p, D_train=1))
    wanted = {(a, b): RULES[task](a, b, p) for a in range(p) for b in range(task == "divide", p)}
    assert dict(zip(pairs(t), t.labels.tolist(), strict=True)) == wanted
    assert len(t) == len(wanted)


def test_division_undoes_multiplication():
    t = table(RunConfig(task="divide"))
    a, b = t.tokens[:, 0], t.tokens[:, 1]
    assert len(t) == 113 * 112 and b.min() == 1
    np.testing.assert_array_equal(b * t.labels % 113, a)


def labels_by_pair(task, **more):
    t = table(small(task, 11, **more))
    return dict(zip(pairs(t), t.labels.tolist(), strict=True))


def test_random_labels_obey_commutativity_only_where_they_should():
    symmetric, ordered = labels_by_pair("random"), labels_by_pair("random-ordered")
    assert all(label == symmetric[b, a] for (a, b), label in symmetric.items())
    assert sum(label != ordered[b, a] for (a, b), label in ordered.items()) > 0.7 * 11 * 11


@pytest.mark.parametrize("task", ["random", "random-ordered"])
def test_random_labels_are_fresh_for_every_seed_and_use_every_number(task):
    assert labels_by_pair(task) != labels_by_pair(task, seed=1)
    counts = np.bincount(table(RunConfig(task=task)).labels, minlength=113)
    assert counts.min() > 0.4 * 113 and counts.max() < 1.8 * 113


@pytest.mark.parametrize("task", TASKS)
def test_a_network_reads_a_b_equals(task):
    config = small(task)
    t = table(config)
    assert t.tokens.shape == (len(t), config.n_ctx) and t.tokens.dtype == t.labels.dtype == np.int64
    assert set(t.tokens[:, -1]) == {config.d_vocab - 1}
    assert len({tuple(row) for row in t.tokens}) == len(t)
    assert 0 <= t.labels.min() and t.labels.max() < config.p


def test_two_tasks_share_numbers_but_not_their_sign():
    t = table(small("add+random", 5))
    additions, subtractions = t.tokens[:25], t.tokens[25:]
    assert (set(additions[:, 1]), set(subtractions[:, 1])) == ({5}, {6})
    np.testing.assert_array_equal(additions[:, [0, 2, 3]], subtractions[:, [0, 2, 3]])
    np.testing.assert_array_equal(t.labels[:25], (additions[:, 0] + additions[:, 2]) % 5)
    assert t.probe.tolist() == [True] * 25 + [False] * 25


@pytest.mark.parametrize("task", TASKS)
def test_the_mirror_of_a_row_holds_the_pair_the_other_way_round(task):
    t = table(small(task, 5))
    mirrored = t.tokens.copy()
    mirrored[:, [0, -2]] = mirrored[:, [-2, 0]]
    without = t.mirror == -1
    np.testing.assert_array_equal(t.tokens[t.mirror][~without], mirrored[~without])
    np.testing.assert_array_equal(without, (t.tokens[:, 0] == 0) if task == "divide" else False)


@given(st.sampled_from(TASKS), st.data())
@settings(max_examples=50)
def test_a_split_has_the_wished_sizes_and_validates_on_the_rest_of_the_task(task, data):
    n_pairs = RunConfig(task=task, p=7, D_train=1).n_pairs
    D_train, seed = data.draw(st.integers(1, n_pairs)), data.draw(st.integers(0, 99))
    D_random = data.draw(st.integers(0, 49)) if task == "add+random" else 0
    config = small(task, D_train=D_train, D_random=D_random, seed=seed)
    t, s = table(config), split(config)
    assert (s.train & t.probe).sum() == config.D_train
    assert (s.train & ~t.probe).sum() == config.D_random
    np.testing.assert_array_equal(s.val, t.probe & ~s.train)


@pytest.mark.parametrize("task", TASKS)
def test_a_smaller_training_set_is_part_of_a_larger_one(task):
    sets = [split(small(task, D_train=D_train)).train for D_train in (1, 10, 11, 30, 42)]
    assert all(np.all(larger[smaller]) for smaller, larger in zip(sets, sets[1:], strict=False))


def test_random_rows_are_nested_too_and_leave_the_additions_alone():
    few, many = (split(small("add+random", D_random=n)) for n in (5, 30))
    assert np.all(many.train[few.train])
    np.testing.assert_array_equal(few.train[:49], many.train[:49])
    np.testing.assert_array_equal(few.train[:49], split(small("add")).train)


@pytest.mark.parametrize("task", TASKS)
def test_twin_free_pairs_are_those_that_no_shortcut_answers(task):
    config = small(task, D_random=9 if task == "add+random" else 0)
    t, s = table(config), split(config)
    rows = [tuple(row) for row in t.tokens]
    trained = {row for row, in_train in zip(rows, s.train, strict=True) if in_train}
    for row, in_val, twin_free in zip(rows, s.val, s.twin_free_val, strict=True):
        twin_trained = (row[-2], *row[1:-2], row[0], row[-1]) in trained
        given_away = row[0] == 0 if task == "divide" else twin_trained and task != "random-ordered"
        assert twin_free == (in_val and not given_away)


@pytest.mark.parametrize("seed", range(3))
def test_a_symmetric_memoriser_would_be_right_on_a_share_of_D_train_over_p_squared(seed):
    s = split(RunConfig(D_train=3000, seed=seed))
    share = 1 - s.twin_free_val.sum() / s.val.sum()
    assert share == pytest.approx(3000 / 113**2, abs=0.015)


@pytest.mark.parametrize("task", TASKS)
def test_tables_and_splits_are_the_same_at_every_reading_whatever_else_is_trained(task):
    config = small(task, seed=5)
    other = config.replace(d_h=8, lr=0.1, n_steps=3)
    for first, second in ((table(config), table(other)), (split(config), split(other))):
        for name, array in vars(first).items():
            np.testing.assert_array_equal(array, vars(second)[name])


def test_draws_are_those_that_stored_runs_were_trained_on():
    assert np.flatnonzero(split(RunConfig()).train)[:6].tolist() == [15, 16, 20, 21, 22, 23]
    mixed = RunConfig(task="add+random", D_random=10, seed=1)
    assert np.flatnonzero(split(mixed).train)[-3:].tolist() == [24134, 24348, 25472]
    assert table(RunConfig(task="random")).labels[:6].tolist() == [94, 29, 12, 33, 46, 92]
    assert table(RunConfig(task="random-ordered", seed=2)).labels[:6].tolist() == [57, 96, 27, 95, 76, 42]
    assert table(RunConfig(task="add+random", seed=2)).labels[-6:].tolist() == [33, 75, 89, 13, 106, 2]


def test_every_purpose_of_every_seed_has_a_stream_of_its_own():
    streams = {(seed, purpose): rng(seed, purpose).random(1000)
               for seed in (0, 1, 2, 2**40) for purpose in ("weights", "split", "labels")}
    together = np.corrcoef(list(streams.values())) - np.eye(len(streams))
    assert np.abs(together).max() < 0.15
    np.testing.assert_array_equal(rng(1, "split").random(1000), streams[1, "split"])

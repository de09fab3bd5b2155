"""The circuit's measures on what was built by hand from known frequencies, on noise, and against closed forms."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from grokbook import models, tasks
from grokbook.analysis import circuit
from grokbook.claims import circuit as claim
from grokbook.claims.card import TooLittle
from grokbook.config import RunConfig
from grokbook.store import Store

KEYS = [2, 5, 9]
P = 23
A, B, C = np.ogrid[:P, :P, :P]


def angle(k: int, n):
    return 2 * np.pi * k * n / P


def voted(frequencies=KEYS, size=20.0) -> np.ndarray:
    """Logits of a network that is its circuit and nothing else."""
    return np.sum([size * np.cos(angle(k, A + B - C)) for k in frequencies], 0)


def embedded(p=P, frequencies=KEYS, d=16) -> np.ndarray:
    """An embedding of circles of these frequencies, turned at random."""
    waves = [f(2 * np.pi * k * np.arange(p) / p) for k in frequencies for f in (np.cos, np.sin)]
    return np.stack(waves, 1) @ np.linalg.qr(np.random.default_rng(0).normal(size=(d, d)))[0][:len(waves)]


def noise(*shape: int, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("p", [23, 24, 113])
def test_an_embedding_of_three_frequencies_has_exactly_these(p):
    share = circuit.power(embedded(p) + 3)  # the same for all numbers is no frequency
    assert sorted(circuit.key_frequencies(share)) == KEYS
    np.testing.assert_allclose(share[np.array(KEYS) - 1], 1 / 3)


@given(st.integers(0, 1000), st.sampled_from([97, 112, 113]))
def test_a_random_embedding_has_none_and_its_shares_sum_to_one(seed, p):
    share = circuit.power(noise(p, 64, seed=seed))
    assert circuit.key_frequencies(share) == [] and share.sum() == pytest.approx(1) and len(share) == p // 2


def test_power_is_that_of_the_centred_rows():
    """Parseval: a row of cosines of size c at k has power p c² / 2, at p / 2 of an even p it has p c²."""
    n = np.arange(24)
    share = circuit.power(np.stack([2 * np.cos(2 * np.pi * 3 * n / 24), np.cos(np.pi * n)], 1))
    assert share[2] == pytest.approx(2 / 3) and share[11] == pytest.approx(1 / 3)


def test_neurons_are_known_by_the_frequency_they_tile():
    a, b = A[:, :, 0], B[:, :, 0]
    neurons = np.stack([1 + np.cos(angle(2, a)) * np.sin(angle(2, b)) + np.sin(angle(2, a)),
                        np.cos(angle(5, a + b) + 1) + 0 * a, np.cos(angle(9, a)) + np.sqrt(3) * np.cos(angle(4, b)),
                        np.full((P, P), 0.1)], 2)
    tiles = circuit.neuron_frequencies(neurons)
    assert tiles["frequency"].tolist() == [2, 5, 4, 0]
    np.testing.assert_allclose(tiles["share"], [1, 1, 0.75, np.nan])
    assert circuit.neuron_frequencies(noise(P, P, 30))["share"].to_numpy().max() < 0.2


def test_logits_of_three_frequencies_are_explained_by_these_alone():
    share = circuit.logit_share(voted() + 3 * A + 7 * B)  # what is the same for every answer does not count
    np.testing.assert_allclose(share[np.array(KEYS) - 1], 1 / 3)
    assert share.sum() == pytest.approx(1)
    np.testing.assert_allclose(circuit.votes(voted() + 7)[np.array(KEYS) - 1], 20)
    assert np.abs(np.delete(circuit.votes(voted()), np.array(KEYS) - 1)).max() < 1e-9
    assert circuit.logit_share(noise(P, P, P)).sum() < 0.01
    assert circuit.logit_share(np.sin(angle(3, A + B - C))).sum() == pytest.approx(0)  # turned by a quarter
    mixed = voted([2], 1.0) + np.cos(angle(5, A - B - C))
    assert circuit.logit_share(mixed).sum() == pytest.approx(0.5)


def test_restricted_and_excluded_logits_add_up_to_the_whole():
    logits = noise(P, P, P)
    parts = circuit.restricted(logits, KEYS) + circuit.excluded(logits, KEYS)
    np.testing.assert_allclose(parts, logits + logits.mean((0, 1)), atol=1e-12)


def test_restriction_keeps_the_circuit_and_exclusion_what_was_memorised():
    known = np.random.default_rng(0).random((P, P)) < 0.3
    memory = 20.0 * known[..., None] * ((A + B) % P == C)
    both = voted() + memory
    assert circuit.loss(circuit.restricted(both, KEYS)) < 1e-3
    assert circuit.loss(circuit.excluded(both, KEYS), known) < 1e-3
    assert circuit.loss(circuit.excluded(voted(), KEYS), known) == pytest.approx(np.log(P))
    assert circuit.loss(circuit.restricted(memory, KEYS)) > 0.5 * np.log(P)  # memory leaks a little
    assert circuit.loss(circuit.restricted(voted(), [1, 3])) == pytest.approx(np.log(P))


@pytest.mark.parametrize("p, heads, fields", [(7, 2, {}), (12, 4, {}), (7, 2, {"task": "add+random", "D_random": 9})])
def test_the_pass_is_that_of_the_specification(p, heads, fields):
    config = RunConfig(p=p, d_h=8, n_heads=heads, D_train=20, init_scale=3.0, **fields)
    weights = models.initial_weights(config)
    expected = models.build(config, weights, torch.float64)(torch.tensor(tasks.table(config).tokens)).detach().numpy()
    ours = [circuit.forward(weights, config, op).logits.reshape(p * p, p) for op in range(config.n_ctx - 2)]
    np.testing.assert_allclose(np.concatenate(ours), expected[:, :p], atol=1e-10)


def test_a_fresh_network_has_no_circuit_and_one_that_was_given_circles_has_its_keys():
    config = RunConfig(d_h=32, D_train=3000)
    weights = models.initial_weights(config)
    fresh = circuit.measure(weights, config)
    assert fresh["n_keys"] == fresh["embedding"] == fresh["neurons"] == fresh["logits"] == 0
    weights["W_E"][:113] = embedded(113, d=32)
    assert circuit.measure(weights, config)["n_keys"] == 3


def test_what_is_not_analysed_is_refused(tmp_path):
    with pytest.raises(ValueError, match="n_layers=2.* is not analysed; valid: a transformer of one layer that adds"):
        circuit.forward({}, RunConfig(n_layers=2))
    with pytest.raises(ValueError, match="network='grokkd' is unknown; valid: grokked, "):
        circuit.stored("grokkd")
    with pytest.raises(LookupError, match="weights of network 'grokked' are not stored"):
        circuit.stored("grokked", Store(tmp_path))


def test_the_claim_can_pass_and_fail():
    good = {"n_keys": 5, "embedding": 0.9, "neurons": 0.8, "logits": 0.9, "restricted_loss": 0.01, "excluded_loss": 9.0}
    bad = {"n_keys": 0, "embedding": 0.0, "neurons": 0.0, "logits": 0.0, "restricted_loss": 4.7, "excluded_loss": 0.01}

    def says(*rows: dict) -> str:
        return claim.judged(pd.DataFrame(rows), np.log(113)).verdict
    assert says(good, good, good, bad) == "reproduced"
    assert says(good, good, good, good) == says(good, good, good | {"neurons": 0.4}, bad) == "partly"
    assert says(good, good, bad, bad) == says(good, good, good | {"excluded_loss": 1.0}, bad) == "not reproduced"


def test_the_first_signs_are_the_circles_that_stay():
    """One of three circles early, all later: a third is found, and nothing in the weights that it starts from."""
    config = RunConfig(d_h=32, D_train=3000)
    by_step = {step: models.initial_weights(config) for step in (0, 5, 10, 20)}
    by_step[5]["W_E"][:113] = embedded(113, [KEYS[0], 30], d=32)
    for step in (10, 20):
        by_step[step]["W_E"][:113] = embedded(113, d=32)
    signs = circuit.first_signs(by_step, config, (0, 5, 10, 15))
    assert signs.index.tolist() == [0, 5, 10, 20]
    np.testing.assert_allclose(signs["found"], [0, 1 / 3, 1, 1])
    assert np.max(signs["twin_free_val_acc"]) < 0.05


def test_accuracies_are_those_of_each_part_of_the_table():
    config = RunConfig(p=P, D_train=200)
    right = np.eye(P)[(A + B)[..., 0] % P]
    assert circuit.accuracies(right, config) == dict.fromkeys(("train_acc", "val_acc", "twin_free_val_acc"), 1.0)
    known = tasks.split(config).train.reshape(P, P)
    memory = np.where(known[..., None], right, np.eye(P)[(A + B + 1)[..., 0] % P])
    assert circuit.accuracies(memory, config) == {"train_acc": 1, "val_acc": 0, "twin_free_val_acc": 0}


def test_frequencies_come_first_or_not_or_too_few_tell():
    def network(found: float, end=1.0) -> pd.DataFrame:
        return pd.DataFrame({"found": [0, found, 1, 1], "twin_free_val_acc": [0, 0.1, 0.11, end]}, index=[1, 2, 3, 4])

    def says(*founds: float) -> str:
        tables = [network(found).rename_axis("step") for found in founds]
        return claim.judged_first(tables).verdict
    assert says(0.5, 1, 1, 1, 1) == "reproduced"
    assert says(0.4, 0, 0, 0, 0) == "not reproduced"
    assert says(1, 1, 1, 0, 0) == "not yet measured"
    for few in ([network(1)] * 4, [*[network(1)] * 4, network(1, end=0.9)]):
        with pytest.raises(TooLittle, match="4 networks that grokked have weights from before they did; it takes 5"):
            claim.judged_first([table.rename_axis("step") for table in few])


def early(share, step=0) -> pd.DataFrame:
    """Three sizes by seven numbers of pairs by three seeds, of which the last two of seven, and a seed of a third, end
    well; `share` of the number of pairs and of whether it does."""
    runs = pd.DataFrame([(d_h, D_train, seed) for d_h in (32, 48, 64) for D_train in range(2000, 3400, 200)
                         for seed in range(3)], columns=["d_h", "D_train", "seed"])
    runs["understands"] = (runs["D_train"] > 2800) | ((runs["D_train"] == 2800) & (runs["seed"] == 1))
    return runs.assign(share=share(runs["D_train"] / 4000 + np.random.default_rng(step).normal(0, 0.002, len(runs)),
                                   runs["understands"]))


def test_early_frequencies_tell_or_tell_no_more_than_the_number_of_pairs_or_nothing():
    foretells = {step: early(lambda D_train, ends: D_train / 100 + ends, step) for step in (200, 1000)}
    by_pairs = {step: early(lambda D_train, ends: D_train, step) for step in (200, 1000)}
    against = {step: early(lambda D_train, ends: -D_train, step) for step in (200, 1000)}
    for tables, expected in ((foretells, "reproduced"), (by_pairs, "partly"), (against, "not reproduced"),
                             ({200: against[200], 1000: foretells[1000]}, "partly")):
        assert claim.judged_early(tables).verdict == expected
    told = circuit.foretold(foretells[200])
    assert told["by_seed"].tolist() == [1, 1, 1] and told["by_cell"].tolist() == [1, 1, 1]
    np.testing.assert_allclose(told["D_crit"], circuit.critical(foretells[200]))
    blind = early(lambda D_train, ends: D_train.where(D_train > 0.6))
    assert circuit.foretold(blind)["by_seed"].tolist() == [1, 1, 1]  # who is not asked is no pair


def test_concentration_is_the_share_of_the_strongest():
    assert circuit.concentration({"W_E": embedded()}, P) == pytest.approx(1)
    assert circuit.concentration({"W_E": noise(113, 64)}, 113) < 0.15


def test_phases_end_where_excluded_loss_turns():
    along = pd.DataFrame({"excluded_loss": [5, 3, 2, 9, 4, 1]}, index=[0, 10, 20, 30, 40, 50])
    assert circuit.phases(along) == {"memorising": (0, 20), "forming": (20, 30), "clean-up": (30, 50)}
    assert circuit.phases(along.iloc[:3]) == {"memorising": (0, 20), "forming": (20, 20), "clean-up": (20, 20)}

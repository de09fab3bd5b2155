"""Studies are the papers' grids, and their laptop sizes are parts of them."""

import pytest
from samples import fake_run

from grokbook import Run, RunConfig, Store, studies

IDENTITY_OF_PAPER = {"critical_size": (7 * 11 * 11), "double_descent": 15 * 4 * 11, "harder_task": 15 * 11,
                     "capacity": 14 * 3, "commutative_memory": 2 * 14 * 3, "zone_map": 15 * 26 * 3}


@pytest.mark.parametrize("name, n", IDENTITY_OF_PAPER.items())
def test_the_papers_grids_have_their_number_of_runs(name, n):
    assert len(studies.named(name)) == n


@pytest.mark.parametrize("name", studies.STUDIES)
def test_no_study_wants_a_run_twice_and_the_laptop_wants_only_what_the_paper_wants(name):
    paper, laptop = (studies.named(name, size) for size in studies.SIZES)
    ids = [{run.run_id for run in study} for study in (paper, laptop)]
    assert len(ids[0]) == len(paper) and len(ids[1]) == len(laptop)
    if name != "recipe":  # whose laptop size shows the four example cells, two of them off its coarse grid
        assert ids[1] <= ids[0]


def test_studies_share_runs():
    shared = {run.run_id for run in studies.critical_size()} & {run.run_id for run in studies.zone_map()}
    assert len(shared) == 7 * 11 * 3


def test_a_name_may_be_written_with_hyphens():
    assert studies.named("zone-map", "laptop") == studies.zone_map("laptop")


@pytest.mark.parametrize("name, size, sentence", [
    ("zones", "paper", "study='zones' is unknown; valid: grokking, "), ("capacity", "huge", "size='huge' is unknown"),
])
def test_what_there_is_not_is_refused(name, size, sentence):
    with pytest.raises(ValueError, match=sentence):
        studies.named(name, size)


def test_a_study_knows_what_is_missing_and_loads_what_is_there(tmp_path):
    configs = tuple(RunConfig(p=7, D_train=20, seed=seed, n_steps=30) for seed in range(3))
    study, store = studies.Study("small", "laptop", "ours", configs), Store(tmp_path)
    assert study.missing(store) == list(configs)
    longer: Run = fake_run(configs[1].replace(n_steps=50))
    store.write([longer], "another")
    assert study.missing(store) == [configs[0], configs[2]]
    assert study.load(store)["seed"].values.tolist() == [1] and study.load(store)["step"].max() == 30
    assert study.load(store).attrs["never_trained"] == {"d_h": [], "D_train": []}


def test_sizes_without_any_run_are_told_apart_from_those_of_no_study(tmp_path):
    configs = tuple(RunConfig(p=7, D_train=D, d_h=d_h, n_steps=30) for d_h in (4, 8, 12) for D in (20, 25))
    study, store = studies.Study("small", "laptop", "ours", configs), Store(tmp_path)
    store.write([fake_run(configs[0]), fake_run(configs[3])], "another")
    assert study.load(store).attrs["never_trained"] == {"d_h": [12], "D_train": []}


def test_part_of_a_study_is_chosen_by_values():
    study = studies.critical_size()
    assert {(run.d_h, run.seed) for run in study.where(d_h=64, seed=0)} == {(64, 0)}
    assert len(study.where(d_h=64, seed=0)) == 11 and len(study.where(d_h=5)) == 0
    with pytest.raises(AttributeError, match="dh"):
        study.where(dh=64)

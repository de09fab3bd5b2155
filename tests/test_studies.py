"""Studies are the papers' grids, their laptop sizes are parts of them, and one door opens what was trained of them."""

import hashlib

import pytest
from samples import fake_run

import grokbook as gb
from grokbook import RunConfig, Store, studies

IDENTITY_OF_PAPER = {"critical_size": (7 * 11 * 11), "double_descent": 15 * 4 * 11, "harder_task": 15 * 11,
                     "capacity": 14 * 3, "commutative_memory": 2 * 14 * 3, "zone_map": 15 * 26 * 3,
                     "larger_weights": (15 * 3 + 2 * 11 - 2 * 3) * 11}

WANTED = {
    "grokking/paper": "52ceca1c42a9a742",
    "grokking/laptop": "52ceca1c42a9a742",
    "critical_size/paper": "bc705e5b20c40776",
    "critical_size/laptop": "d65175b6acfd267c",
    "double_descent/paper": "638261b0f46b361b",
    "double_descent/laptop": "7896510bb3ca0ded",
    "harder_task/paper": "69c10edf4b222935",
    "harder_task/laptop": "5e714aac6ec452d0",
    "capacity/paper": "106fc0f24bd746b3",
    "capacity/laptop": "db64d96171545e9e",
    "commutative_memory/paper": "04271ab082954938",
    "commutative_memory/laptop": "05b8f0da06e5f31d",
    "zone_map/paper": "baf6462d64327be2",
    "zone_map/laptop": "1ce2ed24278c9d28",
    "four_dynamics/paper": "7ca3248fab9ea3e7",
    "four_dynamics/laptop": "1898714d43b5bf69",
    "recipe/paper": "f89e78ccc8600ced",
    "recipe/laptop": "8491a75d9f721453",
    "division/paper": "8d24fcf402296c07",
    "division/laptop": "8472c898f649d775",
    "model_wise/paper": "fe201742971dbcdc",
    "model_wise/laptop": "565976085e4f5838",
    "larger_weights/paper": "c9cea23d171b77b3",
    "larger_weights/laptop": "be51d09ed5477506",
    "candidates/paper": "7f73464bc59f5af4",
    "candidates/laptop": "8d5f5742a560ca7d",
    "weak_decay/paper": "dea7ff2033b3b589",
    "weak_decay/laptop": "dea7ff2033b3b589",
    "descent_row/paper": "ccc0b18f73ac1a45",
    "descent_row/laptop": "99cdd3a3c4fba0f1",
    "few_pairs/paper": "9f394ba0b6a7cfb4",
    "few_pairs/laptop": "9f394ba0b6a7cfb4",
    "retrained/paper": "833cf8674b318cf2",
    "retrained/laptop": "833cf8674b318cf2",
    "emergence/paper": "08f50593dd922196",
    "emergence/laptop": "8b52942b81635b23",
    "separate_parameters/paper": "b81fd3b07c90d285",
    "separate_parameters/laptop": "bbc784fb2a320ebb",
    "mixture_depth/paper": "db3ca5a67d1309d2",
    "mixture_depth/laptop": "92b42d3984555c6c",
    "mixture_recipe/paper": "effa33f45dd5e1ab",
    "mixture_recipe/laptop": "be7c5446b379cf20",
    "universality/paper": "ae9b2a30616fd004",
    "universality/laptop": "04ba32aef0263e79",
    "data_fraction/paper": "6c991fd2cf435db7",
    "data_fraction/laptop": "072fdfdc2b977d10",
    "ungrokking/paper": "8822e173b2fe2790",
    "ungrokking/laptop": "7baeb3a7ab706c92",
    "efficiency/paper": "66879599c5007366",
    "efficiency/laptop": "6fef1a0436b7ca29",
}
"""Digests of every run's run_id and budget: what is stored belongs to these."""


@pytest.mark.parametrize("name, n", IDENTITY_OF_PAPER.items())
def test_the_papers_grids_have_their_number_of_runs(name, n):
    assert len(studies.named(name).paper) == n


@pytest.mark.parametrize("name", WANTED)
def test_the_runs_of_a_study_are_those_that_were_trained_for_it(name):
    study, _, size = name.partition("/")
    lines = "\n".join(f"{run.run_id} {run.n_steps} {run.stop_early}" for run in studies.named(study).runs(size))
    assert hashlib.sha256(lines.encode()).hexdigest()[:16] == WANTED[name]


@pytest.mark.parametrize("study", studies.STUDIES.values(), ids=studies.STUDIES)
def test_no_study_wants_a_run_twice_and_the_laptop_wants_only_what_the_paper_wants(study):
    paper, laptop = ({run.run_id for run in study.runs(size)} for size in studies.SIZES)
    assert len(paper) == len(study.paper) and len(laptop) == len(study.laptop)
    assert laptop <= paper
    assert all(study.shown <= run.n_steps for run in study.paper)
    assert studies.STUDIES[study.name] is study is getattr(studies, study.name)


def test_studies_share_runs():
    shared = {run.run_id for run in studies.critical_size.paper} & {run.run_id for run in studies.zone_map.paper}
    assert len(shared) == 7 * 11 * 3


def test_a_name_may_be_written_with_hyphens():
    assert studies.named("zone-map") is studies.zone_map


def test_what_there_is_not_is_refused():
    with pytest.raises(ValueError, match="study='zones' is unknown; valid: grokking, "):
        studies.named("zones")
    with pytest.raises(ValueError, match="size='huge' is unknown; valid: paper, laptop"):
        studies.capacity.runs("huge")
    with pytest.raises(ValueError, match="dh=8 names no field of a run; valid: architecture, "):
        gb.load("critical_size", dh=8)


@pytest.fixture
def small(monkeypatch) -> studies.Study:
    """A study of six runs, shown at 30 of their 60 steps."""
    runs = tuple(RunConfig(p=7, D_train=D, d_h=d_h, n_steps=60) for d_h in (4, 8, 12) for D in (20, 25))
    study = studies.Study("small", "ours", "", 30, runs, runs[:3])
    monkeypatch.setitem(studies.STUDIES, "small", study)
    return study


def test_a_study_knows_what_is_missing(small, tmp_path):
    store = Store(tmp_path)
    assert small.missing("laptop", store) == list(small.laptop)
    store.write([fake_run(small.paper[1].replace(n_steps=90))], "another")
    assert small.missing("laptop", store) == [small.paper[0], small.paper[2]]


def test_every_door_opens_on_the_same_runs_at_the_same_step(small, tmp_path):
    """Whether the runs were followed as far as the book shows, or further, in whatever folder they lie."""
    store = Store(tmp_path)
    store.write([fake_run(small.paper[0].replace(n_steps=30)), fake_run(small.paper[3])], "small")
    store.write([fake_run(small.paper[4].replace(n_steps=29))], "another")
    runs = gb.load("small", store=store)
    assert runs.identical(gb.load("small", 30, store=tmp_path)) and runs.identical(small.load(store=store))
    assert runs["step"].max() == 30 and runs["trained"].sum() == 2
    assert runs.attrs["never_trained"] == {"d_h": [12], "D_train": []}
    assert gb.load("small", 60, store=store)["d_h"].values.tolist() == [8]
    assert gb.load("small", d_h=4, store=store)["D_train"].values.tolist() == [20]
    assert gb.load("another", store=store)["last_step"].max() == 29
    with pytest.raises(LookupError, match="none of the requested runs is in"):
        gb.load("small", d_h=12, store=store)
    with pytest.raises(LookupError, match="there are no runs in .*smal, train them first; studies in .*another, small"):
        gb.load("smal", store=store)

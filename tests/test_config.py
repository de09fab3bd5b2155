import dataclasses
import functools
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell
from samples import ROOT, configs, finish, run_python

from grokbook import config, studies
from grokbook.config import BUDGET, FIELDS, IDENTITY, SHARED, RunConfig

BIG: dict[str, Any] = dict(p=113, task="add+random")
OTHER: dict[str, Any] = dict(
    architecture="mlp", task="square", p=97, D_train=3000, D_random=5, d_h=32, n_heads=2, n_layers=2, seed=1,
    init_scale=0.5, lr=3e-4, weight_decay=0.5, n_warmup=0, loss="plain", batch_size=16, dropout=0.1, split_mlp=True,
    init="pytorch", beta2=0.999, decay_towards="init", gradient_noise=0.1, update_noise=1.0, weight_noise=0.01,
    parent="0123456789abcdef@7",
)
USUAL = functools.partial(RunConfig, init_scale=1.0, lr=1e-3)
GOLDEN = {
    "67d6291b301412df": USUAL(),
    "32f073e93bb88627": RunConfig(),
    "e01648087c9d53ac": USUAL(d_h=8, seed=3),
    "dd77b78f8595c1cc": USUAL(task="add+random", D_random=3000, n_layers=8, d_h=1024),
    "930252565180cb2d": RunConfig(init_scale=1.0, lr=3e-4, weight_decay=0.1, parent="0123456789abcdef@20000"),
    "6bcfdcd6da7e2af7": USUAL(architecture="lstm", n_layers=2, d_h=144, D_train=6384),
    "fe7abeb225ddcfba": RunConfig(architecture="mlp", n_layers=2, d_h=128, loss="plain", lr=1e-3),
    "2afa6ead6564f716": USUAL(task="divide", p=97, D_train=4656, batch_size=512, dropout=0.1, lr=3e-4, n_warmup=0),
    "6e3342f40f937650": USUAL(task="random", D_train=12769, d_h=24, seed=2),
    "e387baaa0263eda9": USUAL(task="add+random", D_train=3000, D_random=3000, n_layers=2, n_heads=8, weight_decay=0.0),
}


@pytest.mark.parametrize(("field", "value", "others"), [
    ("architecture", "perceptron", {}),
    ("task", "multiply", {}),
    ("loss", "hinge", {}),
    ("p", 1, {}),
    ("p", -113, {}),
    ("p", 9, {"task": "divide", "D_train": 10}),
    ("D_train", 0, {}),
    ("D_train", 12_770, {}),
    ("D_train", 12_657, {"task": "divide"}),
    ("D_random", -1, BIG),
    ("D_random", 12_770, BIG),
    ("D_random", 5, {"task": "add"}),
    ("d_h", 0, {}),
    ("d_h", 30, {}),
    ("n_heads", 2, {"architecture": "lstm"}),
    ("split_mlp", True, {"architecture": "mlp", "task": "add+random"}),
    ("split_mlp", True, {}),
    ("init", "xavier", {}),
    ("beta2", 1.0, {}),
    ("beta2", -0.1, {}),
    ("decay_towards", "one", {}),
    ("gradient_noise", -0.1, {}),
    ("update_noise", float("nan"), {}),
    ("weight_noise", float("inf"), {}),
    ("dropout", 0.1, {"architecture": "mlp"}),
    ("dropout", 1.0, {}),
    ("dropout", -0.1, {}),
    ("batch_size", 4001, {}),
    ("batch_size", -1, {}),
    ("n_heads", 0, {}),
    ("n_layers", 0, {}),
    ("seed", -1, {}),
    ("seed", 2**63, {}),
    ("n_warmup", -1, {}),
    ("n_steps", -1, {}),
    ("lr", -1e-3, {}),
    ("lr", float("nan"), {}),
    ("weight_decay", float("inf"), {}),
    ("weight_decay", -1.0, {}),
    ("init_scale", float("nan"), {}),
    ("parent", "0123456789abcdef", {}),
    ("parent", "0123456789abcdef@", {}),
    ("parent", "0123456789abcdef@-1", {}),
    ("parent", "0123456789abcdef@007", {}),
    ("parent", "0123456789abcdef@²", {}),
    ("parent", "0123456789ABCDEF@7", {}),
])
def test_a_value_out_of_range_is_refused_by_name_value_and_what_is_valid(field, value, others):
    with pytest.raises(ValueError, match="valid|needs") as refusal:
        RunConfig(**others, **{field: value})
    assert str(refusal.value).startswith(f"{field}={value!r} ")


@pytest.mark.parametrize(("field", "value", "takes"), [
    ("d_h", 64.5, "int"),
    ("d_h", "64", "int"),
    ("d_h", True, "int"),
    ("d_h", None, "int"),
    ("D_train", float("nan"), "int"),
    ("n_steps", float("inf"), "int"),
    ("lr", "1e-3", "float"),
    ("lr", False, "float"),
    ("task", 3, "str"),
    ("stop_early", 1, "bool"),
    ("stop_early", "yes", "bool"),
])
def test_a_value_of_the_wrong_type_is_refused_by_name_and_value(field, value, takes):
    with pytest.raises(TypeError) as refusal:
        RunConfig(**{field: value})
    assert str(refusal.value).startswith(f"{field}={value!r} ")
    assert str(refusal.value).endswith(f"{field} takes {takes}")


def test_an_unknown_field_is_refused_by_name():
    with pytest.raises(TypeError, match="d_model"):
        RunConfig(d_model=64)  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError, match="d_model"):
        RunConfig().replace(d_model=64)


@pytest.mark.parametrize(("field", "value", "plain"), [
    ("d_h", np.int64(32), 32),
    ("d_h", np.array(32), 32),
    ("D_train", 3e3, 3000),
    ("lr", np.float64(0.5), 0.5),
    ("lr", 1, 1.0),
    ("weight_decay", -0.0, 0.0),
    ("stop_early", np.bool_(False), False),
    ("task", np.str_("square"), "square"),
])
def test_numbers_as_notebooks_and_numpy_give_them_become_plain_values(field, value, plain):
    config = RunConfig(**{field: value})
    assert type(getattr(config, field)) is type(plain)
    assert repr(getattr(config, field)) == repr(plain)
    assert config.run_id == RunConfig(**{field: plain}).run_id


def test_derived_values_follow_every_override():
    config = RunConfig().replace(d_h=32, n_heads=8, task="divide", p=97, D_train=4656)
    assert (config.d_head, config.d_mlp, config.n_pairs, config.frac_train) == (4, 128, 97 * 96, 0.5)
    assert (config.n_ctx, config.d_vocab) == (3, 98)
    config = config.replace(task="add+random")
    assert (config.n_pairs, config.n_ctx, config.d_vocab) == (97**2, 4, 100)


def test_replace_checks_again():
    with pytest.raises(ValueError, match="D_train=4000 is outside the table; valid: 1 to 49 pairs at p=7"):
        RunConfig().replace(p=7)


def test_the_multitask_models_of_figure_8_span_a_factor_of_1570():
    large, small = RunConfig(task="add+random", n_layers=8, d_h=1024), RunConfig(task="add+random", d_h=64)
    assert (large.n_params, small.n_params) == (100_904_960, 64_256)
    assert round(large.n_params / small.n_params, 2) == 1570.36


def test_what_ids_leave_out_never_changes():
    """Or every stored run would silently have another name. The defaults may, as they did to the book's recipe."""
    unnamed = {f.name: f.metadata["unnamed"] for f in dataclasses.fields(RunConfig)}
    assert {name: value for name, value in unnamed.items() if value != getattr(RunConfig(), name)} == studies.USUAL
    assert unnamed == dict(
        architecture="transformer", task="add", p=113, D_train=4000, D_random=0, d_h=64, n_heads=4, n_layers=1,
        split_mlp=False, seed=0, init="book", init_scale=1.0, lr=1e-3, beta2=0.98, weight_decay=1.0,
        decay_towards="zero", n_warmup=10, gradient_noise=0.0, update_noise=0.0, weight_noise=0.0, loss="exact",
        batch_size=0, dropout=0.0,
        parent="", n_steps=100_000, stop_early=True,
    )


def test_every_field_says_what_it_means():
    assert all(f.metadata["help"] for f in dataclasses.fields(RunConfig))
    assert set(FIELDS) == set(IDENTITY) | set(BUDGET)


def test_ids_are_those_under_which_runs_were_stored():
    assert {config.run_id: config for config in GOLDEN.values()} == GOLDEN


@pytest.mark.parametrize("study", sorted({path.parent.name for path in (ROOT / "data").glob("*/*.parquet")}))
def test_every_stored_run_has_the_id_that_its_config_has_now(study):
    for path in (ROOT / "data" / study).glob("*.parquet"):
        for row in pq.read_table(path).to_pylist():
            assert RunConfig(**{name: row[name] for name in FIELDS if name in row}).run_id == row["run_id"]


def test_a_field_that_says_nothing_of_it_is_shared_by_a_cohort_and_part_of_the_identity(monkeypatch):
    later = dataclasses.make_dataclass("Later", [("momentum", float, 0.9)], bases=(RunConfig,), frozen=True,
                                       kw_only=True)
    monkeypatch.setattr(config, "RunConfig", later)
    assert config._named("shared", True) == (*SHARED, "momentum")
    assert config._named("budget", False) == BUDGET == ("n_steps", "stop_early")
    assert set(FIELDS) - set(SHARED) == {"D_train", "D_random", "seed", "init", "init_scale", "lr", "beta2",
                                         "weight_decay", "n_warmup", "parent", *BUDGET}


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_ids_are_the_same_in_another_process(hash_seed):
    code = f"from grokbook import RunConfig; print(*[c.run_id for c in {list(GOLDEN.values())!r}])"
    assert finish(run_python(code, PYTHONHASHSEED=hash_seed)).split() == list(GOLDEN)


@pytest.mark.parametrize("field", IDENTITY)
def test_every_field_of_the_identity_changes_the_id(field):
    base = RunConfig(**BIG)
    assert base.replace(**{field: OTHER[field]}).run_id != base.run_id


@given(configs(), st.integers(0, 10**6), st.booleans())
def test_the_budget_is_no_part_of_the_id(config, n_steps, stop_early):
    assert config.replace(n_steps=n_steps, stop_early=stop_early).run_id == config.run_id


FEW = st.builds(
    RunConfig, d_h=st.sampled_from([4, 64]), seed=st.sampled_from([0, 1]), lr=st.sampled_from([1e-3, 1.0]),
    weight_decay=st.sampled_from([0.0, -0.0, 1.0]), n_steps=st.sampled_from([10, 100]),
)


@given(st.one_of(st.tuples(FEW, FEW), st.tuples(configs(), configs())))
def test_ids_are_equal_exactly_when_the_identity_is(pair):
    config, other = pair
    same = all(getattr(config, name) == getattr(other, name) for name in IDENTITY)
    assert (config.run_id == other.run_id) == same


@given(configs())
def test_a_config_survives_being_written_down(config):
    assert RunConfig(**dataclasses.asdict(config)) == config
    assert eval(repr(config)) == config
    assert len(config.run_id) == 16 and set(config.run_id) <= set("0123456789abcdef")


@pytest.mark.parametrize("value", ["7.5", "-8"])
def test_a_notebook_shows_the_sentence_alone(value: str, capsys: pytest.CaptureFixture[str]):
    InteractiveShell().run_cell(f"from grokbook import RunConfig\nRunConfig(d_h={value})")
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"d_h={value} is ")

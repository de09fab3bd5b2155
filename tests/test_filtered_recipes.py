"""What the filter on recipes says of planted networks, and that its runs are no other study's."""

import pandas as pd
import pytest

from grokbook.analysis.recipes import _statements, filtered_recipes
from grokbook.studies import CANDIDATES, STUDIES, candidate


def ends(train: list[float], val: list[float], late: list[float] | None = None) -> pd.DataFrame:
    """Planted networks of one cell."""
    return pd.DataFrame({"train_acc": train, "val_acc": val, "twin_free_val_acc": val,
                         "train_acc_late": late or train})


AS_THE_PAPER = {
    "grokking": ends([1, 1], [1, 0.99]), "semi-grokking": ends([1, 1], [0.3, 1.0]),
    "ungrokking": ends([1, 1], [0.01, 0.04]),
    "progression": ends([0.5, 0.6, 0.1], [0.4, 0.5, 0.01], [0.3, 0.6, 0.1])}


def test_networks_as_the_paper_shows_them_pass_every_statement():
    assert all(_statements(AS_THE_PAPER).values())


@pytest.mark.parametrize("cell, planted, statement", [
    ("grokking", ends([1, 1], [1, 0.5]), "grokking"),
    ("semi-grokking", ends([1, 1], [1, 1]), "semi_grokking"),
    ("semi-grokking", ends([1, 1], [0.01, 0.02]), "semi_grokking"),
    ("ungrokking", ends([1, 1], [0.01, 0.3]), "ungrokking"),
    ("ungrokking", ends([0.2, 1], [0.01, 0.02]), "ungrokking"),
    ("progression", ends([1, 0.5], [0.4, 0.4]), "progression"),
    ("progression", ends([0.5, 0.5], [0.4, 0.4]), "late_leaps"),
    ("progression", ends([0.5, 0.5], [0.4, 0.4]), "some_never"),
    ("progression", ends([0.1, 0.1], [0.01, 0.01]), "some_never")])
def test_each_statement_can_fail(cell, planted, statement):
    assert _statements(AS_THE_PAPER | {cell: planted})[statement] is False


def test_a_cell_without_runs_is_not_judged(tmp_path):
    from grokbook import Store

    table = filtered_recipes(30_000, Store(tmp_path))
    assert len(table) == len(CANDIDATES) and not table["of"].to_numpy().any()


def test_no_other_study_has_the_runs_of_the_filter():
    others = {run.run_id for study in STUDIES.values() if study.name != "candidates" for run in study.paper}
    assert not others & {run.run_id for change in CANDIDATES for run in candidate(change)}

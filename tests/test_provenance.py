"""What a run says of its own making: how long it took, and with which code."""

import subprocess
from pathlib import Path

import pytest

import grokbook as gb
from grokbook.config import RunConfig
from grokbook.training.engines import commit


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b.example", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_seconds_of_a_run_are_its_share_of_the_cohorts():
    config = RunConfig(p=11, d_h=8, D_train=60, n_steps=20)
    training = gb.train([config, config.replace(seed=1, n_steps=2000, stop_early=False)])
    assert list(training)[-1].step == 2000
    short, long = (run.provenance["seconds"] for run in training.runs())
    assert 0 < short < long and short + long == pytest.approx(training.seconds)


def test_the_commit_is_that_of_the_packages_own_checkout_and_of_no_other_around_it(tmp_path):
    own, installed = tmp_path / "grokbook", tmp_path / ".venv" / "grokbook"
    for package in (own, installed):
        package.mkdir(parents=True)
        (package / "code.py").write_text("")
    assert commit(own) == ""
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    head = git(tmp_path, "rev-parse", "--short=12", "HEAD")
    assert (commit(own), commit(installed)) == (head, "")
    (own / "code.py").write_text("changed")
    assert commit(own) == head + "+"

"""The checks of the exercises: right answers pass, wrong ones learn on which side they are."""

import re
from pathlib import Path

import pytest

import grokbook
from grokbook import exercises

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", exercises.EXERCISES)
def test_the_right_answer_is_right_and_others_are_not(name, capsys):
    right = exercises.EXERCISES[name].solve()
    for answer, word in ((right, "right"), (1.2 * right, "too large"), (0.8 * right, "too small")):
        exercises.check(name, answer)
        assert word in capsys.readouterr().out


@pytest.mark.parametrize("name, answer", [
    ("mirrors", (3000 / 12768) * 112 / 113), ("labels", 2 * (32 * (114 + 3 + 114) + 12 * 32**2) / 6.82),
    ("plateau", 0.7 / 2), ("halfway", 200), ("least-heuristic", 0.2),
])
def test_answers_worked_out_by_hand_are_right(name, answer, capsys):
    exercises.check(name, answer)
    assert ": right." in capsys.readouterr().out


def test_the_chapters_solutions_are_right(capsys):
    """What stands behind `answer = ` in the solutions of the chapters, run as the reader would run it."""
    chapters = sorted((ROOT / "notebooks").glob("*.py"))
    text = "".join(chapter.read_text() for chapter in chapters).replace("\n# ", " ")
    scope = {"gb": grokbook, "runs": grokbook.load("grokking"),
             "four": grokbook.load("four_dynamics"),
             "split": grokbook.tasks.split(grokbook.RunConfig(D_train=3000))}
    solutions = re.findall(r"`answer = ([^`]+)`", text)
    assert len(solutions) == len(exercises.EXERCISES)
    for name, solution in zip(exercises.EXERCISES, solutions, strict=True):
        exercises.check(name, eval(solution, scope))
        assert ": right." in capsys.readouterr().out, name


def test_no_answer_gets_a_hint(capsys):
    exercises.check("mirrors", None)
    assert "Hint" in capsys.readouterr().out


@pytest.mark.parametrize("answer", ["a lot", [1, 2], True, float("nan")])
def test_what_is_not_a_number_is_refused(answer):
    with pytest.raises(ValueError, match="is not a number"):
        exercises.check("mirrors", answer)


def test_an_unknown_exercise_is_refused():
    with pytest.raises(ValueError, match="exercise='mirror' is unknown; valid: mirrors"):
        exercises.check("mirror", 1)

"""The checks of the exercises: right answers pass, wrong ones learn on which side they are."""

import re
from pathlib import Path

import pytest

import grokbook
from grokbook import exercises

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", exercises.EXERCISES)
def test_the_right_answer_is_right_and_others_are_not(name):
    exercise = exercises.EXERCISES[name]
    right = exercise.solve()
    assert exercise.why and exercises.check(name, right).words == f"{name}: right, because {exercise.why}"
    for answer, word in ((1.2 * right, "too large"), (0.8 * right, "too small")):
        assert f"{word}. Hint: {exercise.hint}" in exercises.check(name, answer).words


@pytest.mark.parametrize("name, answer", [
    ("mirrors", (3000 / 12768) * 112 / 113), ("labels", 2 * (32 * (114 + 3 + 114) + 12 * 32**2) / 6.82),
    ("plateau", 0.7 / 2), ("halfway", 200), ("least-heuristic", 0.2),
])
def test_answers_worked_out_by_hand_are_right(name, answer):
    assert ": right, " in exercises.check(name, answer).words


def test_the_chapters_solutions_are_right():
    """What stands behind `answer = ` in the solutions of the chapters, run as the reader would run it."""
    chapters = sorted((ROOT / "notebooks").glob("*.py"))
    text = "".join(chapter.read_text() for chapter in chapters).replace("\n# ", " ")
    scope = {"gb": grokbook, "runs": grokbook.load("grokking"),
             "four": grokbook.load("four_dynamics"),
             "split": grokbook.tasks.split(grokbook.RunConfig(D_train=3000))}
    solutions = re.findall(r"`answer = ([^`]+)`", text)
    assert len(solutions) == len(exercises.EXERCISES)
    for name, solution in zip(exercises.EXERCISES, solutions, strict=True):
        assert ": right, " in exercises.check(name, eval(solution, scope)).words, name


def test_who_has_not_begun_gets_a_hint_only_by_opening_it():
    reply, hint = exercises.check("mirrors", None), exercises.EXERCISES["mirrors"].hint
    assert hint not in repr(reply) and f"<details><summary>Hint</summary>{hint}</details>" in reply._repr_html_()


@pytest.mark.parametrize("answer", ["a lot", [1, 2], True, float("nan")])
def test_what_is_not_a_number_is_answered_in_a_sentence(answer):
    assert repr(exercises.check("mirrors", answer)) == (
        f"mirrors: answer={answer!r} is not a number; valid: one number, such as 0.5")


def test_an_unknown_exercise_is_refused():
    with pytest.raises(ValueError, match="exercise='mirror' is unknown; valid: mirrors"):
        exercises.check("mirror", 1)

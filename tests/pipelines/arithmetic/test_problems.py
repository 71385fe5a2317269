from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noise_search.pipelines.arithmetic import problems

seeds = st.integers(0, 2**32 - 1)
depths = st.sampled_from(problems.DEPTHS)


def drawn(seed: int, depth: int) -> str:
    return problems.question(np.random.default_rng(seed), depth)


@given(seeds, depths)
def test_questions_have_their_depth_and_bounded_results(seed: int, depth: int) -> None:
    expression = problems.parse(drawn(seed, depth))
    assert expression.depth == depth
    assert all(0 <= result <= 9999 for *_, result in expression.steps())


@given(seeds, depths)
def test_a_seed_draws_one_question_and_reading_it_gives_it_back(seed: int, depth: int) -> None:
    question = drawn(seed, depth)
    assert question == drawn(seed, depth)
    assert str(problems.parse(question)) == question


@given(
    st.lists(st.integers(0, 999), min_size=1, max_size=9),
    st.lists(st.sampled_from("+-*"), min_size=8, max_size=8),
)
def test_values_are_those_of_python(numbers: list[int], signs: list[str]) -> None:
    text = str(numbers[0]) + "".join(s + str(n) for s, n in zip(signs, numbers[1:], strict=False))
    assert problems.value(text) == eval(text)  # noqa: S307  # made of digits and signs above


@given(seeds, depths)
def test_worked_solutions_are_right(seed: int, depth: int) -> None:
    question = drawn(seed, depth)
    lines = problems.solve(question)
    assert len(lines) == depth + 1
    assert problems.answer_in("\n".join(lines)) == str(problems.value(question))
    assert problems.first_wrong(question, lines) is None


@given(seeds, depths, st.data())
def test_a_changed_or_missing_line_is_found(seed: int, depth: int, data: st.DataObject) -> None:
    question = drawn(seed, depth)
    lines = problems.solve(question)
    place = data.draw(st.integers(0, depth))
    assert problems.first_wrong(question, lines[:place]) == place
    assert problems.first_wrong(question, [*lines, "answer 1"]) == depth + 1
    changed = [*lines[:place], lines[place] + "0", *lines[place + 1 :]]
    assert problems.first_wrong(question, changed) == place


def test_multiplications_come_first_then_from_left_to_right() -> None:
    assert problems.solve("9 - 2 + 3 * 4 * 5 - 6 * 7") == [
        "3 * 4 = 12",
        "12 * 5 = 60",
        "6 * 7 = 42",
        "9 - 2 = 7",
        "7 + 60 = 67",
        "67 - 42 = 25",
        "answer 25",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3 + x(2)", r"unknown '\(', '\)', 'x' in '3 \+ x\(2\)'"),
        ("3 + ²", "unknown '²'"),
        ("3 +", "expected a number at the end of"),
        ("", "expected a number at the end of ''"),
        ("* 3", r"expected a number before '\*', piece 1"),
        ("3 4", r"expected an operator \(\+ - \*\) before '4', piece 2"),
        ("__import__('os')", "unknown"),
    ],
)
def test_what_is_no_expression_is_refused_in_one_line(text: str, message: str) -> None:
    for reader in (problems.value, problems.solve, problems.held_out):
        with pytest.raises(ValueError, match=message) as caught:
            reader(text)
        assert "\n" not in str(caught.value)


def test_a_depth_outside_the_range_is_refused() -> None:
    with pytest.raises(ValueError, match="depth is 9: questions have 2 to 8 operations"):
        problems.question(np.random.default_rng(0), 9)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("3 + 4 = 7\nanswer 7", "7"),
        ("answer 7\n", "7"),
        ("answer -7", "-7"),
        ("answer 1\nanswer 2", "2"),
        ("3 + 4 = 7", None),
        ("the answer 7", None),
        ("answer 7 8", None),
        ("", None),
    ],
)
def test_the_answer_stands_on_a_line_of_its_own(text: str, answer: str | None) -> None:
    assert problems.answer_in(text) == answer


def test_a_tenth_or_so_is_held_out_whatever_the_spacing() -> None:
    rng = np.random.default_rng(0)
    drawn = [problems.question(rng, 6) for _ in range(4000)]
    held_out = [problems.held_out(question) for question in drawn]
    assert 0.10 < np.mean(held_out) < 0.14
    assert held_out == [problems.held_out(question.replace(" ", "")) for question in drawn]


def test_questions_of_a_split_are_distinct_and_of_that_split() -> None:
    for split in (True, False):
        found = problems.questions(np.random.default_rng(1), 2, 200, split)
        assert len(set(found)) == 200
        assert {problems.held_out(question) for question in found} == {split}

"""Pictures meet two at a time: any number, in both orders, ties kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from noise_search.ask import Prompt
from noise_search.errors import UserError
from noise_search.problem import LostVerifierError, Sample
from noise_search.verifiers.judge import Judge
from noise_search.verifiers.loading import load
from noise_search.verifiers.tournament import Standing, tournament
from tests.verifiers.judge_server import (
    Judging,
    digest,
    grade,
    grades,
    judge_server,
    some_faults,
)

PROMPT = Prompt("p", "a red circle")


@pytest.fixture
def loopback() -> bool:
    return True


def samples(count: int) -> list[Sample]:
    draw = np.random.default_rng(7)
    pictures = [draw.integers(0, 255, (4, 4, 3), dtype=np.uint8) for _ in range(count)]
    return [Sample(PROMPT, pixels, 1, 1) for pixels in pictures]


def held(judging: Judging, shown: list[Sample], **options: object) -> Standing:
    with judge_server(judging):
        judge = load(judging.spec(**options))
        assert isinstance(judge, Judge)
        return tournament(judge, shown)


def worth(sample: Sample) -> float:
    return grade(np.asarray(sample.pixels))


@pytest.mark.parametrize("count", range(1, 14))
def test_the_best_of_any_number_wins_and_each_match_takes_two_questions(count: int) -> None:
    shown, judging = samples(count), Judging()
    standing = held(judging, shown)
    marks = [worth(sample) for sample in shown]
    assert standing.winners == (marks.index(max(marks)),)
    assert sorted(n for place in standing.places for n in place) == list(range(count))
    assert len(standing.matches) == count - 1
    assert len(judging.asked) == 2 * (count - 1)
    assert standing.cost.judge_calls == 2 * (count - 1)


def test_nobody_takes_part_in_an_empty_one() -> None:
    assert held(Judging(), []).winners == ()


def test_a_judge_that_prefers_what_comes_first_settles_nothing() -> None:
    def first(pictures: list[Any], _: str) -> dict[str, Any]:
        return {"reason": "the first catches the eye", "better": "first"}

    standing = held(Judging(grader=first), samples(5))
    assert standing.places == ((0, 1, 2, 3, 4),)
    assert len(standing.matches) == 10  # everyone has met everyone
    assert {match.winner for match in standing.matches} == {None}


def test_equals_share_a_place_above_those_that_lost() -> None:
    def coarse(pictures: list[Any], question: str) -> dict[str, Any]:
        one, two = (grade(pixels) >= 50 for pixels in pictures)
        better = "tie" if one == two else "first" if one else "second"
        return {"reason": "half and half", "better": better}

    shown = samples(9)
    standing = held(Judging(grader=coarse), shown)
    assert standing.winners == tuple(i for i, s in enumerate(shown) if worth(s) >= 50)
    assert 1 < len(standing.winners) < 9


def test_faults_change_nothing_but_the_number_of_questions() -> None:
    shown = samples(7)
    quick = {"timeout": 0.5}
    judging = Judging(fault=some_faults(0, 0.3), patience=0.8)
    assert held(judging, shown, **quick).places == held(Judging(), shown).places
    assert judging.faults.total() > 0


def test_a_pair_without_an_answer_is_tied_and_says_why() -> None:
    shown = samples(2)
    pair = digest(np.asarray(shown[1].pixels), np.asarray(shown[0].pixels))
    judging = Judging(fault=lambda name, count: "html" if name == pair else None)
    standing = held(judging, shown, attempts=2)
    [match] = standing.matches
    assert (match.winner, standing.winners) == (None, (0, 1))
    assert match.failure == "an empty answer"


def test_broken_pictures_do_not_take_part() -> None:
    black = Sample(PROMPT, np.zeros((4, 4, 3), np.uint8), 1, 1)
    standing = held(Judging(), [black, *samples(2)])
    assert standing.failed == {0: "the picture is black"}
    assert {n for place in standing.places for n in place} == {1, 2}


def test_the_judges_words_are_kept() -> None:
    shown, judging = samples(2), Judging()
    [match] = held(judging, shown).matches
    pictures = [np.asarray(sample.pixels) for sample in shown]
    there, back = grades(pictures, "")["reason"], grades(pictures[::-1], "")["reason"]
    assert match.reasons == (there, back)


def test_pictures_of_different_prompts_do_not_meet() -> None:
    one, two = samples(2)
    other = Sample(Prompt("q", "a blue square"), two.pixels, 1, 1)
    with pytest.raises(UserError, match="different prompts"):
        held(Judging(), [one, other])


def test_a_dead_judge_ends_it_in_one_line() -> None:
    judging = Judging(fault=lambda name, count: "status-500")
    with pytest.raises(LostVerifierError, match=r"^verifier judge:[^\n]* does not answer: status"):
        held(judging, samples(3), attempts=3)

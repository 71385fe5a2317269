"""The gate: a score that is no number makes a failure, and failures never win."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noise_search.candidate import Candidate
from noise_search.noise import Gaussian
from noise_search.ranking import ByScore, top

BY_SCORE = ByScore("v")


def candidate(i: int, score: float, failure: str | None = None) -> Candidate:
    return Candidate(str(i), "p", Gaussian(i), 8, 8, scores={"v": score}, failure=failure)


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_a_failure(score: float) -> None:
    broken = candidate(0, score)
    assert broken.failure is not None
    assert broken.done
    assert not broken.finished
    assert broken.scores == {}


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1), st.integers(0, 9))
def test_the_top_are_sound_sorted_and_the_first_wins_a_tie(scores: list[float], k: int) -> None:
    found = [candidate(i, score) for i, score in enumerate(scores)]
    best = top(BY_SCORE, found, k)
    sound = [c for c in found if math.isfinite(scores[int(c.name)])]
    assert best == sorted(sound, key=lambda c: -c.scores["v"])[:k]


def test_equality_goes_by_name() -> None:
    assert candidate(1, 0.5) == candidate(1, 0.7, failure="x")
    assert candidate(1, 0.5) != candidate(2, 0.5)

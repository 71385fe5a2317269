"""Rankings join scores whose scales have nothing in common."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noise_search.candidate import Candidate
from noise_search.noise import Gaussian
from noise_search.ranking import (
    ByScore,
    First,
    MeanRank,
    Ranking,
    Weighted,
    ranks_of,
    spread,
    standing,
    top,
)

A, B = ByScore("a"), ByScore("b")
scores = st.floats(-1e6, 1e6)


def made(*values: dict[str, float], stage: int = 4) -> list[Candidate]:
    """Finished candidates of these scores."""
    return [
        Candidate(f"c{i}", "p", Gaussian(i), steps=4, stage=stage, scores=row)
        for i, row in enumerate(values)
    ]


def order(ranking: Ranking, found: list[Candidate]) -> list[str]:
    return [c.name for c in top(ranking, found, len(found))]


def test_the_mean_of_ranks_knows_no_scale() -> None:
    found = made({"a": 0.1, "b": 500.0}, {"a": 0.2, "b": 900.0}, {"a": 0.3, "b": 600.0})
    assert MeanRank([A, B]).keys(found) == [(1.0,), (2.5,), (2.5,)]
    assert order(MeanRank([A, B]), found) == ["c1", "c2", "c0"]
    larger = made(*({"a": c.scores["a"] * 1e6, "b": c.scores["b"]} for c in found))
    assert MeanRank([A, B]).keys(larger) == MeanRank([A, B]).keys(found)


def test_ties_share_the_mean_of_their_ranks() -> None:
    found = made({"a": 1.0, "b": 1.0}, {"a": 1.0, "b": 2.0}, {"a": 0.0, "b": 3.0})
    assert MeanRank([A, B]).keys(found) == [(1.75,), (2.25,), (2.0,)]


@given(st.lists(scores, min_size=1, max_size=12))
def test_ranks_add_up_and_do_not_depend_on_the_order(values: list[float]) -> None:
    keys = [(v,) for v in values]
    found = ranks_of(keys)
    assert sum(found) == len(values) * (len(values) + 1) / 2
    assert ranks_of(keys[::-1]) == found[::-1]


def test_a_rank_depends_on_the_set() -> None:
    found = made({"a": 3.0, "b": 0.0}, {"a": 2.0, "b": 1.0}, {"a": 1.0, "b": 2.0})
    pair = found[:2]
    assert MeanRank([A, B]).keys(pair) == [(1.5,), (1.5,)]
    assert MeanRank([A, B]).keys(found)[0] == (2.0,)


def test_the_second_breaks_ties_of_the_first_and_nothing_else() -> None:
    found = made({"a": 7.0, "b": 0.0}, {"a": 7.0, "b": 1.0}, {"a": 6.0, "b": 9.0})
    assert order(First([A, B]), found) == ["c1", "c0", "c2"]
    assert order(A, found) == ["c0", "c1", "c2"]


def test_scores_are_weighed_once_they_are_standardised() -> None:
    found = made({"a": 0.0, "b": 300.0}, {"a": 2.0, "b": 100.0})
    by = Weighted({"a": 1.0, "b": 0.5})
    assert by.keys(found) == [(-0.5,), (0.5,)]
    assert order(Weighted({"a": 1.0, "b": 2.0}), found) == ["c0", "c1"]
    assert order(Weighted({"b": -1.0}), found) == ["c1", "c0"]


def test_a_score_that_never_differs_counts_for_nothing_and_a_missing_one_comes_last() -> None:
    found = made({"a": 1.0, "b": 5.0}, {"a": 2.0, "b": 5.0}, {"b": 5.0})
    keys = Weighted({"a": 1.0, "b": 9.0}).keys(found)
    assert keys == [(-1.0,), (1.0,), (-inf,)]


def test_a_reference_is_frozen_with_the_first_sixteen_and_stays() -> None:
    first = made(*({"a": float(i)} for i in range(15)))
    ranking = Weighted({"a": 1.0}).settled(first)
    assert not ranking.frozen
    sixteen = made(*({"a": float(i)} for i in range(16)))
    frozen = ranking.settled(sixteen)
    assert frozen.frozen
    assert frozen.reference["a"] == spread([float(i) for i in range(16)])
    assert frozen.settled([*sixteen, *made({"a": 1e6})]) is frozen


@given(st.permutations(range(16)))
def test_a_reference_does_not_depend_on_the_order_of_candidates(order: list[int]) -> None:
    found = made(*({"a": i / 7 + 0.1} for i in range(16)))
    shuffled = [found[i] for i in order]
    weighted = Weighted({"a": 1.0})
    assert weighted.settled(found).reference == weighted.settled(shuffled).reference


def test_rankings_of_rankings_settle_their_parts() -> None:
    found = made(*({"a": float(i), "b": -float(i)} for i in range(16)))
    ranking = First([Weighted({"a": 1.0}), B]).settled(found)
    assert ranking.names == ("a", "b")
    assert ranking.reference["a"].mean == 7.5
    assert A.settled(found) is A


def test_standing_is_told_of_the_finished_among_all() -> None:
    found = [*made({"a": 1.0, "b": 4.0}, {"a": 2.0, "b": 9.0}), *made({"a": 9.0}, stage=2)]
    assert standing(MeanRank([A, B]), found[:2]) == {"c0": 1.0, "c1": 2.0}
    assert set(standing(A, found[2:])) == set()


@pytest.mark.parametrize("values", [[], [1e308, 1e308, -1e308]])
def test_spreads_that_cannot_be_told(values: list[float]) -> None:
    found = spread(values)
    assert found.deviation in (0.0, inf)

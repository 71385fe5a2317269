"""Final rules: who speaks for whom, who wins a tie, and who comes last."""

from __future__ import annotations

from collections import Counter
from math import fsum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noise_search.candidate import Candidate
from noise_search.errors import UserError
from noise_search.noise import Tokens
from noise_search.ranking import ByScore, Final, voting
from noise_search.text import Text
from tests.engine.scribe import outcome
from tests.engine.toy import outcome as toy_outcome

BY_SCORE = ByScore("v")
Said = tuple[str | None, float]


def candidate(
    number: int, answer: str | None, score: float, *, ended: bool = True, failure: str | None = None
) -> Candidate:
    text = Text(answer=answer, ending="stop" if ended else "")
    return Candidate(
        str(number), "p", Tokens(number), 9, 1, None, {"v": score}, failure, ended=ended, text=text
    )


def candidates(said: list[Said]) -> list[Candidate]:
    return [candidate(i, answer, score) for i, (answer, score) in enumerate(said)]


def order(final: Final, said: list[Said]) -> list[int]:
    return [int(c.name) for c in voting(BY_SCORE, final, candidates(said))]


@pytest.mark.parametrize(
    ("said", "best", "weighted", "majority"),
    [
        # one good sample against two fair ones that agree
        ([("7", 0.9), ("8", 0.5), ("8", 0.6)], [0, 2, 1], [2, 1, 0], [1, 2, 0]),
        # many poor ones against one that is worth more than all of them
        ([("8", 0.1), ("7", 0.9), ("8", 0.2)], [1, 2, 0], [1, 2, 0], [0, 2, 1]),
        # equal sums, equal numbers: the first found wins
        ([("7", 0.5), ("8", 0.25), ("8", 0.25)], [0, 1, 2], [0, 1, 2], [1, 2, 0]),
        ([("8", 0.5), ("7", 0.5)], [0, 1], [0, 1], [0, 1]),
        # without an answer there is no vote, whatever the score
        ([(None, 0.9), ("7", 0.1), (None, 1.0)], [2, 0, 1], [1, 2, 0], [1, 0, 2]),
        ([(None, 0.1), (None, 0.2)], [1, 0], [1, 0], [0, 1]),
        # scores below 0 speak against an answer: two of them more than one
        ([("7", -0.6), ("7", -0.6), ("8", -1.0)], [0, 1, 2], [2, 0, 1], [0, 1, 2]),
        ([], [], [], []),
    ],
)  # fmt: skip
def test_who_wins(
    said: list[Said], best: list[int], weighted: list[int], majority: list[int]
) -> None:
    assert order("best", said) == best
    assert order("weighted", said) == weighted
    assert order("majority", said) == majority


@pytest.mark.parametrize("final", ["best", "weighted", "majority"])
def test_what_is_unfinished_or_failed_has_no_vote_and_what_is_told_twice_has_one(
    final: Final,
) -> None:
    one = candidate(1, "7", 0.5)
    others = [candidate(2, "8", 0.4, ended=False), candidate(3, "8", 0.9, failure="broken")]
    rival = candidate(4, "8", 0.3)
    assert voting(BY_SCORE, final, [*others, rival, rival, one, one]) == (
        [rival, one] if final == "majority" else [one, rival]
    )


answers = st.one_of(st.none(), st.sampled_from(["1", "2", "3"]))


@given(st.lists(st.tuples(answers, st.integers(-8, 8).map(lambda n: n / 8)), min_size=1))
def test_the_winner_has_the_most_votes_and_nobody_is_lost(said: list[Said]) -> None:
    for final in ("best", "weighted", "majority"):
        assert sorted(order(final, said)) == list(range(len(said)))
    known = [(a, s) for a, s in said if a is not None]
    if known:
        votes = Counter(a for a, _ in known)
        sums = {a: fsum(s for b, s in known if a == b) for a in votes}
        winner = said[order("majority", said)[0]][0]
        assert winner is not None
        assert votes[winner] == max(votes.values())
        winner, score = said[order("weighted", said)[0]]
        assert winner is not None
        assert sums[winner] == max(sums.values())
        assert score == max(s for a, s in known if a == winner)


@pytest.mark.parametrize("final", ["weighted", "majority"])
@pytest.mark.parametrize("spec", ["random", "beam", "revise", "diverse(random)"])
def test_pictures_have_no_votes(spec: str, final: Final) -> None:
    spec = spec.replace(")", f"),final={final})") if "(" in spec else f"{spec}(final={final})"
    spec = spec.replace("),final", ",final")
    with pytest.raises(UserError, match="no answers"):
        toy_outcome(spec, 64)


def test_a_search_hands_on_all_it_has_finished_in_the_order_of_its_vote() -> None:
    for final in ("best", "weighted", "majority"):
        found = outcome(f"random(final={final})", 400)
        ends = [c for c in found.candidates if c.finished]
        assert len({c.answer for c in ends}) == 4
        ranking = ByScore("scribe")
        assert found.found == voting(ranking, final, ends)

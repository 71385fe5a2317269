"""A tournament of pictures: a judge compares two at a time until nobody is left who could lose.

Judges prefer the picture that they are shown first, or second.  So each pair is asked about in both
orders, and only a preference that survives the exchange counts; any other pair is tied, and both
go on.  Any number of pictures can take part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from noise_search.budget import ZERO, Cost
from noise_search.errors import UserError
from noise_search.problem import Sample
from noise_search.verifiers.judge_client import Answered
from noise_search.verifiers.pictures import frames_of
from noise_search.verifiers.rubric import Preference

__all__ = ["Comparing", "Match", "Standing", "tournament"]


class Comparing(Protocol):
    """A judge that can compare; `judge:URL#MODEL` is one."""

    def prefer(self, pairs: Sequence[tuple[Sample, Sample]]) -> list[Answered[Preference]]:
        """Which of two pictures is better; one answer a pair, in order."""
        ...


@dataclass(frozen=True)
class Match:
    """Two pictures that have met.

    Attributes:
        first: the number of one.
        second: the number of the other.
        winner: the number of the better one, or None of a tie.
        reasons: the judge's words, of the order first, second and of the other.
        failure: why there was no answer to one of the two questions, or None; it is a tie then.
    """

    first: int
    second: int
    winner: int | None
    reasons: tuple[str, str]
    failure: str | None = None


@dataclass(frozen=True)
class Standing:
    """How a tournament came out.

    Attributes:
        places: numbers of samples, best first; those that share a place stand together, as they
            left in the same round, or were all tied with one another at the end.
        matches: all that were held, in order.
        failed: why a sample could not take part, by its number.
        cost: of all questions.
    """

    places: tuple[tuple[int, ...], ...]
    matches: tuple[Match, ...]
    failed: dict[int, str]
    cost: Cost

    @property
    def winners(self) -> tuple[int, ...]:
        """The numbers of the best; empty where nobody could take part."""
        return self.places[0] if self.places else ()


def tournament(judge: Comparing, samples: Sequence[Sample]) -> Standing:
    """Let samples of one prompt meet in rounds; who loses leaves, who is tied meets another.

    Where there are no ties, N samples take N - 1 matches of two questions each.

    Args:
        judge: compares two.
        samples: any number of them, all of one prompt.

    Raises:
        UserError: they are not of one prompt.
        LostVerifierError: the judge is gone.
    """
    if len({sample.prompt.text for sample in samples}) > 1:
        raise UserError("tournament: pictures of different prompts cannot be compared")
    looked = {number: frames_of(sample, 1) for number, sample in enumerate(samples)}
    failed = {number: found for number, found in looked.items() if isinstance(found, str)}
    alive = [number for number in looked if number not in failed]
    met: set[tuple[int, int]] = set()
    left: list[tuple[int, ...]] = []
    matches: list[Match] = []
    cost = ZERO
    while pairs := _pairs(alive, met):
        both = [order for a, b in pairs for order in ((a, b), (b, a))]
        answers = judge.prefer([(samples[a], samples[b]) for a, b in both])
        cost = sum((answer.cost for answer in answers), cost)
        held = [
            _match(pair, there, back)
            for pair, there, back in zip(pairs, answers[::2], answers[1::2], strict=True)
        ]
        met.update(pairs)
        matches += held
        losers = {m.first + m.second - m.winner for m in held if m.winner is not None}
        if losers:
            left.insert(0, tuple(sorted(losers)))
            alive = [number for number in alive if number not in losers]
    places = (tuple(alive), *left) if alive else ()
    return Standing(places, tuple(matches), failed, cost)


def _pairs(alive: Sequence[int], met: set[tuple[int, int]]) -> list[tuple[int, int]]:
    """Pairs that have not met yet, no number in two of them; lower numbers first."""
    free = list(alive)
    pairs: list[tuple[int, int]] = []
    while free:
        one = free.pop(0)
        other = next((number for number in free if (one, number) not in met), None)
        if other is not None:
            free.remove(other)
            pairs.append((one, other))
    return pairs


def _match(pair: tuple[int, int], there: Answered[Preference], back: Answered[Preference]) -> Match:
    """What two answers say together, the second of which saw the pair exchanged."""
    answers = (there.value, back.value)
    reasons = tuple("" if value is None else value.reason for value in answers)
    said = ["" if value is None else value.better for value in answers]
    winner = {"first second": pair[0], "second first": pair[1]}.get(" ".join(said))
    return Match(*pair, winner, (reasons[0], reasons[1]), there.failure or back.failure)

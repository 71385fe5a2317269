"""Selection is a function of a set: keys are tuples, so ties have a rule; the first wins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from noise_search.candidate import Candidate


class Ranking(Protocol):
    """How candidates of one set compare."""

    def keys(self, found: Sequence[Candidate]) -> list[tuple[float, ...]]:
        """One key a candidate, in order; greater is better. None of them has failed."""
        ...


class ByScore:
    """Rank by one verifier's score."""

    def __init__(self, verifier: str) -> None:
        self.verifier = verifier

    def keys(self, found: Sequence[Candidate]) -> list[tuple[float, ...]]:
        """The score alone; a candidate without one comes last."""
        return [(c.scores.get(self.verifier, float("-inf")),) for c in found]


def top(ranking: Ranking, found: Sequence[Candidate], k: int) -> list[Candidate]:
    """The k best that have not failed, best first; equal ones in the order given."""
    sound = [c for c in found if c.failure is None]
    keyed = sorted(
        zip(ranking.keys(sound), range(len(sound)), strict=True), key=lambda p: (p[0], -p[1])
    )
    return [sound[i] for _, i in reversed(keyed)][: max(k, 0)]

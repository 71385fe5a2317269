"""Selection is a function of a set: keys are tuples, so ties have a rule; the first wins.

A final rule chooses among finished samples. Where they come to answers, samples that agree can
speak for each other: majority voting (self-consistency, Wang et al. 2203.11171), and best-of-N
weighted, the sum of scores by answer (Li et al. 2206.02336; Snell et al. 2408.03314, section 5.1).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from math import fsum, inf
from typing import Literal, Protocol

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


Final = Literal["best", "weighted", "majority"]
"""How a search chooses among what it has finished."""
Vote = Callable[[Sequence[Candidate]], list[Candidate]]
"""Puts the finished of a set in order, best first."""


def voting(ranking: Ranking, final: Final, found: Sequence[Candidate]) -> list[Candidate]:
    """The finished candidates of a set, best first.

    `best` goes by score alone. `weighted` puts the answer with the largest sum of scores first,
    and the highest-scoring candidate first within it; `majority` the most frequent answer, and
    within it the order given. Of equal answers the first found wins; without an answer is last.
    A sum of scores is meant for scores above 0, such as probabilities: below it an answer that is
    found often would count for less.
    """
    ends = [c for c in dict.fromkeys(found) if c.finished]
    if final == "best":
        return top(ranking, ends, len(ends))
    groups: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in ends:
        if candidate.answer is not None:
            groups[candidate.answer].append(candidate)
    silent = [c for c in ends if c.answer is None]
    if final == "majority":
        ordered = sorted(groups.values(), key=len, reverse=True)
        return [c for group in ordered for c in group] + silent
    ordered = sorted(groups.values(), key=lambda g: _sum(ranking, g), reverse=True)
    return [c for g in [*ordered, silent] for c in top(ranking, g, len(g))]


def _sum(ranking: Ranking, group: Sequence[Candidate]) -> float:
    scores = [key[0] for key in ranking.keys(group)]
    try:
        return fsum(scores)
    except OverflowError:
        return inf if fsum(score / len(scores) for score in scores) > 0 else -inf

"""Selection is a function of a set: keys are tuples, so ties have a rule; the first wins.

Verifiers whose scales have nothing in common are joined by rankings: by mean rank within the set
(Ma et al. 2501.09732, section 4.2), by a weighted sum of standardised scores, or one by one.

A final rule chooses among finished samples. Where they come to answers, samples that agree can
speak for each other: majority voting (self-consistency, Wang et al. 2203.11171), and best-of-N
weighted, the sum of scores by answer (Li et al. 2206.02336; Snell et al. 2408.03314, section 5.1).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from math import fsum, inf, sqrt
from typing import Literal, NamedTuple, Protocol

from noise_search.candidate import Candidate
from noise_search.noise import Name


class Spread(NamedTuple):
    """Mean and standard deviation of a verifier's scores, by which others are standardised."""

    mean: float
    deviation: float


class Ranking(Protocol):
    """How candidates of one set compare."""

    @property
    def names(self) -> tuple[str, ...]:
        """The raw scores it looks at, in order."""
        ...

    @property
    def reference(self) -> Mapping[str, Spread]:
        """What scores are standardised by, for the record; empty where they are not."""
        ...

    def keys(self, found: Sequence[Candidate]) -> list[tuple[float, ...]]:
        """One key a candidate, in order; greater is better. None of them has failed."""
        ...

    def settled(self, known: Iterable[Candidate]) -> Ranking:
        """The ranking of a search that knows these candidates; their order does not matter."""
        ...


class ByScore:
    """Rank by one verifier's score."""

    reference: Mapping[str, Spread] = {}

    def __init__(self, verifier: str) -> None:
        self.verifier = verifier

    @property
    def names(self) -> tuple[str, ...]:
        """The one score."""
        return (self.verifier,)

    def keys(self, found: Sequence[Candidate]) -> list[tuple[float, ...]]:
        """The score alone; a candidate without one comes last."""
        return [(c.scores.get(self.verifier, -inf),) for c in found]

    def settled(self, known: Iterable[Candidate]) -> ByScore:
        """Itself."""
        return self


class _Joined(ABC):
    """Rankings that are made one."""

    def __init__(self, parts: Sequence[Ranking]) -> None:
        self.parts = tuple(parts)

    @property
    def names(self) -> tuple[str, ...]:
        """Those of all parts."""
        return tuple(dict.fromkeys(name for part in self.parts for name in part.names))

    @property
    def reference(self) -> Mapping[str, Spread]:
        """That of all parts."""
        return {name: spread for part in self.parts for name, spread in part.reference.items()}

    def settled(self, known: Iterable[Candidate]) -> _Joined:
        """The same of settled parts."""
        seen = list(known)
        return type(self)([part.settled(seen) for part in self.parts])

    @abstractmethod
    def keys(self, found: Sequence[Candidate]) -> list[tuple[float, ...]]:
        """One key a candidate."""


class MeanRank(_Joined):
    """Rank by the mean of the ranks that the parts give within the set, ties averaged."""

    def keys(self, found: Sequence[Candidate]) -> list[tuple[float, ...]]:
        """The mean rank: 1 for the worst in every part, as many as there are for the best."""
        ranks = [ranks_of(part.keys(found)) for part in self.parts]
        return [(fsum(row) / len(row),) for row in zip(*ranks, strict=True)]


class First(_Joined):
    """Rank by the first part; where it sees no difference by the second, and so on."""

    def keys(self, found: Sequence[Candidate]) -> list[tuple[float, ...]]:
        """The keys of the parts, one after the other."""
        rows = zip(*(part.keys(found) for part in self.parts), strict=True)
        return [tuple(value for key in row for value in key) for row in rows]


@dataclass(frozen=True)
class Weighted:
    """Rank by a weighted sum of scores, each standardised by a frozen reference.

    Without a reference it is measured on the first candidates of the search itself: on all that
    were scored by the end of the first round in which there were `LEAST`, and never again. That
    set is the same whatever the batch, and in a resumed run; before there are so many, it is all
    there are. A score that never differed counts for nothing.

    Attributes:
        weights: by verifier; a negative one asks for low scores.
        reference: what scores are standardised by.
        frozen: whether that stays as it is.
    """

    weights: Mapping[str, float]
    reference: Mapping[str, Spread] = field(default_factory=dict[str, Spread])
    frozen: bool = False

    LEAST = 16

    @property
    def names(self) -> tuple[str, ...]:
        """Whatever has a weight."""
        return tuple(self.weights)

    def keys(self, found: Sequence[Candidate]) -> list[tuple[float, ...]]:
        """The weighted sum; a candidate without one of the scores comes last."""
        by = self.reference or spreads(found, self.names)
        return [(self._sum(c.scores, by),) for c in found]

    def _sum(self, scores: Mapping[str, float], by: Mapping[str, Spread]) -> float:
        if any(name not in scores for name in self.weights):
            return -inf
        return fsum(
            weight * (scores[name] - by[name].mean) / by[name].deviation
            for name, weight in self.weights.items()
            if by[name].deviation > 0
        )

    def settled(self, known: Iterable[Candidate]) -> Weighted:
        """The same with a reference, which stays once enough candidates were scored."""
        if self.frozen:
            return self
        scored = [c for c in known if all(name in c.scores for name in self.weights)]
        if not scored:
            return self
        return replace(
            self, reference=spreads(scored, self.names), frozen=len(scored) >= self.LEAST
        )


def spreads(found: Sequence[Candidate], names: Sequence[str]) -> dict[str, Spread]:
    """Mean and standard deviation of each score over those that have it, in whatever order."""
    found_of = {name: [c.scores[name] for c in found if name in c.scores] for name in names}
    return {name: spread(values) for name, values in found_of.items()}


def spread(values: Sequence[float]) -> Spread:
    """Mean and standard deviation; the same to the last bit in any order.

    >>> spread([1.0, 3.0])
    Spread(mean=2.0, deviation=1.0)
    """
    if not values:
        return Spread(0.0, 0.0)
    try:
        mean = fsum(values) / len(values)
        return Spread(mean, sqrt(fsum((value - mean) ** 2 for value in values) / len(values)))
    except OverflowError:  # so wide that nothing can be told apart by it
        return Spread(0.0, inf)


def ranks_of(keys: Sequence[tuple[float, ...]]) -> list[float]:
    """Ranks from 1 for the least; equal keys share the mean of theirs.

    >>> ranks_of([(0.3,), (0.1,), (0.3,)])
    [2.5, 1.0, 2.5]
    """
    ranks = [0.0] * len(keys)
    below = 0
    for _, group in groupby(sorted(range(len(keys)), key=keys.__getitem__), keys.__getitem__):
        equal = list(group)
        for i in equal:
            ranks[i] = below + (len(equal) + 1) / 2
        below += len(equal)
    return ranks


def standing(ranking: Ranking, found: Sequence[Candidate]) -> dict[Name, float]:
    """What a ranking looks at first, by name, of each finished candidate among all of them."""
    ends = [c for c in dict.fromkeys(found) if c.finished]
    return {c.name: key[0] for c, key in zip(ends, ranking.keys(ends), strict=True)}


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

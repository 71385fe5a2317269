"""Searches side by side, each with its own share of the budget."""

from __future__ import annotations

from dataclasses import dataclass, field

from noise_search.candidate import Candidate
from noise_search.moves import Move, Plan, Search, Spent, Start
from noise_search.ranking import Final
from noise_search.searches.options import Count
from noise_search.spend import within
from noise_search.task import Task


def diverse(task: Task, search: Plan, groups: Count = 4, final: Final = "best") -> Search:
    """Independent searches side by side; the final rule chooses among all they hand on.

    Over `beam(draws=4,width=4)` it is diverse verifier tree search (DVTS: Beeching et al.,
    "Scaling test-time compute with open models", 2024): N / M subtrees, one survivor in each.
    A group has its own random numbers and an equal part of what is left of the budget; there are
    fewer where a part would not pay for one whole sample.

    Args:
        task: what the search works with.
        search: what each group does, as in diverse(beam(draws=4,width=4),groups=4).
        groups: how many there are, at most.
        final: what chooses among the finished: best score, weighted or majority vote.
    """
    vote = task.voting(final)
    whole = task.price(Start(task.medium.fresh(0))).record()
    paid = [left // whole[name] for name, left in task.left().items() if name in whole]
    parts = max(1, min([groups, *paid]))
    tasks = [task.share(f"group {i}", parts) for i in range(parts)]
    sides = [_Side(within(search(own), own)) for own in tasks]
    try:
        while running := [side for side in sides if side.advance()]:
            told = iter((yield [move for side in running for move in side.moves]))
            for side in running:
                side.told = [next(told) for _ in side.moves]
    finally:
        for side in sides:
            side.search.close()
    return vote([c for side in sides for c in side.handed or side.seen])


@dataclass
class _Side:
    """One search among others."""

    search: Search
    moves: list[Move] = field(default_factory=list[Move])
    told: list[Candidate] | None = None
    seen: list[Candidate] = field(default_factory=list[Candidate])
    handed: list[Candidate] = field(default_factory=list[Candidate])
    ended: bool = False

    def advance(self) -> bool:
        """Let it say its next moves; False once it has ended."""
        if self.ended:
            return False
        self.seen += self.told or []
        try:
            self.moves = next(self.search) if self.told is None else self.search.send(self.told)
        except StopIteration as end:
            self.ended, self.handed = True, end.value
        except Spent:
            self.ended = True
        return not self.ended

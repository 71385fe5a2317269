"""Searches side by side, each with its own share of the budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from noise_search.budget import Ledger, Purse
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
    A group has its own random numbers and an equal part of the budget; what one leaves goes to
    those that are held up. There are fewer where a part would not pay for one whole sample.

    Args:
        task: what the search works with.
        search: what each group does, as in diverse(beam(draws=4,width=4),groups=4).
        groups: how many there are, at most.
        final: what chooses among all that the groups hand on: the best of their winners, or a
            weighted or majority vote of all.
    """
    vote = task.voting(final)
    whole = task.price(Start(task.medium.fresh(0))).record()
    paid = [left // whole[name] for name, left in task.left().items() if name in whole]
    parts = max(1, min([groups, *paid]))
    purse = Purse(task.left())
    sides = [_Side(search, task.apart(f"group {i}", Ledger())) for i in range(parts)]
    purse.open([side.task.ledger for side in sides])
    try:
        while running := [side for side in sides if side.advance()]:
            asking = [side for side in running if side.moves]
            if not asking:  # all are held up
                if task.waits:
                    yield []
                purse.refill(task.left())
                purse.give([side.task.ledger for side in running])
                for side in running:
                    side.told = []
                continue
            told = iter((yield [move for side in asking for move in side.moves]))
            for side in asking:
                side.told = [next(told) for _ in side.moves]
    except Spent as spent:
        for side, candidate in zip(_owners(sides), spent.found, strict=False):
            side.seen.append(candidate)
    finally:
        for side in sides:
            side.search.close()
    handed = [side.handed or vote(side.seen) for side in sides]
    if final == "best":
        heads = vote([found[0] for found in handed if found])
        return heads + vote([c for found in handed for c in found[1:]])
    return vote([c for found in handed for c in found])


def _owners(sides: Sequence[_Side]) -> Iterator[_Side]:
    """Whose each move of the last batch was."""
    return (side for side in sides for _ in side.moves if side.told is None)


@dataclass
class _Side:
    """One search among others.

    Attributes:
        plan: what it does.
        task: what it works with.
        moves: what it asks for; nothing while it is held up.
        told: the answers, once they are there.
        seen: all that it was told.
        handed: what it has handed on.
        ended: whether it has.
    """

    plan: Plan
    task: Task
    moves: list[Move] = field(default_factory=list[Move])
    told: list[Candidate] | None = None
    seen: list[Candidate] = field(default_factory=list[Candidate])
    handed: list[Candidate] = field(default_factory=list[Candidate])
    ended: bool = False
    begun: bool = False

    @cached_property
    def search(self) -> Search:
        """The search, held within its own ledger."""
        return within(self.plan(self.task), self.task)

    def advance(self) -> bool:
        """Let it say its next moves, if it was answered; False once it has ended."""
        told, self.told = self.told, None
        if self.ended or (self.begun and told is None):
            return not self.ended
        self.begun = True
        self.seen += told or []
        try:
            self.moves = next(self.search) if told is None else self.search.send(told)
        except StopIteration as end:
            self.ended, self.handed, self.moves = True, end.value, []
        except Spent:
            self.ended, self.moves = True, []
        return not self.ended

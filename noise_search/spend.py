"""Holding a search within a budget: price, buy what can be paid for, charge, say when it ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from noise_search.budget import ZERO
from noise_search.candidate import Candidate
from noise_search.moves import Move, Search, Spent
from noise_search.noise import Name
from noise_search.task import Task

IDLE = 1_000
"""A search is closed after so many batches in a row that bring nothing new."""


def within(search: Search, task: Task) -> Search:
    """Hold a search within its task's ledger.

    Moves are priced, and passed on in as many rounds as the ledger can pay for. When it cannot
    pay for the next one, `Spent` is thrown at the search's yield with what was found. A search
    may make a verdict of that, or let it pass; it may not go on for ever without spending. Where
    the task waits for a purse, no moves are passed on once before that. `Spent` that is thrown in
    from outside is handed to the search for its verdict.
    """
    idle = 0
    reason = None
    try:
        moves = next(search)
        while True:
            found: list[Candidate] = []
            idle += 1
            if not moves and task.waits:
                yield []  # something within waits
            while len(found) < len(moves):
                bought, new = _affordable(moves[len(found) :], task)
                if not bought and task.waits:
                    yield []  # until a purse gives out more
                    bought, new = _affordable(moves[len(found) :], task)
                if not bought:
                    break
                try:
                    part = yield bought
                except Spent as stop:
                    reason = stop.reason
                    search.throw(Spent(found + stop.found, stop.reason))
                    return []  # it would go on
                for name, candidate in zip(new, part, strict=True):
                    if name is not None and candidate.cost:
                        task.ledger.charge(candidate.cost)
                        idle = 0
                found += part
            if idle > 2 * IDLE:
                return []
            reason = None
            if len(found) < len(moves):
                reason = "the budget is spent"
            elif idle >= IDLE:
                reason = f"nothing new in {IDLE:,} batches"
            moves = search.send(found) if reason is None else search.throw(Spent(found, reason))
    except StopIteration as end:
        task.ended = reason
        return list(end.value or [])
    finally:
        search.close()


def _affordable(moves: Sequence[Move], task: Task) -> tuple[list[Move], list[Name | None]]:
    """The longest run of moves that can be paid for; the name of each that is new, else None."""
    reserved, seen = ZERO, set[Name]()
    bought: list[Move] = []
    new: list[Name | None] = []
    for move in moves:
        ask = task.ask(move)
        name = None if ask is None or ask.name in seen or task.knows(ask) else ask.name
        if ask is not None and name is not None:
            price = reserved + task.price(move)
            if not task.affords(price):
                break
            reserved = price
            seen.add(name)
        bought.append(move)
        new.append(name)
    return bought, new


def watched(search: Search, see: Callable[[list[Candidate]], object]) -> Search:
    """Pass a search through, showing all it finds to `see`."""
    try:
        moves = next(search)
        while True:
            try:
                found = yield moves
            except Spent as spent:
                see(spent.found)
                moves = search.throw(spent)
            else:
                see(found)
                moves = search.send(found)
    except StopIteration as end:
        return list(end.value or [])
    finally:
        search.close()

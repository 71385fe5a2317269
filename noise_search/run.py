"""The driver: holds the conversations of all prompts at once and plays their moves in batches."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Protocol

from noise_search.ask import Ask, Prompt
from noise_search.budget import ZERO, Cost, Ledger, Limits, Purse
from noise_search.candidate import Candidate
from noise_search.errors import Stop, UserError
from noise_search.moves import Continue, Move, Plan, Search, Spent
from noise_search.noise import Book, Name
from noise_search.problem import Batch, Problem
from noise_search.ranking import Ranking, top
from noise_search.spend import within
from noise_search.task import Conversation, Task

STOPPED = "stopped"
"""Why a search has ended that the user ended."""


@dataclass(frozen=True)
class World:
    """Where a search is held.

    Attributes:
        problem: what generates and judges.
        ranking: how candidates compare.
        width: rows of a batch.
    """

    problem: Problem
    ranking: Ranking
    width: int


@dataclass(frozen=True)
class Job:
    """One prompt, how to search for it, and what that may cost.

    Attributes:
        prompt: what to generate for; names are told apart over all worlds of a run.
        plan: the search.
        limits: of its own; a purse takes their place.
        steps: stages of a full path.
        seed: the root of its random numbers.
        world: where it is held; None is the run's own world.
    """

    prompt: Prompt
    plan: Plan
    limits: Limits
    steps: int
    seed: int
    world: World | None = None


@dataclass
class Outcome:
    """What a search came to.

    Attributes:
        prompt: whose search it was.
        found: what it handed on, best first; every finished candidate where it handed on nothing.
        candidates: all candidates, in the order they were asked for.
        spent: the sum of their costs.
        reason: why it ended, in words.
        ranking: how its candidates compared, in the end.
        equal: moves that led where another of their round did already, as steps draw no noise.
    """

    prompt: Prompt
    found: list[Candidate] = field(default_factory=list[Candidate])
    candidates: list[Candidate] = field(default_factory=list[Candidate])
    spent: Cost = ZERO
    reason: str = ""
    ranking: Ranking | None = None
    equal: int = 0

    @property
    def best(self) -> Candidate | None:
        """The winner, or None if nothing was finished."""
        return self.found[0] if self.found else None


class Memory(Protocol):
    """Where played candidates are kept: the journal, or nothing."""

    def recall(self, name: Name) -> Candidate | None:
        """A candidate played in an earlier life of this run."""
        ...

    def keep(self, batch: Batch) -> None:
        """Keep a batch for good, before anyone acts on it."""
        ...


class Forgetful:
    """No memory: nothing is kept beyond the process."""

    def recall(self, name: Name) -> None:
        """Nothing."""

    def keep(self, batch: Batch) -> None:
        """Keep nothing."""


Player = Callable[[Sequence[Sequence[Ask]]], Iterator[tuple[int, Batch]]]
"""Plays batches, in any order; yields the index of each with what it brought."""


def one_by_one(problem: Problem) -> Player:
    """The player that plays batches in this process, in order."""

    def play(batches: Sequence[Sequence[Ask]]) -> Iterator[tuple[int, Batch]]:
        for index, asks in enumerate(batches):
            yield index, problem.play(asks)

    return play


def pack(asks: Iterable[Ask], problem: Problem, width: int) -> list[list[Ask]]:
    """Batches of one lane each, at most `width` wide, in the order asked."""
    lanes: dict[Hashable, list[Ask]] = defaultdict(list)
    for ask in asks:
        lanes[problem.lane(ask)].append(ask)
    return [lane[i : i + width] for lane in lanes.values() for i in range(0, len(lane), width)]


@dataclass
class _Live:
    """One search under way."""

    job: Job
    world: World
    task: Task
    search: Search
    moves: list[Move] | None = None
    listed: dict[Name, Candidate] = field(default_factory=dict[Name, Candidate])
    result: list[Candidate] = field(default_factory=list[Candidate])
    reason: str = STOPPED
    equal: int = 0

    def advance(self, found: list[Candidate] | None) -> None:
        """Let the search say its next moves, or end."""
        try:
            self.moves = next(self.search) if found is None else self.search.send(found)
        except StopIteration as end:
            self.moves, self.result = None, end.value
            self.reason = self.task.ended or "the search has ended"
        except Spent as spent:
            self.moves, self.reason = None, spent.reason
        if not self.task.stochastic:
            names = [ask.name for ask in self.asks() if ask is not None]
            self.equal += len(names) - len(set(names))

    def asks(self) -> list[Ask | None]:
        """What the moves it waits for lead to; None where to their own candidate."""
        return [self.task.ask(move) for move in self.moves or []]

    def settle(self) -> None:
        """List what was played, in the order asked, whatever the order it arrived in."""
        talk = self.task.conversation
        for ask in self.asks():
            if ask is not None and self.task.knows(ask):
                self.listed.setdefault(ask.name, talk.known[ask.name])
        talk.ranking = talk.ranking.settled(talk.known.values())

    def stop(self) -> None:
        """Ask the search for its verdict on what there is."""
        self.settle()
        known = self.task.conversation.known
        told = takewhile(lambda ask: ask is None or ask.name in known, self.asks())
        pairs = zip(told, self.moves or [], strict=False)
        found = [_itself(move) if ask is None else known[ask.name] for ask, move in pairs]
        try:
            self.search.throw(Spent(found, self.reason))
        except StopIteration as end:
            self.result = end.value
        except Spent:
            pass
        self.moves = None

    @property
    def held_up(self) -> bool:
        """Whether it waits for a purse."""
        return self.moves is not None and not self.moves

    def verdict(self) -> Outcome:
        """What it came to."""
        ranking = self.task.conversation.ranking
        candidates = list(self.listed.values())
        handed = [c for c in self.result if c.finished]
        ends = [c for c in candidates if c.finished]
        found = handed or top(ranking, ends, len(ends))
        spent = sum((c.cost for c in candidates), ZERO)
        return Outcome(self.job.prompt, found, candidates, spent, self.reason, ranking, self.equal)


class Run:
    """Holds many searches at once; moves of the same lane share batches.

    Rounds are in lockstep: every live search gets its whole batch before any goes on, so
    results do not depend on timing, on the number of workers, or on the order of prompts.
    What one search had played is not played again for another; each is charged for it.

    Args:
        problem: what generates and judges, where a job names no world of its own.
        ranking: how candidates compare there.
        width: rows of a batch there.
        book: all recipes of the run.
        memory: what was played before, and keeps what is played now.
        player: how batches are played; in this process, in order, by default.
        timed: charge wall time, where time is limited.
        pool: how many searches are held at once, of more the others wait: a cache of what texts
            share is too small for all. Results do not depend on it. None holds all.
        listen: called with each candidate as it is filed; may raise `Stop`.
        overhead: called with what had to be spent again.

    Attributes:
        cached: verifier calls that the score cache has answered.
    """

    def __init__(
        self,
        problem: Problem,
        ranking: Ranking,
        *,
        width: int = 8,
        book: Book | None = None,
        memory: Memory | None = None,
        player: Player | None = None,
        timed: bool = False,
        pool: int | None = None,
        listen: Callable[[Candidate], object] = lambda _: None,
        overhead: Callable[[Cost], object] = lambda _: None,
    ) -> None:
        self.world = World(problem, ranking, width)
        self.book = Book() if book is None else book
        self.memory: Memory = Forgetful() if memory is None else memory
        self.player = player or one_by_one(problem)
        self.timed = timed
        self.pool = pool
        self.listen = listen
        self.overhead = overhead
        self.played: dict[Name, Candidate] = {}
        self.cached = 0

    def drive(self, jobs: Sequence[Job], purse: Purse | None = None) -> list[Outcome]:
        """Run all searches to their end; one outcome a job, in order.

        Args:
            jobs: the searches.
            purse: what they spend together, in place of limits of their own.
        """
        lives = [self._begin(job, purse) for job in jobs]
        homes: dict[Name, World] = {}
        for life in lives:
            if homes.setdefault(life.job.prompt.name, life.world) is not life.world:
                raise ValueError(f"prompt {life.job.prompt.name} is in two worlds; rename one")
        if purse is not None:
            if self.pool is not None:
                raise ValueError("a purse is shared by all searches; they cannot wait for another")
            purse.open([life.task.ledger for life in lives])
        later = deque(lives)
        waiting: list[_Live] = []
        try:
            while waiting := self._filled([w for w in waiting if w.moves is not None], later):
                asking = [life for life in waiting if not life.held_up]
                if asking:
                    self._round(asking)
                elif purse is not None:
                    purse.give([life.task.ledger for life in waiting])
                    for life in waiting:
                        life.advance([])
        except Stop:
            for life in lives:
                life.stop()
        finally:
            for life in lives:
                life.search.close()
        return [life.verdict() for life in lives]

    def _filled(self, waiting: list[_Live], later: deque[_Live]) -> list[_Live]:
        """Those under way, with others begun in the places of those that have ended."""
        while later and (self.pool is None or len(waiting) < self.pool):
            life = later.popleft()
            life.advance(None)
            if life.moves is not None:
                waiting.append(life)
        return waiting

    def _begin(self, job: Job, purse: Purse | None) -> _Live:
        world = job.world or self.world
        talk = Conversation(job.prompt, world.problem, world.ranking, job.steps, job.seed)
        task = Task(talk, Ledger(job.limits))
        task.waits = purse is not None
        return _Live(job, world, task, within(job.plan(task), task))

    def _round(self, waiting: Sequence[_Live]) -> None:
        """Play what every waiting search asks for, file it, and let each go on."""
        rows = [life.asks() for life in waiting]
        new: dict[Name, Ask] = {}
        owners: dict[Name, list[_Live]] = defaultdict(list)
        for life, row in zip(waiting, rows, strict=True):
            for ask in row:
                if ask is not None and not life.task.knows(ask):
                    self.book.add(ask.noise)
                    self.book.add(ask.path)
                    owners[ask.name].append(life)
                    new[ask.name] = ask
        due = [ask for name, ask in new.items() if name not in self.played]
        self._recall(new, owners)
        self._play(due, owners)
        for life, row in zip(waiting, rows, strict=True):
            life.settle()
            known = life.task.conversation.known
            life.advance(
                [
                    known[ask.name] if ask is not None else _itself(move)
                    for ask, move in zip(row, life.moves or [], strict=True)
                ]
            )

    def _recall(self, new: dict[Name, Ask], owners: dict[Name, list[_Live]]) -> None:
        recalled: list[Candidate] = []
        for name in new:
            candidate = self.played.get(name) or self.memory.recall(name)
            if candidate is not None:
                recalled.append(candidate)
        self._file(recalled, owners)

    def _play(self, due: Sequence[Ask], owners: dict[Name, list[_Live]]) -> None:
        """Play what is due and was not recalled, in the batches of a run that recalls nothing."""
        worlds: dict[int, tuple[World, list[Ask]]] = {}
        for ask in due:
            world = owners[ask.name][0].world
            worlds.setdefault(id(world), (world, []))[1].append(ask)
        for world, asks in worlds.values():
            whole = pack(asks, world.problem, world.width)
            rest = ([ask for ask in batch if ask.name not in self.played] for batch in whole)
            player = self.player if world is self.world else one_by_one(world.problem)
            self._play_batches(player, [batch for batch in rest if batch], owners)

    def _play_batches(
        self, player: Player, batches: Sequence[Sequence[Ask]], owners: dict[Name, list[_Live]]
    ) -> None:
        began = time.monotonic_ns()
        for _, batch in player(batches):
            if self.timed:
                now = time.monotonic_ns()
                batch, began = _with_time(batch, (now - began) // 1_000), now
            self.memory.keep(batch)
            self.overhead(batch.overhead)
            self.cached += batch.cached
            self._file(batch.candidates, owners)
            if batch.lost is not None:
                raise UserError(batch.lost)
            if batch.stopped:
                raise Stop

    def _file(self, candidates: Sequence[Candidate], owners: dict[Name, list[_Live]]) -> None:
        for candidate in candidates:
            self.played[candidate.name] = candidate
            for life in owners[candidate.name]:
                life.task.conversation.learn(candidate)
        for candidate in candidates:
            self.listen(candidate)


def _itself(move: Move) -> Candidate:
    """The candidate of a move that leads nowhere else."""
    if not isinstance(move, Continue):
        raise TypeError("a start always leads somewhere")
    return move.candidate


def _with_time(batch: Batch, microseconds: int) -> Batch:
    """Charge a batch's wall time to its candidates in equal parts."""
    each = Cost(microseconds=microseconds // max(1, len(batch.candidates)))
    return replace(batch, candidates=[replace(c, cost=c.cost + each) for c in batch.candidates])

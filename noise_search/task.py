"""The task: all that a search may use. No clock, no global random numbers, no set order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from noise_search.ask import Ask, Prompt, resolve
from noise_search.budget import ZERO, Cost, Ledger, Reserve
from noise_search.candidate import Candidate
from noise_search.errors import UserError
from noise_search.moves import Continue, Move
from noise_search.noise import Medium, Name, Recipe, Revision, Splice, seed_from
from noise_search.problem import Problem
from noise_search.ranking import Final, Ranking, Vote, top, voting


@dataclass
class Conversation:
    """What all tasks of one prompt's search share.

    Attributes:
        prompt: whose search it is.
        problem: what it is held with.
        ranking: how candidates compare.
        steps: stages of a full path on the search's schedule.
        seed: the root of all its random numbers.
        known: every ask played so far; asked again, it is free.
    """

    prompt: Prompt
    problem: Problem
    ranking: Ranking
    steps: int
    seed: int
    known: dict[Name, Candidate] = field(default_factory=dict[Name, Candidate])
    _texts: dict[Name, Candidate] = field(default_factory=dict[Name, Candidate])
    _begun: dict[Name, Recipe] = field(default_factory=dict[Name, Recipe])

    def learn(self, candidate: Candidate) -> None:
        """Take note of what was played."""
        self.known[candidate.name] = candidate
        if candidate.text is not None:
            noise = candidate.noise
            first = self._begun[noise.head] if isinstance(noise, Splice) else noise
            self._begun[noise.name] = first
            if candidate.finished:
                self._texts[noise.name] = candidate

    def about(self, noise: Recipe) -> tuple[Candidate, ...]:
        """The finished texts that a path has in context, oldest first: what it is a revision of.

        Raises:
            ValueError: what is to be revised was not finished in this conversation.
        """
        found: list[Candidate] = []
        noise = self._begun.get(noise.name, noise)
        while isinstance(noise, Revision) and len(found) < Revision.SEEN:
            if noise.of not in self._texts:
                raise ValueError("only a finished text can be revised")
            found.append(self._texts[noise.of])
            noise = self._begun[noise.of]
        return tuple(found[::-1])


class Task:
    """What a search works with: a schedule, random numbers, recipes, prices, selection.

    Args:
        conversation: what is shared with the tasks forked from this one.
        ledger: what this task may spend.
        path: the words that lead here from the root; equal words repeat equal seeds.

    Attributes:
        ended: why its budget ended it, in words, once it has.
        waits: whether its ledger may yet be given more, when all others are held up too.
    """

    def __init__(
        self, conversation: Conversation, ledger: Ledger, path: tuple[str, ...] = ()
    ) -> None:
        self.conversation = conversation
        self.ledger = ledger
        self.ended: str | None = None
        self.waits = False
        self._path = path
        self._drawn = 0

    @property
    def medium(self) -> Medium:
        """What samples are made of."""
        return self.conversation.problem.medium

    @property
    def stages(self) -> int:
        """Stages of a full path: denoiser evaluations, or the most reasoning steps of a text."""
        return self.conversation.steps

    @property
    def most_stages(self) -> int:
        """The finest schedule the pipeline has."""
        return self.conversation.problem.most_steps

    @property
    def stochastic(self) -> bool:
        """Whether a transition between stages draws noise."""
        return self.conversation.problem.stochastic

    def seed(self) -> int:
        """The next seed, of 32 bits: a function of root seed, prompt, fork and count alone."""
        self._drawn += 1
        root = self.conversation
        return seed_from(root.seed, root.prompt.name, *self._path, self._drawn, bits=32)

    def random(self) -> float:
        """The next number in [0, 1)."""
        return self.seed() / 2**32

    def pick(self, weights: Sequence[float]) -> int:
        """An index drawn in proportion to weights.

        Raises:
            ValueError: no weight is above 0.
        """
        total = math.fsum(weights)
        if not total > 0:
            raise ValueError("no weight is above 0")
        point, last = self.random() * total, 0
        for i, weight in enumerate(weights):
            if weight > 0:
                last = i
                if point < weight:
                    return i
                point -= weight
        return last

    def fork(self, word: str) -> Task:
        """A task with its own random numbers; the same word repeats them."""
        return Task(self.conversation, self.ledger, (*self._path, word))

    def keeping(self, reserve: Cost) -> Task:
        """This task anew, with the same random numbers and so much of the budget kept back."""
        task = Task(self.conversation, Reserve(self.ledger, reserve), self._path)
        task.waits = self.waits
        return task

    def apart(self, word: str, ledger: Ledger) -> Task:
        """A task with its own random numbers, that waits for more than its ledger holds."""
        task = Task(self.conversation, ledger, (*self._path, word))
        task.waits = True
        return task

    def release(self) -> None:
        """Give back what was kept back."""
        if isinstance(self.ledger, Reserve):
            self.ledger.release()

    def fresh(self) -> Recipe:
        """A new noise: Gaussian, or the random numbers of a new text."""
        return self.medium.fresh(self.seed())

    def near(self, candidate: Candidate, strength: float) -> Recipe:
        """A noise near a candidate's: the same norm, and cosine `strength` to it.

        On text it is a revision: written anew with the candidate's text in context, and those
        that it was a revision of. A strength has no meaning there, and what was not finished
        cannot be revised: a new text takes its place.

        Raises:
            ValueError: the cosine is outside [-1, 1].
        """
        if not -1 <= strength <= 1:
            raise ValueError("a neighbor is at a cosine in [-1, 1]")
        if self.medium.answers and not candidate.finished:
            return self.fresh()
        return self.medium.near(candidate.noise.name, self.seed(), strength)

    def ask(self, move: Move) -> Ask | None:
        """What a move leads to, or None where it leads to its own candidate."""
        noise = move.noise
        if isinstance(move, Continue):
            noise, c = move.candidate.noise, move.candidate
            if c.failure is not None or (c.finished and move.rewind == 0):
                return None
        about = self.conversation.about(noise)
        return resolve(self.conversation.prompt, move, self.stages, self.stochastic, about)

    def knows(self, ask: Ask) -> bool:
        """Whether this was played before in this conversation."""
        return ask.name in self.conversation.known

    def price(self, move: Move) -> Cost:
        """An upper bound of what a move costs; what was played before is free."""
        ask = self.ask(move)
        if ask is None or self.knows(ask):
            return ZERO
        return self.conversation.problem.price(ask)

    def left(self) -> dict[str, int]:
        """What remains, by field of `Cost`; a field that is absent is not limited."""
        return self.ledger.left()

    def affords(self, cost: Cost) -> bool:
        """Whether so much remains."""
        return self.ledger.affords(cost)

    def best(self, found: Sequence[Candidate]) -> Candidate:
        """The best of a set; the first of equals, and of a set that failed whole.

        Raises:
            ValueError: the set is empty.
        """
        if not found:
            raise ValueError("the best of nothing")
        return next(iter(self.top(found, 1)), found[0])

    def top(self, found: Sequence[Candidate], k: int) -> list[Candidate]:
        """The k best that have not failed, best first."""
        return top(self.conversation.ranking, found, k)

    def voting(self, final: Final) -> Vote:
        """The rule by which a search chooses among what it has finished.

        Raises:
            UserError: it counts answers, and these samples come to none.
        """
        if final != "best" and not self.medium.answers:
            raise UserError(f"final={final}: pictures come to no answers that could agree")
        # the ranking of the moment it is asked: a search settles its own as it goes
        return lambda found: voting(self.conversation.ranking, final, found)

"""The task: all that a search may use. No clock, no global random numbers, no set order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from noise_search.budget import ZERO, Cost, Ledger
from noise_search.candidate import Candidate
from noise_search.moves import Continue, Move
from noise_search.noise import Gaussian, Name, Neighbor, Recipe, seed_from
from noise_search.problem import Ask, Problem, Prompt, resolve
from noise_search.ranking import Ranking, top


@dataclass
class Conversation:
    """What all tasks of one prompt's search share.

    Attributes:
        prompt: whose search it is.
        problem: what it is held with.
        ranking: how candidates compare.
        steps: evaluations of a full path on the search's schedule.
        seed: the root of all its random numbers.
        known: every ask played so far; asked again, it is free.
    """

    prompt: Prompt
    problem: Problem
    ranking: Ranking
    steps: int
    seed: int
    known: dict[Name, Candidate] = field(default_factory=dict[Name, Candidate])


class Task:
    """What a search works with: a schedule, random numbers, recipes, prices, selection.

    Args:
        conversation: what is shared with the tasks forked from this one.
        ledger: what this task may spend.
        path: the words that lead here from the root; equal words repeat equal seeds.
    """

    def __init__(
        self, conversation: Conversation, ledger: Ledger, path: tuple[str, ...] = ()
    ) -> None:
        self.conversation = conversation
        self.ledger = ledger
        self._path = path
        self._drawn = 0

    @property
    def stages(self) -> int:
        """Denoiser evaluations of a full path on this task's schedule."""
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
        left = {name: max(0, n - getattr(reserve, name)) for name, n in self.left().items()}
        return Task(self.conversation, Ledger(left), self._path)

    def fresh(self) -> Recipe:
        """A new Gaussian noise."""
        return Gaussian(self.seed())

    def near(self, *candidates: Candidate, strength: float) -> Recipe:
        """A noise near a candidate's: the same norm, and cosine `strength` to it.

        Raises:
            ValueError: not exactly one candidate, or the cosine is outside [-1, 1].
        """
        if len(candidates) != 1 or not -1 <= strength <= 1:
            raise ValueError("a neighbor is near one candidate, at a cosine in [-1, 1]")
        return Neighbor(candidates[0].noise.name, self.seed(), strength)

    def ask(self, move: Move) -> Ask | None:
        """What a move leads to, or None where it leads to its own candidate."""
        if isinstance(move, Continue):
            c = move.candidate
            if c.failure is not None or (c.finished and move.rewind == 0):
                return None
        return resolve(self.conversation.prompt, move, self.stages, self.stochastic)

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

"""The smallest problem: scores are hashes of names, so a whole search is deterministic."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

from noise_search.ask import Ask, Prompt
from noise_search.budget import ZERO, Cost
from noise_search.candidate import Candidate
from noise_search.noise import LATENTS, Medium, Name, seed_from
from noise_search.problem import Batch
from noise_search.ranking import ByScore
from noise_search.registry import build_search
from noise_search.run import Job, Outcome, Run

PROMPT = Prompt("p", "a prompt")
BY_SCORE = ByScore("toy")


def hashed(name: Name) -> float:
    return seed_from(name) / 2**63


@dataclass
class Toy:
    """Counts what it plays; `score` may be replaced, `stochastic` switched."""

    medium: Medium = LATENTS
    stochastic: bool = False
    most_steps: int = 1000
    score: Callable[[Ask], float] = lambda ask: hashed(ask.path.name + str(ask.until))
    failing: Callable[[Ask], str | None] = lambda ask: None
    calls: list[list[Ask]] = field(default_factory=list[list[Ask]])

    def price(self, ask: Ask) -> Cost:
        return Cost(nfe=ask.until - ask.begin, verifier_calls=int(ask.looked_at))

    def lane(self, ask: Ask) -> Hashable:
        return ask.steps, ask.begin, ask.until

    def play(self, asks: Sequence[Ask]) -> Batch:
        self.calls.append(list(asks))
        return Batch([self._candidate(ask) for ask in asks], ZERO)

    def _candidate(self, ask: Ask) -> Candidate:
        return Candidate(
            ask.name,
            ask.prompt.name,
            ask.path,
            ask.steps,
            ask.until,
            parent=None if ask.parent is None else ask.parent.name,
            scores={"toy": self.score(ask)} if ask.looked_at else {},
            failure=self.failing(ask),
            cost=self.price(ask),
        )

    @property
    def nfe(self) -> int:
        return sum(self.price(ask).nfe for batch in self.calls for ask in batch)


def job(spec: str, nfe: int, *, seed: int = 0, steps: int = 8, prompt: Prompt = PROMPT) -> Job:
    return Job(prompt, build_search(spec), {"nfe": nfe}, steps, seed)


def outcome(spec: str, nfe: int, problem: Toy | None = None, *, seed: int = 0) -> Outcome:
    [found] = Run(problem or Toy(), BY_SCORE).drive([job(spec, nfe, seed=seed)])
    return found

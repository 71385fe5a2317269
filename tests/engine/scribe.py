"""The smallest problem of texts: words are hashes of names, answers and scores are hashes of words.

A text ends at any step where a hash says so; what is in context has a say in every word.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from noise_search.ask import Ask, Prompt
from noise_search.budget import ZERO, Cost
from noise_search.candidate import Candidate
from noise_search.journal import Journal
from noise_search.moves import Plan
from noise_search.noise import TEXT, Book, Medium, seed_from
from noise_search.problem import Batch
from noise_search.ranking import ByScore
from noise_search.registry import build_search
from noise_search.run import Job, Outcome, Run
from noise_search.text import Step, Text

PROMPT = Prompt("p", "a question")
BY_SCORE = ByScore("scribe")
STEPS = 6
LONGEST = 4
"""Tokens of a step."""


def hashed(text: Text) -> float:
    return seed_from(text.words) / 2**63


def answered(ask: Ask, text: Text) -> str | None:
    """One of three answers, or now and then none."""
    return [None, "1", "2", "3"][seed_from("answer", text.words) % 4]


@dataclass
class Scribe:
    """Counts what it plays; how it ends, answers and scores may be replaced."""

    medium: Medium = TEXT
    stochastic: bool = True
    most_steps: int = 1000
    ends: Callable[[int], bool] = lambda number: number % 4 == 0
    answer: Callable[[Ask, Text], str | None] = answered
    score: Callable[[Ask, Text], float] = lambda ask, text: hashed(text)
    failing: Callable[[Ask], str | None] = lambda ask: None
    calls: list[list[Ask]] = field(default_factory=list[list[Ask]])

    def price(self, ask: Ask) -> Cost:
        steps = ask.until - ask.begin + ask.lookahead
        return Cost(tokens_out=LONGEST * steps, verifier_calls=1)

    def lane(self, ask: Ask) -> Hashable:
        return None

    def play(self, asks: Sequence[Ask]) -> Batch:
        self.calls.append(list(asks))
        return Batch([self._candidate(ask) for ask in asks], ZERO)

    def _candidate(self, ask: Ask) -> Candidate:
        parent = Text() if ask.parent is None or ask.parent.text is None else ask.parent.text
        kept = parent.until(ask.begin)
        seen = self._written(ask, kept, min(ask.until + ask.lookahead, ask.steps))
        text = seen.until(ask.until)
        whole = bool(text.ending)
        return Candidate(
            ask.name,
            ask.prompt.name,
            ask.path,
            ask.steps,
            len(text.steps),
            parent=None if ask.parent is None else ask.parent.name,
            scores={"scribe": self.score(ask, seen)},
            failure=self.failing(ask),
            cost=Cost(tokens_out=len(seen.tokens) - len(kept.tokens), verifier_calls=1),
            ended=whole,
            text=text,
            lookahead=0 if whole else ask.lookahead,
        )

    def _written(self, ask: Ask, kept: Text, until: int) -> Text:
        read = [c.text.words for c in ask.about if c.text is not None]
        steps, ended = list(kept.steps), False
        while len(steps) < until and not ended:
            number = seed_from(ask.noise.name, len(steps), *read)
            tokens = tuple(number >> shift & 255 for shift in range(0, 8 * (1 + number % 4), 8))
            steps.append(Step(f"{number:016x}"[: len(tokens)] + "\n", tokens))
            ended = self.ends(number >> 40)
        if not ended and len(steps) < ask.steps:
            return Text(tuple(steps))
        text = Text(tuple(steps), ending="stop" if ended else "length")
        return Text(text.steps, self.answer(ask, text), text.ending)

    @property
    def asks(self) -> list[Ask]:
        """All that was played."""
        return [ask for batch in self.calls for ask in batch]


def outcome(
    plan: str | Plan,
    tokens: int = 1 << 20,
    scribe: Scribe | None = None,
    *,
    book: Book | None = None,
    journal: Path | None = None,
) -> Outcome:
    """What a search comes to, in one batch a round."""
    book = Book() if book is None else book
    plan = build_search(plan) if isinstance(plan, str) else plan
    memory = None if journal is None else Journal(journal, {"search": "some"}, book)
    try:
        run = Run(scribe or Scribe(), BY_SCORE, width=1 << 20, book=book, memory=memory)
        [found] = run.drive([Job(PROMPT, plan, {"tokens_out": tokens}, STEPS, 0)])
    finally:
        if memory is not None:
            memory.close()
    return found

"""Runs whose pictures are drawn from their noise's seed alone and graded by a judge."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from noise_search.ask import Ask, Prompt
from noise_search.budget import ZERO, Cost
from noise_search.candidate import Candidate
from noise_search.journal import Journal
from noise_search.judged import Judged
from noise_search.noise import LATENTS, Book, Medium, Recipe, seed_from
from noise_search.problem import Played, Sample, Score
from noise_search.ranking import ByScore
from noise_search.registry import build_search
from noise_search.run import Job, Outcome, Run
from noise_search.verifiers.loading import load
from tests.verifiers.judge_server import grade

STEPS = 4


def painted(noise: Recipe) -> Any:
    draw = np.random.default_rng(seed_from(noise.name))
    return draw.integers(0, 255, (4, 4, 3), dtype=np.uint8)


class Painter:
    """A pipeline of pictures without a model."""

    medium: Medium = LATENTS
    stochastic = False
    most_steps = 100

    def price(self, ask: Ask) -> Cost:
        return Cost(nfe=ask.until - ask.begin)

    def lane(self, ask: Ask) -> Hashable:
        return ask.steps, ask.begin, ask.until

    def play(self, asks: Sequence[Ask]) -> tuple[list[Played], Cost]:
        return [Played(self.price(ask), painted(ask.path)) for ask in asks], ZERO

    def picture(self, candidate: Candidate, prompt: Prompt) -> tuple[Any, Any, Cost]:
        return painted(candidate.noise), None, ZERO

    def describe(self) -> Mapping[str, object]:
        return {}


class Oracle:
    """Grades as an honest server does, without one."""

    name = "oracle"

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        return [Score({self.name: grade(np.asarray(sample.pixels))}) for sample in samples]


def run(
    verifier: str | Oracle,
    limits: Mapping[str, int],
    *,
    search: str = "random",
    seed: int = 0,
    width: int = 16,
    journal: Path | None = None,
) -> tuple[Outcome, Cost]:
    """One search under limits, kept in a journal if there is to be one; and its overhead."""
    book, overhead = Book(), list[Cost]()
    kept = nullcontext() if journal is None else Journal(journal, {"run": str(verifier)}, book)
    judge = load(verifier) if isinstance(verifier, str) else verifier
    with kept as memory:
        held = Run(
            Judged(Painter(), judge),
            ByScore(judge.name),
            width=width,
            book=book,
            memory=memory,
            overhead=overhead.append,
        )
        job = Job(Prompt("p", "a red circle"), build_search(search), limits, STEPS, seed)
        [outcome] = held.drive([job])
    return outcome, sum(overhead, ZERO)

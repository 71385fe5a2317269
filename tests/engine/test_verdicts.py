"""A search has its say however it ends, and what is kept back or shared is spent in the end."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from noise_search.ask import Ask, Prompt
from noise_search.budget import ZERO, Cost, Purse
from noise_search.candidate import Candidate
from noise_search.errors import Stop
from noise_search.moves import Plan, Search, Spent, Start
from noise_search.registry import build_search
from noise_search.run import Job, Run
from noise_search.searches import diverse
from noise_search.task import Task
from noise_search.text import Text
from tests.engine import scribe
from tests.engine.scribe import Scribe
from tests.engine.toy import BY_SCORE, PROMPT, Toy, job


def first(task: Task) -> Search:
    """Hands on the first it has found, whatever its score."""
    found: list[Candidate] = []
    try:
        while True:
            found += yield [Start(task.fresh())]
    except Spent as spent:
        return (found + spent.found)[:1]


def once(task: Task) -> Search:
    return (yield [Start(task.fresh())])


@dataclass
class Free(Toy):
    """A world in which all fails, and failing costs nothing."""

    def price(self, ask: Ask) -> Cost:
        return ZERO


def test_a_run_that_is_stopped_asks_the_search_for_its_verdict() -> None:
    seen: list[Candidate] = []

    def listen(candidate: Candidate) -> None:
        seen.append(candidate)
        if len(seen) == 5:
            raise Stop

    [outcome] = Run(Toy(), BY_SCORE, listen=listen).drive([Job(PROMPT, first, {}, 8, 0)])
    assert outcome.reason == "stopped"
    assert outcome.found == seen[:1]


def test_failures_that_cost_nothing_do_not_go_on_for_ever() -> None:
    free = Free(failing=lambda ask: "never")
    [outcome] = Run(free, BY_SCORE).drive([job("zero-order", 800)])
    assert "nothing new" in outcome.reason
    assert outcome.best is None


@pytest.mark.parametrize("spec", ["beam(draws=16,width=2)", "paths", "diverse(random,groups=3)"])
def test_what_one_search_leaves_of_a_purse_reaches_those_that_keep_something_back(
    spec: str,
) -> None:
    plans: dict[str, Plan] = {"short": once, "long": build_search(spec)}
    jobs = [Job(Prompt(name, name), plan, {}, 8, 0) for name, plan in plans.items()]
    outcomes = Run(Toy(stochastic=True), BY_SCORE).drive(jobs, Purse({"nfe": 200}))
    assert outcomes[0].spent.nfe == 8
    assert 110 < outcomes[1].spent.nfe <= 192


@pytest.mark.parametrize("nfe", [100, 200, 399])
def test_groups_spend_what_others_leave(nfe: int) -> None:
    begun: list[Task] = []

    def all_but_the_last_end_at_once(task: Task) -> Search:
        begun.append(task)
        return first(task) if len(begun) == 4 else once(task)

    def plan(task: Task) -> Search:
        return diverse(task, all_but_the_last_end_at_once, groups=4)

    [outcome] = Run(Toy(), BY_SCORE).drive([Job(PROMPT, plan, {"nfe": nfe}, 8, 0)])
    assert nfe - 8 < outcome.spent.nfe <= nfe


@pytest.mark.parametrize("spec", ["beam(draws=4,width=4)", "diverse(beam(draws=4,width=4))"])
def test_a_poor_text_that_ends_early_does_not_end_the_search(spec: str) -> None:
    def score(ask: Ask, text: Text) -> float:
        return 0.1 if text.ending and len(text.steps) < 3 else 0.5 + 0.01 * len(text.steps)

    world = Scribe(ends=lambda number: number % 5 == 0, score=score)
    found = scribe.outcome(spec, 1 << 20, world)
    assert found.best is not None
    assert found.best.stage >= 3

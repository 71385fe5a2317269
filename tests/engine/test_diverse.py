"""Searches side by side: each is as if it were alone with its own part of the budget."""

from __future__ import annotations

import pytest

from noise_search.moves import Plan, Search, Spent, Start
from noise_search.registry import build_search
from noise_search.run import Job, Outcome, Run
from noise_search.searches import diverse
from noise_search.task import Task
from tests.engine import scribe
from tests.engine.scribe import STEPS, Scribe
from tests.engine.toy import BY_SCORE, PROMPT, Toy, outcome

INNER = [
    "random(batch=3)",
    "zero-order(neighbors=2)",
    "beam(draws=4,width=2)",
    "revise(sequential=3,parallel=2)",
    "paths",
    "prune",
]


def alone(inner: str, group: int) -> Outcome:
    """A group's search with its own random numbers, nobody beside it, and all that it can use."""
    plan = build_search(inner)
    job = Job(PROMPT, lambda task: plan(task.fork(f"group {group}")), {"nfe": 2000}, 8, 0)
    [found] = Run(Toy(stochastic=True), BY_SCORE).drive([job])
    return found


@pytest.mark.parametrize("inner", INNER[:4])
def test_every_group_does_what_it_would_do_alone(inner: str) -> None:
    found = outcome(f"diverse({inner},groups=3)", 640, Toy(stochastic=True))
    groups = [alone(inner, i).candidates for i in range(3)]
    lengths: list[int] = []
    for group in groups:
        among = set(group)
        own = [c for c in found.candidates if c in among]
        assert own == group[: len(own)]
        lengths.append(len(own))
    assert sum(lengths) == len(found.candidates)
    assert max(lengths) - min(lengths) <= 1  # an equal part each
    assert found.best is not None
    ends = [c for c in found.candidates if c.finished]
    assert found.best.scores["toy"] == max(c.scores["toy"] for c in ends)


@pytest.mark.parametrize("inner", INNER)
def test_on_texts_too_and_every_finished_one_is_handed_on(inner: str) -> None:
    found = scribe.outcome(f"diverse({inner},groups=3,final=majority)", 300)
    ends = [c for c in found.candidates if c.finished]
    assert set(found.found) == set(ends)
    assert found.spent.tokens_out <= 300


def test_what_some_groups_leave_goes_to_the_others() -> None:
    groups: list[Task] = []

    def some(task: Task) -> Search:
        """The first group never ends, the others after one sample."""
        groups.append(task)
        found = yield [Start(task.fresh())]
        while task is groups[0]:
            found = yield [Start(task.fresh())]
        return found

    toy = Toy()
    job = Job(PROMPT, lambda task: diverse(task, some, groups=6), {"nfe": 8 * 12}, 8, 0)
    [found] = Run(toy, BY_SCORE).drive([job])
    assert [len(batch) for batch in toy.calls] == [6, *[1] * 6]
    assert found.spent.nfe == 8 * 12


def test_when_all_groups_have_ended_so_has_it() -> None:
    found = outcome("diverse(revise(sequential=1,parallel=1),groups=4)", 640)
    assert found.spent.nfe == 4 * 8
    assert found.reason == "the search has ended"


def test_groups_ask_in_one_batch() -> None:
    toy = Toy()
    outcome("diverse(zero-order(neighbors=2),groups=4)", 4 * 8 * 3, toy)
    assert [len(batch) for batch in toy.calls] == [4, 8]


@pytest.mark.parametrize(("nfe", "groups"), [(7, 0), (8, 1), (15, 1), (16, 2), (31, 3), (320, 4)])
def test_no_group_is_begun_that_could_not_pay_for_one_sample(nfe: int, groups: int) -> None:
    found = outcome("diverse(random(batch=1),groups=4)", nfe)
    assert len(found.candidates) == (nfe // 8 if nfe < 32 else 40)
    assert len(found.candidates[:groups]) == groups
    assert (found.best is not None) == (nfe >= 8)


def test_a_search_that_lets_the_verdict_pass_hands_on_what_it_saw() -> None:
    def stubborn(task: Task) -> Search:
        while True:
            yield [Start(task.fresh())]

    def careful(task: Task) -> Search:
        try:
            while True:
                yield [Start(task.fresh())]
        except Spent as spent:
            return spent.found

    def plan(inner: Plan) -> Plan:
        return lambda task: diverse(task, inner, groups=2)

    for inner, handed in [(stubborn, 8), (careful, 8)]:
        [found] = Run(Toy(), BY_SCORE).drive([Job(PROMPT, plan(inner), {"nfe": 64}, 8, 0)])
        assert len(found.candidates) == handed
        assert set(found.found) == set(found.candidates)


def test_trees_grow_apart() -> None:
    toy = Scribe(ends=lambda number: False)
    found = scribe.outcome("diverse(beam(draws=2,width=2),groups=3)", 10_000, toy)
    assert [len(batch) for batch in toy.calls] == [6] * STEPS
    by_name = {c.name: c for c in found.candidates}
    roots = set[str]()
    for candidate in found.found:
        while candidate.parent is not None:
            candidate = by_name[candidate.parent]
        roots.add(candidate.name)
    assert len(roots) == 3

"""A purse that many searches share: nothing beyond it, nothing by chance, nothing left lying."""

from __future__ import annotations

import pytest

from noise_search.ask import Prompt
from noise_search.budget import Purse
from noise_search.moves import Search, Start
from noise_search.run import Job, Outcome, Run, World
from noise_search.task import Task
from tests.engine.toy import BY_SCORE, Toy


def some(task: Task, count: int) -> Search:
    """A search that ends by itself."""
    for _ in range(count):
        yield [Start(task.fresh())]
    return []


def job(name: str, count: int = 1 << 20, world: World | None = None) -> Job:
    return Job(Prompt(name, name), lambda task: some(task, count), {}, 8, 0, world)


def spent(jobs: list[Job], nfe: int) -> dict[str, int]:
    outcomes = Run(Toy(), BY_SCORE).drive(jobs, Purse({"nfe": nfe}))
    return {o.prompt.name: o.spent.nfe for o in outcomes}


def test_searches_that_never_end_share_it_equally() -> None:
    assert spent([job("a"), job("b"), job("c")], 240) == {"a": 80, "b": 80, "c": 80}


def test_what_one_leaves_goes_to_the_others() -> None:
    assert spent([job("a", 2), job("b"), job("c")], 240) == {"a": 16, "b": 112, "c": 112}


@pytest.mark.parametrize("nfe", [7, 8, 23, 24, 100, 161])
def test_it_is_never_passed_and_what_is_left_buys_nothing_for_all(nfe: int) -> None:
    found = spent([job("a"), job("b", 3), job("c")], nfe)
    assert sum(found.values()) <= nfe
    assert (nfe - sum(found.values())) // 3 < 8


def test_the_order_of_searches_changes_nothing() -> None:
    jobs = [job("a", 1), job("b", 5), job("c"), job("d", 9)]
    assert spent(jobs, 300) == spent(jobs[::-1], 300)


def test_two_worlds_share_one_and_each_is_played_in_its_own() -> None:
    near, far = Toy(), Toy(stochastic=True)
    jobs = [job("a"), job("b", world=World(far, BY_SCORE, 2))]
    outcomes: list[Outcome] = Run(near, BY_SCORE).drive(jobs, Purse({"verifier_calls": 10}))
    assert [o.spent.verifier_calls for o in outcomes] == [5, 5]
    assert {ask.prompt.name for batch in near.calls for ask in batch} == {"a"}
    assert {ask.prompt.name for batch in far.calls for ask in batch} == {"b"}


def test_a_purse_and_a_pool_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="purse"):
        Run(Toy(), BY_SCORE, pool=2).drive([job("a")], Purse({"nfe": 8}))


@pytest.mark.parametrize("pool", [1, 2, 3, 9])
def test_results_do_not_depend_on_how_many_are_held_at_once(pool: int) -> None:
    jobs = [job(name, count) for name, count in zip("abcd", (3, 1, 4, 2), strict=True)]
    whole = Run(Toy(), BY_SCORE).drive(jobs)
    pooled = Run(Toy(), BY_SCORE, pool=pool).drive(jobs)
    assert [o.candidates for o in pooled] == [o.candidates for o in whole]

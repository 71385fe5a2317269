"""Searches made of searches."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from noise_search.candidate import Candidate
from noise_search.errors import UserError
from noise_search.moves import Continue, Plan, Search, Spent, Start
from noise_search.noise import Splice
from noise_search.spend import watched, within
from noise_search.task import Task

P = ParamSpec("P")


def finished(
    search: Callable[Concatenate[Task, P], Search],
) -> Callable[Concatenate[Task, P], Search]:
    """Keep back one full path until something is finished, so that no budget ends empty.

    When the rest is spent and nothing is finished, the best partial candidate is continued to
    its end. Once a sample is finished, the reserve is the search's to spend.
    """

    @wraps(search)
    def kept(task: Task, /, *args: P.args, **kwargs: P.kwargs) -> Search:
        inner = task.keeping(task.price(Start(task.medium.fresh(0))))
        seen: list[Candidate] = []

        def see(found: list[Candidate]) -> None:
            released = any(c.finished for c in seen)
            seen.extend(found)
            if not released and any(c.finished for c in found):
                inner.release()

        try:
            handed = yield from within(watched(search(inner, *args, **kwargs), see), inner)
        except Spent:
            if any(c.finished for c in seen):
                raise
            handed = []
        if any(c.finished for c in seen):
            return handed
        farthest = max((c.stage for c in seen if c.failure is None), default=0)
        hope = task.top([c for c in seen if c.stage == farthest], 1)
        return (yield [Continue(c, c.noise) for c in hope] or [Start(task.fork("last").fresh())])

    return kept


def refined(plan: Plan, steps: int, keep: int = 1) -> Plan:
    """Search on a short schedule, then make the winners again on a long one; both are charged.

    Ma et al.'s axes of compute (2501.09732, section 5.3): iterations, compute of an iteration,
    compute of the final generation, which is kept back from the start.

    Args:
        plan: the search, on the task's own schedule.
        steps: evaluations of the final schedule.
        keep: how many winners are made again.

    Raises:
        UserError: the search goes back along its paths: their noise has no meaning elsewhere.
    """

    def search(task: Task) -> Search:
        inner = task.keeping(task.price(Start(task.medium.fresh(0), steps=steps)) * keep)
        seen: list[Candidate] = []

        def see(found: list[Candidate]) -> None:
            if any(isinstance(c.noise, Splice) for c in found):
                raise UserError(
                    "search_steps: this search goes back along its paths, which exist on their "
                    "own schedule only; leave search_steps equal to steps"
                )
            seen.extend(found)

        try:
            handed = yield from within(watched(plan(inner), see), inner)
        except Spent:
            handed = []
        pool = handed or [c for c in seen if c.finished]
        found = yield [Start(c.noise, steps=steps) for c in task.top(pool, keep)]
        return task.top(found, keep)

    return search

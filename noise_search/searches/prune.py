"""Progressive pruning of seeds: many begin, the promising half goes on."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from math import ceil

from noise_search.budget import ZERO, Cost
from noise_search.errors import UserError
from noise_search.moves import END, Continue, Search, Start
from noise_search.searches.options import Share, Shares
from noise_search.task import Task

MOST = 1 << 20
"""A budget that pays for so many seeds limits nothing."""


def prune(task: Task, at: Shares = (0.25, 0.5), keep: Share = 0.5) -> Search:
    """Progressive seed pruning, successive halving over noises (2607.21591).

    As many seeds as the budget allows begin; at each checkpoint the x0-predictions are judged
    and the best part goes on. A survivor's noise is a plain seed. A text that has ended takes a
    place like others; left behind, it still is a whole sample.

    Args:
        task: what the search works with.
        at: checkpoints, as fractions of the steps.
        keep: the part kept at each, rounded up.

    Raises:
        UserError: the budget does not limit how many seeds can begin.
    """
    stages = [*sorted({max(1, round(f * task.stages)) for f in at} - {task.stages}), END]
    rungs = _rungs(task, stages)

    def bracket(seeds: int) -> Cost:
        total, alive = ZERO, seeds
        for rung in rungs:
            total, alive = total + rung * alive, ceil(alive * keep)
        return total

    seeds = bisect_left(range(1, MOST), True, key=lambda n: not task.affords(bracket(n)))
    if seeds == MOST - 1:
        raise UserError("search prune: it needs a budget that counts, such as 64nfe")
    found = yield [Start(task.fresh(), until=stages[0]) for _ in range(max(1, seeds))]
    whole = dict.fromkeys(c for c in found if c.finished)
    for stage in stages[1:]:
        kept = task.top(found, ceil(len(found) * keep))
        found = yield [Continue(c, c.noise, stage) for c in kept]
        whole |= dict.fromkeys(c for c in found if c.finished)
    return task.top(list(whole), len(whole))


def _rungs(task: Task, stages: list[int]) -> list[Cost]:
    """What one seed costs from each checkpoint to the next."""
    path = task.medium.fresh(0)
    prices = [task.price(Start(path, until=stage)) for stage in stages]
    unseen = [ZERO, *(task.price(Start(path, until=s, look=False)) for s in stages[:-1])]
    unseen = [replace(price, verifier_calls=0) for price in unseen]  # a text may end unseen too
    return [price - before for price, before in zip(prices, unseen, strict=True)]

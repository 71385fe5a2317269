"""More denoising steps: what compute buys without a search."""

from __future__ import annotations

from bisect import bisect_right

from noise_search.errors import UserError
from noise_search.moves import Search, Start
from noise_search.task import Task


def more_steps(task: Task) -> Search:
    """One sample with all the denoising steps the budget allows, up to the scheduler's limit.

    The baseline that inference-time search is measured against (Ma et al. 2501.09732, Fig. 1).

    Raises:
        UserError: the model writes: its reasoning steps are as many as it takes.
    """
    if task.medium.answers:
        raise UserError("search steps: a text has no denoising steps")

    def unaffordable(steps: int) -> bool:
        return not task.affords(task.price(Start(task.medium.fresh(0), steps=steps)))

    steps = bisect_right(range(1, task.most_stages + 1), False, key=unaffordable)
    return (yield [Start(task.fresh(), steps=max(1, steps))])

"""Search over paths: branch by going back in time and on again."""

from __future__ import annotations

from noise_search.moves import Continue, Search, Start
from noise_search.searches.compose import finished
from noise_search.searches.options import Count, Within
from noise_search.task import Task


@finished
def search_over_paths(
    task: Task,
    paths: Count = 2,
    width: Count = 4,
    start: Within = 0.625,
    forward: Within = 0.125,
    backward: Within = 0.25,
) -> Search:
    """Search over paths, then random search over the survivors (Ma et al. 2501.09732, 3.3).

    Every path is noised forward with fresh noises by the exact kernel, brought backward further
    than that, and judged on its x0-prediction; the best go on until the time is 0, where the best
    sample wins. While budget is left it begins anew with other paths. Times are fractions of flow
    time (1 is noise), rounded to stages; backward moves at least one stage more than forward. The
    paper's .11, .78 and .81 round to no move at all on short schedules.

    Args:
        task: what the search works with.
        paths: N, paths kept.
        width: M, noises tried on each.
        start: sigma, the time at which the search begins.
        forward: how far back towards noise.
        backward: how far on towards the sample.
    """
    at = max(1, round((1 - start) * task.stages))
    rewind = max(1, round(forward * task.stages))
    onward = max(rewind + 1, round(backward * task.stages))
    while True:
        survivors = yield [Start(task.fresh(), until=at) for _ in range(paths)]
        while live := [c for c in task.top(survivors, paths) if not c.done]:
            found = yield [
                Continue(c, task.fresh(), c.stage - back + onward, rewind=back)
                for c in live
                for back in [min(rewind, c.stage)] * width
            ]
            survivors = task.top(found, paths)

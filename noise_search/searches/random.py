"""Random search: the baseline that every other search has to beat."""

from __future__ import annotations

from noise_search.moves import Search, Start
from noise_search.searches.options import Count
from noise_search.task import Task


def random_search(task: Task, batch: Count = 8) -> Search:
    """Best-of-N: independent noises, the best sample wins (Ma et al. 2501.09732, section 3.1).

    Args:
        task: what the search works with.
        batch: noises asked for at a time; changes nothing but how well batches fill.
    """
    while True:
        yield [Start(task.fresh()) for _ in range(batch)]

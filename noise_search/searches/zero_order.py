"""Zero-order search: local search around a pivot noise."""

from __future__ import annotations

from noise_search.moves import Search, Start
from noise_search.searches.options import Cosine, Count
from noise_search.task import Task


def zero_order(
    task: Task, neighbors: Count = 4, cosine: Cosine = 0.5, elitist: bool = True
) -> Search:
    """Move a pivot to the best of its neighbors, again and again (Ma et al. 2501.09732, 3.2).

    Args:
        task: what the search works with.
        neighbors: candidates around the pivot in one iteration.
        cosine: of every neighbor to the pivot, at equal norm; smaller is a wider stride.
        elitist: the pivot stays unless a neighbor is better.
    """
    [pivot] = yield [Start(task.fresh())]
    while True:
        found = yield [Start(task.near(pivot, strength=cosine)) for _ in range(neighbors)]
        pivot = task.best([pivot, *found] if elitist else found)

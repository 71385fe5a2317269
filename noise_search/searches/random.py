"""Random search: the baseline that every other search has to beat."""

from __future__ import annotations

from noise_search.candidate import Candidate
from noise_search.moves import Search, Spent, Start
from noise_search.ranking import Final
from noise_search.searches.options import Count
from noise_search.task import Task


def random_search(task: Task, batch: Count = 8, final: Final = "best") -> Search:
    """Best-of-N: independent noises, the best sample wins (Ma et al. 2501.09732, section 3.1).

    On text, `final=weighted` is best-of-N weighted (Snell et al. 2408.03314, section 5.1) and
    `final=majority` is self-consistency (Wang et al. 2203.11171).

    Args:
        task: what the search works with.
        batch: noises asked for at a time; changes nothing but how well batches fill.
        final: what chooses among the finished: best score, weighted or majority vote.
    """
    vote = task.voting(final)
    found: list[Candidate] = []
    try:
        while True:
            found += yield [Start(task.fresh()) for _ in range(batch)]
    except Spent as spent:
        return vote(found + spent.found)

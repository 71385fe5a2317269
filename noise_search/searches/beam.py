"""Beam search over partial samples: on text over reasoning steps, on noise over previews."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Le

from noise_search.candidate import Candidate
from noise_search.moves import Continue, Search, Spent, Start
from noise_search.ranking import Final
from noise_search.searches.compose import finished
from noise_search.searches.options import Count
from noise_search.task import Task


@finished
def beam(
    task: Task,
    draws: Count = 16,
    width: Count = 4,
    lookahead: Annotated[int, Ge(0), Le(1000)] = 0,
    final: Final = "best",
) -> Search:
    """Beam search by a verifier of partial samples (Snell et al. 2408.03314, section 5.2).

    N samples take one step and are judged; the best N / M of those under way take one more,
    with M different continuations each, until all have ended. What has ended keeps its place
    among the N, so that the beam narrows (as REBASE counts its budget, Wu et al. 2408.00724).
    With a lookahead k a step is judged at the end of k greedy steps more, which are paid for:
    lookahead search (section 5.2), N (k + 1) steps a round.

    On noise it judges x0-predictions and needs a stochastic sampler (eta above 0), as
    siblings are equal else: SVDD (Li et al. 2408.08252) with one beam, CoDe (Singh et al.
    2502.00968).

    Args:
        task: what the search works with.
        draws: N, samples under way or ended.
        width: M, continuations of each that is kept.
        lookahead: k, greedy steps before a sample is judged.
        final: what chooses among the finished: best score, weighted or majority vote.
    """
    vote = task.voting(final)
    ends: list[Candidate] = []
    found = yield [Start(task.fresh(), until=1, lookahead=lookahead) for _ in range(draws)]
    while True:
        found = list(dict.fromkeys(found))  # siblings are equal where steps are not random
        ends += [c for c in found if c.finished]
        places = max((draws - len(ends)) // width, 0 if ends else 1)
        kept = task.top([c for c in found if not c.done], places)
        if not kept:
            return vote(ends)
        try:
            found = yield [
                Continue(c, task.fresh(), c.stage + 1, lookahead=lookahead)
                for c in kept
                for _ in range(width)
            ]
        except Spent as spent:
            if not any(c.finished for c in [*ends, *spent.found]):
                raise
            return vote([*ends, *spent.found])

"""Beam search over partial samples: on text over reasoning steps, on noise over previews."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Le

from noise_search.candidate import Candidate
from noise_search.moves import Continue, Move, Search, Spent, Start
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

    N samples take one step and are judged; the best N / M go on, each with M different next
    steps, until all of them have ended. What has ended stays among the candidates: it takes a
    place where it is among the best, and is there for the final choice in any case. With a
    lookahead k a step is judged at the end of k greedy steps more, which are paid for: lookahead
    search (section 5.2), N (k + 1) steps a round.

    On noise it judges x0-predictions and needs a stochastic sampler (eta above 0), as
    siblings are equal else: SVDD (Li et al. 2408.08252) with one beam, CoDe (Singh et al.
    2502.00968).

    Args:
        task: what the search works with.
        draws: N, samples of a round.
        width: M, continuations of each that is kept; N at most.
        lookahead: k, greedy steps before a sample is judged.
        final: what chooses among the finished: best score, weighted or majority vote.
    """
    vote = task.voting(final)
    width = min(width, draws)
    ends: list[Candidate] = []
    moves: list[Move] = [Start(task.fresh(), until=1, lookahead=lookahead) for _ in range(draws)]
    while moves:
        try:
            found = yield moves
        except Spent as spent:
            ends += [c for c in spent.found if c.finished]
            if not ends:
                raise
            break
        ends += [c for c in found if c.finished]
        # siblings are equal where steps are not random
        best = task.top(list(dict.fromkeys([*found, *ends])), draws // width)
        moves = [
            Continue(c, task.fresh(), c.stage + 1, lookahead=lookahead)
            for c in best
            if not c.done
            for _ in range(width)
        ]
    return vote(ends)

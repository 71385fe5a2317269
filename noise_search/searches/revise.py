"""Chains of revisions: each sample is made with the one before it in view."""

from __future__ import annotations

from noise_search.candidate import Candidate
from noise_search.moves import Search, Spent, Start
from noise_search.ranking import Final, Vote
from noise_search.searches.options import Cosine, Count
from noise_search.task import Task


def revise(
    task: Task,
    sequential: Count = 4,
    parallel: Count = 4,
    final: Final = "best",
    cosine: Cosine = 0.5,
) -> Search:
    """Sequential revisions of parallel samples (Snell et al. 2408.03314, section 6).

    Every chain begins afresh and is revised again and again, with the four latest texts in
    context. A weighted vote is hierarchical: within each chain first, then among the winners of
    the chains; a majority vote counts all answers of all chains alike.
    On noise a revision is a neighbor: chains that walk from noise to noise, the best sample wins.

    Args:
        task: what the search works with.
        sequential: samples of a chain.
        parallel: chains.
        final: what chooses: best score, weighted or majority vote.
        cosine: of a neighbor to the noise before it; has no meaning on text.
    """
    vote = task.voting(final)
    chains: list[list[Candidate]] = [[] for _ in range(parallel)]
    try:
        for _ in range(sequential):
            found = yield [
                Start(task.near(chain[-1], strength=cosine) if chain else task.fresh())
                for chain in chains
            ]
            for chain, candidate in zip(chains, found, strict=True):
                chain.append(candidate)
    except Spent as spent:
        for chain, candidate in zip(chains, spent.found, strict=False):
            chain.append(candidate)
    return _flat(chains, vote) if final == "majority" else _hierarchical(chains, vote)


Chains = list[list[Candidate]]


def _flat(chains: Chains, vote: Vote) -> list[Candidate]:
    """A vote among all samples of all chains, the first of each chain first."""
    rounds = max(map(len, chains))
    return vote([chain[i] for i in range(rounds) for chain in chains if i < len(chain)])


def _hierarchical(chains: Chains, vote: Vote) -> list[Candidate]:
    """A vote within each chain, then among the winners; the rest follows in order."""
    ordered = [vote(chain) for chain in chains]
    winners = vote([chain[0] for chain in ordered if chain])
    return winners + vote([c for chain in ordered for c in chain[1:]])

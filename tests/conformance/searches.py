"""The searches that every test of this folder is run on.

For a search of your own: add a line here, or, for one that your package brings through the entry
points `noise_search.searches`, leave this file alone and name it in the environment, several of
them joined by commas: `NOISE_SEARCH_CONFORMANCE="mine,mine(width=2)" pytest tests/conformance`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from noise_search.specs import split_top
from tests.conformance.worlds import World


@dataclass(frozen=True)
class Listed:
    """A search under test.

    Attributes:
        spec: as users write it.
        looks: where its moves depend on what is left of the budget, and so more of it may lower
            the best score: how. None promises that more never does.
        noise: whether it has a meaning where pictures are denoised,
        texts: and where texts are written.
        votes: whether its winner is chosen by answers rather than by its own score.
    """

    spec: str
    looks: str | None = None
    noise: bool = True
    texts: bool = True
    votes: bool = False

    def __str__(self) -> str:
        return self.spec

    def fits(self, world: World) -> bool:
        """Whether it has a meaning there."""
        return self.texts if world.writes else self.noise


KEPT_BACK = "a path kept back is spent on whatever is farthest when the rest is gone"
VOTED = "a vote goes by answers, whatever the best score"
BUILT_IN = [
    Listed("random"),
    Listed("zero-order"),
    Listed("paths", looks=KEPT_BACK),
    Listed("prune", looks="as many seeds begin as the budget can carry to the end"),
    # A text has no denoising steps of which there could be more.
    Listed("steps", looks="all of the budget goes into the steps of one sample", texts=False),
    Listed("beam(draws=4,width=2)", looks=KEPT_BACK),
    Listed("beam(draws=4,width=2,lookahead=1)", looks=KEPT_BACK),
    Listed("revise(sequential=3,parallel=2)"),
    Listed("diverse(beam(draws=2,width=2),groups=2)", looks=f"in each group {KEPT_BACK}"),
    # Pictures come to no answers that could be counted.
    Listed("random(final=weighted)", looks=VOTED, noise=False, votes=True),
    Listed("random(final=majority)", looks=VOTED, noise=False, votes=True),
]
_OTHERS = os.environ.get("NOISE_SEARCH_CONFORMANCE", "")
SEARCHES = [*BUILT_IN, *(Listed(spec, "unknown") for spec in split_top(_OTHERS) if spec)]


def each(
    worlds: Sequence[World], nightly: Sequence[World] = (), searches: Sequence[Listed] = SEARCHES
) -> pytest.MarkDecorator:
    """Runs a test, of a `world` and a `search`, on all pairs that have a meaning.

    Args:
        worlds: where the searches are held,
        nightly: and where they are by night.
        searches: which.
    """
    late = pytest.mark.nightly
    pairs = [
        *(pytest.param(w, s, id=f"{w}-{s}") for w, s in _pairs(worlds, searches)),
        *(pytest.param(w, s, id=f"{w}-{s}", marks=late) for w, s in _pairs(nightly, searches)),
    ]
    return pytest.mark.parametrize(("world", "search"), pairs)


def _pairs(worlds: Sequence[World], searches: Sequence[Listed]) -> list[tuple[World, Listed]]:
    return [(w, s) for s in searches for w in worlds if s.fits(w)]

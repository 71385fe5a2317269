"""The searches that every test of this folder is run on.

For a search of your own: add a line here, or, for one that your package brings through the entry
points `noise_search.searches`, leave this file alone and name it in the environment, several of
them joined by commas: `NOISE_SEARCH_CONFORMANCE="mine,mine(width=2)" pytest tests/conformance`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from noise_search.specs import split_top


@dataclass(frozen=True)
class Listed:
    """A search under test.

    Attributes:
        spec: as users write it.
        looks: where its moves depend on what is left of the budget, and so more of it may lower
            the best score: how. None promises that more never does.
    """

    spec: str
    looks: str | None = None

    def __str__(self) -> str:
        return self.spec


BUILT_IN = [
    Listed("random"),
    Listed("zero-order"),
    Listed(
        "paths", looks="a path kept back is spent on whatever is farthest when the rest is gone"
    ),
    Listed("prune", looks="as many seeds begin as the budget can carry to the end"),
    Listed("steps", looks="all of the budget goes into the steps of one sample"),
]
_OTHERS = os.environ.get("NOISE_SEARCH_CONFORMANCE", "")
SEARCHES = [*BUILT_IN, *(Listed(spec, "unknown") for spec in split_top(_OTHERS) if spec)]

"""More budget never lowers the best score, but for the searches that are named."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.conformance.folders import driven
from tests.conformance.searches import BUILT_IN, SEARCHES, Listed
from tests.conformance.worlds import ANALYTIC, World

pytestmark = pytest.mark.timeout(300)
BUDGETS = [6, 7, 11, 12, 13, 18, 23, 24, 30, 37, 48, 60, 61, 75, 90]
each_world = pytest.mark.parametrize("world", ANALYTIC, ids=str)


def best_scores(world: World, search: Listed, seed: int = 0) -> list[float]:
    """The best score of each budget."""
    found: list[float] = []
    for nfe in BUDGETS:
        settings = world.settings(search.spec, f"{nfe}nfe", seed=seed)
        [outcome] = driven(world.prompts[:1], settings).outcomes
        assert outcome.best is not None
        found.append(outcome.best.scores["reward"])
    return found


@each_world
@pytest.mark.parametrize("search", [s for s in SEARCHES if s.looks is None], ids=str)
def test_more_budget_never_lowers_the_best_score(world: World, search: Listed) -> None:
    for seed in range(3):
        scores = best_scores(world, search, seed)
        assert scores == sorted(scores)
        assert len(set(scores)) > 1


@pytest.mark.parametrize("search", [s for s in BUILT_IN if s.looks is not None], ids=str)
def test_it_does_for_a_search_that_is_named_and_so_the_name_is_deserved(search: Listed) -> None:
    fell = [
        later < sooner
        for world in ANALYTIC
        for seed in range(4)
        for sooner, later in pairwise(best_scores(world, search, seed))
    ]
    assert any(fell)

"""More budget never lowers the best score, but for the searches that are named."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.conformance.conftest import Place
from tests.conformance.folders import BenchOf, driven, reusing
from tests.conformance.searches import BUILT_IN, SEARCHES, Listed, each
from tests.conformance.worlds import ANALYTIC, TEXTS, VOTES, World

pytestmark = pytest.mark.timeout(300)
BUDGETS = [6, 7, 11, 12, 13, 18, 23, 24, 30, 37, 48, 60, 61, 75, 90]


def best_scores(world: World, search: Listed, seed: int, bench_of: BenchOf) -> list[float]:
    """The best score of each budget."""
    found: list[float] = []
    for stages in BUDGETS:
        settings = world.settings(search.spec, world.budget(stages), seed=seed)
        [outcome] = driven(world.prompts[:1], settings, bench_of).outcomes
        assert outcome.best is not None
        found.append(outcome.best.scores[settings.verifier or ""])
    return found


@each([*ANALYTIC, *TEXTS], searches=[s for s in SEARCHES if s.looks is None])
def test_more_budget_never_lowers_the_best_score(
    world: World, search: Listed, placed: Place
) -> None:
    bench_of = reusing()
    rows = [best_scores(placed(world), search, seed, bench_of) for seed in range(3)]
    assert all(scores == sorted(scores) for scores in rows)
    assert any(len(set(scores)) > 1 for scores in rows)


@pytest.mark.parametrize("search", [s for s in BUILT_IN if s.looks is not None], ids=str)
def test_it_does_for_a_search_that_is_named_and_so_the_name_is_deserved(
    search: Listed, placed: Place
) -> None:
    worlds = [placed(world) for world in [*ANALYTIC, VOTES] if search.fits(world)]
    fell = [
        later < sooner
        for world, bench_of in [(world, reusing()) for world in worlds]
        for seed in range(4)
        for sooner, later in pairwise(best_scores(world, search, seed, bench_of))
    ]
    assert any(fell)

"""What is charged is what was done: every call is in the ledger, and no budget is passed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conformance.conftest import Place
from tests.conformance.folders import driven, lines, play, record, total
from tests.conformance.searches import SEARCHES, Listed
from tests.conformance.worlds import SHIPPED, WORLDS, Tally, World

pytestmark = pytest.mark.timeout(300)
each_search = pytest.mark.parametrize("search", SEARCHES, ids=str)
each_world = pytest.mark.parametrize("world", WORLDS, ids=str)
each_real_world = pytest.mark.parametrize("world", [*WORLDS, *SHIPPED], ids=str)


@each_search
@each_real_world
@pytest.mark.parametrize("fast", [False, True], ids=["padded", "fast"])
def test_calls_counted_at_model_and_verifier_equal_the_ledger_and_pass_no_limit(
    world: World, search: Listed, fast: bool, placed: Place, scratch: Path
) -> None:
    world = placed(world)
    budgets = ["17nfe+9calls"] if world.pictures else ["37nfe+9calls", "40nfe", "11calls"]
    for budget in budgets:
        out = scratch / budget
        settings = world.settings(search.spec, budget, fast=fast)
        with Tally() as tally:
            results = play(out, world.prompts, settings, bench_of=tally.bench)
        whole = record(out)
        spent = whole["spent"]
        assert sum(tally.distinct) == spent["nfe"]
        assert tally.judged == spent["verifier_calls"]
        if fast:
            assert sum(tally.widths) == spent["forwards"]
        else:
            assert set(tally.widths) == {settings.batch * spent["forwards"] // spent["nfe"]}
        assert spent == total([whole["overhead"], *(line["cost"] for line in lines(out))])
        for result in results:
            assert result.best is not None
            assert all(getattr(result.spent, k) <= most for k, most in settings.limits.items())


@each_search
@each_world
def test_a_budget_of_any_size_is_kept_and_makes_a_sample_if_it_pays_for_one(
    world: World, search: Listed, placed: Place
) -> None:
    world = placed(world)
    steps: Any = world.options["steps"]
    for nfe in (1, steps - 1, steps, steps + 1, 2 * steps + 1, 3 * steps - 1):
        settings = world.settings(search.spec, f"{nfe}nfe")
        with Tally() as tally:
            [outcome] = driven(world.prompts[:1], settings, tally.bench).outcomes
        assert sum(tally.distinct) == outcome.spent.nfe <= nfe
        assert outcome.best is not None or nfe < steps

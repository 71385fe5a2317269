"""What is charged is what was done: every call is in the ledger, and no budget is passed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from noise_search.budget import Cost
from tests.conformance.conftest import Place
from tests.conformance.folders import driven, lines, play, record, total
from tests.conformance.searches import Listed, each
from tests.conformance.worlds import SHIPPED, TEXTS, WORLDS, Tally, World

pytestmark = pytest.mark.timeout(300)


def budgets(world: World) -> list[str]:
    """Some that end in the middle of a sample, of a batch, and by the verifier's calls alone."""
    if world.pictures:
        return [f"{world.budget(17)}+9calls"]
    return [f"{world.budget(37)}+9calls", world.budget(40), "11calls"]


@each([*WORLDS, *SHIPPED, *TEXTS])
@pytest.mark.parametrize("fast", [False, True], ids=["padded", "fast"])
def test_calls_counted_at_model_and_verifier_equal_the_ledger_and_pass_no_limit(
    world: World, search: Listed, fast: bool, placed: Place, scratch: Path
) -> None:
    world = placed(world)
    for budget in budgets(world):
        out = scratch / budget
        settings = world.settings(search.spec, budget, fast=fast)
        with Tally() as tally:
            results = play(out, world.prompts, settings, bench_of=tally.bench)
        whole = record(out)
        spent = Cost(**whole["spent"])
        assert tally.work == getattr(spent, world.unit) > 0
        assert tally.judged == spent.verifier_calls
        assert tally.judge_tokens == spent.judge_tokens
        if fast:
            assert tally.agrees(spent)
        elif not world.writes:
            assert set(tally.widths) == {(settings.batch or 1) * spent.forwards // spent.nfe}
        assert spent.record() == total([whole["overhead"], *(line["cost"] for line in lines(out))])
        for result in results:
            assert result.best is not None
            assert all(getattr(result.spent, k) <= most for k, most in settings.limits.items())


@each([*WORLDS, *TEXTS])
def test_a_budget_of_any_size_is_kept_and_makes_a_sample_if_it_pays_for_one(
    world: World, search: Listed, placed: Place
) -> None:
    world = placed(world)
    steps: Any = world.options["steps"]
    for stages in (1, steps - 1, steps, steps + 1, 2 * steps + 1, 3 * steps - 1):
        settings = world.settings(search.spec, world.budget(stages))
        with Tally() as tally:
            [outcome] = driven(world.prompts[:1], settings, tally.bench).outcomes
        [limit] = settings.limits.values()
        assert tally.work == getattr(outcome.spent, world.unit) <= limit
        assert outcome.best is not None or stages < steps

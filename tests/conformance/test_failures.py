"""A broken candidate is a failure with a reason: charged, and never a winner."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from noise_search.candidate import Candidate
from noise_search.run import Outcome
from noise_search.study.settings import Settings
from tests.conformance.conftest import Place
from tests.conformance.faults import EVERYWHERE, ON_PICTURES, Fault, faulty
from tests.conformance.folders import driven, lines, play, record
from tests.conformance.searches import SEARCHES, Listed
from tests.conformance.worlds import ANALYTIC, SHAPES, Tally, World

pytestmark = pytest.mark.timeout(300)
each_search = pytest.mark.parametrize("search", SEARCHES, ids=str)
each_analytic = pytest.mark.parametrize("world", ANALYTIC, ids=str)
RATES = (0.2, 0.5, 0.8, 0.97)


def check(world: World, settings: Settings, fault: Fault) -> Outcome:
    """Search with a fault; what fails is what it was put into, and the best is the best else."""
    with Tally() as tally:
        found = driven(world.prompts[:1], settings, faulty(fault, tally.bench))
    [outcome] = found.outcomes
    assert sum(tally.widths) == (outcome.spent + found.overhead).forwards
    assert [c.failure is not None for c in outcome.candidates] == [
        fault.hit(c) for c in outcome.candidates
    ]
    assert outcome.best == best_of(outcome.candidates, settings.verifier or "")
    return outcome


def best_of(found: Sequence[Candidate], verifier: str) -> Candidate | None:
    """The first of the best that came to their end unharmed."""
    ends = [c for c in found if c.stage == c.steps and c.failure is None]
    return max(ends, key=lambda c: c.scores[verifier], default=None)


@each_search
@each_analytic
@pytest.mark.parametrize("fault", EVERYWHERE, ids=str)
def test_a_broken_candidate_never_wins_and_a_sound_one_is_never_lost(
    world: World, search: Listed, fault: Fault
) -> None:
    settings = world.settings(search.spec, "40nfe", fast=True)
    found = [
        check(world, settings, Fault(fault.place, fault.kind, rate, salt))
        for salt, rate in enumerate(RATES)
    ]
    assert any(c.failure for outcome in found for c in outcome.candidates)


@each_search
@pytest.mark.parametrize("fault", ON_PICTURES, ids=str)
def test_a_broken_picture_never_wins_and_a_sound_one_is_never_lost(
    search: Listed, fault: Fault, placed: Place
) -> None:
    world = placed(SHAPES[0])
    check(world, world.settings(search.spec, "24nfe", fast=True), fault)


@each_search
@pytest.mark.parametrize("fault", EVERYWHERE, ids=str)
def test_where_all_are_broken_there_is_no_winner_and_every_failure_has_its_reason(
    search: Listed, fault: Fault, scratch: Path
) -> None:
    world = ANALYTIC[0]
    always = Fault(fault.place, fault.kind, rate=1.0)
    settings = world.settings(search.spec, "40nfe")
    results = play(scratch, world.prompts, settings, bench_of=faulty(always))
    assert [result.best for result in results] == [None, None]
    whole = record(scratch)
    assert whole["failures"] == whole["candidates"] > 0
    assert whole["spent"]["nfe"] > 0
    assert [r["best"] for r in whole["results"]] == [None, None]
    assert all(line["failure"] and line["scores"] == {} for line in lines(scratch))

"""A broken candidate is a failure with a reason: charged, and never a winner."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from noise_search.candidate import Candidate
from noise_search.run import Outcome
from noise_search.study.settings import Settings
from tests.conformance.conftest import Place
from tests.conformance.faults import EVERYWHERE, ON_PICTURES, ON_TEXTS, Fault, faulty
from tests.conformance.folders import driven, lines, play, record
from tests.conformance.searches import Listed, each
from tests.conformance.worlds import ANALYTIC, SHAPES, TEXT, TEXTS, Tally, World

pytestmark = pytest.mark.timeout(300)
RATES = (0.2, 0.5, 0.8, 0.97)


def check(world: World, search: Listed, settings: Settings, fault: Fault) -> Outcome:
    """Search with a fault; what fails is what it was put into, and the best is the best else."""
    with Tally() as tally:
        found = driven(world.prompts[:1], settings, faulty(fault, tally.bench))
    [outcome] = found.outcomes
    assert tally.agrees(outcome.spent + found.overhead)
    assert [c.failure is not None for c in outcome.candidates] == [
        fault.hit(c) for c in outcome.candidates
    ]
    sound = [c for c in outcome.candidates if c.finished]
    if search.votes:
        assert set(outcome.found) == set(sound)
    else:
        assert outcome.best == best_of(sound, settings.verifier or "")
    return outcome


def best_of(found: Sequence[Candidate], verifier: str) -> Candidate | None:
    """The first of the best."""
    return max(found, key=lambda c: c.scores[verifier], default=None)


@each(ANALYTIC)
@pytest.mark.parametrize("fault", EVERYWHERE, ids=str)
def test_a_broken_candidate_never_wins_and_a_sound_one_is_never_lost(
    world: World, search: Listed, fault: Fault
) -> None:
    settings = world.settings(search.spec, "40nfe", fast=True)
    found = [
        check(world, search, settings, Fault(fault.place, fault.kind, rate, salt))
        for salt, rate in enumerate(RATES)
    ]
    assert any(c.failure for outcome in found for c in outcome.candidates)


@each(SHAPES[:1])
@pytest.mark.parametrize("fault", ON_PICTURES, ids=str)
def test_a_broken_picture_never_wins_and_a_sound_one_is_never_lost(
    world: World, search: Listed, fault: Fault, placed: Place
) -> None:
    world = placed(world)
    check(world, search, world.settings(search.spec, "24nfe", fast=True), fault)


@each(TEXTS)
@pytest.mark.parametrize("fault", ON_TEXTS, ids=str)
def test_a_text_that_cannot_be_judged_never_wins_and_a_sound_one_is_never_lost(
    world: World, search: Listed, fault: Fault, placed: Place
) -> None:
    world = placed(world)
    settings = world.settings(search.spec, world.budget(40), fast=True)
    found = [
        check(world, search, settings, Fault(fault.place, fault.kind, rate, salt))
        for salt, rate in enumerate(RATES[1:3])
    ]
    assert any(c.failure for outcome in found for c in outcome.candidates)


@each(ANALYTIC[:1])
@pytest.mark.parametrize("fault", EVERYWHERE, ids=str)
def test_where_all_are_broken_there_is_no_winner_and_every_failure_has_its_reason(
    world: World, search: Listed, fault: Fault, scratch: Path
) -> None:
    check_all_broken(world, search, fault, scratch)


@each([TEXT])
def test_where_no_text_can_be_judged_there_is_no_winner_and_every_failure_has_its_reason(
    world: World, search: Listed, placed: Place, scratch: Path
) -> None:
    check_all_broken(placed(world), search, ON_TEXTS[0], scratch)


def check_all_broken(world: World, search: Listed, fault: Fault, out: Path) -> None:
    always = Fault(fault.place, fault.kind, rate=1.0)
    settings = world.settings(search.spec, world.budget(40))
    results = play(out, world.prompts, settings, bench_of=faulty(always))
    assert [result.best for result in results] == [None, None]
    whole = record(out)
    assert whole["failures"] == whole["candidates"] > 0
    assert whole["spent"][world.unit] > 0
    assert [r["best"] for r in whole["results"]] == [None, None]
    assert all(line["failure"] and line["scores"] == {} for line in lines(out))

"""Beam search reads like Snell et al. 2408.03314, section 5.2, and pays for its lookahead."""

from __future__ import annotations

import pytest

from noise_search.candidate import Candidate
from tests.engine import toy
from tests.engine.scribe import LONGEST, STEPS, Scribe, outcome
from tests.engine.toy import Toy

PLENTY = 1 << 20


def rounds(scribe: Scribe, found: list[Candidate]) -> list[list[Candidate]]:
    """What each round brought."""
    by_name = {c.name: c for c in found}
    return [[by_name[ask.name] for ask in batch] for batch in scribe.calls]


@pytest.mark.parametrize(
    ("draws", "width"), [(8, 2), (8, 4), (9, 3), (4, 4), (1, 1), (6, 1), (7, 2)]
)
def test_the_best_go_on_each_in_several_ways_and_what_ended_may_be_among_them(
    draws: int, width: int
) -> None:
    scribe = Scribe()
    found = outcome(f"beam(draws={draws},width={width})", PLENTY, scribe)
    told = rounds(scribe, found.candidates)
    assert len(told[0]) == draws
    assert all(c.stage == 1 and c.parent is None for c in told[0])
    ended: list[Candidate] = []
    for before, after in zip(told, [*told[1:], []], strict=True):
        ended += [c for c in before if c.finished]
        pool = sorted({*before, *ended}, key=lambda c: -c.scores["scribe"])
        kept = [c for c in pool[: draws // width] if not c.finished]
        assert [c.parent for c in after] == [c.name for c in kept for _ in range(width)]
        assert all(c.stage == before[0].stage + 1 for c in after)
    assert found.found == sorted(ended, key=lambda c: -c.scores["scribe"])
    assert len({c.noise.name for c in found.candidates}) == len(found.candidates)


def test_where_none_ends_early_every_round_has_all_its_draws() -> None:
    scribe = Scribe(ends=lambda number: False)
    found = outcome("beam(draws=12,width=3)", PLENTY, scribe)
    assert [len(batch) for batch in scribe.calls] == [12] * STEPS
    assert [c.stage for c in found.found] == [STEPS] * 12


def test_a_place_that_an_ended_sample_holds_goes_on_nowhere() -> None:
    scribe = Scribe(ends=lambda number: number % 3 == 0)
    found = outcome("beam(draws=16,width=2)", PLENTY, scribe)
    sizes = [len(batch) for batch in scribe.calls]
    assert sizes[0] == max(sizes) == 16
    assert sizes[-1] < 16
    assert set(found.found) == {c for c in found.candidates if c.finished}


@pytest.mark.parametrize("lookahead", [0, 1, 3])
def test_a_lookahead_is_asked_for_at_every_step_and_paid_for(lookahead: int) -> None:
    scribe = Scribe(ends=lambda number: False)
    found = outcome(f"beam(draws=4,width=2,lookahead={lookahead})", PLENTY, scribe)
    assert {ask.lookahead for ask in scribe.asks} == {lookahead}
    for candidate, ask in zip(found.candidates, scribe.asks, strict=True):
        assert candidate.text is not None
        new = sum(len(step.tokens) for step in candidate.text.steps[ask.begin :])
        ahead = min(lookahead, STEPS - candidate.stage)
        assert new + ahead <= candidate.cost.tokens_out <= (1 + ahead) * LONGEST
        assert candidate.lookahead == (0 if candidate.finished else lookahead)


def test_what_is_judged_ahead_is_not_kept() -> None:
    near = outcome("beam(draws=4,width=2,lookahead=0)", PLENTY).candidates[:4]
    far = outcome("beam(draws=4,width=2,lookahead=2)", PLENTY).candidates[:4]
    assert [c.noise for c in near] == [c.noise for c in far]
    assert [c.text for c in near] == [c.text for c in far]
    assert [c.scores for c in near if not c.finished] != [c.scores for c in far if not c.finished]


@pytest.mark.parametrize("tokens", range(1, 120, 7))
def test_a_budget_that_pays_for_a_sample_makes_one(tokens: int) -> None:
    found = outcome("beam(draws=4,width=2)", tokens)
    assert found.spent.tokens_out <= tokens
    assert found.best is not None or tokens < STEPS * LONGEST


def test_where_all_fail_it_tries_once_more_and_ends() -> None:
    scribe = Scribe(failing=lambda ask: "broken")
    found = outcome("beam(draws=4,width=2)", PLENTY, scribe)
    assert [len(batch) for batch in scribe.calls] == [4, 1]
    assert found.best is None


def test_on_a_deterministic_sampler_siblings_are_one_and_paid_once() -> None:
    problem = Toy()
    found = toy.outcome("beam(draws=8,width=2)", 640, problem)
    assert [len(batch) for batch in problem.calls] == [8, *[4] * 7]
    assert found.spent.nfe == problem.nfe == 8 + 4 * 7


def test_on_a_stochastic_one_they_differ() -> None:
    problem = Toy(stochastic=True)
    found = toy.outcome("beam(draws=8,width=2)", 640, problem)
    assert [len(batch) for batch in problem.calls] == [8] * 8
    assert len(found.found) == 8

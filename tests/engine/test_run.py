"""The driver: budgets hold, batches fill, equal asks are played once, endless loops end."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noise_search.ask import Ask, Prompt
from noise_search.candidate import Candidate
from noise_search.errors import Stop
from noise_search.moves import Continue, Search, Spent, Start
from noise_search.noise import Gaussian
from noise_search.run import Job, Run
from noise_search.searches.compose import refined
from noise_search.task import Task
from tests.engine.toy import BY_SCORE, PROMPT, Toy, job, outcome

SPECS = ["random", "zero-order", "paths", "prune", "steps", "zero-order(elitist=false)"]


@pytest.mark.parametrize("spec", SPECS)
@settings(max_examples=50, deadline=None)
@given(nfe=st.integers(8, 300), seed=st.integers(0, 99))
def test_no_budget_is_passed_and_what_is_charged_was_played(spec: str, nfe: int, seed: int) -> None:
    toy = Toy()
    found = outcome(spec, nfe, toy, seed=seed)
    assert found.spent.nfe <= nfe
    assert found.spent.nfe == toy.nfe == sum(c.cost.nfe for c in found.candidates)
    assert found.best is not None


@pytest.mark.parametrize("spec", ["random", "zero-order", "paths"])
def test_endless_searches_spend_all_that_a_whole_sample_fits_in(spec: str) -> None:
    assert 640 - 8 < outcome(spec, 640).spent.nfe <= 640


def test_prune_spends_nearly_all_of_its_budget() -> None:
    assert outcome("prune", 640).spent.nfe == 640
    assert outcome("steps", 640).spent.nfe == 640


def test_more_steps_stop_at_the_schedulers_limit() -> None:
    assert outcome("steps", 5000, Toy(most_steps=1000)).spent.nfe == 1000


def test_moves_of_one_lane_from_all_prompts_share_full_batches() -> None:
    toy = Toy()
    jobs = [job("zero-order", 80, prompt=Prompt(f"p{i}", "x")) for i in range(8)]
    Run(toy, BY_SCORE, width=8).drive(jobs)
    assert {len(batch) for batch in toy.calls} == {8}
    assert len({ask.prompt.name for ask in toy.calls[0]}) == 8


def test_a_result_does_not_depend_on_who_else_is_in_the_run_or_on_the_order() -> None:
    prompts = [Prompt(f"p{i}", "x") for i in range(5)]
    alone = [Run(Toy(), BY_SCORE).drive([job("paths", 90, prompt=p)])[0] for p in prompts]
    shuffled = [prompts[i] for i in (3, 0, 4, 2, 1)]
    pooled = Run(Toy(), BY_SCORE, width=3).drive([job("paths", 90, prompt=p) for p in shuffled])
    by_name = {o.prompt.name: o.candidates for o in pooled}
    assert all(by_name[o.prompt.name] == o.candidates for o in alone)


def test_what_one_search_had_played_is_charged_to_another_but_not_played_again() -> None:
    toy = Toy()
    one, two = Run(toy, BY_SCORE).drive([job("random", 64), job("random", 32)])
    assert (one.spent.nfe, two.spent.nfe, toy.nfe) == (64, 32, 64)
    assert one.candidates[:4] == two.candidates


def test_the_same_ask_again_is_free_within_one_search() -> None:
    def pilot_then_search(task: Task) -> Search:
        for word in ("pilot", "pilot"):
            draws = task.fork(word)
            yield [Start(draws.fresh()) for _ in range(4)]
        return []

    toy = Toy()
    [found] = Run(toy, BY_SCORE).drive([Job(PROMPT, pilot_then_search, {"nfe": 32}, 8, 0)])
    assert found.spent.nfe == toy.nfe == 32


def test_a_failed_or_finished_candidate_leads_to_itself_at_no_cost() -> None:
    def plan(task: Task) -> Search:
        [found] = yield [Start(task.fresh())]
        [again] = yield [Continue(found, task.fresh())]
        assert again is found
        return [again]

    toy = Toy()
    [found] = Run(toy, BY_SCORE).drive([Job(PROMPT, plan, {"nfe": 8}, 8, 0)])
    assert found.spent.nfe == toy.nfe == 8
    toy = Toy(failing=lambda ask: "broken")
    [found] = Run(toy, BY_SCORE).drive([Job(PROMPT, plan, {"nfe": 8}, 8, 0)])
    assert found.best is None
    assert toy.nfe == 8


def test_a_loop_that_brings_nothing_new_is_closed_with_a_reason() -> None:
    def stuck(task: Task) -> Search:
        while True:
            yield [Start(Gaussian(1))]

    [found] = Run(Toy(), BY_SCORE).drive([Job(PROMPT, stuck, {"nfe": 80}, 8, 0)])
    assert found.reason == "nothing new in 1,000 batches"
    assert found.spent.nfe == 8


def test_a_search_that_swallows_the_verdict_is_closed_too() -> None:
    def stubborn(task: Task) -> Search:
        while True:
            try:
                yield [Start(task.fresh())]
            except Spent:
                continue

    [found] = Run(Toy(), BY_SCORE).drive([Job(PROMPT, stubborn, {"nfe": 80}, 8, 0)])
    assert found.spent.nfe == 80


def test_a_search_is_told_what_its_last_batch_could_still_buy() -> None:
    told: list[Candidate] = []

    def plan(task: Task) -> Search:
        try:
            yield [Start(task.fresh()) for _ in range(10)]
        except Spent as spent:
            told.extend(spent.found)
        return told

    [found] = Run(Toy(), BY_SCORE).drive([Job(PROMPT, plan, {"nfe": 30}, 8, 0)])
    assert len(told) == 3
    assert found.candidates == told


def test_a_listener_may_stop_the_run_and_what_was_found_is_kept() -> None:
    seen: list[Candidate] = []

    def listen(candidate: Candidate) -> None:
        seen.append(candidate)
        if len(seen) == 3:
            raise Stop

    [found] = Run(Toy(), BY_SCORE, width=4, listen=listen).drive([job("random", 640)])
    assert len(found.candidates) == 4
    assert found.spent.nfe == 32
    assert found.best is not None


def test_time_is_charged_where_it_is_limited_and_ends_the_search() -> None:
    limited = Job(PROMPT, job("random", 1).plan, {"microseconds": 2_000}, 8, 0)
    [found] = Run(Toy(), BY_SCORE, timed=True).drive([limited])
    assert found.reason == "the budget is spent"
    assert found.spent.microseconds > 0


def test_the_final_sample_is_made_on_the_long_schedule_and_paid_from_the_same_budget() -> None:
    plan = refined(job("random", 1).plan, steps=20)
    [found] = Run(Toy(), BY_SCORE).drive([Job(PROMPT, plan, {"nfe": 60}, 4, 0)])
    assert found.spent.nfe == 60
    assert [c.steps for c in found.found] == [20]
    assert found.best is not None
    searched = [c for c in found.candidates if c.steps == 4]
    assert len(searched) == 10
    assert found.best.noise == max(searched, key=lambda c: c.scores["toy"]).noise


def test_zero_order_draws_neighbors_of_the_best_so_far() -> None:
    found = outcome("zero-order(neighbors=3)", 8 * 10)
    pivot = found.candidates[0]
    for i in range(1, 10, 3):
        around = found.candidates[i : i + 3]
        assert {c.noise.parents for c in around} == {(pivot.noise.name,)}
        pivot = max([pivot, *around], key=lambda c: c.scores["toy"])


def test_prune_keeps_the_better_half_at_each_checkpoint_and_its_winner_is_a_plain_seed() -> None:
    found = outcome("prune", 64)
    stages = [c.stage for c in found.candidates]
    assert [stages.count(s) for s in (2, 4, 8)] == [16, 8, 4]
    begun = [c for c in found.candidates if c.stage == 2]
    kept = {c.parent for c in found.candidates if c.stage == 4}
    assert kept == {c.name for c in sorted(begun, key=lambda c: -c.scores["toy"])[:8]}
    assert found.best is not None
    assert isinstance(found.best.noise, Gaussian)


def test_paths_go_back_and_further_on_until_the_end() -> None:
    found = outcome("paths(paths=2,width=3)", 160)
    moved = [c for c in found.candidates if c.parent is not None]
    by_name = {c.name: c for c in found.candidates}
    assert moved
    assert all(c.stage > by_name[c.parent or ""].stage for c in moved)


def test_a_small_budget_of_paths_still_ends_with_a_sample() -> None:
    for nfe in range(8, 40):
        found = outcome("paths", nfe)
        assert found.best is not None
        assert found.spent.nfe <= nfe


def test_nan_never_wins() -> None:
    def mostly_nan(ask: Ask) -> float:
        return float("nan") if int(ask.name, 16) % 3 else 0.5

    for spec in SPECS[:4]:
        best = outcome(spec, 320, Toy(score=mostly_nan)).best
        assert best is not None
        assert best.scores == {"toy": 0.5}

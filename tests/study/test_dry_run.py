"""A dry run says what a run will spend, and admits what it cannot know."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noise_search.moves import Search, Start
from noise_search.pipelines.loading import price_only
from noise_search.run import Job
from noise_search.searches import random_search
from noise_search.study.bench import complete
from noise_search.study.compare import compare
from noise_search.study.compare import jobs_of as compared_jobs_of
from noise_search.study.dry_run import MOST_SAMPLES, Estimate, estimate, rehearse
from noise_search.study.gallery import Lineup
from noise_search.study.generate import generate, jobs_of
from noise_search.study.prompts import prompts_of
from noise_search.study.settings import Settings
from noise_search.study.tables import SINGLE, Entry
from noise_search.task import Task

PROMPTS = prompts_of(["one", "two", "three"])


def forecast(settings: Settings) -> Estimate:
    settings = complete(settings)
    pricer = price_only(settings.model, guidance_scale=settings.guidance_scale, eta=settings.eta)
    return estimate(pricer, jobs_of(PROMPTS[:1], settings)) * len(PROMPTS)


def spent(folder: Path) -> tuple[int, dict[str, int]]:
    record = json.loads((folder / "run.json").read_text())
    return record["candidates"], record["spent"]


@pytest.mark.parametrize("search", ["random", "zero-order", "paths", "prune", "steps"])
@pytest.mark.parametrize("budget", ["8nfe", "30nfe", "64nfe", "333nfe", "9calls", "64nfe+5calls"])
@pytest.mark.parametrize("more", [{}, {"eta": 0.5}, {"steps": 5, "seed": 3}])
def test_it_equals_the_run(
    search: str, budget: str, more: dict[str, float], tmp_path: Path
) -> None:
    settings = Settings.of({"model": "gaussian(dim=4)", "search": search, "budget": budget, **more})
    generate(PROMPTS, settings, tmp_path)
    found = forecast(settings)
    assert (found.candidates, found.cost) == spent(tmp_path)
    assert found.exact


@pytest.mark.parametrize("search", ["random", "zero-order", "prune"])
def test_it_equals_the_run_where_winners_are_made_again(search: str, tmp_path: Path) -> None:
    settings = Settings.of(
        {
            "model": "mixture",
            "search": search,
            "search_steps": 3,
            "top_k": 2,
            "budget": "100nfe",
        }
    )
    generate(PROMPTS, settings, tmp_path)
    found = forecast(settings)
    assert (found.candidates, found.cost) == spent(tmp_path)


def test_a_comparison_plays_at_most_what_it_says(tmp_path: Path) -> None:
    settings = complete(Settings.of({"model": "gaussian(dim=4)"}))
    searches, budgets = ["random", "zero-order", "prune"], ["16nfe", "64nfe"]
    compare(PROMPTS, settings, searches, budgets, 2, tmp_path)
    entries = [Entry(SINGLE, ""), *(Entry(s, b) for s in searches for b in budgets)]
    jobs = compared_jobs_of(Lineup(settings, PROMPTS[:1], entries, 1))
    found = estimate(price_only(settings.model), jobs) * (2 * len(PROMPTS))
    candidates, cost = spent(tmp_path)
    assert found.candidates is not None
    assert candidates <= found.candidates
    assert all(cost[kind] <= (most or 0) for kind, most in found.cost.items())
    assert not found.exact


def test_what_searches_share_is_played_once() -> None:
    settings = complete(Settings.of({"model": "gaussian(dim=4)"}))
    entries = [Entry(SINGLE, ""), Entry("random", "16nfe"), Entry("random", "64nfe")]
    jobs = compared_jobs_of(Lineup(settings, PROMPTS[:1], entries, 1))
    found = estimate(price_only(settings.model), jobs)
    assert found == Estimate(8, {"nfe": 64, "forwards": 64, "verifier_calls": 8}, exact=True)


def test_guidance_costs_two_rows_an_evaluation() -> None:
    found = forecast(Settings.of({"model": "shapes", "guidance_scale": 3}))
    assert found.cost == {"nfe": 192, "forwards": 384, "verifier_calls": 24}


def test_what_time_limits_is_unknown_and_not_nothing() -> None:
    found = forecast(Settings.of({"model": "gaussian", "budget": "90s"}))
    assert found == Estimate(
        None, {"nfe": None, "forwards": None, "verifier_calls": None}, exact=False
    )
    assert found.record_bytes is None


def test_time_beside_another_limit_makes_it_a_bound() -> None:
    found = forecast(Settings.of({"model": "gaussian", "budget": "64nfe+90s"}))
    assert found.cost["nfe"] == 192
    assert not found.exact


def test_huge_budgets_are_bounded_at_once() -> None:
    most = 10 * MOST_SAMPLES * 8
    found = forecast(Settings.of({"model": "shapes", "budget": f"{most}nfe+9999calls"}))
    assert found == Estimate(
        3 * most, {"nfe": 3 * most, "forwards": 6 * most, "verifier_calls": 29997}, exact=False
    )


def greedy(task: Task) -> Search:
    """A search that asks for more if it likes what it sees."""
    while True:
        found = yield [Start(task.fresh(), until=2), Start(task.fresh(), until=2)]
        if task.conversation.ranking.keys(found)[0][0] > 0.5:
            yield [Start(task.fresh(), until=1)]


@given(st.integers(20, 200), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_an_adaptive_search_is_bounded_by_its_budget(limit: int, seed: int) -> None:
    job = Job(PROMPTS[0], greedy, {"nfe": limit}, 8, seed)
    found = estimate(price_only("gaussian"), [job])
    assert found.cost["nfe"] is not None
    assert found.cost["nfe"] <= limit
    assert found.exact or found.cost["nfe"] == limit


def test_a_rehearsal_ends_whatever_the_budget() -> None:
    for limits in ({"nfe": 10**12}, {"microseconds": 1}, {"verifier_calls": 10**9}):
        rehearse(price_only("gaussian"), Job(PROMPTS[0], random_search, limits, 8, 0))

"""What a judge spends is in the ledger: limits hold, and a dry run says the worst beforehand."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import noise_search
from noise_search.budget import read_limits
from noise_search.cli.halt import resumable
from noise_search.errors import UserError
from noise_search.study.bench import complete
from noise_search.study.dry_run import check_budget, estimate, price_of
from noise_search.study.generate import generate, jobs_of
from noise_search.study.prompts import prompts_of
from noise_search.study.settings import Settings
from tests.verifiers.judge_runs import run
from tests.verifiers.judge_server import Judging, judge_server, some_faults

PRICES = {"attempts": 3, "most_in": 200, "max_tokens": 50, "usd_in": 3, "usd_out": 12}
"""An answer of the server: 100 tokens read and 20 written, 540 millionths of a dollar."""


@pytest.fixture
def loopback() -> bool:
    return True


@pytest.mark.parametrize("share", [0.0, 0.4])
@pytest.mark.parametrize(
    ("budget", "field", "least"),
    [
        ("40jcalls", "judge_calls", 37),
        ("5ktok+4kjtok", "judge_tokens", 3_000),
        ("0.02usd", "micro_usd", 16_000),
        ("30jcalls+10usd+400nfe", "judge_calls", 27),
    ],
)
def test_no_limit_is_passed_and_little_is_left(
    budget: str, field: str, least: int, share: float
) -> None:
    faults = ("500", "html", "range", "cut", "reset")
    with judge_server(Judging(fault=some_faults(1, share, faults))) as judging:
        outcome, _ = run(judging.spec(**PRICES, concurrency=2), read_limits(budget))
    assert outcome.reason == "the budget is spent"
    assert least <= getattr(outcome.spent, field) <= read_limits(budget)[field]
    answers = len(judging.asked) - judging.faults["500"]
    assert outcome.spent.judge_calls == answers
    if not share:
        assert outcome.spent.judge_tokens == 120 * answers
        assert outcome.spent.micro_usd == 540 * answers


def settings_of(spec: str, budget: str, search: str = "random") -> Settings:
    return complete(
        Settings.of(
            {
                "model": "shapes",
                "verifier": spec,
                "evaluate": "none",
                "budget": budget,
                "search": search,
                "steps": 2,
                "cache": False,
            }
        )
    )


PROMPTS = prompts_of(["a red circle", "a blue square"])


@pytest.mark.parametrize(
    ("search", "budget"),
    [
        ("random", "12nfe"),
        ("prune(at=0.5)", "30nfe+9jcalls"),
        ("zero-order", "12jcalls"),
        ("random", "0.01usd+20nfe"),
    ],
)
def test_a_dry_run_states_the_worst_case(search: str, budget: str, tmp_path: Path) -> None:
    with judge_server(Judging()) as judging:
        settings = settings_of(judging.spec(**PRICES), budget, search)
        found = estimate(price_of(settings), jobs_of(PROMPTS[:1], settings)) * len(PROMPTS)
        generate(PROMPTS, settings, tmp_path)
    spent = json.loads((tmp_path / "run.json").read_text())["spent"]
    assert not found.exact
    assert len(judging.asked) == spent["judge_calls"] > 0
    for kind in ("judge_calls", "judge_tokens", "micro_usd"):
        most = found.cost[kind]
        limit = settings.limits.get(kind)
        assert most is None or spent[kind] <= most
        assert most is not None or limit is None  # only what nothing limits is unknown
        assert limit is None or (most is not None and most <= 2 * limit)


def test_a_dry_run_of_twelve_pictures_names_calls_tokens_and_dollars() -> None:
    settings = settings_of("judge:http://127.0.0.1:9/v1#m(attempts=2,usd_in=1)", "24nfe")
    cost = estimate(price_of(settings), jobs_of(PROMPTS[:1], settings)).cost
    assert cost["verifier_calls"] == 12
    assert cost["judge_calls"] == 24
    assert cost["judge_tokens"] == 24 * (8192 + 1024)
    assert cost["micro_usd"] == 24 * 8192


def test_a_judge_within_a_ranking_is_priced_too() -> None:
    judge = "judge:http://127.0.0.1:9/v1#m(attempts=2)"
    settings = settings_of(f"rank(shapes-clip,{judge})", "24nfe")
    assert estimate(price_of(settings), jobs_of(PROMPTS[:1], settings)).cost["judge_calls"] == 24


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ("2jcalls", r"less than one sample of shapes \(up to 3jcalls\)"),
        ("0.001usd", r"less than one sample of shapes \(up to 0.0036usd\)"),
    ],
)
def test_a_budget_for_less_than_one_look_is_refused(budget: str, said: str) -> None:
    options = ",".join(f"{key}={value}" for key, value in PRICES.items())
    settings = settings_of(f"judge:http://127.0.0.1:9/v1#m({options})", budget)
    with pytest.raises(UserError, match=said):
        check_budget(price_of(settings), PROMPTS[0], settings)


def test_dollars_are_counted_exactly() -> None:
    assert read_limits("0.57usd + 3 jcalls") == {"micro_usd": 570_000, "judge_calls": 3}
    with pytest.raises(UserError, match="did you mean 'jcalls'"):
        read_limits("3jcall")


def test_a_judge_that_is_dead_from_the_start_leaves_no_folder_behind(tmp_path: Path) -> None:
    with judge_server(Judging()) as judging:
        gone = judging.spec(attempts=2)
    settings, out = settings_of(gone, "8nfe"), tmp_path / "new" / "run"
    with pytest.raises(UserError, match="does not answer: ConnectError"), resumable(out):
        generate(PROMPTS, settings, out)
    assert list(tmp_path.iterdir()) == []


CANARY = "sk-canary-zyxwvutsrqponm"


def check_folder_tells_no_key(seed: int, monkeypatch: pytest.MonkeyPatch, out: Path) -> None:
    monkeypatch.setenv("JUDGE_KEY", CANARY)
    judging = Judging(fault=some_faults(seed, 0.3, ("500", "html", "range", "cut", "429")))
    with judge_server(judging):
        found = noise_search.search(
            "shapes",
            "a red circle",
            verifier=judging.spec(api_key_env="JUDGE_KEY"),
            evaluate="none",
            budget="8nfe",
            steps=2,
            seed=seed,
            cache=False,
            out=out,
        )
    assert found.best is not None
    assert {asked.head["Authorization"] for asked in judging.asked} == {f"Bearer {CANARY}"}
    files = [path for path in out.rglob("*") if path.is_file()]
    assert {"journal", "run.json", "candidates.jsonl", "best.png"} <= {path.name for path in files}
    for path in files:
        assert CANARY.encode() not in path.read_bytes()


def test_a_runs_folder_keeps_the_judges_words_and_never_the_key(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    check_folder_tells_no_key(0, monkeypatch, tmp_path / "run")
    lines = (tmp_path / "run" / "candidates.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert all("it is worth" in str(record["detail"]) for record in records)
    assert all(len(record["scores"]) == 6 for record in records)


@pytest.mark.nightly
def test_in_a_hundred_runs_the_key_is_found_nowhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for seed in range(100):
        check_folder_tells_no_key(seed, monkeypatch, tmp_path / str(seed))


@pytest.mark.parametrize(
    ("verifier", "budget", "said"),
    [
        ("judge:http://127.0.0.1:9/v1#m", "24nfe+5usd", "no US dollars here; a judge's usd_in="),
        ("shapes-clip", "24nfe+10jcalls", "spends no judge calls here"),
        ("shapes-clip", "24nfe+2kjtok", "spends no tokens of the verifier here"),
    ],
)
def test_a_limit_that_would_hold_nothing_back_is_refused(
    verifier: str, budget: str, said: str
) -> None:
    settings = settings_of(verifier, budget)
    with pytest.raises(UserError, match=said):
        check_budget(price_of(settings), PROMPTS[0], settings)


@pytest.mark.parametrize("fault", ["html", "range", "reset", "long"])
def test_what_a_judge_takes_for_nothing_before_it_is_given_up_is_in_the_ledger(
    fault: str, tmp_path: Path
) -> None:
    judging = Judging()
    judging.fault = lambda name, count: fault if judging.answered.total() >= 3 else None
    with judge_server(judging):
        spec = judging.spec(**PRICES, concurrency=2)
        with pytest.raises(UserError):
            run(spec, read_limits("60jcalls"), journal=tmp_path / "journal")
        asked = len(judging.asked)
        judging.fault = lambda name, count: None
    told = re.findall(r'"judge_calls":(\d+)', (tmp_path / "journal").read_text())
    assert sum(map(int, told)) == asked

"""Judges fail in many ways: none of them decides a search, and what was paid for is not lost."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from noise_search.errors import UserError
from noise_search.problem import LostVerifierError
from noise_search.run import Outcome
from noise_search.verifiers.loading import load
from tests.verifiers.judge_runs import Oracle, run
from tests.verifiers.judge_server import SILENT, WRONG, Judging, judge_server, some_faults
from tests.verifiers.test_judge import samples

CANDIDATES, ATTEMPTS = 64, 8
BUDGET = {"verifier_calls": CANDIDATES}
FEW = {"verifier_calls": 24}
QUICK = {"timeout": 0.5, "concurrency": 8, "attempts": ATTEMPTS}


@pytest.fixture
def loopback() -> bool:
    return True


def grades_of(outcome: Outcome) -> dict[str, float | None]:
    """The overall grade by candidate, as specs differ by the server's port."""
    return {c.name: next(iter(c.scores.values()), None) for c in outcome.candidates}


def check_same_winner(salt: int) -> None:
    judging = Judging(fault=some_faults(salt, 0.3))
    with judge_server(judging):
        outcome, _ = run(judging.spec(**QUICK), BUDGET, seed=salt)
    true = grades_of(run(Oracle(), BUDGET, seed=salt)[0])
    found = grades_of(outcome)
    assert len(found) == CANDIDATES
    assert {name for name, value in found.items() if value not in (None, true[name])} == set()
    assert sum(value is None for value in found.values()) <= 1
    assert outcome.best is not None
    assert outcome.best.name == max(true, key=lambda name: true[name] or 0.0)
    assert max(judging.counts.values()) <= ATTEMPTS
    assert judging.faults.total() > CANDIDATES / 8


@pytest.mark.parametrize("salt", range(2))
def test_with_three_faults_in_ten_the_same_picture_wins(salt: int) -> None:
    check_same_winner(salt)


@pytest.mark.nightly
def test_with_three_faults_in_ten_the_same_picture_wins_a_hundred_times() -> None:
    for salt in range(100):
        check_same_winner(salt)


@pytest.mark.parametrize(
    ("fault", "until"),
    [*((fault, 0) for fault in (*SILENT, *WRONG)), *((fault, 10) for fault in SILENT)],
)
def test_a_dead_judge_ends_the_run_and_a_resumed_one_asks_nothing_twice(
    fault: str, until: int, tmp_path: Path
) -> None:
    judging = Judging(patience=1)
    judging.fault = lambda name, count: fault if judging.answered.total() >= until else None
    # a machine may be slow: what is not to time out is given time
    spec_options = {**QUICK, "timeout": 0.7 if fault == "timeout" else 10, "attempts": 3}
    with judge_server(judging):
        spec = judging.spec(**spec_options)
        with pytest.raises(UserError, match=r"^verifier judge:[^\n]*(does not answer|no good ans)"):
            run(spec, FEW, journal=tmp_path / "journal")
        assert len(judging.asked) <= until + 3 * 16 + 8
        judging.fault = lambda name, count: None
        answered = judging.answered.copy()
        outcome, _ = run(spec, FEW, journal=tmp_path / "journal")
    assert grades_of(outcome) == grades_of(run(Oracle(), FEW)[0])
    assert set(judging.answered.values()) == {1}
    assert answered.total() >= until


def test_what_was_made_and_not_judged_is_counted_beside_the_candidates(tmp_path: Path) -> None:
    judging = Judging()
    judging.fault = lambda name, count: "500" if judging.answered.total() >= 5 else None
    with judge_server(judging):
        spec = judging.spec(attempts=2, concurrency=1)
        with pytest.raises(UserError, match="does not answer: status 500, a 500"):
            run(spec, FEW, journal=tmp_path / "journal")
        judging.fault = lambda name, count: None
        outcome, overhead = run(spec, FEW, journal=tmp_path / "journal")
    assert outcome.spent.nfe == 24 * 4
    assert overhead.nfe == 0  # of the second life
    records = (tmp_path / "journal").read_text().splitlines()
    assert any('"overhead":{"nfe":12}' in line for line in records)  # three of the first eight


def test_a_judge_in_a_ranking_leaves_what_it_has_said(tmp_path: Path) -> None:
    judging, other = Judging(), Judging()
    judging.fault = lambda name, count: "500" if judging.answered.total() >= 5 else None
    with judge_server(judging), judge_server(other):
        parts = [j.spec(attempts=2, concurrency=1) for j in (judging, other)]
        verifier = load(f"rank({','.join(parts)})")
        with pytest.raises(LostVerifierError) as caught:
            verifier.score(samples(8))
    whole = [score for score in caught.value.scores if score is not None]
    assert [score is not None for score in caught.value.scores] == [True] * 5 + [False] * 3
    assert all(set(parts) < set(score.values) for score in whole)


def check_rate(judging: Judging, count: int, rate: float) -> None:
    with judge_server(judging):
        scores = load(judging.spec(rate=rate, concurrency=8)).score(samples(count))
    assert [score.failure for score in scores] == [None] * count
    assert len(judging.asked) <= 1.2 * count


def test_a_server_with_a_limit_is_asked_no_faster_than_it_lets() -> None:
    check_rate(Judging(limit=20, window=0.2), 100, 100)


@pytest.mark.nightly
def test_a_server_with_a_limit_loses_none_of_five_hundred() -> None:
    check_rate(Judging(limit=5), 500, 5)


def test_tries_are_jittered() -> None:
    judging = Judging(fault=lambda name, count: "503" if count == 0 else None)
    with judge_server(judging):
        load(judging.spec(wait=0.3, concurrency=8)).score(samples(8))
    again = sorted(asked.at for asked in judging.asked)[8:]
    assert max(again) - min(again) > 0.02


@pytest.mark.parametrize("fault", ["status-401", "500", "html", "reset"])
def test_a_key_is_in_no_error_and_in_no_log(
    fault: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    canary = "sk-canary-abcdefghij"
    monkeypatch.setenv("JUDGE_KEY", canary)
    judging = Judging(fault=lambda name, count: fault)
    with judge_server(judging), caplog.at_level(logging.DEBUG):
        spec = judging.spec(api_key_env="JUDGE_KEY", attempts=2)
        with pytest.raises(UserError) as caught:
            run(spec, FEW, journal=tmp_path / "journal")
    assert judging.asked[0].head["Authorization"] == f"Bearer {canary}"
    assert "send_request_headers" in caplog.text
    assert canary not in caplog.text + str(caught.value) + (tmp_path / "journal").read_text()


def test_whoever_waits_for_a_slow_judge_can_be_interrupted() -> None:
    judging = Judging(fault=lambda name, count: "timeout", patience=60)
    with judge_server(judging):
        code = (
            # a shell's background jobs begin with this signal ignored
            "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "from noise_search.verifiers.loading import load\n"
            "from tests.verifiers.test_judge import samples\n"
            f"load({judging.spec(timeout=50)!r}).score(samples(8))\n"
        )
        with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) as process:
            while not judging.asked and process.poll() is None:
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            try:
                _, said = process.communicate(timeout=30)  # far below the judge's patience
            finally:
                process.kill()
        judging.patience = 0
    assert b"KeyboardInterrupt" in said
    assert process.returncode == -signal.SIGINT

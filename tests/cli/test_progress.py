"""Progress: what is counted, and that it never touches stdout."""

from __future__ import annotations

import io
import sys

import pytest

from noise_search.budget import Cost
from noise_search.candidate import Candidate
from noise_search.cli.progress import Lines, LiveLine, Tally, watcher
from noise_search.noise import Gaussian
from noise_search.study.watch import Silent


def candidate(prompt: str, score: float, nfe: int = 8, stage: int = 8) -> Candidate:
    scores = {"verifier": score}
    name = f"{prompt}-{score}"
    return Candidate(name, prompt, Gaussian(0), 8, stage, scores=scores, cost=Cost(nfe=nfe))


def test_a_tally_counts() -> None:
    tally = Tally("two", 64, 2)
    assert tally.words() == ["0/64 NFE", "0/2 prompts have a sample"]
    tally.add(candidate("a", 0.25), 0.0)
    tally.add(candidate("a", 0.125), 1.0)
    tally.add(candidate("b", 9.0, nfe=4, stage=4), 2.0)
    assert tally.speed == 6.0
    assert tally.words() == [
        "best 0.25",
        "20/64 NFE",
        "1/2 prompts have a sample",
        "6 NFE/s",
        "0:07 left",
    ]
    tally.add(candidate("b", 0.75, nfe=4), 2.0)
    assert tally.words()[0] == "mean best 0.5"


def test_failures_are_counted_and_not_ranked() -> None:
    tally = Tally("one", None, 1)
    tally.add(candidate("a", float("nan")), 0.0)
    assert tally.words() == ["8 NFE"]


def test_speed_is_of_late() -> None:
    tally = Tally("resumed", None, 1)
    tally.add(candidate("a", 0.0, nfe=10_000), 0.0)
    for second in range(1, 60):
        tally.add(candidate("a", 0.0, nfe=10), float(second))
    assert tally.speed == 10.0


def test_lines_are_few_and_end_with_the_last_word() -> None:
    stream, now = io.StringIO(), [0.0]
    lines = Lines(1, stream, lambda: now[0])
    lines.begin("one search", 800)
    for second in range(35):
        now[0] = float(second)
        assert lines.candidate(candidate("a", second / 100)) is None
    lines.end()
    said = stream.getvalue().splitlines()
    assert len(said) == 4
    assert said[0] == "one search: best 0.1, 88/800 NFE, 8 NFE/s, 1:29 left"
    assert said[-1].startswith("one search: best 0.34, 280/800 NFE")


def test_a_live_line_goes_to_stderr(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    live = LiveLine(1)
    live.begin("one search", 16)
    live.candidate(candidate("a", 0.5))
    live.end()
    live.begin("judging", None)
    live.end()
    live.end()
    said = capsys.readouterr()
    assert said.out == ""
    assert "best 0.5  8/16 NFE" in said.err


def test_the_watcher_suits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(watcher(1, quiet=True), Silent)
    assert isinstance(watcher(1, quiet=False), Lines)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert isinstance(watcher(1, quiet=False), LiveLine)

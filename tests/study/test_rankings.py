"""A run under a ranking of several verifiers: raw scores, a frozen reference, resuming."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from noise_search.candidate import Candidate
from noise_search.study.bench import complete
from noise_search.study.generate import generate
from noise_search.study.prompts import prompts_of
from noise_search.study.settings import Settings
from noise_search.study.watch import Silent

PARTS = ("reward", "reward(slope=0+1)")
SPECS = [
    "rank(reward,reward(slope=0+1))",
    "weighted(reward=1,reward(slope=0+1)=0.5)",
    "first(reward,reward(slope=0+1))",
]


class Interrupting(Silent):
    """Stops a run after so many candidates."""

    def __init__(self, after: int) -> None:
        self.left = after

    def candidate(self, candidate: Candidate) -> bool | None:
        self.left -= 1
        return self.left > 0


def run(out: Path, verifier: str, watch: Silent | None = None, **more: Any) -> dict[str, Any]:
    given = {"model": "gaussian(dim=4)", "verifier": verifier, "steps": 4, "budget": "160nfe"}
    settings = complete(Settings.of({**given, "batch": 4, "search": "zero-order", **more}))
    generate(prompts_of(["a"]), settings, out, watch=watch)
    found: dict[str, Any] = json.loads((out / "run.json").read_text())
    return found


@pytest.mark.parametrize("verifier", SPECS)
def test_winners_keep_the_scores_of_every_part(tmp_path: Path, verifier: str) -> None:
    [result] = run(tmp_path / "run", verifier)["results"]
    assert set(result["best"]["scores"]) == set(PARTS)
    assert ("reference" in result) == verifier.startswith("weighted")


@pytest.mark.parametrize("verifier", SPECS)
def test_a_resumed_run_comes_to_the_same(tmp_path: Path, verifier: str) -> None:
    whole = run(tmp_path / "whole", verifier)
    run(tmp_path / "cut", verifier, Interrupting(18))
    cut = run(tmp_path / "cut", verifier)
    assert cut["results"] == whole["results"]
    lines = [(tmp_path / d / "candidates.jsonl").read_bytes() for d in ("whole", "cut")]
    assert lines[0] == lines[1]


def test_a_reference_is_that_of_the_first_candidates(tmp_path: Path) -> None:
    more = run(tmp_path / "more", SPECS[1], search="random", budget="320nfe")["results"][0]
    less = run(tmp_path / "less", SPECS[1], search="random", budget="160nfe")["results"][0]
    assert more["reference"] == less["reference"]
    assert set(more["reference"]) == set(PARTS)
    assert more["candidates"] > less["candidates"] >= 16

"""The Python call: results, callables, stopping, saving, resuming."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import noise_search
from noise_search import Candidate, Score, Search, Start, Task, UserError

MODEL = "gaussian(dim=4)"


def pairs(task: Task) -> Search:
    while True:
        found = yield [Start(task.fresh()), Start(task.fresh())]
        yield [Start(task.near(task.best(found), strength=0.9))]


def test_a_text_gives_a_result_and_a_list_gives_a_list() -> None:
    one = noise_search.search(MODEL, "x", budget="64nfe")
    many = noise_search.search(MODEL, ["x", "y"], budget="64nfe")
    assert one.best is not None
    assert [r.prompt.text for r in many] == ["x", "y"]
    assert many[0].candidates == one.candidates
    assert one.spent.nfe == 64


def test_top_is_sorted_and_the_curve_only_rises() -> None:
    found = noise_search.search(MODEL, "x", budget="160nfe", top_k=4)
    scores = [w.scores["reward"] for w in found.top(4)]
    assert scores == sorted(scores, reverse=True)
    assert found.best is not None
    curve = found.curve()
    assert [p.score for p in curve] == sorted(p.score for p in curve)
    assert curve[-1].score == found.best.scores["reward"]
    assert found.best.latents == pytest.approx(found.best.pixels)


def test_a_plan_of_ones_own_is_a_search() -> None:
    found = noise_search.search(MODEL, "x", search=pairs, budget="96nfe")
    assert len(found.candidates) == 12


def test_a_listener_stops_the_search_and_what_was_found_stays() -> None:
    seen: list[Candidate] = []

    def three(candidate: Candidate) -> bool:
        seen.append(candidate)
        return len(seen) < 3

    found = noise_search.search(MODEL, "x", budget="6400nfe", on_candidate=three)
    assert len(seen) == 3
    assert found.best is not None
    assert found.spent.nfe == 8 * len(found.candidates) < 6400


class Norm:
    """A verifier object: minus the squared norm; fails on every third sample."""

    name = "norm"

    def __init__(self) -> None:
        self.seen = 0

    def score(self, samples: Sequence[noise_search.Sample]) -> list[Score]:
        scores: list[Score] = []
        for sample in samples:
            self.seen += 1
            x: Any = sample.pixels
            scores.append(
                Score(failure="every third fails")
                if self.seen % 3 == 0
                else Score({"norm": -float(np.sum(np.square(x)))})
            )
        return scores


def test_a_verifier_object_guides_and_its_failures_are_told() -> None:
    judge = Norm()
    found = noise_search.search(MODEL, "x", verifier=judge, budget="96nfe")
    assert judge.seen == found.spent.verifier_calls == 12
    assert sum(c.failure == "every third fails" for c in found.candidates) == 4
    assert found.best is not None
    assert found.best.scores["norm"] == max(c.scores["norm"] for c in found.candidates if c.scores)


def test_a_run_with_a_folder_is_written_and_resumed(tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = noise_search.search(MODEL, "x", budget="64nfe", out=out)
    written = {p.name: p.read_bytes() for p in out.iterdir()}
    again = noise_search.search(MODEL, "x", budget="64nfe", out=out)
    assert {p.name: p.read_bytes() for p in out.iterdir()} == written
    assert again.candidates == first.candidates
    with pytest.raises(UserError, match="budget='64nfe', not '72nfe'"):
        noise_search.search(MODEL, "x", budget="72nfe", out=out)


def test_the_lines_of_a_run_add_up_to_what_it_spent(tmp_path: Path) -> None:
    found = noise_search.search(MODEL, ["x", "y"], search="paths", budget="90nfe")
    run_folder = found[0].save(tmp_path / "saved")
    run = json.loads((run_folder / "run.json").read_text())
    lines = [json.loads(s) for s in (run_folder / "candidates.jsonl").read_text().splitlines()]
    for kind, total in run["spent"].items():
        parts = sum(line["cost"].get(kind, 0) for line in lines)
        assert parts + run["overhead"].get(kind, 0) == total
    assert [line["prompt"] for line in lines] == sorted(
        (line["prompt"] for line in lines), key=[r.prompt.name for r in found].index
    )


def test_every_candidate_of_a_run_can_be_made_again(tmp_path: Path) -> None:
    found = noise_search.search(MODEL, "x", search="paths", budget="90nfe", out=tmp_path / "run")
    for candidate in found.candidates:
        again = noise_search.reproduce(tmp_path / "run", candidate=candidate.name)
        assert again.equal


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"search": "zero-ordr"}, "did you mean 'zero-order'"),
        ({"budget": "64nef"}, "did you mean 'nfe'"),
        ({"bugdet": "64nfe"}, "did you mean 'budget'"),
        ({"steps": -1}, "steps=-1"),
        ({"search_steps": 20}, "search_steps=20"),
        ({"verifier": "rewrd"}, "did you mean 'reward'"),
    ],
)
def test_bad_input_is_told_in_one_line(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        noise_search.search(MODEL, "x", **options)
    assert "\n" not in str(error.value)

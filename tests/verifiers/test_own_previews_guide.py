"""Every search is guided by ``self:clip``: it runs, resumes in its middle, and is reproduced."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from noise_search import Candidate
from noise_search.study.compare import compare
from noise_search.study.prompts import prompts_of
from noise_search.study.reproduce import reproduce
from noise_search.study.search import search
from noise_search.study.settings import Settings
from noise_search.verifiers.clip_files import shipped_folder
from tests.pipelines.test_searches_on_pipelines import SEARCHES
from tests.pipelines.zoo import KINDS, load
from tests.pipelines.zoo.warnings import KNOWN

pytestmark = [*KNOWN]
STEPS = 4
VERIFIER = f"self:clip(model={shipped_folder('shapes-clip')},at=0.7)"


class World(NamedTuple):
    """What is searched with: a model or a loaded pipeline, and how it is called."""

    model: Any
    prompt: str
    options: Mapping[str, Any]


OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "shapes": {},
    "shapes:ddim": {"eta": 1.0},
    "sd15": {"eta": 1.0, **KINDS["sd15"].arguments},
    "flux": KINDS["flux"].arguments,
    "wan": {"batch": 1, **KINDS["wan"].arguments},
}
ON_EVERY_COMMIT = {
    ("shapes:ddim", "beam"),
    ("shapes:ddim", "prune"),
    ("sd15", "beam"),
    ("sd15", "particles"),
    ("flux", "paths"),
    ("flux", "particles"),
}
EVERY = [
    pytest.param(
        world, search, marks=[] if (world, search) in ON_EVERY_COMMIT else pytest.mark.nightly
    )
    for world in OPTIONS
    for search in SEARCHES
]


@pytest.fixture(scope="module")
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    name: str = request.param
    if name not in KINDS:
        return World(name, "a red circle", OPTIONS[name])
    pipe = load(KINDS[name], tmp_path_factory.mktemp("zoo"))
    return World(pipe, KINDS[name].prompts[0], OPTIONS[name])


def run(world: World, name: str, out: Path, stop: int | None = None) -> list[bytes]:
    """A search's candidates, one line each; interrupted after so many."""
    seen: list[Candidate] = []

    def watch(candidate: Candidate) -> bool:
        seen.append(candidate)
        return stop is None or len(seen) < stop

    given: dict[str, Any] = {"batch": 2, "budget": "20nfe", "steps": STEPS, **world.options}
    given |= {"verifier": VERIFIER, "search": SEARCHES[name], "on_candidate": watch}
    search(world.model, world.prompt, out=out, **given)
    return (out / "candidates.jsonl").read_bytes().splitlines()


@pytest.mark.parametrize(("world", "name"), EVERY, indirect=["world"])
def test_a_search_is_guided_resumes_and_is_reproduced(
    world: World, name: str, tmp_path: Path
) -> None:
    whole = run(world, name, tmp_path / "whole")
    found = [json.loads(line) for line in whole]
    assert [line["failure"] for line in found] == [None] * len(found)
    first = [line["scores"][VERIFIER] for line in found if line["stage"] == 1]
    assert first == pytest.approx([1.0] * len(first)), "a first prediction is its own"
    scores = [line["scores"][VERIFIER] for line in found if line["stage"] > 1]
    assert len({round(score, 9) for score in scores}) > 1
    run(world, name, tmp_path / "cut", stop=3)
    assert run(world, name, tmp_path / "cut") == whole
    last = max(found, key=lambda line: (line["stage"], line["parent"] is not None))
    pipe = None if isinstance(world.model, str) else world.model
    assert reproduce(tmp_path / "whole", pipe, candidate=last["candidate"]).equal
    record = json.loads((tmp_path / "whole" / "run.json").read_text())
    assert record["overhead"].get("nfe", 0) == 0, "no preview is paid for by evaluations"


def test_searches_guided_by_it_are_compared(tmp_path: Path) -> None:
    world = {"model": "shapes:ddim", "eta": 1.0, "steps": STEPS, "batch": 2}
    given = {**world, "verifier": VERIFIER, "evaluate": "shapes"}
    searches = ("random", "beam(draws=2,width=2)", "prune(at=0.5)", "paths(paths=2,width=2)")
    settings, prompts = Settings.of(given), prompts_of(["a red circle"])
    tables = compare(prompts, settings, searches, ["16nfe"], 1, tmp_path).tables
    assert all(verdict.winner is not None for verdict in tables.verdicts)
    assert all(-1 <= verdict.scores[VERIFIER] < 1 for verdict in tables.verdicts)
    best = max(tables.verdicts, key=lambda verdict: verdict.scores[VERIFIER])
    assert best.entry.search != "single"

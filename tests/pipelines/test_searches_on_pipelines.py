"""Searches on pipelines of many kinds: they run, resume in their middle, and are reproduced."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL.Image import Image
from torch import Tensor

from noise_search import Candidate, Continue, Search, Start, Task
from noise_search.moves import Plan
from noise_search.study.reproduce import reproduce
from noise_search.study.search import search
from tests.pipelines.zoo import KINDS, Kind, load
from tests.pipelines.zoo.warnings import KNOWN

pytestmark = [*KNOWN]


def particles(task: Task, count: int = 4) -> Search:
    """Particles that are resampled in the middle by their scores, each going on with fresh noise.

    Where no step is random they go back by one stage first: the copies would be equal else.
    """
    while True:
        found = yield [Start(task.fresh(), until=task.stages // 2) for _ in range(count)]
        alive = [c for c in found if c.failure is None]
        if not alive:
            continue
        weights = [2.0 ** next(iter(c.scores.values())) for c in alive]
        back = 0 if task.stochastic else 1
        chosen = [alive[task.pick(weights)] for _ in range(count)]
        yield [Continue(c, task.fresh(), rewind=back) for c in chosen]


SEARCHES: dict[str, str | Plan] = {
    "random": "random",
    "prune": "prune(at=0.5)",
    "zero-order": "zero-order(neighbors=2)",
    "paths": "paths(paths=2,width=2)",
    "beam": "beam(draws=2,width=2)",
    "particles": particles,
}
EVERY = [
    pytest.param(kind, marks=[] if kind.each_commit else pytest.mark.nightly, id=kind.name)
    for kind in KINDS.values()
]


def redness(pictures: list[Any], _: str) -> list[float]:
    """How red pictures are, in [0, 1]."""
    return [float(np.asarray(p)[..., 0].mean() / 255) for p in pictures]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Kind], Any]:
    root = tmp_path_factory.mktemp("zoo")
    return lambda kind: load(kind, root)


def run(pipe: Any, kind: Kind, plan: str | Plan, out: Path, stop: int | None = None) -> list[bytes]:
    """A search's candidates, one line each; interrupted after so many."""
    seen: list[Candidate] = []

    def watch(candidate: Candidate) -> bool:
        seen.append(candidate)
        return stop is None or len(seen) < stop

    more: Any = kind.arguments
    search(
        pipe,
        kind.prompts[0],
        verifier=redness,
        search=plan,
        budget=f"{10 * kind.steps}nfe",
        steps=kind.steps,
        batch=1 if kind.video else 2,  # in a Conv3d on a CPU a row's place decides its last bits
        out=out,
        on_candidate=watch,
        **more,
    )
    return (out / "candidates.jsonl").read_bytes().splitlines()


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_runs_resumes_and_is_reproduced(
    kind: Kind, name: str, loaded: Callable[[Kind], Any], tmp_path: Path
) -> None:
    pipe, plan = loaded(kind), SEARCHES[name]
    whole = run(pipe, kind, plan, tmp_path / "whole")
    assert not [line for line in whole if json.loads(line)["failure"]]
    run(pipe, kind, plan, tmp_path / "cut", stop=3)
    assert run(pipe, kind, plan, tmp_path / "cut") == whole
    objects = {k: v for k, v in kind.arguments.items() if isinstance(v, (Image, Tensor))}
    for line in (whole[0], whole[-1]):
        name_of = json.loads(line)["candidate"]
        assert reproduce(tmp_path / "whole", pipe, candidate=name_of, arguments=objects).equal

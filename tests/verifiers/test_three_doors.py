"""One spec of a verifier guides a search from Python, from YAML and from the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from noise_search import search
from noise_search.specs import parse
from noise_search.verifiers.loading import PICTURE_JUDGES, parts_of
from tests.cli.conftest import Call, call, here
from tests.pipelines.zoo import KINDS, save
from tests.pipelines.zoo.warnings import KNOWN
from tests.verifiers.judge_server import Judging, judge_server
from tests.verifiers.picture_specs import IN_WORDS, JOINED, SPECS, write_folders
from tests.verifiers.test_iqa import needs_pyiqa

__all__ = ["call", "here"]

pytestmark = [*KNOWN]
PROMPT, STEPS = "a red circle", 4
ALL = {**SPECS, **IN_WORDS, **JOINED, "judge": "{judge}", "iqa": "iqa:entropy"}
ON_EVERY_COMMIT = {("shapes", "judge"), ("shapes", "self:clip"), ("wan", "weighted")}
EVERY = [
    pytest.param(
        (world, name),
        marks=[
            *([] if (world, name) in ON_EVERY_COMMIT else [pytest.mark.nightly]),
            *(needs_pyiqa if name == "iqa" else []),
        ],
        id=f"{world}-{name}",
    )
    for world in ("shapes", "wan")
    for name in ALL
]


@pytest.fixture
def loopback() -> bool:
    return True


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    return write_folders(tmp_path_factory.mktemp)


@pytest.fixture(scope="module")
def server() -> Iterator[Judging]:
    with judge_server(Judging()) as judging:
        yield judging


@pytest.fixture(scope="module")
def video_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(KINDS["wan"], tmp_path_factory.mktemp("zoo"))


@pytest.fixture(params=EVERY)
def settings(
    request: pytest.FixtureRequest, folders: Mapping[str, Path], server: Judging, video_model: Path
) -> dict[str, Any]:
    """A search that cuts half of its paths in their middle, guided by the verifier."""
    world, name = request.param
    moving = world == "wan"
    more: dict[str, Any] = {"pipeline": dict(KINDS["wan"].arguments)} if moving else {}
    if moving:
        more["guidance_scale"] = more["pipeline"].pop("guidance_scale")
    return {
        "model": str(video_model) if moving else world,
        "verifier": ALL[name].format(**folders, judge=server.spec()),
        "search": "prune(at=0.5)",
        "budget": "8nfe" if moving else "16nfe",
        "steps": STEPS,
        "batch": 1 if moving else 2,
        "evaluate": "none",
        "cache": False,
        **more,
    }


def flags(settings: Mapping[str, Any]) -> Iterator[str]:
    """The same settings as words of the command line."""
    for key, value in settings.items():
        if key == "pipeline":
            for name, argument in value.items():
                yield from ("--set", f"pipeline.{name}={argument}")
        elif value is False:
            yield f"--no-{key}"
        else:
            yield from (f"--{key.replace('_', '-')}", str(value))


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "candidates.jsonl").read_text().splitlines()]


def test_all_of_them_are_here() -> None:
    judges = {parse(spec).name for spec in ALL.values() if spec != "{judge}"}
    assert judges | {"judge"} >= {*PICTURE_JUDGES, "rank", "weighted", "first"}


def test_the_same_spec_guides_the_same_search_through_every_door(
    settings: dict[str, Any], call: Call, here: Path
) -> None:
    keywords = {key: value for key, value in settings.items() if key != "model"}
    search(settings["model"], PROMPT, out=here / "python", **keywords)
    config = here / "search.yaml"
    config.write_text(yaml.safe_dump({"prompt": PROMPT, **settings}))
    said = call("generate", "--config", str(config), "--out", "yaml")
    assert said.code == 0, said.err
    said = call("generate", PROMPT, *flags(settings), "--out", "flags")
    assert said.code == 0, said.err

    found = lines(here / "python")
    check(found, settings["verifier"], moving="pipeline" in settings)
    assert lines(here / "yaml") == found
    assert lines(here / "flags") == found


def check(found: list[dict[str, Any]], spec: str, *, moving: bool) -> None:
    """Previews in the middle and final samples are scored, by every part of the spec."""
    assert [line["failure"] for line in found] == [None] * len(found)
    assert {line["stage"] for line in found} >= {STEPS // 2, STEPS}
    assert any(line["parent"] for line in found if line["stage"] == STEPS), "one goes on"
    for part in parts_of(parse(spec)) or (spec,):
        scores = [line["scores"][part] for line in found]
        assert np.isfinite(scores).all()
        assert all((f"{part}.min" in line["scores"]) == moving for line in found)
        if moving:
            assert all(line["scores"][f"{part}.min"] <= line["scores"][part] for line in found)
    if spec != "shapes":  # which may find none in any of them
        said = [json.dumps([line["scores"], line.get("detail")]) for line in found]
        assert len(set(said)) > 1, "pictures are told apart"

"""ControlNet and T2I-Adapter: pictures pass through; their forwards are not the denoiser's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from noise_search.moves import Start
from noise_search.noise import Gaussian
from noise_search.study.reproduce import reproduce
from noise_search.study.search import search
from tests.cli.conftest import Call, call, here
from tests.pipelines.passing import (
    PROMPTS,
    STEPS,
    cut_anywhere_is_whole,
    equals_the_plain_call,
    passes_through,
    player,
    rows_are_their_own,
    rows_of,
)
from tests.pipelines.playing import latents
from tests.pipelines.zoo import Kind, save
from tests.pipelines.zoo.conditions import ADAPTER, CONTROL, CONTROLLED
from tests.pipelines.zoo.pictures import picture
from tests.pipelines.zoo.warnings import KNOWN

__all__ = ["call", "here"]
pytestmark = [*KNOWN]
KINDS = {kind.name: kind for kind in CONTROLLED}
MAIN = KINDS["sd15-controlnet"]
EVERY = [
    pytest.param(kind, marks=[] if kind.each_commit else pytest.mark.nightly, id=kind.name)
    for kind in CONTROLLED
]


@pytest.mark.parametrize("kind", EVERY)
def test_a_controlled_path_is_the_plain_one_cut_anywhere_and_in_any_batch(
    kind: Kind, loaded: Callable[[Kind], Any]
) -> None:
    pipe = loaded(kind)
    if "image" in kind.arguments:
        equals_the_plain_call(pipe, kind.arguments)
    else:  # the latents of its picture are sampled from the generator of the noise
        made = player(pipe, kind.arguments).one(Start(Gaussian(7)), PROMPTS[0])
        assert made.played.failure is None
    cut_anywhere_is_whole(pipe, kind.arguments)
    rows_are_their_own(pipe, kind.arguments)


@pytest.mark.nightly
@pytest.mark.parametrize(
    "more",
    [{"guess_mode": True}, {"control_guidance_start": 0.3, "control_guidance_end": 0.7}],
    ids=["guess", "part"],
)
def test_options_of_a_controlnet_pass_through(
    more: dict[str, Any], loaded: Callable[[Kind], Any]
) -> None:
    passes_through(loaded(MAIN), {**CONTROL, **more})


def test_forwards_of_a_controlnet_are_beside_the_denoisers(loaded: Callable[[Kind], Any]) -> None:
    pipe = loaded(MAIN)
    play = player(pipe, CONTROL)
    with rows_of(pipe.unet) as rows, rows_of(pipe.controlnet) as controls:
        made = play.one(Start(Gaussian(7)), PROMPTS[0])
    assert made.cost.forwards == sum(rows) == 2 * STEPS
    assert sum(controls) == 2 * STEPS + 2 * 2  # and once for the survey of two rows


def test_the_picture_decides_the_sample(loaded: Callable[[Kind], Any]) -> None:
    pipe, found = loaded(MAIN), []
    for image in (picture(), picture().rotate(180)):
        play = player(pipe, {**CONTROL, "image": image})
        found.append(latents(play, play.one(Start(Gaussian(7)), PROMPTS[0])))
    assert not torch.equal(*found)


def redness(pictures: list[Any], _: str) -> list[float]:
    """How red pictures are, in [0, 1]."""
    return [float(np.asarray(p)[..., 0].mean() / 255) for p in pictures]


@pytest.mark.parametrize(
    "plan", ["prune(at=0.5)", pytest.param("beam(draws=2,width=2)", marks=pytest.mark.nightly)]
)
def test_a_controlled_search_resumes_and_is_reproduced(
    plan: str, loaded: Callable[[Kind], Any], tmp_path: Path
) -> None:
    pipe = loaded(MAIN)

    def run(out: Path, stop: int | None = None) -> list[bytes]:
        seen: list[object] = []

        def watch(candidate: object) -> bool:
            seen.append(candidate)
            return stop is None or len(seen) < stop

        more: Any = CONTROL
        search(
            pipe,
            "a red circle",
            verifier=redness,
            search=plan,
            budget="16nfe",
            steps=4,
            batch=2,
            out=out,
            on_candidate=watch,
            **more,
        )
        return (out / "candidates.jsonl").read_bytes().splitlines()

    whole = run(tmp_path / "whole")
    assert not [line for line in whole if json.loads(line)["failure"]]
    run(tmp_path / "cut", stop=2)
    assert run(tmp_path / "cut") == whole
    name, given = json.loads(whole[-1])["candidate"], {"image": CONTROL["image"]}
    assert reproduce(tmp_path / "whole", pipe, candidate=name, arguments=given).equal


def test_the_command_takes_a_folder_with_a_controlnet_and_a_picture_of_a_file(
    call: Call, here: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = save(MAIN, tmp_path_factory.mktemp("saved"))
    picture().save(here / "control.png")
    given = ["pipeline.image=./control.png", "pipeline.controlnet_conditioning_scale=0.7"]
    given += [f"pipeline.{key}=64" for key in ("height", "width")]
    run = ["a red circle", "--model", str(folder), "--verifier", "shapes-clip", "--budget", "8nfe"]
    run += ["--evaluate", "none", "--steps", "4", "--batch", "1", "--guidance-scale", "4"]
    run += [word for one in given for word in ("--set", one)]
    assert call("generate", *run, "--dry-run", "--out", "run").code == 0
    assert call("generate", *run, "--out", "run").code == 0
    assert call("generate", *run, "--out", "waiting", "--offload", "model").code == 0
    found = [(here / name / "candidates.jsonl").read_bytes() for name in ("run", "waiting")]
    assert found[0] == found[1]
    assert json.loads(found[0].splitlines()[0])["cost"]["forwards"] == 2 * 4
    record = json.loads((here / "run" / "run.json").read_text())
    assert set(record["settings"]["pipeline"]["image"]) == {"file", "sha256"}
    assert call("reproduce", "run", "--out", "again.png").code == 0


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore:The decode_latents method:FutureWarning")  # its own
def test_a_t2i_adapter_passes_through_row_by_row(loaded: Callable[[Kind], Any]) -> None:
    """diffusers wants as many pictures as prompts there, so a wider batch is tried and given up."""
    pipe = loaded(ADAPTER)
    equals_the_plain_call(pipe, ADAPTER.arguments)
    cut_anywhere_is_whole(pipe, ADAPTER.arguments)
    wide, narrow = (player(pipe, ADAPTER.arguments, width=width) for width in (3, 1))
    moves, prompts = [Start(Gaussian(seed)) for seed in (7, 8)], PROMPTS[:2]
    found, wanted = (play.play(moves, prompts) for play in (wide, narrow))
    assert wide.pipeline.width == 1  # type: ignore[attr-defined]
    assert wide.overhead.nfe == narrow.overhead.nfe + 3  # the evaluation that has told
    for row, other in zip(found, wanted, strict=True):
        assert torch.equal(latents(wide, row), latents(narrow, other))

"""Guiders: what they remember goes with a path, and the rows they ask for are counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import guiders
from diffusers.hooks.layer_skip import LayerSkipConfig

from noise_search.moves import Continue, Start
from noise_search.noise import Gaussian
from noise_search.pipelines.solvers import MEMORY
from noise_search.pipelines.states import States
from tests.pipelines.passing import (
    PROMPTS,
    STEPS,
    cut_anywhere_is_whole,
    equals_the_plain_call,
    passes_through,
    player,
)
from tests.pipelines.playing import latents
from tests.pipelines.zoo import load
from tests.pipelines.zoo.guided import HUNYUAN_IMAGE, hunyuan_image
from tests.pipelines.zoo.warnings import KNOWN

pytestmark = [*KNOWN]
library: Any = guiders
SIZE = dict(HUNYUAN_IMAGE.arguments)
SECOND: Any = LayerSkipConfig(indices=[1], fqn="transformer_blocks")
SCORES: Any = LayerSkipConfig(
    indices=[1],
    fqn="transformer_blocks",
    skip_attention=False,
    skip_attention_scores=True,
    skip_ff=False,
)
PART = {"skip_layer_guidance_start": 0.0, "skip_layer_guidance_stop": 0.7}
OTHERS: dict[str, tuple[Callable[[], Any], int]] = {
    "cfg": (lambda: library.ClassifierFreeGuidance(3.0), 2 * STEPS),
    "zero-star": (lambda: library.ClassifierFreeZeroStarGuidance(3.0), 2 * STEPS),
    "momentum": (
        lambda: library.AdaptiveProjectedGuidance(3.0, adaptive_projected_guidance_momentum=-0.5),
        2 * STEPS,
    ),
    "skip layers": (
        lambda: library.SkipLayerGuidance(3.0, skip_layer_config=SECOND, **PART),
        2 * STEPS + 1,  # between the first step and the third
    ),
    "perturbed": (
        lambda: library.PerturbedAttentionGuidance(
            3.0,
            perturbed_guidance_start=0.0,
            perturbed_guidance_stop=1.0,
            perturbed_guidance_config=SCORES,
        ),
        2 * STEPS + 2,  # not at the first step
    ),
    "off": (lambda: library.ClassifierFreeGuidance(1.0), STEPS),
}


def shortened(pipe: Any) -> Any:
    """The pipeline with fewer than its thousand tokens, so that a call is short."""
    pipe.tokenizer_max_length = 24
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return shortened(load(HUNYUAN_IMAGE, tmp_path_factory.mktemp("zoo")))


def test_guidance_with_a_momentum_is_cut_anywhere(published: Any) -> None:
    passes_through(published, SIZE)


def test_the_momentum_is_part_of_a_state_and_decides_what_follows(
    published: Any, tmp_path: Path
) -> None:
    play = player(published, SIZE, states=States(tmp_path))
    whole = play.one(Start(Gaussian(7)), PROMPTS[0])
    half = play.one(Start(Gaussian(7), until=2), PROMPTS[0])
    states: Any = play.pipeline.states  # type: ignore[attr-defined]
    state = dict(states.get(half.candidate.name, "torch"))
    words = bytes(state[MEMORY].tolist()).decode()
    assert "guider/momentum_buffer/running_average" in words
    sums = [k for k, v in state.items() if k.startswith(f"{MEMORY}.") and v.shape == (4, 16, 16)]
    [place] = [key for key in sums if bool(state[key].any())]
    again = player(published, SIZE, states=States(tmp_path))  # as after an interruption
    again.book.add(Gaussian(7))
    same = again.one(Continue(half.candidate, Gaussian(7)), PROMPTS[0])
    assert torch.equal(latents(again, same), latents(play, whole))
    states.put({half.candidate.name: {**state, place: torch.zeros_like(state[place])}})
    other = play.one(Continue(half.candidate, Gaussian(7)), PROMPTS[0])
    assert not torch.equal(latents(play, other), latents(play, whole))


def test_the_guider_of_the_pipeline_is_left_as_it_was(published: Any) -> None:
    guider, before = published.guider, dict(vars(published.guider))
    player(published, SIZE).one(Start(Gaussian(7), until=2), PROMPTS[0])
    assert published.guider is guider
    assert vars(guider) == before


def test_the_record_tells_how_guider_and_scheduler_are_set(
    published: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told() -> object:
        return player(published, SIZE).pipeline.describe()["switches"]

    before = told()
    assert told() == before
    with monkeypatch.context() as set_now:
        set_now.setattr(published.guider, "guidance_scale", 9.0)
        assert told() != before
    assert told() == before
    others = published.scheduler.from_config(published.scheduler.config, shift=7.0)
    monkeypatch.setattr(published, "scheduler", others)
    assert told() != before


def test_a_guider_may_refer_to_itself(published: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    guider, parts = published.guider, list[Any]()
    parts.append(parts)
    before = player(published, SIZE).pipeline.describe()["switches"]
    monkeypatch.setattr(guider, "owner", SimpleNamespace(guider=guider, parts=parts), raising=False)
    monkeypatch.setattr(guider, "parts", parts, raising=False)
    assert player(published, SIZE).pipeline.describe()["switches"] == before
    cut_anywhere_is_whole(published, SIZE)


@pytest.mark.nightly
def test_going_back_begins_with_no_momentum(published: Any) -> None:
    play = player(published, SIZE)
    whole = play.one(Start(Gaussian(7)), PROMPTS[0])
    backs = [
        play.one(Continue(whole.candidate, Gaussian(9), rewind=2), PROMPTS[0]) for _ in range(2)
    ]
    assert backs[0].played.failure is None
    assert torch.equal(*[latents(play, back) for back in backs])


@pytest.mark.nightly
@pytest.mark.parametrize("name", OTHERS)
def test_other_guiders_pass_through_at_the_rows_they_ask_for(name: str) -> None:
    make, rows = OTHERS[name]
    pipe = shortened(hunyuan_image(make()))
    equals_the_plain_call(pipe, SIZE)
    cut_anywhere_is_whole(pipe, SIZE)
    made = player(pipe, SIZE).one(Start(Gaussian(7)), PROMPTS[0])
    assert made.cost.forwards == rows

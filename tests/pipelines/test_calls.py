"""What a pipeline's call is given, and which calls are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.pipelines.stable_diffusion.pipeline_output import StableDiffusionPipelineOutput

from noise_search.ask import Prompt
from noise_search.errors import UserError
from noise_search.moves import Continue, Start
from noise_search.noise import Gaussian
from noise_search.pipelines.calls import arguments_of, check_call, pictures_of
from tests.pipelines.passing import rows_of
from tests.pipelines.playing import apart, latents, player
from tests.pipelines.zoo import KINDS, Kind, load
from tests.pipelines.zoo.stages import CASCADE, REFUSED
from tests.pipelines.zoo.warnings import KNOWN

pytestmark = [*KNOWN]
PROMPTS = [Prompt("a", "one"), Prompt("b", "two")]
SAID = {
    "kandinsky22-combined": "search prior_pipe and decoder_pipe one after the other",
    "stable-audio": "makes sounds",
}


@pytest.mark.parametrize("kind", REFUSED, ids=lambda kind: kind.name)
def test_what_cannot_be_searched_is_refused_before_anything_is_evaluated(
    kind: Kind, tmp_path: Path
) -> None:
    pipe = load(kind, tmp_path)
    models = [m for m in pipe.components.values() if isinstance(m, torch.nn.Module)]
    with rows_of(*models) as rows, pytest.raises(UserError, match=SAID[kind.name]) as refused:
        player(pipe, kind)
    assert rows == []
    assert "\n" not in str(refused.value)


def test_a_pipeline_that_a_user_has_hung_on_another_is_no_part_of_it(tmp_path: Path) -> None:
    pipe, other = load(KINDS["sd15"], tmp_path), load(KINDS["flux"], tmp_path)
    pipe.upscaler = other
    assert player(pipe, KINDS["sd15"]).one(Start(Gaussian(1)), PROMPTS[0]).played.failure is None


def test_where_a_path_is_not_known_final_noises_are_searched_and_going_back_is_refused() -> None:
    pipe = CASCADE.make()
    pipe.set_progress_bar_config(disable=True)
    play = player(pipe, CASCADE)
    starts = [Start(Gaussian(1)), Start(Gaussian(2))]
    whole = play.play(starts, PROMPTS)
    halves = play.play([Start(Gaussian(i), until=2) for i in (1, 2)], PROMPTS)
    moves = [Continue(half.candidate, Gaussian(i)) for i, half in enumerate(halves, 1)]
    for made, once in zip(play.play(moves, PROMPTS), whole, strict=True):
        assert made.played.failure is None
        assert np.array_equal(made.pixels, once.pixels)
    back = play.ask(Continue(whole[0].candidate, Gaussian(9), rewind=1), PROMPTS[0])
    with rows_of(pipe.decoder) as rows, pytest.raises(UserError, match="not known"):
        play.pipeline.price(back)
    assert rows == []


def test_unconditional_pipelines_are_told_the_number_of_rows_alone() -> None:
    pipe = KINDS["ddim"].make()
    assert arguments_of(pipe, PROMPTS, {}) == {"batch_size": 2}
    with pytest.raises(UserError, match="argument 'batch_size' belongs to the search"):
        check_call(pipe, {"batch_size": 4})
    pipe = KINDS["consistency"].make()
    found = arguments_of(pipe, [Prompt("a", "207"), Prompt("b", "3")], {})
    assert found == {"class_labels": [207, 3], "batch_size": 2}


def test_embeddings_are_given_to_each_row() -> None:
    pipe = KINDS["kandinsky22"].make()
    one, both = torch.ones(1, 8), torch.zeros(2, 8)
    found: dict[str, Any] = arguments_of(pipe, PROMPTS, {"image_embeds": one})
    assert torch.equal(found["image_embeds"], torch.ones(2, 8))
    assert arguments_of(pipe, PROMPTS, {"image_embeds": both}) == {}
    with pytest.raises(UserError, match="neither a prompt nor"):
        arguments_of(pipe, PROMPTS, {})


ONE, BOTH = {"num_images_per_prompt": 1}, {"do_classifier_free_guidance": True}
LATE = ("pixart-sigma", "z-image")
NAMES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "sd15": (("prompt_embeds", "negative_prompt_embeds"), {"device": "cpu", **ONE, **BOTH}),
    "sdxl": (
        (
            "prompt_embeds",
            "negative_prompt_embeds",
            "pooled_prompt_embeds",
            "negative_pooled_prompt_embeds",
        ),
        {},
    ),
    "flux": (("prompt_embeds", "pooled_prompt_embeds"), {"max_sequence_length": 24}),
    "pixart-sigma": (
        (
            "prompt_embeds",
            "prompt_attention_mask",
            "negative_prompt_embeds",
            "negative_prompt_attention_mask",
        ),
        {"max_sequence_length": 24},
    ),
    "z-image": (("prompt_embeds", "negative_prompt_embeds"), {"max_sequence_length": 48}),
}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.nightly] if n in LATE else []) for n in NAMES]
)
def test_embeddings_of_a_prompt_stand_for_it(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    pipe, (names, more) = load(kind, tmp_path), NAMES[name]
    prompt = Prompt("a", kind.prompts[0])
    with torch.no_grad():
        made = pipe.encode_prompt(prompt.text, **more)
    embeds = dict(zip(names, made, strict=False))
    with_them = replace(kind, arguments={**kind.arguments, **embeds})
    for width in (1, 2):
        [usual, found] = [player(pipe, k, width=width) for k in (kind, with_them)]
        [one, other] = [latents(p, p.one(Start(Gaussian(1)), prompt)) for p in (usual, found)]
        assert apart(one, other) <= (0 if width == 1 else 1e-5)
    with pytest.raises(UserError, match="prompt_embeds: they are of one prompt"):
        arguments_of(pipe, PROMPTS, embeds)


def test_some_pipelines_answer_with_the_pictures_alone() -> None:
    pictures = np.zeros((2, 4, 4, 3))
    for answer in (pictures, (pictures,)):
        found, problems = pictures_of(answer, 2)
        assert found is pictures
        assert problems == [None, None]


def test_some_pipelines_answer_with_an_object_whatever_they_are_asked_for() -> None:
    pictures = np.zeros((2, 4, 4, 3))
    for flags, said in (([False, True], "the pipeline's safety checker blanked it"), (None, None)):
        answer = StableDiffusionPipelineOutput(images=pictures, nsfw_content_detected=flags)
        found, problems = pictures_of(answer, 2)
        assert found is pictures
        assert problems == [None, said]

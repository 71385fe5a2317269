"""A pipeline of latents, Stable Diffusion with tiny random weights, is driven like any other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from transformers import CLIPTextConfig, CLIPTextModel

from noise_search.ask import Prompt
from noise_search.budget import ZERO, Cost
from noise_search.moves import END, Continue, Start
from noise_search.noise import Book, Gaussian
from noise_search.pipelines.diffusers import DiffusersPipeline
from noise_search.pipelines.shapes.components import new_tokenizer
from tests.pipelines.playing import Player

library: Any = diffusers  # its types are not exported
STEPS, WIDTH = 4, 3
SIZE = {"height": 16, "width": 16, "guidance_scale": 4.0}
PROMPTS = [Prompt("a", "a red circle", "blue"), Prompt("b", "two green squares", "a red square")]


@pytest.fixture(scope="module")
def pipe() -> Any:
    tokenizer: Any = new_tokenizer()
    with torch.random.fork_rng():
        torch.manual_seed(3)
        encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=16,
                intermediate_size=32,
                num_hidden_layers=1,
                num_attention_heads=2,
                max_position_embeddings=tokenizer.model_max_length,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=0,
            )
        )
        unet = library.UNet2DConditionModel(
            block_out_channels=(8, 16),
            layers_per_block=1,
            sample_size=8,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=16,
            norm_num_groups=4,
            attention_head_dim=4,
        )
        vae = library.AutoencoderKL(
            block_out_channels=(8, 8),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            norm_num_groups=4,
        )
    found = library.StableDiffusionPipeline(
        vae.eval(),
        encoder.eval(),
        tokenizer,
        unet.eval(),
        library.DDIMScheduler(
            beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False, steps_offset=1
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    found.set_progress_bar_config(disable=True)
    return found


def player(pipe: Any, eta: float = 0.0) -> Player:
    book = Book()
    return Player(DiffusersPipeline(pipe, book, width=WIDTH, arguments=SIZE, eta=eta), book, STEPS)


@contextmanager
def decoded(pipe: Any) -> Iterator[list[int]]:
    """Rows of every call of the decoder."""
    rows: list[int] = []
    handle = pipe.vae.decoder.register_forward_hook(
        lambda _, inputs, output: rows.append(len(output))
    )
    try:
        yield rows
    finally:
        handle.remove()


def test_a_whole_path_is_a_plain_call(pipe: Any) -> None:
    rows = player(pipe).play([Start(Gaussian(i)) for i in (1, 2)], PROMPTS)
    prompts = [*PROMPTS, PROMPTS[-1]]
    latents = [
        torch.randn((4, 8, 8), generator=torch.Generator().manual_seed(i)) for i in (1, 2, 2)
    ]
    images = pipe(
        [p.text for p in prompts],
        negative_prompt=[p.negative for p in prompts],
        num_inference_steps=STEPS,
        latents=torch.stack(latents),
        **SIZE,
    ).images
    for row, image in zip(rows, images, strict=False):
        assert row.played.failure is None
        assert np.array_equal(row.pixels, np.asarray(image))
        assert row.cost == Cost(nfe=STEPS, forwards=2 * STEPS, decodes=1)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_a_path_cut_anywhere_is_the_whole_path(pipe: Any, eta: float) -> None:
    play = player(pipe, eta)
    whole = play.one(Start(Gaussian(1)), PROMPTS[0])
    for cut in range(1, STEPS):
        half = play.one(Start(Gaussian(1), until=cut), PROMPTS[0])
        assert half.cost == Cost(nfe=cut, forwards=2 * cut, decodes=1)
        rest = play.one(Continue(half.candidate, Gaussian(1)), PROMPTS[0])
        assert np.array_equal(rest.pixels, whole.pixels)
    assert play.overhead == ZERO


def test_only_what_is_looked_at_is_decoded(pipe: Any) -> None:
    play = player(pipe)
    with decoded(pipe) as rows:
        waypoint = play.one(Start(Gaussian(1), until=2, look=False), PROMPTS[0])
        assert waypoint.cost == Cost(nfe=2, forwards=4)
        assert rows == []
        play.one(Continue(waypoint.candidate, Gaussian(1), until=3), PROMPTS[0])
        whole = play.one(Continue(waypoint.candidate, Gaussian(1)), PROMPTS[0])
        assert rows == [WIDTH] * 2
    picture = play.pipeline.picture(whole.candidate, PROMPTS[0])
    assert np.array_equal(picture[0], whole.pixels)
    assert picture[2] == Cost(decodes=1)


@pytest.mark.parametrize("until", [2, END])
def test_a_decoder_that_overflows_fails_its_row_alone(pipe: Any, until: int) -> None:
    moves = [Start(Gaussian(i), until=until) for i in (1, 2)]
    sound = player(pipe).play(moves, PROMPTS)

    def hook(_: Any, inputs: Any, output: Any) -> Any:
        answer = output.clone()
        answer[0, 0, 3, 3] = float("nan")
        return answer

    handle = pipe.vae.decoder.register_forward_hook(hook)
    try:
        rows = player(pipe).play(moves, PROMPTS)
    finally:
        handle.remove()
    assert rows[0].played.failure == "pixels are not finite"
    assert rows[0].cost == sound[0].cost
    assert np.array_equal(rows[1].pixels, sound[1].pixels)

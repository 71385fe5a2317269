"""Settings of a pipeline and arguments of its call pass through, or are refused at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import diffusers
import pytest
import torch
from diffusers import callbacks

from noise_search.errors import UserError
from noise_search.moves import Continue, Start
from noise_search.noise import Gaussian
from tests.pipelines.passing import PROMPTS, STEPS, passes_through, player, rows_of
from tests.pipelines.playing import latents
from tests.pipelines.zoo.flows import GUIDED as EMBEDDED
from tests.pipelines.zoo.flows import SIZE as TOKENS
from tests.pipelines.zoo.flows import flux, sd3
from tests.pipelines.zoo.pictures import picture
from tests.pipelines.zoo.unets import GUIDED, sd15, sd_parts, sdxl, sdxl_parts
from tests.pipelines.zoo.warnings import KNOWN

pytestmark = [*KNOWN]
library: Any = diffusers
hooks: Any = callbacks
Change = Callable[[Any], Any]


def tiled(pipe: Any) -> None:
    pipe.vae.enable_tiling()
    pipe.vae.tile_latent_min_size, pipe.vae.tile_sample_min_size = 4, 32


SETTINGS: dict[str, Change] = {
    "vae slicing": lambda pipe: pipe.vae.enable_slicing(),
    "vae tiling": tiled,
    "attention slicing": lambda pipe: pipe.enable_attention_slicing(1),
    "fused projections": lambda pipe: pipe.fuse_qkv_projections(),
    "freeu": lambda pipe: pipe.enable_freeu(s1=0.9, s2=0.2, b1=1.2, b2=1.4),
    "channels last": lambda pipe: pipe.unet.to(memory_format=torch.channels_last),
    "layerwise casting": lambda pipe: pipe.unet.enable_layerwise_casting(
        storage_dtype=torch.float16, compute_dtype=torch.float32
    ),
}
OFTEN = {"vae slicing", "pag", "second prompt", "sigmas of a flow"}


def marked(names: Mapping[str, object]) -> list[Any]:
    """Some on each commit, all of them nightly."""
    return [pytest.param(n, marks=[] if n in OFTEN else pytest.mark.nightly) for n in names]


@pytest.mark.parametrize("name", marked(SETTINGS))
def test_settings_of_a_pipeline_pass_through_and_are_told(name: str) -> None:
    pipe = sd15()
    before = player(pipe, GUIDED).pipeline.describe()
    SETTINGS[name](pipe)
    passes_through(pipe, GUIDED)
    assert vars(pipe.unet).get("forward") is None or name == "layerwise casting"
    if name != "channels last":
        assert player(pipe, GUIDED).pipeline.describe() != before


def pag() -> Any:
    return library.StableDiffusionPAGPipeline(**sd_parts(), pag_applied_layers=["mid"])


CALLS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "rescaled": (sd15, {**GUIDED, "guidance_rescale": 0.7}),
    "unguided": (sd15, {**GUIDED, "guidance_scale": 1.0}),
    "timesteps": (sdxl, {**GUIDED, "timesteps": [981, 500, 50]}),
    "sigmas": (sdxl, {**GUIDED, "sigmas": [14.0, 3.0, 0.4, 0.0]}),
    "second prompt": (sdxl, {**GUIDED, "prompt_2": "blue", "negative_prompt_2": "a cube"}),
    "a part of the schedule": (sdxl, {**GUIDED, "denoising_end": 0.6}),
    "sizes": (sdxl, {**GUIDED, "original_size": (32, 32), "crops_coords_top_left": (4, 4)}),
    "pag": (pag, {**GUIDED, "pag_scale": 2.0}),
    "adaptive pag": (pag, {**GUIDED, "pag_scale": 2.0, "pag_adaptive_scale": 0.002}),
    "skipped layers": (
        sd3,
        {
            **TOKENS,
            "guidance_scale": 4.0,
            "skip_guidance_layers": [1],
            "skip_layer_guidance_start": 0.0,
            "skip_layer_guidance_stop": 0.8,
        },
    ),
    "third prompt": (sd3, {**TOKENS, "guidance_scale": 4.0, "prompt_3": "a cube"}),
    "sigmas of a flow": (flux, {**EMBEDDED, "sigmas": [1.0, 0.7, 0.3]}),
    "true guidance": (flux, {**EMBEDDED, "true_cfg_scale": 3.0, "negative_prompt_2": "a cube"}),
}


@pytest.mark.parametrize("name", marked(CALLS))
def test_arguments_of_a_call_pass_through(name: str) -> None:
    make, arguments = CALLS[name]
    if "true_cfg_scale" in arguments:  # it has its effect where the call has a negative prompt
        arguments = {**arguments, "negative_prompt": "red"}
    passes_through(make(), arguments)


def test_a_schedule_of_another_length_is_refused_before_anything_is_spent() -> None:
    pipe = flux()
    play = player(pipe, {**EMBEDDED, "sigmas": [1.0, 0.4]})
    with rows_of(pipe.transformer) as rows, pytest.raises(UserError, match="set steps=2, not 3"):
        play.pipeline.price(play.ask(Start(Gaussian(7)), PROMPTS[0]))
    assert rows == []


def test_a_refiner_that_begins_with_a_picture_alone_is_refused_before_anything_is_spent() -> None:
    pipe = library.StableDiffusionXLImg2ImgPipeline(**sdxl_parts())
    play = player(pipe, {"image": picture(), "denoising_start": 0.4})
    with rows_of(pipe.unet) as rows, pytest.raises(UserError, match="draws no initial noise"):
        play.one(Start(Gaussian(7)), PROMPTS[0])
    assert rows == []


class Cutoff(hooks.PipelineCallback):  # type: ignore[misc]
    """Guidance ends after the first step, whatever the number of rows."""

    tensor_inputs = ("prompt_embeds",)

    def callback_fn(self, pipeline: Any, step_index: int, _: Any, given: Any) -> Any:
        if step_index == 0:
            pipeline._guidance_scale = 0.0
            given["prompt_embeds"] = given["prompt_embeds"].chunk(2)[-1]
        return given


def test_guidance_that_a_callback_ends_is_cut_and_priced_right() -> None:
    pipe, arguments = sd15(), {**GUIDED, "callback_on_step_end": Cutoff()}
    passes_through(pipe, arguments)
    made = player(pipe, arguments).one(Start(Gaussian(7)), PROMPTS[0])
    assert made.cost.forwards == 2 + (STEPS - 1)


@pytest.mark.nightly
def test_cutoffs_of_diffusers_pass_through_in_batches_of_one() -> None:
    cutoff = hooks.SDCFGCutoffCallback(cutoff_step_ratio=None, cutoff_step_index=1)
    play = player(sd15(), {**GUIDED, "callback_on_step_end": cutoff})
    whole = play.one(Start(Gaussian(7)), PROMPTS[0])
    half = play.one(Start(Gaussian(7), until=2), PROMPTS[0])
    again = play.one(Continue(half.candidate, Gaussian(7)), PROMPTS[0])
    assert torch.equal(latents(play, again), latents(play, whole))
    assert whole.cost.forwards == 2 * 2 + 1


def test_a_callback_may_change_latents_and_nothing_else_unless_it_says_so() -> None:
    def damped(_: Any, __: int, ___: Any, given: dict[str, Any]) -> dict[str, Any]:
        return {"latents": given["latents"] * 0.99}

    def weaker(pipe: Any, *_: Any) -> dict[str, Any]:
        pipe._guidance_scale = 1.5
        return {}

    passes_through(sd15(), {**GUIDED, "callback_on_step_end": damped})
    play = player(sd15(), {**GUIDED, "callback_on_step_end": weaker})
    with pytest.raises(UserError, match=r"it changes _guidance_scale, .* tensor_inputs"):
        play.one(Start(Gaussian(7)), PROMPTS[0])

"""Pipelines whose denoiser is a U-Net: Stable Diffusion and its kin."""

from __future__ import annotations

from typing import Any

import diffusers

from tests.pipelines.zoo.encoders import clip_text, t5
from tests.pipelines.zoo.kind import Kind
from tests.pipelines.zoo.pictures import checker, clip_pictures, picture
from tests.pipelines.zoo.tokenizing import clip_tokenizer, t5_tokenizer
from tests.pipelines.zoo.vaes import kl_vae, movq
from tests.pipelines.zoo.weights import build, louder

library: Any = diffusers

NOISES = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SIZE = {"height": 64, "width": 64}


def ddim(**more: Any) -> Any:
    """DDIM as Stable Diffusion is published with it."""
    more = {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1, **more}
    return library.DDIMScheduler(**NOISES, **more)


def unet(*, context: int = 16, **more: Any) -> Any:
    """A conditional U-Net of two levels, the lower with attention to a text of width `context`."""
    return build(
        lambda: library.UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(8, 16),
            layers_per_block=1,
            norm_num_groups=4,
            attention_head_dim=4,
            cross_attention_dim=context,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            **more,
        )
    )


def sd_parts(**more: Any) -> dict[str, Any]:
    """Components of Stable Diffusion 1.5 with DDIM and no safety checker; `more` replaces some."""
    tokenizer = clip_tokenizer()
    return {
        "vae": kl_vae(),
        "text_encoder": clip_text(tokenizer),
        "tokenizer": tokenizer,
        "unet": unet(),
        "scheduler": ddim(),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
        **more,
    }


def sd15() -> Any:
    return library.StableDiffusionPipeline(**sd_parts())


def sd15_checker() -> Any:
    """Stable Diffusion 1.5 with a safety checker, which blanks every picture."""
    return library.StableDiffusionPipeline(
        **sd_parts(
            safety_checker=checker(),
            feature_extractor=clip_pictures(),
            requires_safety_checker=True,
        )
    )


def sdxl_parts(**more: Any) -> dict[str, Any]:
    """Components of SDXL with Euler; the second text encoder gives the pooled embedding."""
    first, second = clip_tokenizer(), clip_tokenizer(pad="!")
    ids, pooled = 6 * 8, 16  # six numbers of size and crop, eight features each
    return {
        "vae": kl_vae(scaling=0.13025),
        "text_encoder": clip_text(first),
        "tokenizer": first,
        "text_encoder_2": clip_text(second, projected=True, seed=4),
        "tokenizer_2": second,
        "unet": unet(
            context=32,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=ids + pooled,
            use_linear_projection=True,
            transformer_layers_per_block=(1, 2),
        ),
        "scheduler": library.EulerDiscreteScheduler(
            **NOISES, steps_offset=1, timestep_spacing="leading"
        ),
        **more,
    }


def sdxl() -> Any:
    return library.StableDiffusionXLPipeline(**sdxl_parts())


def sd2() -> Any:
    """Stable Diffusion 2: v-prediction, linear projections."""
    return library.StableDiffusionPipeline(
        **sd_parts(
            unet=unet(use_linear_projection=True),
            scheduler=ddim(prediction_type="v_prediction"),
        )
    )


def sdxl_turbo() -> Any:
    """SDXL in few steps: Euler ancestral on a trailing grid."""
    steps = library.EulerAncestralDiscreteScheduler(**NOISES, timestep_spacing="trailing")
    parts = sdxl_parts(scheduler=steps)
    for part in ("time_embedding", "add_embedding"):  # no guidance makes differences larger
        louder(parts["unet"], part, 2.0)
    return library.StableDiffusionXLPipeline(**parts)


def lcm() -> Any:
    """A latent consistency model, which is told the guidance scale."""
    return library.LatentConsistencyModelPipeline(
        **sd_parts(
            unet=unet(time_cond_proj_dim=16),
            scheduler=library.LCMScheduler(**NOISES, clip_sample=False, set_alpha_to_one=True),
        )
    )


def kandinsky3() -> Any:
    """Kandinsky 3, which reads T5 and draws by DDPM; its texts are cut at their own length."""
    tokenizer = t5_tokenizer(128)
    return library.Kandinsky3Pipeline(
        tokenizer=tokenizer,
        text_encoder=t5(tokenizer),
        unet=build(
            lambda: library.Kandinsky3UNet(
                time_embedding_dim=16,
                groups=4,
                attention_head_dim=4,
                layers_per_block=2,  # as many as an up block needs
                block_out_channels=(16, 16, 16, 16),
                cross_attention_dim=16,
                encoder_hid_dim=16,
            )
        ),
        scheduler=library.DDPMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="squaredcos_cap_v2",
            clip_sample=True,
        ),
        movq=movq(),
    )


def image_to_image() -> Any:
    return library.StableDiffusionImg2ImgPipeline(**sd_parts())


GUIDED = {**SIZE, "guidance_scale": 4.0}
CHECKED = Kind("sd15-checker", sd15_checker, GUIDED)
"""Apart from the others: all its pictures are black."""
UNETS = [
    Kind("sd15", sd15, GUIDED, each_commit=True),
    Kind("sdxl", sdxl, GUIDED, each_commit=True),
    Kind("sd2-v", sd2, GUIDED),
    Kind("sdxl-turbo", sdxl_turbo, {**SIZE, "guidance_scale": 0.0}),
    Kind("lcm", lcm, {**SIZE, "guidance_scale": 8.5}),
    Kind("sd15-img2img", image_to_image, {"image": picture(), "strength": 0.8}, steps=5),
    Kind("kandinsky3", kandinsky3, {**SIZE, "guidance_scale": 2.0}),
]

"""Videos made as rows of pictures: Stable Diffusion's kin that moves, Latte, Allegro."""

from __future__ import annotations

from typing import Any

import diffusers

from tests.pipelines.zoo.encoders import clip_eyes, t5
from tests.pipelines.zoo.kind import Kind
from tests.pipelines.zoo.pictures import clip_pictures, picture
from tests.pipelines.zoo.tokenizing import t5_tokenizer
from tests.pipelines.zoo.unets import sd_parts
from tests.pipelines.zoo.vaes import kl_vae, muted
from tests.pipelines.zoo.weights import build, louder

library: Any = diffusers

LINEAR = {"beta_start": 0.0001, "beta_end": 0.02, "clip_sample": False}


def animate_diff() -> Any:
    """AnimateDiff: Stable Diffusion's U-Net with layers between frames."""
    adapter = build(
        lambda: library.MotionAdapter(
            block_out_channels=(8, 16),
            motion_layers_per_block=1,
            motion_norm_num_groups=4,
            motion_num_attention_heads=2,
            motion_max_seq_length=8,
        ),
        seed=9,
    )
    scheduler = library.DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="linear", clip_sample=False
    )
    parts = {**sd_parts(), "scheduler": scheduler}
    keep = ("vae", "text_encoder", "tokenizer", "unet", "scheduler")
    return library.AnimateDiffPipeline(
        **{name: parts[name] for name in keep}, motion_adapter=adapter
    )


def stable_video() -> Any:
    """Stable Video Diffusion: a picture is all it is told; levels are continuous."""
    unet = build(
        lambda: library.UNetSpatioTemporalConditionModel(
            sample_size=4,
            in_channels=8,
            out_channels=4,
            block_out_channels=(64, 64),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
            up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
            cross_attention_dim=16,
            num_attention_heads=2,
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=24,
            num_frames=3,
        )
    )
    return library.StableVideoDiffusionPipeline(
        vae=muted(
            build(
                lambda: library.AutoencoderKLTemporalDecoder(
                    block_out_channels=(32,) * 4,
                    down_block_types=("DownEncoderBlock2D",) * 4,
                    layers_per_block=1,
                    latent_channels=4,
                ),
                seed=3,
            )
        ),
        image_encoder=clip_eyes(projected=True, side=224, patch=56),
        unet=louder(unet, "time_embedding", 4.0),
        scheduler=library.EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            prediction_type="v_prediction",
            sigma_max=700.0,
            sigma_min=0.002,
            steps_offset=1,
            timestep_spacing="leading",
            timestep_type="continuous",
            use_karras_sigmas=True,
        ),
        feature_extractor=clip_pictures(224),
    )


def latte() -> Any:
    """Latte, with DDIM; it predicts a variance beside the noise."""
    tokenizer = t5_tokenizer(120)
    return library.LattePipeline(
        tokenizer=tokenizer,
        text_encoder=t5(tokenizer),
        vae=kl_vae(),
        transformer=build(
            lambda: library.LatteTransformer3DModel(
                sample_size=8,
                num_layers=1,
                patch_size=2,
                attention_head_dim=8,
                num_attention_heads=2,
                caption_channels=16,
                in_channels=4,
                cross_attention_dim=16,
                out_channels=8,
                attention_bias=True,
                activation_fn="gelu-approximate",
                num_embeds_ada_norm=1000,
                norm_type="ada_norm_single",
                norm_elementwise_affine=False,
                norm_eps=1e-6,
                video_length=3,
            )
        ),
        scheduler=library.DDIMScheduler(**LINEAR),
    )


def allegro() -> Any:
    """Allegro, with an ancestral Euler; its autoencoder works in tiles alone."""
    tokenizer = t5_tokenizer()
    return library.AllegroPipeline(
        tokenizer=tokenizer,
        text_encoder=t5(tokenizer, width=24),
        vae=muted(
            build(
                lambda: library.AutoencoderKLAllegro(
                    down_block_types=("AllegroDownBlock3D",) * 4,
                    up_block_types=("AllegroUpBlock3D",) * 4,
                    block_out_channels=(8,) * 4,
                    latent_channels=4,
                    layers_per_block=1,
                    norm_num_groups=2,
                    sample_size=32,
                ),
                seed=3,
            )
        ),
        transformer=build(
            lambda: library.AllegroTransformer3DModel(
                num_attention_heads=2,
                attention_head_dim=12,
                in_channels=4,
                out_channels=4,
                num_layers=1,
                cross_attention_dim=24,
                sample_width=4,
                sample_height=4,
                sample_frames=4,
                caption_channels=24,
            )
        ),
        scheduler=library.EulerAncestralDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"
        ),
    )


def tiled(pipe: Any) -> None:
    """As Allegro's own page says, in tiles as small as the videos."""
    pipe.vae.enable_tiling()
    pipe.vae.kernel, pipe.vae.stride = (8, 32, 32), (4, 16, 16)


SIZE = {"height": 32, "width": 32}
GUIDED = {**SIZE, "guidance_scale": 4.0}
UNCLEANED = {"clean_caption": False}
UNMASKED = {"mask_feature": False}  # its masks of one text are other ones than of several
STABLE = {**SIZE, "image": picture(32), "max_guidance_scale": 3.0, "num_frames": 3}
FRAMES = [
    Kind("animatediff", animate_diff, {**GUIDED, "num_frames": 4}, video=True),
    Kind("stable-video", stable_video, STABLE, video=True),
    Kind("latte", latte, {**GUIDED, **UNCLEANED, **UNMASKED, "video_length": 3}, video=True),
    Kind(
        "allegro",
        allegro,
        {**GUIDED, **UNCLEANED, "num_frames": 8, "max_sequence_length": 24},
        video=True,
        settle=tiled,
    ),
]

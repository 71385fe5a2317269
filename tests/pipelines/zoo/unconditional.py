"""Pixels without a prompt: DDPM, DDIM and consistency models."""

from __future__ import annotations

from typing import Any

import diffusers

from tests.pipelines.zoo.kind import Kind
from tests.pipelines.zoo.weights import build

library: Any = diffusers


def pixels(**more: Any) -> Any:
    """An unconditional U-Net of pictures of 32 x 32."""
    return build(
        lambda: library.UNet2DModel(
            sample_size=32,
            in_channels=3,
            out_channels=3,
            block_out_channels=(8, 16),
            layers_per_block=1,
            norm_num_groups=4,
            attention_head_dim=8,
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"),
            **more,
        )
    )


def ddpm() -> Any:
    """DDPM: its steps are random. Random weights that tell noise would leave all range."""
    return library.DDPMPipeline(
        unet=pixels(), scheduler=library.DDPMScheduler(prediction_type="sample")
    )


def ddim() -> Any:
    return library.DDIMPipeline(unet=pixels(), scheduler=library.DDIMScheduler())


def consistency() -> Any:
    """A consistency model of ImageNet's classes."""
    return library.ConsistencyModelPipeline(
        unet=pixels(num_class_embeds=1000),
        scheduler=library.CMStochasticIterativeScheduler(
            num_train_timesteps=40, sigma_min=0.002, sigma_max=80.0
        ),
    )


UNCONDITIONAL = [
    Kind("ddpm", ddpm, {}),
    Kind("ddim", ddim, {}),
    Kind("consistency", consistency, {}, ("207", "3"), steps=3),
]

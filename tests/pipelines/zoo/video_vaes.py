"""Tiny autoencoders of videos: (3, frames, height, width) to fewer frames and pixels."""

from __future__ import annotations

from typing import Any

import diffusers

from tests.pipelines.zoo.vaes import muted
from tests.pipelines.zoo.weights import build

library: Any = diffusers


def wan_vae() -> Any:
    """Wan's causal video autoencoder: (3, 4f + 1, 8h, 8w) to (16, f + 1, h, w)."""
    return muted(
        build(
            lambda: library.AutoencoderKLWan(
                base_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1, z_dim=16
            ),
            seed=3,
        )
    )


def ltx_vae(**more: Any) -> Any:
    """LTX's, whose decoder is told a time: (3, 4f + 1, 8h, 8w) to (8, f + 1, h, w)."""
    scaled = (True, True, False, False)
    vae = build(
        lambda: library.AutoencoderKLLTXVideo(
            latent_channels=8,
            block_out_channels=(8,) * 4,
            decoder_block_out_channels=(8,) * 4,
            layers_per_block=(1,) * 5,
            decoder_layers_per_block=(1,) * 5,
            spatio_temporal_scaling=scaled,
            decoder_spatio_temporal_scaling=scaled,
            timestep_conditioning=True,
            patch_size=2,
            encoder_causal=True,
            decoder_causal=False,
            **more,
        ),
        seed=3,
    )
    return muted(vae, 0.5)


def cogvideox_vae() -> Any:
    """CogVideoX's: (3, 4f + 1, 8h, 8w) to (4, f + 1, h, w)."""
    vae = build(
        lambda: library.AutoencoderKLCogVideoX(
            block_out_channels=(8,) * 4,
            latent_channels=4,
            layers_per_block=1,
            norm_num_groups=2,
            sample_height=32,
            sample_width=32,
        ),
        seed=3,
    )
    return muted(vae, 0.2)


def hunyuan_vae() -> Any:
    """HunyuanVideo's: (3, 4f + 1, 8h, 8w) to (4, f + 1, h, w)."""
    vae = build(
        lambda: library.AutoencoderKLHunyuanVideo(
            latent_channels=4,
            block_out_channels=(8,) * 4,
            layers_per_block=1,
            norm_num_groups=4,
        ),
        seed=3,
    )
    return muted(vae, 0.3)


def mochi_vae() -> Any:
    """Mochi's: (3, 6f + 1, 8h, 8w) to (12, f + 1, h, w)."""
    vae = build(
        lambda: library.AutoencoderKLMochi(
            encoder_block_out_channels=(32,) * 4,
            decoder_block_out_channels=(32,) * 4,
            layers_per_block=(1,) * 5,
        ),
        seed=3,
    )
    return muted(vae, 0.1)

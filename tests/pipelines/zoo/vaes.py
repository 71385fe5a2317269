"""Tiny autoencoders, and what pictures go through on their way."""

from __future__ import annotations

from typing import Any

import diffusers
import torch

from tests.pipelines.zoo.weights import build

library: Any = diffusers


def kl_vae(*, channels: int = 4, scaling: float = 0.18215, depth: int = 4, **more: Any) -> Any:
    """AutoencoderKL of `channels` latent channels: (3, 8h, 8w) to (channels, h, w)."""
    return muted(
        build(
            lambda: library.AutoencoderKL(
                down_block_types=("DownEncoderBlock2D",) * depth,
                up_block_types=("UpDecoderBlock2D",) * depth,
                block_out_channels=(8,) * depth,
                layers_per_block=1,
                norm_num_groups=2,
                latent_channels=channels,
                scaling_factor=scaling,
                sample_size=64,
                **more,
            ),
            seed=3,
        )
    )


def deep_vae(*, scaling: float, shift: float, **more: Any) -> Any:
    """AutoencoderKL as of SD3 and FLUX: 16 channels, a shift, no layer around the latents."""
    return kl_vae(
        channels=16,
        scaling=scaling,
        shift_factor=shift,
        use_quant_conv=False,
        use_post_quant_conv=False,
        **more,
    )


def qwen_vae() -> Any:
    """Qwen-Image's: Wan's kind of autoencoder, used on one frame."""
    return muted(
        build(
            lambda: library.AutoencoderKLQwenImage(
                base_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1, z_dim=16
            ),
            seed=3,
        )
    )


def flux2_vae() -> Any:
    """FLUX.2's: four latent channels, which the pipeline packs into 16 and normalises."""
    return muted(
        build(
            lambda: library.AutoencoderKLFlux2(
                block_out_channels=(8,) * 4,
                layers_per_block=1,
                norm_num_groups=2,
                latent_channels=4,
                sample_size=64,
            ),
            seed=3,
        )
    )


def movq() -> Any:
    """Kandinsky's quantised autoencoder, whose decoder is told its latents at every norm."""
    depth = 4
    vae = build(
        lambda: library.VQModel(
            down_block_types=("DownEncoderBlock2D",) * depth,
            up_block_types=("UpDecoderBlock2D",) * depth,
            block_out_channels=(32,) * depth,
            layers_per_block=1,
            latent_channels=4,
            num_vq_embeddings=16,
            norm_type="spatial",
        ),
        seed=3,
    )
    return muted(vae)


def deep_compression() -> Any:
    """AutoencoderDC of Sana: (3, 32h, 32w) to (4, h, w)."""
    widths, attends = (8,) * 6, ("ResBlock",) * 5 + ("EfficientViTBlock",)
    scales = ((),) * 5 + ((5,),)
    vae = build(
        lambda: library.AutoencoderDC(
            latent_channels=4,
            attention_head_dim=4,
            encoder_block_types=attends,
            decoder_block_types=attends,
            encoder_block_out_channels=widths,
            decoder_block_out_channels=widths,
            encoder_layers_per_block=(1,) * 6,
            decoder_layers_per_block=(1,) * 6,
            encoder_qkv_multiscales=scales,
            decoder_qkv_multiscales=scales,
            scaling_factor=0.41407,
        ),
        seed=3,
    )
    return muted(vae)


@torch.no_grad()
def muted(vae: Any, to: float = 0.3) -> Any:
    """The same with less contrast: random pictures would leave the range they have."""
    decoder = vae.decoder
    last = decoder.conv_out if hasattr(decoder, "conv_out") else decoder.proj_out
    getattr(last, "conv", last).weight.mul_(to)
    return vae

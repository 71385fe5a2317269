"""SDXL and FLUX.1 in their published sizes, with random weights: speed needs no trained ones.

Architectures follow the configurations that were published with the models (Podell et al. 2023,
arXiv:2307.01952; Black Forest Labs 2024). Tokenizers are those of the tests: they read letters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import diffusers
import torch
import transformers

from tests.pipelines.zoo.tokenizing import clip_tokenizer, t5_tokenizer

D: Any = diffusers
T: Any = transformers


def sdxl(dtype: torch.dtype, device: str = "cpu") -> Any:
    """SDXL: a U-Net of 2.6 billion parameters, guidance as a second row."""
    first, second = clip_tokenizer(), clip_tokenizer(pad="!")
    scheduler = D.EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        timestep_spacing="leading",
        steps_offset=1,
    )
    with _made(dtype, device):
        return D.StableDiffusionXLPipeline(
            vae=_vae(4, 0.13025),
            text_encoder=_clip(first, 768, 12, "quick_gelu"),
            tokenizer=first,
            text_encoder_2=_clip(second, 1280, 32, "gelu", projected=True),
            tokenizer_2=second,
            unet=D.UNet2DConditionModel(
                sample_size=128,
                block_out_channels=(320, 640, 1280),
                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
                up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
                transformer_layers_per_block=(1, 2, 10),
                attention_head_dim=(5, 10, 20),
                cross_attention_dim=2048,
                use_linear_projection=True,
                addition_embed_type="text_time",
                addition_time_embed_dim=256,
                projection_class_embeddings_input_dim=2816,
            ),
            scheduler=scheduler,
            add_watermarker=False,
        )


def flux(dtype: torch.dtype, device: str = "cpu") -> Any:
    """FLUX.1-dev: a transformer of 11.9 billion parameters, guidance embedded."""
    first, second = clip_tokenizer(), t5_tokenizer(512)
    scheduler = D.FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True)
    with _made(dtype, device):
        return D.FluxPipeline(
            transformer=D.FluxTransformer2DModel(guidance_embeds=True),
            scheduler=scheduler,
            vae=_vae(
                16, 0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False
            ),
            text_encoder=_clip(first, 768, 12, "quick_gelu"),
            tokenizer=first,
            text_encoder_2=T.T5EncoderModel(
                T.T5Config(
                    vocab_size=len(second),
                    d_model=4096,
                    d_kv=64,
                    d_ff=10240,
                    num_layers=24,
                    num_heads=64,
                    feed_forward_proj="gated-gelu",
                )
            ),
            tokenizer_2=second,
        )


FULL: Mapping[str, Callable[..., Any]] = {"sdxl": sdxl, "flux": flux}


class _made:  # noqa: N801 - reads as a phrase
    """Modules are made on a device and in a number type; the process's own is put back."""

    def __init__(self, dtype: torch.dtype, device: str) -> None:
        self._dtype, self._device = dtype, torch.device(device)

    def __enter__(self) -> None:
        self._before = torch.get_default_dtype()
        torch.set_default_dtype(self._dtype)
        self._device.__enter__()

    def __exit__(self, *raised: object) -> None:
        self._device.__exit__(*raised)
        torch.set_default_dtype(self._before)


def _clip(tokenizer: Any, width: int, layers: int, act: str, *, projected: bool = False) -> Any:
    config = T.CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=4 * width,
        projection_dim=width,
        num_attention_heads=width // 64,
        num_hidden_layers=layers,
        hidden_act=act,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return (T.CLIPTextModelWithProjection if projected else T.CLIPTextModel)(config)


def _vae(channels: int, scaling: float, **more: Any) -> Any:
    """The decoder of SDXL and FLUX: 128 to 512 channels, eight times the latents' sides."""
    return D.AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=channels,
        scaling_factor=scaling,
        sample_size=1024,
        force_upcast=False,
        **more,
    )

"""Transformers with several text encoders, trained as flows: SD3, FLUX and their kin."""

from __future__ import annotations

from typing import Any

import diffusers

from tests.pipelines.zoo.encoders import clip_text, t5
from tests.pipelines.zoo.kind import Kind
from tests.pipelines.zoo.pictures import picture
from tests.pipelines.zoo.tokenizing import clip_tokenizer, t5_tokenizer
from tests.pipelines.zoo.vaes import deep_vae
from tests.pipelines.zoo.weights import build

library: Any = diffusers

SIZE = {"height": 64, "width": 64, "max_sequence_length": 24}


def flow(**more: Any) -> Any:
    return library.FlowMatchEulerDiscreteScheduler(**more)


def shifting() -> Any:
    """The scheduler of FLUX: the grid is shifted by the number of tokens."""
    return flow(shift=3.0, use_dynamic_shifting=True)


def sd3_parts() -> dict[str, Any]:
    """Components of SD3: CLIP encoders of 16 beside a T5 of 32, all read by one transformer."""
    first, second, third = clip_tokenizer(), clip_tokenizer(pad="!"), t5_tokenizer()
    return {
        "transformer": build(
            lambda: library.SD3Transformer2DModel(
                sample_size=8,
                patch_size=2,
                in_channels=16,
                out_channels=16,
                num_layers=2,
                attention_head_dim=8,
                num_attention_heads=2,
                caption_projection_dim=16,
                joint_attention_dim=32,
                pooled_projection_dim=32,
                pos_embed_max_size=16,
            )
        ),
        "scheduler": flow(shift=3.0),
        "vae": deep_vae(scaling=1.5305, shift=0.0609),
        "text_encoder": clip_text(first, projected=True),
        "tokenizer": first,
        "text_encoder_2": clip_text(second, projected=True, seed=4),
        "tokenizer_2": second,
        "text_encoder_3": t5(third, width=32),
        "tokenizer_3": third,
    }


def sd3() -> Any:
    return library.StableDiffusion3Pipeline(**sd3_parts())


def flux_transformer(seen: int = 64) -> Any:
    return build(
        lambda: library.FluxTransformer2DModel(
            patch_size=1,
            in_channels=seen,
            out_channels=64,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=16,
            pooled_projection_dim=16,
            guidance_embeds=True,
            axes_dims_rope=(4, 6, 6),
        )
    )


def flux_parts() -> dict[str, Any]:
    """Components of FLUX.1-dev: guidance is embedded, latents are packed two by two."""
    first, second = clip_tokenizer(), t5_tokenizer()
    return {
        "transformer": flux_transformer(),
        "scheduler": shifting(),
        "vae": deep_vae(scaling=0.3611, shift=0.1159),
        "text_encoder": clip_text(first),
        "tokenizer": first,
        "text_encoder_2": t5(second),
        "tokenizer_2": second,
    }


def flux() -> Any:
    return library.FluxPipeline(**flux_parts())


def kontext() -> Any:
    """FLUX Kontext: the tokens of a given picture stand beside those of the latents."""
    return library.FluxKontextPipeline(**flux_parts())


def chroma() -> Any:
    """Chroma: FLUX without pooled text, its modulations by one network."""
    tokenizer = t5_tokenizer()
    return library.ChromaPipeline(
        transformer=build(
            lambda: library.ChromaTransformer2DModel(
                in_channels=64,
                num_layers=1,
                num_single_layers=1,
                attention_head_dim=16,
                num_attention_heads=2,
                joint_attention_dim=16,
                axes_dims_rope=(4, 6, 6),
                approximator_num_channels=16,
                approximator_hidden_dim=32,
                approximator_layers=1,
            )
        ),
        scheduler=flow(),
        vae=deep_vae(scaling=0.3611, shift=0.1159),
        text_encoder=t5(tokenizer),
        tokenizer=tokenizer,
    )


GUIDED = {**SIZE, "guidance_scale": 3.5}
TRUE = {**GUIDED, "true_cfg_scale": 3.0, "negative_prompt": "blue"}
KONTEXT = {**GUIDED, "image": picture(), "max_area": 64 * 64, "_auto_resize": False}
FLOWS = [
    Kind("sd3", sd3, {**SIZE, "guidance_scale": 4.0}, each_commit=True),
    Kind("flux", flux, GUIDED, each_commit=True),
    Kind("flux-true-cfg", flux, TRUE),
    Kind("flux-kontext", kontext, KONTEXT),
    Kind("chroma", chroma, {**SIZE, "guidance_scale": 4.0}),
]

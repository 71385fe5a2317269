"""Transformers that read the states of a language model: FLUX.2, Qwen-Image, Sana and more."""

from __future__ import annotations

from typing import Any

import diffusers

from tests.pipelines.zoo.encoders import language_model, mistral, qwen_vl
from tests.pipelines.zoo.flows import flow, shifting
from tests.pipelines.zoo.kind import Kind
from tests.pipelines.zoo.tokenizing import (
    gemma_tokenizer,
    glm_tokenizer,
    mistral_processor,
    qwen_tokenizer,
)
from tests.pipelines.zoo.vaes import deep_compression, deep_vae, flux2_vae, qwen_vae
from tests.pipelines.zoo.weights import build, louder

library: Any = diffusers


def flux2_transformer(*, guidance_embeds: bool) -> Any:
    return build(
        lambda: library.Flux2Transformer2DModel(
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,  # two layers of 16 side by side
            timestep_guidance_channels=32,
            axes_dims_rope=(4, 4, 4, 4),
            guidance_embeds=guidance_embeds,
        )
    )


def flux2() -> Any:
    processor = mistral_processor()
    return library.Flux2Pipeline(
        scheduler=shifting(),
        vae=flux2_vae(),
        text_encoder=mistral(processor),
        tokenizer=processor,
        transformer=flux2_transformer(guidance_embeds=True),
    )


def klein() -> Any:
    """FLUX.2 Klein as its base model: guided by two forwards, nothing embedded."""
    tokenizer = qwen_tokenizer()
    return library.Flux2KleinPipeline(
        scheduler=shifting(),
        vae=flux2_vae(),
        text_encoder=language_model("Qwen3", tokenizer, head="ForCausalLM"),
        tokenizer=tokenizer,
        transformer=flux2_transformer(guidance_embeds=False),
        is_distilled=False,
    )


def qwen_parts(*, sees: bool = False) -> dict[str, Any]:
    """Components of Qwen-Image."""
    tokenizer = qwen_tokenizer(sees=sees)
    return {
        "scheduler": shifting(),
        "vae": qwen_vae(),
        "text_encoder": qwen_vl(tokenizer),
        "tokenizer": tokenizer,
        "transformer": build(
            lambda: library.QwenImageTransformer2DModel(
                in_channels=64,
                out_channels=16,
                num_layers=2,
                attention_head_dim=16,
                num_attention_heads=2,
                joint_attention_dim=16,
                axes_dims_rope=(4, 6, 6),
            )
        ),
    }


def qwen_image() -> Any:
    return library.QwenImagePipeline(**qwen_parts())


def z_image() -> Any:
    tokenizer = qwen_tokenizer()
    return library.ZImagePipeline(
        scheduler=flow(shift=3.0),
        vae=deep_vae(scaling=0.3611, shift=0.1159),
        text_encoder=language_model("Qwen3", tokenizer),
        tokenizer=tokenizer,
        transformer=build(
            lambda: library.ZImageTransformer2DModel(
                in_channels=16,
                dim=32,
                n_layers=2,
                n_refiner_layers=1,
                n_heads=2,
                n_kv_heads=2,
                cap_feat_dim=16,
                axes_dims=[8, 4, 4],
                axes_lens=[256, 32, 32],
            )
        ),
    )


def sana_parts(scheduler: Any, **more: Any) -> dict[str, Any]:
    """Components of Sana: linear attention, deep compression, Gemma 2."""
    tokenizer = gemma_tokenizer()
    return {
        "tokenizer": tokenizer,
        "text_encoder": language_model("Gemma2", tokenizer),
        "vae": deep_compression(),
        "transformer": build(
            lambda: library.SanaTransformer2DModel(
                in_channels=4,
                out_channels=4,
                num_layers=2,
                num_attention_heads=2,
                attention_head_dim=8,
                num_cross_attention_heads=2,
                cross_attention_head_dim=8,
                cross_attention_dim=16,
                caption_channels=16,
                sample_size=4,
                **more,
            )
        ),
        "scheduler": scheduler,
    }


def sana() -> Any:
    solver = library.DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    )
    return library.SanaPipeline(**sana_parts(solver))


def sana_sprint() -> Any:
    """SANA-Sprint: a consistency model on trigonometric flow, guidance embedded."""
    sprint = {"guidance_embeds": True, "qk_norm": "rms_norm_across_heads"}
    return library.SanaSprintPipeline(**sana_parts(library.SCMScheduler(), **sprint))


def lumina2() -> Any:
    tokenizer = gemma_tokenizer()
    transformer = build(
        lambda: library.Lumina2Transformer2DModel(
            sample_size=8,
            in_channels=16,
            hidden_size=24,
            num_layers=2,
            num_refiner_layers=1,
            num_attention_heads=2,
            num_kv_heads=1,
            multiple_of=16,
            axes_dim_rope=(4, 4, 4),
            axes_lens=(300, 32, 32),
            cap_feat_dim=16,
        )
    )
    return library.Lumina2Pipeline(
        transformer=louder(transformer, "time_caption_embed.timestep_embedder", 8.0),
        scheduler=flow(shift=6.0),
        vae=deep_vae(scaling=0.3611, shift=0.1159),
        text_encoder=language_model("Gemma2", tokenizer),
        tokenizer=tokenizer,
    )


def cogview4() -> Any:
    tokenizer = glm_tokenizer()
    return library.CogView4Pipeline(
        tokenizer=tokenizer,
        text_encoder=language_model("Glm", tokenizer),
        vae=deep_vae(scaling=1.0, shift=0.0),
        transformer=build(
            lambda: library.CogView4Transformer2DModel(
                num_layers=2,
                attention_head_dim=8,
                num_attention_heads=2,
                text_embed_dim=16,
                time_embed_dim=16,
                condition_dim=8,
                sample_size=8,
                rope_axes_dim=(16, 16),
            )
        ),
        scheduler=flow(
            base_shift=0.25,
            max_shift=0.75,
            base_image_seq_len=256,
            use_dynamic_shifting=True,
            time_shift_type="linear",
        ),
    )


SIZE = {"height": 64, "width": 64}
GUIDED = {**SIZE, "guidance_scale": 4.0}
LAYERS = {"text_encoder_out_layers": (1, 2)}
SANA = {"height": 128, "width": 128, "max_sequence_length": 24, "use_resolution_binning": False}
UNTOLD = {"complex_human_instruction": None}  # its thousand letters precede every prompt
READERS = [
    Kind("flux2", flux2, {**GUIDED, **LAYERS, "max_sequence_length": 32}),
    Kind("flux2-klein", klein, {**GUIDED, **LAYERS, "max_sequence_length": 48}),
    Kind(
        "qwen-image",
        qwen_image,
        {**SIZE, "true_cfg_scale": 3.0, "negative_prompt": "blue", "max_sequence_length": 32},
    ),
    Kind("z-image", z_image, {**GUIDED, "max_sequence_length": 48}),
    Kind("sana", sana, {**SANA, **UNTOLD, "guidance_scale": 4.0}),
    Kind(
        "sana-sprint",
        sana_sprint,
        {**SANA, **UNTOLD, "guidance_scale": 4.5, "intermediate_timesteps": None},
        steps=3,
    ),
    Kind("lumina2", lumina2, {**GUIDED, "system_prompt": "Draw.", "max_sequence_length": 48}),
    Kind("cogview4", cogview4, {**GUIDED, "max_sequence_length": 32}),
]

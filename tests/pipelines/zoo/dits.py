"""Transformers with one condition: DiT and its kin."""

from __future__ import annotations

from typing import Any

import diffusers

from tests.pipelines.zoo.encoders import bert, t5
from tests.pipelines.zoo.flows import flow
from tests.pipelines.zoo.kind import Kind
from tests.pipelines.zoo.tokenizing import bert_tokenizer, t5_tokenizer
from tests.pipelines.zoo.vaes import kl_vae
from tests.pipelines.zoo.weights import build, louder

library: Any = diffusers


def dit() -> Any:
    """DiT of ImageNet's thousand classes; it predicts a variance beside the noise."""
    return library.DiTPipeline(
        transformer=build(
            lambda: library.DiTTransformer2DModel(
                sample_size=8,
                num_layers=2,
                patch_size=2,
                attention_head_dim=8,
                num_attention_heads=2,
                in_channels=4,
                out_channels=8,
                num_embeds_ada_norm=1000,
            )
        ),
        vae=kl_vae(),
        scheduler=library.DDIMScheduler(
            beta_start=0.0001, beta_end=0.02, clip_sample=False, set_alpha_to_one=True
        ),
        id2label={3: "tiger shark", 207: "golden retriever"},
    )


def pixart_sigma() -> Any:
    """PixArt-Sigma with DPM++ of the second order."""
    tokenizer = t5_tokenizer()
    return library.PixArtSigmaPipeline(
        tokenizer=tokenizer,
        text_encoder=t5(tokenizer),
        vae=kl_vae(scaling=0.13025),
        transformer=build(
            lambda: library.PixArtTransformer2DModel(
                sample_size=8,
                num_layers=2,
                num_attention_heads=2,
                attention_head_dim=8,
                cross_attention_dim=16,
                caption_channels=16,
                use_additional_conditions=False,
            )
        ),
        scheduler=library.DPMSolverMultistepScheduler(beta_start=0.0001, beta_end=0.02),
    )


def hunyuandit() -> Any:
    """Hunyuan-DiT, which reads BERT and T5, with DDPM."""
    first, second = bert_tokenizer(), t5_tokenizer(256)
    return library.HunyuanDiTPipeline(
        vae=kl_vae(scaling=0.13025),
        text_encoder=bert(first),
        tokenizer=first,
        text_encoder_2=t5(second),
        tokenizer_2=second,
        transformer=build(
            lambda: library.HunyuanDiT2DModel(
                sample_size=8,
                num_layers=2,
                patch_size=2,
                in_channels=4,
                num_attention_heads=2,
                attention_head_dim=8,
                hidden_size=16,
                cross_attention_dim=16,
                cross_attention_dim_t5=16,
                pooled_projection_dim=16,
            )
        ),
        scheduler=library.DDPMScheduler(
            beta_start=0.00085,
            beta_end=0.03,
            beta_schedule="scaled_linear",
            prediction_type="v_prediction",
            clip_sample=False,
            steps_offset=1,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def auraflow() -> Any:
    tokenizer = t5_tokenizer()
    transformer = build(
        lambda: library.AuraFlowTransformer2DModel(
            sample_size=8,
            num_mmdit_layers=2,
            num_single_dit_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=16,
            caption_projection_dim=16,
            pos_embed_max_size=64,
        )
    )
    return library.AuraFlowPipeline(
        tokenizer=tokenizer,
        text_encoder=t5(tokenizer, multilingual=True),
        vae=kl_vae(scaling=0.13025),
        transformer=louder(transformer, "joint_transformer_blocks.0.attn.add_v_proj", 8.0),
        scheduler=flow(shift=1.73),
    )


SIZE = {"height": 64, "width": 64, "guidance_scale": 4.0}
PLAIN = {**SIZE, "use_resolution_binning": False}
BRIEF = {"max_sequence_length": 24, "clean_caption": False}
DITS = [
    Kind("dit", dit, {"guidance_scale": 4.0}, ("207", "3"), each_commit=True),
    Kind("pixart-sigma", pixart_sigma, {**PLAIN, **BRIEF}),
    Kind("hunyuandit", hunyuandit, PLAIN),
    Kind("auraflow", auraflow, {**SIZE, "max_sequence_length": 24}),
]

"""Transformers of texts published since: HiDream, Ovis, LongCat, Bria, PRX and CogView3."""

from __future__ import annotations

from typing import Any

import diffusers
import transformers
from transformers.models.t5gemma.configuration_t5gemma import T5GemmaConfig, T5GemmaModuleConfig
from transformers.models.t5gemma.modeling_t5gemma import T5GemmaEncoder

from tests.pipelines.zoo.encoders import clip_text, decoder_sizes, language_model, qwen_vl, t5
from tests.pipelines.zoo.flows import flow, shifting
from tests.pipelines.zoo.kind import Kind
from tests.pipelines.zoo.tokenizing import (
    clip_tokenizer,
    gemma_tokenizer,
    llama_tokenizer,
    qwen_processor,
    qwen_tokenizer,
    t5_tokenizer,
)
from tests.pipelines.zoo.vaes import deep_vae
from tests.pipelines.zoo.video_vaes import wan_vae
from tests.pipelines.zoo.weights import build, louder

library: Any = diffusers
words: Any = transformers

AXES = (4, 6, 6)
TOKENS = {"attention_head_dim": 16, "num_attention_heads": 2, "axes_dims_rope": AXES}
EMPTY = 128000
"""What FIBO takes for an empty prompt, whatever its tokenizer."""
LAYERS = {"num_layers": 1, "num_single_layers": 1}


def hidream() -> Any:
    """HiDream: two CLIPs, T5, and the layers of a LLaMA stacked before its rows.

    Its latents are of 128 x 128 always; large patches and one level of an autoencoder help.
    """
    first, second = clip_tokenizer(), clip_tokenizer()
    third, fourth = t5_tokenizer(), llama_tokenizer()
    return library.HiDreamImagePipeline(
        scheduler=flow(shift=3.0),
        vae=deep_vae(scaling=0.3611, shift=0.1159, depth=1),
        text_encoder=clip_text(first, projected=True),
        tokenizer=first,
        text_encoder_2=clip_text(second, projected=True, seed=4),
        tokenizer_2=second,
        text_encoder_3=t5(third),
        tokenizer_3=third,
        text_encoder_4=language_model(
            "Llama", fourth, head="ForCausalLM", attn_implementation="eager"
        ),
        tokenizer_4=fourth,
        transformer=build(
            lambda: library.HiDreamImageTransformer2DModel(
                patch_size=8,
                in_channels=16,
                out_channels=16,
                num_layers=1,
                num_single_layers=1,
                attention_head_dim=16,
                num_attention_heads=2,
                caption_channels=[16, 16],
                text_emb_dim=32,
                num_routed_experts=4,
                num_activated_experts=2,
                axes_dims_rope=(8, 4, 4),
                max_resolution=(16, 16),
                llama_layers=[0, 1],
            )
        ),
    )


def ovis_image() -> Any:
    tokenizer = qwen_tokenizer()
    transformer = build(
        lambda: library.OvisImageTransformer2DModel(
            in_channels=64, out_channels=64, joint_attention_dim=16, **TOKENS, **LAYERS
        )
    )
    return library.OvisImagePipeline(
        scheduler=shifting(),
        vae=deep_vae(scaling=0.3611, shift=0.1159),
        text_encoder=language_model("Qwen3", tokenizer),
        tokenizer=tokenizer,
        transformer=louder(transformer, "transformer_blocks.0.attn.add_v_proj", 8.0),
    )


def longcat_image() -> Any:
    tokenizer = qwen_tokenizer(sees=True)
    transformer = build(
        lambda: library.LongCatImageTransformer2DModel(
            in_channels=64, joint_attention_dim=16, pooled_projection_dim=16, **TOKENS, **LAYERS
        )
    )
    return library.LongCatImagePipeline(
        scheduler=shifting(),
        vae=deep_vae(scaling=0.3611, shift=0.1159),
        text_encoder=qwen_vl(tokenizer),
        tokenizer=tokenizer,
        text_processor=qwen_processor(tokenizer),
        transformer=louder(transformer, "transformer_blocks.0.attn.add_v_proj", 8.0),
    )


def bria() -> Any:
    """Bria 3.2: FLUX's transformer without pooled text, guided by two rows."""
    tokenizer = t5_tokenizer()
    return library.BriaPipeline(
        scheduler=shifting(),
        vae=deep_vae(scaling=0.3611, shift=0.1159),
        text_encoder=t5(tokenizer),
        tokenizer=tokenizer,
        transformer=build(
            lambda: library.BriaTransformer2DModel(
                in_channels=64, joint_attention_dim=16, **TOKENS, **LAYERS
            )
        ),
    )


def bria_fibo() -> Any:
    """Bria FIBO: each block reads a layer of its language model."""
    tokenizer = llama_tokenizer()
    config = words.SmolLM3Config(**{**decoder_sizes(tokenizer), "vocab_size": EMPTY + 1})
    return library.BriaFiboPipeline(
        scheduler=shifting(),
        vae=wan_vae(),
        text_encoder=build(lambda: words.SmolLM3ForCausalLM(config), seed=1),
        tokenizer=tokenizer,
        transformer=build(
            lambda: library.BriaFiboTransformer2DModel(
                in_channels=16,
                joint_attention_dim=32,
                text_encoder_dim=16,
                **TOKENS,
                **LAYERS,
            )
        ),
    )


def prx() -> Any:
    """PRX, which reads the encoder of a T5-Gemma."""
    tokenizer = gemma_tokenizer()
    sizes: dict[str, Any] = {**decoder_sizes(tokenizer), "dropout_rate": 0.0}
    part = T5GemmaModuleConfig(**sizes, layer_types=["full_attention"] * 2)
    own = {key: value for key, value in part.to_dict().items() if key != "model_type"}
    config = T5GemmaConfig(encoder=part, **{**own, "is_encoder_decoder": False})
    return library.PRXPipeline(
        scheduler=flow(shift=3.0),
        vae=deep_vae(scaling=0.3611, shift=0.1159),
        text_encoder=build(lambda: T5GemmaEncoder(config), seed=1),
        tokenizer=tokenizer,
        transformer=build(
            lambda: library.PRXTransformer2DModel(
                patch_size=2,
                in_channels=16,
                context_in_dim=16,
                hidden_size=16,
                mlp_ratio=2.0,
                num_heads=2,
                depth=2,
                axes_dim=[4, 4],
            )
        ),
        default_sample_size=64,
    )


def cogview3() -> Any:
    tokenizer = t5_tokenizer()
    return library.CogView3PlusPipeline(
        tokenizer=tokenizer,
        text_encoder=t5(tokenizer),
        vae=deep_vae(scaling=0.13025, shift=0.0),
        transformer=build(
            lambda: library.CogView3PlusTransformer2DModel(
                patch_size=2,
                in_channels=16,
                num_layers=2,
                attention_head_dim=8,
                num_attention_heads=2,
                out_channels=16,
                text_embed_dim=16,
                time_embed_dim=16,
                condition_dim=8,
                pos_embed_max_size=8,
                sample_size=8,
            )
        ),
        scheduler=library.CogVideoXDDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            prediction_type="v_prediction",
            clip_sample=False,
            rescale_betas_zero_snr=True,
            snr_shift_scale=4.0,
            timestep_spacing="trailing",
            set_alpha_to_one=True,
        ),
    )


SIZE = {"height": 64, "width": 64}
GUIDED = {**SIZE, "guidance_scale": 4.0}
NEWCOMERS = [
    Kind("hidream", hidream, {**GUIDED, "max_sequence_length": 24}),
    Kind("ovis-image", ovis_image, {**GUIDED, "max_sequence_length": 48}),
    Kind("longcat-image", longcat_image, {**GUIDED, "enable_prompt_rewrite": False}),
    Kind("bria", bria, {**GUIDED, "max_sequence_length": 24}),
    Kind("bria-fibo", bria_fibo, {**GUIDED, "max_sequence_length": 64}),
    Kind("prx", prx, {**GUIDED, "tokenizer_max_length": 24, "use_resolution_binning": False}),
    Kind("cogview3-plus", cogview3, {**GUIDED, "max_sequence_length": 24}),
]

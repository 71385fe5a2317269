"""Transformers that read prompts themselves, and language models that write before one paints."""

from __future__ import annotations

from typing import Any

import diffusers

from tests.pipelines.zoo.encoders import language_model, mistral
from tests.pipelines.zoo.flows import flow
from tests.pipelines.zoo.kind import Kind
from tests.pipelines.zoo.tokenizing import llama_tokenizer, mistral_processor
from tests.pipelines.zoo.vaes import flux2_vae, kl_vae
from tests.pipelines.zoo.weights import build

library: Any = diffusers


def omnigen() -> Any:
    """OmniGen: one transformer reads the prompt and denoises, guided by two rows or three."""
    tokenizer = llama_tokenizer()
    return library.OmniGenPipeline(
        scheduler=flow(invert_sigmas=True),
        vae=kl_vae(scaling=0.13025),
        tokenizer=tokenizer,
        transformer=build(
            lambda: library.OmniGenTransformer2DModel(
                in_channels=4,
                patch_size=2,
                hidden_size=16,
                num_attention_heads=2,
                num_key_value_heads=2,
                intermediate_size=32,
                num_layers=2,
                pad_token_id=3,
                vocab_size=len(tokenizer),
                max_position_embeddings=1024,
                original_max_position_embeddings=1024,
                rope_scaling={"short_factor": [1.0] * 4, "long_factor": [1.0] * 4},
                pos_embed_max_size=8,
                time_step_dim=16,
            )
        ),
    )


def ernie_image(**more: Any) -> Any:
    """ERNIE-Image without its language model that rewrites prompts; `more` replaces components."""
    processor = mistral_processor()
    return library.ErnieImagePipeline(
        transformer=build(
            lambda: library.ErnieImageTransformer2DModel(
                hidden_size=32,
                num_attention_heads=2,
                num_layers=2,
                ffn_hidden_size=32,
                in_channels=16,
                out_channels=16,
                text_in_dim=16,
                rope_axes_dim=(4, 6, 6),
            )
        ),
        vae=flux2_vae(),
        text_encoder=mistral(processor).model,
        tokenizer=processor.tokenizer,
        scheduler=flow(shift=3.0),
        **{"pe": None, "pe_tokenizer": None, **more},
    )


def ernie_rewriting() -> Any:
    """ERNIE-Image with the language model that rewrites prompts, which samples."""
    tokenizer = mistral_processor().tokenizer
    tokenizer.chat_template = "{% for message in messages %}{{ message.content }}{% endfor %}"
    tokenizer.model_max_length = 12  # of what it writes
    writer = language_model("Ministral3", tokenizer, head="ForCausalLM")
    return ernie_image(pe=writer, pe_tokenizer=tokenizer)


SIZE = {"height": 64, "width": 64}
COMPOSED = [
    Kind("omnigen", omnigen, {**SIZE, "guidance_scale": 2.5}),
    Kind("ernie-image", ernie_image, {**SIZE, "guidance_scale": 4.0}),
]
REWRITING = Kind("ernie-rewriting", ernie_rewriting, {**SIZE, "guidance_scale": 4.0})
"""Apart from the others: what it writes comes from the global generator."""

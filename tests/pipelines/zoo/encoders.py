"""Tiny text encoders of the published classes, each sized by its tokenizer."""

from __future__ import annotations

from typing import Any

import transformers

from tests.pipelines.zoo.weights import build

library: Any = transformers


def clip_text(tokenizer: Any, *, width: int = 16, projected: bool = False, seed: int = 1) -> Any:
    """CLIP's text model; `projected` for the class with a projection, of the same width."""
    config = library.CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        projection_dim=width,
        num_attention_heads=2,
        num_hidden_layers=2,
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    kind = library.CLIPTextModelWithProjection if projected else library.CLIPTextModel
    return build(lambda: kind(config), seed=seed)


def t5(tokenizer: Any, *, width: int = 16, multilingual: bool = False, seed: int = 2) -> Any:
    """T5's encoder, or UMT5's if `multilingual`."""
    sizes = {
        "vocab_size": len(tokenizer),
        "d_model": width,
        "d_kv": width // 2,
        "d_ff": 2 * width,
        "num_layers": 2,
        "num_heads": 2,
        "feed_forward_proj": "gated-gelu",
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    if multilingual:
        return build(lambda: library.UMT5EncoderModel(library.UMT5Config(**sizes)), seed=seed)
    return build(lambda: library.T5EncoderModel(library.T5Config(**sizes)), seed=seed)

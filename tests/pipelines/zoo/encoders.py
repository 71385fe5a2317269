"""Tiny text encoders of the published classes, each sized by its tokenizer."""

from __future__ import annotations

from typing import Any

import transformers

from tests.pipelines.zoo.tokenizing import SIGHTS
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


def clip_eyes(*, projected: bool, side: int = 32, patch: int = 8, width: int = 16) -> Any:
    """CLIP's vision model of a picture's side; `projected` for the class with a projection."""
    config = library.CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=2 * width,
        projection_dim=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=side,
        patch_size=patch,
    )
    kind = library.CLIPVisionModelWithProjection if projected else library.CLIPVisionModel
    return build(lambda: kind(config), seed=5)


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


def bert(tokenizer: Any, *, width: int = 16) -> Any:
    config = library.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_attention_heads=2,
        num_hidden_layers=2,
        max_position_embeddings=tokenizer.model_max_length,
    )
    return build(lambda: library.BertModel(config), seed=1)


def language_model(name: str, tokenizer: Any, *, head: str = "Model", **more: Any) -> Any:
    """A decoder of 16 features named as transformers name it, such as "Gemma2" or "Qwen3"."""
    config = getattr(library, f"{name}Config")(**decoder_sizes(tokenizer), **more)
    return build(lambda: getattr(library, f"{name}{head}")(config), seed=1)


def decoder_sizes(tokenizer: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 512,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def qwen_vl(tokenizer: Any) -> Any:
    """Qwen 2.5 VL; its eyes stay shut where its tokenizer has no tokens of pictures."""
    known, [start, end, image, video] = tokenizer.get_vocab(), SIGHTS
    marks = (
        {
            "vision_start_token_id": known[start],
            "vision_end_token_id": known[end],
            "image_token_id": known[image],
            "video_token_id": known[video],
        }
        if image in known
        else {}
    )
    words = {
        **decoder_sizes(tokenizer),
        "rope_parameters": {
            "rope_type": "default",
            "mrope_section": [1, 1, 2],
            "rope_theta": 1e6,
        },
    }
    eyes = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2}
    config = library.Qwen2_5_VLConfig(
        text_config=words, vision_config={**eyes, "out_hidden_size": 16}, **marks
    )
    return build(lambda: library.Qwen2_5_VLForConditionalGeneration(config), seed=1)


def mistral(processor: Any) -> Any:
    """Mistral 3, whose eyes stay shut: FLUX.2 reads texts with it."""
    tokenizer = processor.tokenizer
    eyes = {
        "model_type": "pixtral",
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    }
    config = library.Mistral3Config(
        text_config={"model_type": "mistral", **decoder_sizes(tokenizer)},
        vision_config=eyes,
        image_token_index=tokenizer.convert_tokens_to_ids("[IMG]"),
    )
    return build(lambda: library.Mistral3ForConditionalGeneration(config), seed=1)

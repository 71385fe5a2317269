"""Cosmos: worlds from texts and pictures, looked at by a guardrail that lies with no checkpoint."""

from __future__ import annotations

from typing import Any

import diffusers
import torch
from diffusers.configuration_utils import ConfigMixin
from diffusers.models.modeling_utils import ModelMixin

from tests.pipelines.zoo.encoders import qwen_vl, t5
from tests.pipelines.zoo.flows import flow
from tests.pipelines.zoo.kind import Kind
from tests.pipelines.zoo.pictures import picture
from tests.pipelines.zoo.tokenizing import qwen_tokenizer, t5_tokenizer
from tests.pipelines.zoo.video_vaes import wan_vae
from tests.pipelines.zoo.weights import build, louder

library: Any = diffusers
model: Any = ModelMixin


class Guardrail(model, ConfigMixin):  # type: ignore[misc]
    """Stands for NVIDIA's, which these pipelines do not run without; it lets everything pass."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("where", torch.zeros(1))

    def check_text_safety(self, prompt: str) -> bool:
        return bool(prompt)

    def check_video_safety(self, frames: Any) -> Any:
        return frames


def guarded() -> dict[str, Any]:
    return {"safety_checker": Guardrail()}


def cosmos_transformer(channels: int, seen: int, text: int = 16) -> Any:
    transformer = build(
        lambda: library.CosmosTransformer3DModel(
            in_channels=seen,
            out_channels=channels,
            num_attention_heads=2,
            attention_head_dim=16,
            num_layers=2,
            mlp_ratio=2,
            text_embed_dim=text,
            adaln_lora_dim=4,
            max_size=(4, 32, 32),
            rope_scale=(2.0, 1.0, 1.0),
            extra_pos_embed_type="learnable",
        )
    )
    return louder(transformer, "transformer_blocks.0.attn2.to_v", 4.0)


def cosmos_parts(seen: int) -> dict[str, Any]:
    """Components of Cosmos Predict 2: Wan's latents, T5, Euler on a grid of EDM."""
    tokenizer = t5_tokenizer()
    return {
        "transformer": cosmos_transformer(16, seen),
        "vae": wan_vae(),
        "text_encoder": t5(tokenizer),
        "tokenizer": tokenizer,
        "scheduler": flow(use_karras_sigmas=True),
        **guarded(),
    }


def cosmos2_image() -> Any:
    return library.Cosmos2TextToImagePipeline(**cosmos_parts(16))


def cosmos2_world() -> Any:
    """Its first frames are those of a picture."""
    return library.Cosmos2VideoToWorldPipeline(**cosmos_parts(17))


def cosmos25() -> Any:
    """Cosmos Predict 2.5: a flow with UniPC; all layers of Qwen 2.5 VL are read."""
    tokenizer = qwen_tokenizer()
    parts = {
        **cosmos_parts(17),
        "transformer": cosmos_transformer(16, 17, text=32),
        "text_encoder": qwen_vl(tokenizer),
        "tokenizer": tokenizer,
        "scheduler": library.UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0
        ),
    }
    return library.Cosmos2_5_PredictBasePipeline(**parts)


SIZE = {"height": 32, "width": 32, "guidance_scale": 4.0}
BRIEF = {**SIZE, "max_sequence_length": 24}
WORLDS = [
    Kind("cosmos2-t2i", cosmos2_image, BRIEF, beside=guarded),
    Kind(
        "cosmos2",
        cosmos2_world,
        {**BRIEF, "image": picture(32), "num_frames": 5},
        video=True,
        beside=guarded,
    ),
    Kind(
        "cosmos25",
        cosmos25,
        {**SIZE, "max_sequence_length": 160, "num_frames": 5},
        video=True,
        beside=guarded,
    ),
]

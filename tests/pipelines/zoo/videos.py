"""Pipelines of videos."""

from __future__ import annotations

from typing import Any

import diffusers

from tests.pipelines.zoo.encoders import t5
from tests.pipelines.zoo.kind import Kind
from tests.pipelines.zoo.tokenizing import t5_tokenizer
from tests.pipelines.zoo.vaes import wan_vae
from tests.pipelines.zoo.weights import build

library: Any = diffusers

SIZE = {"height": 32, "width": 32, "max_sequence_length": 24}


def wan() -> Any:
    """Wan 2.1 with UniPC on a flow's grid."""
    tokenizer = t5_tokenizer()
    return library.WanPipeline(
        transformer=build(
            lambda: library.WanTransformer3DModel(
                num_attention_heads=2,
                attention_head_dim=12,
                in_channels=16,
                out_channels=16,
                text_dim=16,
                freq_dim=32,
                ffn_dim=32,
                num_layers=2,
                rope_max_seq_len=32,
            )
        ),
        vae=wan_vae(),
        scheduler=library.UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
        text_encoder=t5(tokenizer, multilingual=True),
        tokenizer=tokenizer,
    )


VIDEOS = [
    Kind(
        "wan",
        wan,
        {**SIZE, "num_frames": 5, "guidance_scale": 4.0},
        video=True,
        each_commit=True,
    )
]

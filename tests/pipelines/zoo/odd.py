"""Pipelines whose loops cannot be walked in parts: they are refused, and nothing is spent."""

from __future__ import annotations

from typing import Any

import diffusers

from tests.pipelines.zoo.encoders import t5
from tests.pipelines.zoo.kind import Kind
from tests.pipelines.zoo.tokenizing import t5_tokenizer
from tests.pipelines.zoo.videos import GUIDED, wan_parts
from tests.pipelines.zoo.wans import SIZES, skyreels_forcing
from tests.pipelines.zoo.weights import build
from tests.pipelines.zoo.worlds import BRIEF, cosmos_transformer, guarded

library: Any = diffusers


def cosmos() -> Any:
    """Cosmos 1: guidance mixes x0-predictions, for which its scheduler steps twice at a time."""
    tokenizer = t5_tokenizer()
    return library.CosmosTextToWorldPipeline(
        transformer=cosmos_transformer(4, 4),
        vae=build(
            lambda: library.AutoencoderKLCosmos(
                latent_channels=4,
                encoder_block_out_channels=(8, 8, 8, 8),
                decode_block_out_channels=(8, 8, 8, 8),
                attention_resolutions=(8,),
                resolution=64,
                num_layers=2,
                spatial_compression_ratio=4,
                temporal_compression_ratio=4,
            ),
            seed=3,
        ),
        text_encoder=t5(tokenizer),
        tokenizer=tokenizer,
        scheduler=library.EDMEulerScheduler(
            sigma_min=0.002, sigma_max=80, sigma_data=0.5, final_sigmas_type="sigma_min"
        ),
        **guarded(),
    )


def helios() -> Any:
    """Helios: chunk after chunk of a video, each by a loop of its own."""
    transformer = build(
        lambda: library.HeliosTransformer3DModel(
            **{name: size for name, size in SIZES.items() if name != "rope_max_seq_len"},
            rope_dim=(4, 4, 4),
            has_multi_term_memory_patch=True,
            guidance_cross_attn=True,
            zero_history_timestep=True,
            is_amplify_history=False,
        )
    )
    scheduler = library.HeliosScheduler(stage_range=[0, 1], stages=1, use_dynamic_shifting=True)
    parts = {**wan_parts(), "transformer": transformer, "scheduler": scheduler}
    return library.HeliosPipeline(**parts)


def anyflow_far() -> Any:
    """AnyFlow FAR: frame after frame, those before kept as keys and values."""
    transformer = build(
        lambda: library.AnyFlowFARTransformer3DModel(
            **SIZES,
            compressed_patch_size=(1, 4, 4),
            full_chunk_limit=3,
            gate_value=0.25,
            deltatime_type="r",
            chunk_partition=(1, 1),
        )
    )
    scheduler = library.FlowMapEulerDiscreteScheduler(shift=5.0)
    parts = {**wan_parts(), "transformer": transformer, "scheduler": scheduler}
    return library.AnyFlowFARPipeline(**parts)


FIVE = {**GUIDED, "num_frames": 5}
ODD = {
    "more than once a step": Kind(
        "cosmos1", cosmos, {**BRIEF, "num_frames": 9}, video=True, beside=guarded
    ),
    "begins anew": Kind("anyflow-far", anyflow_far, FIVE, video=True),
    "at different times": Kind(
        "skyreels-v2-ar", skyreels_forcing, {**FIVE, "num_frames": 9, "ar_step": 2}, video=True
    ),
    "for each part": Kind("helios", helios, {**GUIDED, "num_frames": 40}, video=True),
}

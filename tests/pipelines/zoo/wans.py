"""Videos in the latents of Wan's autoencoder: pictures that move, parts that are painted, kin."""

from __future__ import annotations

from typing import Any

import diffusers

from tests.pipelines.zoo.edits import mask
from tests.pipelines.zoo.encoders import clip_eyes, language_model
from tests.pipelines.zoo.kind import Kind
from tests.pipelines.zoo.pictures import clip_pictures, picture
from tests.pipelines.zoo.tokenizing import gemma_tokenizer
from tests.pipelines.zoo.video_vaes import wan_vae
from tests.pipelines.zoo.videos import GUIDED, wan_parts
from tests.pipelines.zoo.weights import build

library: Any = diffusers

SIZES = {
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "in_channels": 16,
    "out_channels": 16,
    "text_dim": 16,
    "freq_dim": 32,
    "ffn_dim": 32,
    "num_layers": 2,
    "rope_max_seq_len": 32,
}


def wan_image_to_video() -> Any:
    """Wan 2.1: mask and encoded picture stand beside the latents, CLIP's eyes see the picture."""
    sizes = {**SIZES, "in_channels": 16 + 4 + 16, "image_dim": 16}
    transformer = build(lambda: library.WanTransformer3DModel(**sizes))
    return library.WanImageToVideoPipeline(
        **{**wan_parts(), "transformer": transformer},
        image_encoder=clip_eyes(projected=False),
        image_processor=clip_pictures(),
    )


def wan22_image_to_video() -> Any:
    """Wan 2.2 of 5B: the first frame is put in again at each step, with a time of its own."""
    transformer = build(lambda: library.WanTransformer3DModel(**SIZES))
    return library.WanImageToVideoPipeline(
        **{**wan_parts(), "transformer": transformer},
        image_encoder=None,
        image_processor=None,
        expand_timesteps=True,
    )


def wan_vace() -> Any:
    """VACE: what is seen of a video, and what is to be painted, guide by layers of their own."""
    sizes = {**SIZES, "num_layers": 3, "vace_layers": [0, 2], "vace_in_channels": 96}
    transformer = build(lambda: library.WanVACETransformer3DModel(**sizes))
    return library.WanVACEPipeline(**{**wan_parts(), "transformer": transformer})


def skyreels_parts() -> dict[str, Any]:
    """Components of SkyReels V2."""
    transformer = build(lambda: library.SkyReelsV2Transformer3DModel(**SIZES))
    scheduler = library.UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=8.0
    )
    return {**wan_parts(), "transformer": transformer, "scheduler": scheduler}


def skyreels() -> Any:
    return library.SkyReelsV2Pipeline(**skyreels_parts())


def skyreels_forcing() -> Any:
    """Diffusion forcing: each frame has a scheduler of its own."""
    return library.SkyReelsV2DiffusionForcingPipeline(**skyreels_parts())


def anyflow() -> Any:
    """AnyFlow: a map from any time to any other, told both."""
    transformer = build(
        lambda: library.AnyFlowTransformer3DModel(**SIZES, gate_value=0.25, deltatime_type="r")
    )
    scheduler = library.FlowMapEulerDiscreteScheduler(shift=5.0)
    parts = {**wan_parts(), "transformer": transformer, "scheduler": scheduler}
    return library.AnyFlowPipeline(**parts)


def sana_video() -> Any:
    """SANA-Video: linear attention on Wan's latents, Gemma 2."""
    tokenizer = gemma_tokenizer()
    return library.SanaVideoPipeline(
        tokenizer=tokenizer,
        text_encoder=language_model("Gemma2", tokenizer),
        vae=wan_vae(),
        transformer=build(
            lambda: library.SanaVideoTransformer3DModel(
                in_channels=16,
                out_channels=16,
                num_layers=2,
                num_attention_heads=2,
                attention_head_dim=12,
                num_cross_attention_heads=2,
                cross_attention_head_dim=12,
                cross_attention_dim=24,
                caption_channels=16,
                sample_size=4,
                qk_norm="rms_norm_across_heads",
                rope_max_seq_len=32,
            )
        ),
        scheduler=library.DPMSolverMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=8.0
        ),
    )


FIVE = {**GUIDED, "num_frames": 5}
SEEN = {"image": picture(32)}
PART = {"video": [picture(32)] * 5, "mask": [mask(32)] * 5}
UNTOLD = {"complex_human_instruction": None, "use_resolution_binning": False}
WANS = [
    Kind("wan-i2v", wan_image_to_video, {**FIVE, **SEEN}, video=True),
    Kind("wan22-i2v", wan22_image_to_video, {**FIVE, **SEEN}, video=True),
    Kind("wan-vace", wan_vace, {**FIVE, **PART}, video=True, single=True),
    Kind("skyreels-v2", skyreels, FIVE, video=True),
    Kind("skyreels-v2-df", skyreels_forcing, {**FIVE, "ar_step": 0}, video=True),
    Kind("anyflow", anyflow, FIVE, video=True),
    Kind("sana-video", sana_video, {**GUIDED, **UNTOLD, "frames": 5}, video=True),
]

"""Pipelines of videos."""

from __future__ import annotations

from typing import Any

import diffusers

from tests.pipelines.zoo.encoders import clip_text, language_model, t5
from tests.pipelines.zoo.flows import flow
from tests.pipelines.zoo.kind import Kind
from tests.pipelines.zoo.tokenizing import clip_tokenizer, llama_tokenizer, t5_tokenizer
from tests.pipelines.zoo.video_vaes import cogvideox_vae, hunyuan_vae, ltx_vae, mochi_vae, wan_vae
from tests.pipelines.zoo.weights import build

library: Any = diffusers

SIZE = {"height": 32, "width": 32, "max_sequence_length": 24}


def wan_transformer(seed: int = 0) -> Any:
    return build(
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
        ),
        seed=seed,
    )


def wan_parts() -> dict[str, Any]:
    """Components of Wan with UniPC on a flow's grid."""
    tokenizer = t5_tokenizer()
    return {
        "transformer": wan_transformer(),
        "vae": wan_vae(),
        "scheduler": library.UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
        "text_encoder": t5(tokenizer, multilingual=True),
        "tokenizer": tokenizer,
    }


def wan() -> Any:
    """Wan 2.1."""
    return library.WanPipeline(**wan_parts())


def wan22() -> Any:
    """Wan 2.2: one transformer for the noisy part of a path, another one for the rest."""
    return library.WanPipeline(
        **wan_parts(), transformer_2=wan_transformer(seed=6), boundary_ratio=0.875
    )


def ltx() -> Any:
    """LTX-Video since 0.9.1: packed latents, and a decoder that is told a time."""
    tokenizer = t5_tokenizer()
    return library.LTXPipeline(
        scheduler=flow(
            use_dynamic_shifting=True,
            base_shift=0.95,
            max_shift=2.05,
            base_image_seq_len=1024,
            shift_terminal=0.1,
        ),
        vae=ltx_vae(),
        text_encoder=t5(tokenizer),
        tokenizer=tokenizer,
        transformer=build(
            lambda: library.LTXVideoTransformer3DModel(
                in_channels=8,
                out_channels=8,
                num_attention_heads=2,
                attention_head_dim=8,
                cross_attention_dim=16,
                num_layers=2,
                caption_channels=16,
            )
        ),
    )


def cogvideox_parts(scheduler: Any, **more: Any) -> dict[str, Any]:
    """Components of CogVideoX; `more` are fields of the transformer."""
    tokenizer = t5_tokenizer()
    return {
        "tokenizer": tokenizer,
        "text_encoder": t5(tokenizer),
        "vae": cogvideox_vae(),
        "scheduler": scheduler,
        "transformer": build(
            lambda: library.CogVideoXTransformer3DModel(
                num_attention_heads=2,
                attention_head_dim=16,
                in_channels=4,
                out_channels=4,
                time_embed_dim=16,
                text_embed_dim=16,
                num_layers=2,
                sample_width=4,
                sample_height=4,
                sample_frames=5,
                max_text_seq_length=24,
                **more,
            )
        ),
    }


COGVIDEOX = {
    "prediction_type": "v_prediction",
    "clip_sample": False,
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
}


def cogvideox() -> Any:
    """CogVideoX 2B with DDIM of its own."""
    scheduler = library.CogVideoXDDIMScheduler(snr_shift_scale=3.0, **COGVIDEOX)
    return library.CogVideoXPipeline(**cogvideox_parts(scheduler))


def cogvideox_dpm() -> Any:
    """CogVideoX 1.5 with a random DPM++ whose last x0 the pipeline itself remembers.

    Frames are packed two by two, and padded for that.
    """
    scheduler = library.CogVideoXDPMScheduler(snr_shift_scale=1.0, **COGVIDEOX)
    more = {"use_rotary_positional_embeddings": True, "patch_size_t": 2, "patch_bias": False}
    return library.CogVideoXPipeline(**cogvideox_parts(scheduler, **more))


def hunyuan_video() -> Any:
    """HunyuanVideo: guidance is embedded, texts are read by LLaMA and CLIP."""
    first, second = llama_tokenizer(), clip_tokenizer()
    return library.HunyuanVideoPipeline(
        text_encoder=language_model("Llama", first),
        tokenizer=first,
        transformer=build(
            lambda: library.HunyuanVideoTransformer3DModel(
                in_channels=4,
                out_channels=4,
                num_attention_heads=2,
                attention_head_dim=16,
                num_layers=1,
                num_single_layers=1,
                num_refiner_layers=1,
                text_embed_dim=16,
                pooled_projection_dim=16,
                rope_axes_dim=(4, 6, 6),
            )
        ),
        vae=hunyuan_vae(),
        scheduler=flow(shift=7.0),
        text_encoder_2=clip_text(second),
        tokenizer_2=second,
    )


def mochi() -> Any:
    """Mochi, whose times run from data to noise."""
    tokenizer = t5_tokenizer()
    return library.MochiPipeline(
        scheduler=flow(invert_sigmas=True),
        vae=mochi_vae(),
        text_encoder=t5(tokenizer),
        tokenizer=tokenizer,
        transformer=build(
            lambda: library.MochiTransformer3DModel(
                num_attention_heads=2,
                attention_head_dim=8,
                num_layers=2,
                pooled_projection_dim=16,
                in_channels=12,
                text_embed_dim=16,
                time_embed_dim=16,
                max_sequence_length=24,
            )
        ),
    )


GUIDED = {**SIZE, "guidance_scale": 4.0}
BARE = {"prompt_template": {"template": "{}", "crop_start": 0}}  # no hundred words about videos
DECODED = {"decode_timestep": 0.05, "decode_noise_scale": 0.0}
VIDEOS = [
    Kind("wan", wan, {**GUIDED, "num_frames": 5}, video=True, each_commit=True),
    Kind("wan22", wan22, {**GUIDED, "num_frames": 5, "guidance_scale_2": 3.0}, video=True),
    Kind("ltx", ltx, {**GUIDED, "num_frames": 9, **DECODED}, video=True),
    Kind("cogvideox", cogvideox, {**GUIDED, "num_frames": 9}, video=True),
    Kind("cogvideox-dpm", cogvideox_dpm, {**GUIDED, "num_frames": 9}, video=True),
    Kind("hunyuan-video", hunyuan_video, {**GUIDED, **BARE, "num_frames": 5}, video=True),
    Kind("mochi", mochi, {**GUIDED, "num_frames": 7}, video=True),
]

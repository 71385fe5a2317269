"""Videos of HunyuanVideo 1.5, LTX-2 and Kandinsky 5, and Kandinsky 5's pictures."""

from __future__ import annotations

from typing import Any

import diffusers
import transformers
from diffusers.guiders.classifier_free_guidance import ClassifierFreeGuidance
from diffusers.pipelines.ltx2.connectors import LTX2TextConnectors
from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder

from tests.pipelines.zoo.encoders import clip_text, decoder_sizes, qwen_vl, t5
from tests.pipelines.zoo.flows import flow
from tests.pipelines.zoo.kind import Kind
from tests.pipelines.zoo.pictures import picture
from tests.pipelines.zoo.tokenizing import clip_tokenizer, gemma_tokenizer, qwen_tokenizer
from tests.pipelines.zoo.vaes import deep_vae, muted
from tests.pipelines.zoo.video_vaes import hunyuan_vae
from tests.pipelines.zoo.weights import build, louder

library: Any = diffusers
words: Any = transformers
guider: Any = ClassifierFreeGuidance
connectors: Any = LTX2TextConnectors
vocoder: Any = LTX2Vocoder


def hunyuan_video_15() -> Any:
    """HunyuanVideo 1.5: a guider mixes answers, ByT5 reads quoted words, a mask stands beside."""
    tokenizer, glyphs = qwen_tokenizer(), words.ByT5Tokenizer()
    transformer = build(
        lambda: library.HunyuanVideo15Transformer3DModel(
            in_channels=9,
            out_channels=4,
            num_attention_heads=2,
            attention_head_dim=8,
            num_layers=1,
            num_refiner_layers=1,
            mlp_ratio=2.0,
            text_embed_dim=16,
            text_embed_2_dim=16,
            image_embed_dim=12,
            rope_axes_dim=(2, 2, 4),
            target_size=16,
            task_type="t2v",
        )
    )
    return library.HunyuanVideo15Pipeline(
        text_encoder=qwen_vl(tokenizer).model.language_model,
        tokenizer=tokenizer,
        text_encoder_2=t5(glyphs),
        tokenizer_2=glyphs,
        transformer=louder(transformer, "transformer_blocks.0.attn.add_v_proj", 8.0),
        vae=muted(
            build(
                lambda: library.AutoencoderKLHunyuanVideo15(
                    latent_channels=4,
                    block_out_channels=(16, 16),
                    layers_per_block=1,
                    spatial_compression_ratio=4,
                    temporal_compression_ratio=2,
                    downsample_match_channel=False,
                    upsample_match_channel=False,
                ),
                seed=3,
            )
        ),
        scheduler=flow(shift=7.0),
        guider=guider(guidance_scale=4.0),
    )


def brief(pipe: Any) -> None:
    """No instruction of many hundred letters, beside which a prompt has little effect."""
    pipe.system_message, pipe.prompt_template_encode_start_idx = "Describe", 0
    pipe.tokenizer_max_length, pipe.tokenizer_2_max_length = 64, 16
    pipe.vision_num_semantic_tokens = 4


def kandinsky_parts(vae: Any, channels: int) -> dict[str, Any]:
    """Components of Kandinsky 5, whose latents have their channels last."""
    first, second = qwen_tokenizer(), clip_tokenizer()
    processor = words.Qwen2VLProcessor(
        image_processor=words.Qwen2VLImageProcessor(),
        video_processor=words.Qwen2VLVideoProcessor(),
        tokenizer=first,
    )
    return {
        "text_encoder": qwen_vl(first),
        "tokenizer": processor,
        "text_encoder_2": clip_text(second),
        "tokenizer_2": second,
        "scheduler": flow(shift=5.0),
        "vae": vae,
        "transformer": build(
            lambda: library.Kandinsky5Transformer3DModel(
                in_visual_dim=channels,
                out_visual_dim=channels,
                in_text_dim=16,
                in_text_dim2=16,
                time_dim=16,
                model_dim=16,
                ff_dim=32,
                num_text_blocks=1,
                num_visual_blocks=2,
                axes_dims=(1, 1, 2),
                visual_cond=False,
            )
        ),
    }


def kandinsky5() -> Any:
    return library.Kandinsky5T2VPipeline(**kandinsky_parts(hunyuan_vae(), 4))


def kandinsky5_image() -> Any:
    vae = deep_vae(scaling=0.3611, shift=0.1159)
    return library.Kandinsky5T2IPipeline(**kandinsky_parts(vae, 16))


def small(pipe: Any) -> None:
    """A side that it was not trained on: else it takes the nearest that it was."""
    pipe.resolutions = [(64, 64)]


def ltx2_parts() -> dict[str, Any]:
    """Components of LTX-2."""
    tokenizer = gemma_tokenizer()
    text = words.Gemma3Config(
        text_config=decoder_sizes(tokenizer),
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 28,
            "patch_size": 14,
        },
        image_token_index=4,
    )
    return {
        "tokenizer": tokenizer,
        "text_encoder": build(lambda: words.Gemma3ForConditionalGeneration(text), seed=1),
        "transformer": build(
            lambda: library.LTX2VideoTransformer3DModel(
                in_channels=4,
                out_channels=4,
                num_attention_heads=2,
                attention_head_dim=8,
                cross_attention_dim=16,
                audio_in_channels=4,
                audio_out_channels=4,
                audio_num_attention_heads=2,
                audio_attention_head_dim=4,
                audio_cross_attention_dim=8,
                num_layers=2,
                caption_channels=16,
                rope_double_precision=False,
                rope_type="split",
            )
        ),
        "connectors": build(
            lambda: connectors(
                caption_channels=16,
                text_proj_in_factor=3,
                video_connector_num_attention_heads=2,
                video_connector_attention_head_dim=8,
                video_connector_num_layers=1,
                video_connector_num_learnable_registers=None,
                audio_connector_num_attention_heads=2,
                audio_connector_attention_head_dim=8,
                audio_connector_num_layers=1,
                audio_connector_num_learnable_registers=None,
                connector_rope_base_seq_len=32,
                rope_double_precision=False,
                rope_type="split",
            ),
            seed=4,
        ),
        "vae": muted(
            build(
                lambda: library.AutoencoderKLLTX2Video(
                    latent_channels=4,
                    block_out_channels=(8,),
                    decoder_block_out_channels=(8,),
                    layers_per_block=(1,),
                    decoder_layers_per_block=(1, 1),
                    spatio_temporal_scaling=(True,),
                    decoder_spatio_temporal_scaling=(True,),
                    decoder_inject_noise=(False, False),
                    downsample_type=("spatial",),
                    upsample_residual=(False,),
                    upsample_factor=(1,),
                    patch_size=1,
                    encoder_causal=True,
                    decoder_causal=False,
                ),
                seed=3,
            ),
            0.5,
        ),
        "audio_vae": build(
            lambda: library.AutoencoderKLLTX2Audio(
                base_channels=4,
                ch_mult=(1,),
                num_res_blocks=1,
                resolution=32,
                latent_channels=2,
                mel_bins=8,
            ),
            seed=5,
        ),
        "vocoder": build(
            lambda: vocoder(
                in_channels=16,
                hidden_channels=32,
                upsample_kernel_sizes=[4, 4],
                upsample_factors=[2, 2],
                resnet_kernel_sizes=[3],
                resnet_dilations=[[1, 3, 5]],
                output_sampling_rate=16000,
            ),
            seed=6,
        ),
        "scheduler": flow(),
        "processor": None,
        "prompt_enhancer": None,
        "duration_head": None,
    }


def ltx2() -> Any:
    """LTX-2: a video and its sound are made together."""
    return library.LTX2Pipeline(**ltx2_parts())


def ltx2_image_to_video() -> Any:
    """LTX-2 from a picture, which stays as the first frame: the others alone are stepped."""
    return library.LTX2ImageToVideoPipeline(**ltx2_parts())


SIZE = {"height": 32, "width": 32}
SOUND = {
    **SIZE,
    "num_frames": 5,
    "max_sequence_length": 24,
    "stg_scale": 0.0,
    "audio_stg_scale": 0.0,
    "modality_scale": 1.0,
    "audio_modality_scale": 1.0,
    "spatio_temporal_guidance_blocks": None,
}
SEEN = {"image": picture(32)}
LONG = {"max_sequence_length": 1024, "guidance_scale": 4.0}
QUOTED = ('a red circle, "one"', 'two blue squares, "two"', 'green, "three"')
RECENT = [
    Kind(
        "hunyuan-video-15",
        hunyuan_video_15,
        {"height": 16, "width": 16, "num_frames": 5},
        QUOTED,
        video=True,
        settle=brief,
    ),
    Kind("ltx2", ltx2, SOUND, video=True, drawings=2),
    Kind("ltx2-i2v", ltx2_image_to_video, {**SOUND, **SEEN}, video=True, drawings=2),
    Kind("kandinsky5", kandinsky5, {**SIZE, **LONG, "num_frames": 5}, video=True),
    Kind("kandinsky5-t2i", kandinsky5_image, {**LONG, "height": 64, "width": 64}, settle=small),
]

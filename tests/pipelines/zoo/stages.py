"""Models of several stages: pixels as they are, the embeddings of a prior; and what is refused."""

from __future__ import annotations

from typing import Any

import diffusers
import torch
import transformers
from diffusers.pipelines.deprecated.wuerstchen.modeling_paella_vq_model import PaellaVQModel

from tests.pipelines.zoo.encoders import clip_text, t5
from tests.pipelines.zoo.kind import Kind
from tests.pipelines.zoo.pictures import clip_pictures
from tests.pipelines.zoo.tokenizing import clip_tokenizer, t5_tokenizer
from tests.pipelines.zoo.vaes import movq
from tests.pipelines.zoo.weights import build

library: Any = diffusers
words: Any = transformers

LEVELS: dict[str, Any] = {
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "attention_head_dim": 4,
    "block_out_channels": (8, 16),
    "down_block_types": ("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "up_block_types": ("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
    "cross_attention_dim": 16,
    "resnet_time_scale_shift": "scale_shift",
}


def deepfloyd() -> Any:
    """The first stage of DeepFloyd IF: pixels, a variance predicted beside the noise."""
    tokenizer = t5_tokenizer(77)
    return library.IFPipeline(
        tokenizer=tokenizer,
        text_encoder=t5(tokenizer),
        unet=build(
            lambda: library.UNet2DConditionModel(
                sample_size=32,
                in_channels=3,
                out_channels=6,
                encoder_hid_dim=16,
                addition_embed_type="text",
                addition_embed_type_num_heads=2,
                **LEVELS,
            )
        ),
        scheduler=library.DDPMScheduler(
            beta_schedule="squaredcos_cap_v2",
            thresholding=True,
            dynamic_thresholding_ratio=0.95,
            sample_max_value=1.5,
            variance_type="learned_range",
        ),
        safety_checker=None,
        feature_extractor=None,
        watermarker=None,
        requires_safety_checker=False,
    )


def kandinsky22() -> Any:
    """The decoder of Kandinsky 2.2: it is told what a prior has made of the prompt."""
    return library.KandinskyV22Pipeline(
        unet=build(
            lambda: library.UNet2DConditionModel(
                sample_size=8,
                in_channels=4,
                out_channels=8,
                addition_embed_type="image",
                encoder_hid_dim=8,
                encoder_hid_dim_type="image_proj",
                **LEVELS,
            )
        ),
        scheduler=library.DDPMScheduler(
            beta_start=0.00085, beta_end=0.012, clip_sample=True, variance_type="learned_range"
        ),
        movq=movq(),
    )


def paella() -> Any:
    """Stable Cascade's quantised autoencoder: (3, 4h, 4w) to (4, h, w)."""
    return build(
        lambda: PaellaVQModel(
            bottleneck_blocks=1, num_vq_embeddings=16, levels=2, embed_dim=8, latent_channels=4
        ),
        seed=3,
    )


def cascade() -> Any:
    """The decoder of Stable Cascade: prompt and embeddings, latents of a quantised autoencoder."""
    tokenizer = clip_tokenizer()
    return library.StableCascadeDecoderPipeline(
        decoder=build(
            lambda: library.StableCascadeUNet(
                in_channels=4,
                out_channels=4,
                conditioning_dim=16,
                block_out_channels=(16, 32),
                num_attention_heads=(-1, 2),
                down_num_layers_per_block=(1, 1),
                up_num_layers_per_block=(1, 1),
                down_blocks_repeat_mappers=(1, 1),
                up_blocks_repeat_mappers=(1, 1),
                block_types_per_layer=(
                    ("SDCascadeResBlock", "SDCascadeTimestepBlock"),
                    ("SDCascadeResBlock", "SDCascadeTimestepBlock", "SDCascadeAttnBlock"),
                ),
                switch_level=None,
                clip_text_pooled_in_channels=16,
                dropout=(0.0, 0.0),
                effnet_in_channels=4,
                timestep_ratio_embedding_dim=16,
            )
        ),
        tokenizer=tokenizer,
        text_encoder=clip_text(tokenizer, projected=True),
        scheduler=library.DDPMWuerstchenScheduler(),
        vqgan=paella(),
        latent_dim_scale=4.0,
    )


def kandinsky22_combined() -> Any:
    """Prior and decoder of Kandinsky 2.2 in one pipeline, which calls theirs."""
    tokenizer = clip_tokenizer()
    encoder = vision_encoder()
    decoder = kandinsky22().components
    return library.KandinskyV22CombinedPipeline(
        **decoder,
        prior_prior=build(
            lambda: library.PriorTransformer(
                num_attention_heads=2, attention_head_dim=8, embedding_dim=16, num_layers=1
            )
        ),
        prior_image_encoder=encoder,
        prior_text_encoder=clip_text(tokenizer, projected=True),
        prior_tokenizer=tokenizer,
        prior_scheduler=library.UnCLIPScheduler(prediction_type="sample"),
        prior_image_processor=clip_pictures(),
    )


def vision_encoder() -> Any:
    sizes = {"hidden_size": 16, "intermediate_size": 32, "image_size": 32, "patch_size": 8}
    config = words.CLIPVisionConfig(
        **sizes, num_hidden_layers=1, num_attention_heads=2, projection_dim=16
    )
    return build(lambda: words.CLIPVisionModelWithProjection(config), seed=8)


def stable_audio() -> Any:
    """Stable Audio, whose samples are heard."""
    tokenizer = t5_tokenizer()
    return library.StableAudioPipeline(
        vae=build(
            lambda: library.AutoencoderOobleck(
                encoder_hidden_size=6,
                downsampling_ratios=[1, 2],
                decoder_channels=3,
                decoder_input_channels=3,
                audio_channels=2,
                channel_multiples=[2, 4],
                sampling_rate=4,
            ),
            seed=3,
        ),
        text_encoder=t5(tokenizer),
        projection_model=build(
            lambda: library.pipelines.stable_audio.StableAudioProjectionModel(
                text_encoder_dim=16, conditioning_dim=16, min_value=0, max_value=32
            )
        ),
        tokenizer=tokenizer,
        transformer=build(
            lambda: library.StableAudioDiTModel(
                sample_size=4,
                in_channels=3,
                num_layers=1,
                attention_head_dim=8,
                num_attention_heads=2,
                num_key_value_attention_heads=2,
                out_channels=3,
                cross_attention_dim=16,
                time_proj_dim=8,
                global_states_input_dim=32,
                cross_attention_input_dim=16,
            )
        ),
        scheduler=library.EDMDPMSolverMultistepScheduler(),
    )


def embedded(*shape: int, seed: int) -> torch.Tensor:
    """What a prior would have made."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


SIZE = {"height": 64, "width": 64}
STAGES = [
    Kind("deepfloyd-if", deepfloyd, {"guidance_scale": 4.0, "clean_caption": False}),
    Kind(
        "kandinsky22",
        kandinsky22,
        {
            **SIZE,
            "guidance_scale": 4.0,
            "image_embeds": embedded(1, 8, seed=1),
            "negative_image_embeds": embedded(1, 8, seed=2),
        },
    ),
]
REFUSED = [
    Kind("kandinsky22-combined", kandinsky22_combined, {}),
    Kind("stable-audio", stable_audio, {}),
]
CASCADE = Kind(
    "stable-cascade",
    cascade,
    {"guidance_scale": 3.0, "image_embeddings": embedded(1, 4, 6, 6, seed=3)},
)
"""Apart from the others: diffusers has no more a place to load its autoencoder from."""

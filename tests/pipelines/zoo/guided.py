"""HunyuanImage: a pipeline whose guidance is a component of its own, which remembers."""

from __future__ import annotations

from typing import Any

import diffusers
import transformers

from tests.pipelines.zoo.encoders import qwen_vl, t5
from tests.pipelines.zoo.flows import flow
from tests.pipelines.zoo.kind import Kind
from tests.pipelines.zoo.tokenizing import qwen_tokenizer
from tests.pipelines.zoo.vaes import muted
from tests.pipelines.zoo.weights import build

library: Any = diffusers
words: Any = transformers


def momentum(**more: Any) -> Any:
    """Adaptive projected guidance as HunyuanImage is published with it, but from step 1 on."""
    more = {"adaptive_projected_guidance_start_step": 0, **more}
    return library.AdaptiveProjectedMixGuidance(guidance_scale=3.5, **more)


def hunyuan_image(guider: Any = None) -> Any:
    """HunyuanImage 2.1 ; its guider is `guider`, else one with a momentum."""
    tokenizer = qwen_tokenizer()
    glyphs = words.ByT5Tokenizer()
    return library.HunyuanImagePipeline(
        scheduler=flow(shift=5.0),
        vae=muted(
            build(
                lambda: library.AutoencoderKLHunyuanImage(
                    in_channels=3,
                    out_channels=3,
                    latent_channels=4,
                    block_out_channels=(32, 32),
                    layers_per_block=1,
                    spatial_compression_ratio=2,
                    sample_size=16,
                    scaling_factor=0.75289,
                ),
                seed=3,
            )
        ),
        text_encoder=qwen_vl(tokenizer),
        tokenizer=tokenizer,
        text_encoder_2=t5(glyphs),
        tokenizer_2=glyphs,
        transformer=build(
            lambda: library.HunyuanImageTransformer2DModel(
                in_channels=4,
                out_channels=4,
                num_attention_heads=2,
                attention_head_dim=8,
                num_layers=2,
                num_single_layers=1,
                num_refiner_layers=1,
                patch_size=(2, 2),
                text_embed_dim=16,
                text_embed_2_dim=16,
                rope_axes_dim=(4, 4),
            )
        ),
        guider=momentum() if guider is None else guider,
        ocr_guider=None,
    )


HUNYUAN_IMAGE = Kind("hunyuan-image", hunyuan_image, {"height": 32, "width": 32})

"""Qwen-Image where it is given a picture: edits, image to image, a part of one."""

from __future__ import annotations

from typing import Any

import diffusers

from tests.pipelines.zoo.edits import mask
from tests.pipelines.zoo.kind import Kind
from tests.pipelines.zoo.pictures import picture
from tests.pipelines.zoo.readers import qwen_parts
from tests.pipelines.zoo.tokenizing import qwen_processor
from tests.pipelines.zoo.vaes import muted
from tests.pipelines.zoo.weights import build, louder

library: Any = diffusers


def qwen_edit() -> Any:
    """Qwen-Image-Edit: its language model looks at the picture, whose tokens go beside."""
    parts = {**qwen_parts(sees=True), "vae": narrow_vae()}
    # A thousand tokens of the picture stand beside a few of the prompt.
    louder(parts["transformer"], "transformer_blocks.0.attn.add_v_proj", 400.0)
    return library.QwenImageEditPipeline(**parts, processor=qwen_processor(parts["tokenizer"]))


def narrow_vae() -> Any:
    """Qwen's autoencoder with a level more and few channels: edits see a megapixel, always."""
    vae = build(
        lambda: library.AutoencoderKLQwenImage(
            base_dim=2,
            dim_mult=[1] * 5,
            num_res_blocks=1,
            z_dim=16,
            temperal_downsample=[False, True, True, True],
        ),
        seed=3,
    )
    return muted(vae)


def qwen_image_to_image() -> Any:
    return library.QwenImageImg2ImgPipeline(**qwen_parts())


def qwen_inpaint() -> Any:
    return library.QwenImageInpaintPipeline(**qwen_parts())


GUIDED = {"height": 64, "width": 64, "true_cfg_scale": 3.0, "negative_prompt": "blue"}
PICTURE = {**GUIDED, "image": picture(), "max_sequence_length": 32}
QWENS = [
    Kind("qwen-image-edit", qwen_edit, {**GUIDED, "image": picture()}, steps=3),
    Kind("qwen-image-img2img", qwen_image_to_image, {**PICTURE, "strength": 0.8}, steps=5),
    Kind("qwen-image-inpaint", qwen_inpaint, {**PICTURE, "mask_image": mask(), "strength": 1.0}),
]

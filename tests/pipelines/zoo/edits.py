"""Pipelines that begin with a picture, or with a part of one."""

from __future__ import annotations

from typing import Any

import diffusers
import numpy as np
from PIL import Image

from tests.pipelines.zoo.flows import flux_parts, flux_transformer, sd3_parts
from tests.pipelines.zoo.kind import Kind
from tests.pipelines.zoo.pictures import picture
from tests.pipelines.zoo.unets import sd_parts

library: Any = diffusers


def mask(side: int = 64) -> Image.Image:
    """The right half is to be painted anew."""
    across = np.mgrid[:side, :side][1]
    return Image.fromarray(((across >= side // 2) * 255).astype(np.uint8))


def sd_inpaint() -> Any:
    """A text-to-image model that paints a part: after each step the rest is put back, noised."""
    return library.StableDiffusionInpaintPipeline(**sd_parts())


def flux_fill() -> Any:
    """FLUX Fill: the transformer sees mask and masked picture beside the latents."""
    parts = {**flux_parts(), "transformer": flux_transformer(seen=64 + 64 + 256)}
    return library.FluxFillPipeline(**parts)


def sd3_image_to_image() -> Any:
    return library.StableDiffusion3Img2ImgPipeline(**sd3_parts())


SIZE = {"height": 64, "width": 64, "max_sequence_length": 24}
PART = {"image": picture(), "mask_image": mask()}
EDITS = [
    Kind(
        "sd15-inpaint",
        sd_inpaint,
        {**PART, "height": 64, "width": 64, "guidance_scale": 4.0, "strength": 1.0},
    ),
    Kind("flux-fill", flux_fill, {**SIZE, **PART, "guidance_scale": 30.0}),
    Kind(
        "sd3-img2img",
        sd3_image_to_image,
        {**SIZE, "image": picture(), "strength": 0.8, "guidance_scale": 4.0},
        steps=5,
    ),
]

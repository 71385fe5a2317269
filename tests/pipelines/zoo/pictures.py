"""A picture to start from, and a safety checker that looks at those made."""

from __future__ import annotations

from typing import Any

import numpy as np
import transformers
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from PIL import Image

from tests.pipelines.zoo.weights import build

library: Any = transformers


def picture(side: int = 64) -> Image.Image:
    """Two crossed ramps of colour."""
    down, across = np.mgrid[:side, :side] * (255 // side)
    return Image.fromarray(np.stack([down, across, 255 - down], -1).astype(np.uint8))


def clip_pictures(side: int = 32) -> Any:
    """What turns a picture into the checker's input."""
    return library.CLIPImageProcessor(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side}
    )


def checker() -> Any:
    """Stable Diffusion's checker, to which every picture resembles a concept to be blanked."""
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "projection_dim": 8,
    }
    config = library.CLIPConfig(
        text_config=sizes,
        vision_config={**sizes, "image_size": 32, "patch_size": 8},
        projection_dim=8,
    )
    made = build(lambda: StableDiffusionSafetyChecker(config), seed=5)
    made.concept_embeds_weights.data.fill_(-1.0)
    return made

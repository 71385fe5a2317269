"""Transformers with one condition: DiT and its kin."""

from __future__ import annotations

from typing import Any

import diffusers

from tests.pipelines.zoo.kind import Kind
from tests.pipelines.zoo.vaes import kl_vae
from tests.pipelines.zoo.weights import build

library: Any = diffusers


def dit() -> Any:
    """DiT of ImageNet's thousand classes; it predicts a variance beside the noise."""
    return library.DiTPipeline(
        transformer=build(
            lambda: library.DiTTransformer2DModel(
                sample_size=8,
                num_layers=2,
                patch_size=2,
                attention_head_dim=8,
                num_attention_heads=2,
                in_channels=4,
                out_channels=8,
                num_embeds_ada_norm=1000,
            )
        ),
        vae=kl_vae(),
        scheduler=library.DDIMScheduler(
            beta_start=0.0001, beta_end=0.02, clip_sample=False, set_alpha_to_one=True
        ),
        id2label={3: "tiger shark", 207: "golden retriever"},
    )


DITS = [Kind("dit", dit, {"guidance_scale": 4.0}, ("207", "3"), each_commit=True)]

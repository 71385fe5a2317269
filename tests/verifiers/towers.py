"""Tiny CLIP models of random weights in the formats of open_clip and transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from noise_search.ask import Prompt
from noise_search.pipelines.shapes import clip_model
from noise_search.problem import Sample

PROMPTS = [
    "a red circle",
    "two blue squares",
    "a green triangle above a red circle",
    "a blue square",
]


def lively(model: Any) -> Any:
    """Weights large enough that pictures and sentences differ well."""
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.normal_(0, weight.shape[-1] ** -0.5)
    return model


def open_clip_config(embed: int) -> dict[str, Any]:
    """A vision transformer at 32 pixels, and a tokenizer of the shapes language beside it."""
    return {
        "model_cfg": {
            "embed_dim": embed,
            "vision_cfg": {
                "image_size": 32,
                "layers": 2,
                "width": 32,
                "head_width": 16,
                "patch_size": 16,
            },
            "text_cfg": {
                "context_length": clip_model.CONTEXT,
                "vocab_size": 28,
                "hf_tokenizer_name": "shapes",
                "width": 32,
                "heads": 2,
                "layers": 2,
            },
        },
        "preprocess_cfg": {
            "mean": [0.48145466, 0.4578275, 0.40821073],
            "std": [0.26862954, 0.26130258, 0.27577711],
            "interpolation": "bicubic",
            "resize_mode": "shortest",
        },
    }


def open_clip_model(embed: int, seed: int = 0) -> Any:
    """A model of that configuration."""
    import open_clip

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return lively(open_clip.CLIP(**open_clip_config(embed)["model_cfg"])).eval()


def write_tower(folder: Path, embed: int, seed: int = 0) -> Path:
    """A folder as open_clip saves it."""
    from safetensors.torch import save_file

    write_words(folder)
    (folder / "open_clip_config.json").write_text(json.dumps(open_clip_config(embed)))
    state = open_clip_model(embed, seed).state_dict()
    save_file(state, folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    return folder


def write_words(folder: Path) -> None:
    """A tokenizer, and a configuration that is to be written over."""
    clip_model.write_config(folder, clip_model.WEAK)


def pictures(count: int) -> list[np.ndarray]:
    """Noise of several sizes, on grounds of several colours."""
    draw = np.random.default_rng(0)
    found = []
    for i in range(count):
        ground = draw.integers(0, 200, 3)
        noise = draw.integers(0, 56, (40 + 4 * (i % 3), 32 + 4 * (i % 5), 3))
        found.append((ground + noise).astype(np.uint8))
    return found


def samples(count: int) -> list[Sample]:
    """Finished pictures for several prompts."""
    shown = zip(pictures(count), PROMPTS * count, strict=False)
    return [Sample(Prompt(f"p{i}", text), image, 8, 8) for i, (image, text) in enumerate(shown)]

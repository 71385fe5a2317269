"""The operations that verifiers declare are those of their published architectures."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from noise_search.verifiers.weights import DEFAULTS, FLOPS


def counted(function: Any, *given: Any) -> int:
    """Operations of a call, none of which is made: tensors hold no numbers."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # what is fused is not counted
    try:
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
            function(*given)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return counter.get_total_flops()


@pytest.mark.parametrize(
    ("key", "model"),
    [
        ("ViT-B-32/openai", "ViT-B-32"),
        ("ViT-L-14/openai", "ViT-L-14"),
        ("xswu/HPSv2", "ViT-H-14"),
        ("yuvalkirstain/PickScore_v1", "ViT-H-14"),
    ],
)
def test_towers_of_clip(key: str, model: str) -> None:
    open_clip: Any = importlib.import_module("open_clip")  # its types say too little
    with torch.device("meta"):
        tower = open_clip.CLIP(**open_clip.get_model_config(model)).eval()
        assert counted(tower.encode_image, torch.empty(1, 3, 224, 224)) == FLOPS[key]


def test_dino() -> None:
    from transformers import Dinov2Config, Dinov2Model

    with torch.device("meta"):
        model: Any = Dinov2Model(Dinov2Config(image_size=518, patch_size=14)).eval()
        found = counted(model, torch.empty(1, 3, 224, 224))
    assert found == FLOPS["facebook/dinov2-base"]


def test_they_are_named_as_specs_and_repositories_are() -> None:
    repositories = {published.repository for found in DEFAULTS.values() for published in found}
    assert all(key in repositories or key.endswith("/openai") for key in FLOPS)

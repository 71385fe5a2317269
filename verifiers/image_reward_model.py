"""ImageReward's network on transformers' BLIP modules, filled from the published checkpoint.

Xu et al. 2023 (arXiv:2304.05977): a vision transformer sees the picture, a BERT reads the sentence
with cross attention to the picture's tokens, and five linear layers without activation make a
number of its first token (BLIP is Li et al. 2022, arXiv:2201.12086).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import BlipTextConfig, BlipTextModel, BlipVisionConfig, BlipVisionModel

from noise_search.errors import UserError
from noise_search.verifiers.weights import fill, read_state

__all__ = ["CONFIG", "MEAN", "STD", "WORDS", "Network", "load", "preprocessed"]

CONFIG = "med_config.json"
MEAN = 0.16717362830052426
STD = 1.0333394966054072
WORDS = 35
"""Tokens that a sentence is cut and padded to."""

_HEAD_WIDTH = 64  # of an attention head of the vision transformer, in ViT-B and ViT-L alike
_NAMES = (
    (r"blip\.visual_encoder\.cls_token$", r"vision.embeddings.class_embedding"),
    (r"blip\.visual_encoder\.pos_embed$", r"vision.embeddings.position_embedding"),
    (r"blip\.visual_encoder\.patch_embed\.proj\.", r"vision.embeddings.patch_embedding."),
    (r"blip\.visual_encoder\.norm\.", r"vision.post_layernorm."),
    (r"blip\.visual_encoder\.blocks\.(\d+)\.", r"vision.encoder.layers.\1."),
    (r"(vision\..*)\.norm([12])\.", r"\1.layer_norm\2."),
    (r"(vision\..*)\.attn\.qkv\.", r"\1.self_attn.qkv."),
    (r"(vision\..*)\.attn\.proj\.", r"\1.self_attn.projection."),
    (r"blip\.text_encoder\.", r"text."),
    (r"mlp\.layers\.", r"head."),
)
"""From names in the checkpoint to those in the network, one after the other."""
_UNUSED = ("blip.vision_proj.", "blip.text_proj.", "blip.text_encoder.embeddings.position_ids")
"""Of BLIP's own training, and of no meaning to the score."""


class Network(nn.Module):
    """From pictures and sentences to rewards as trained, before they are standardised.

    Args:
        vision: of the vision transformer.
        text: of the reader; ``is_decoder`` gives it cross attention.
        widths: of the head's layers, the text's first.
    """

    def __init__(
        self, vision: BlipVisionConfig, text: BlipTextConfig, widths: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.vision = BlipVisionModel(vision)
        self.text = BlipTextModel(text, add_pooling_layer=False)
        # The published numbers count the dropouts after the first three layers.
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(pairwise(widths)):
            layers += [nn.Linear(before, after), *[nn.Identity()] * (i < 3)]
        self.head = nn.Sequential(*layers)

    def forward(self, pixels: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        """Rewards (B,) of pixels (B, 3, H, W) and tokens (B, T) with their mask."""
        seen = self.vision(pixel_values=pixels).last_hidden_state
        read = self.text(
            input_ids=tokens, attention_mask=mask, encoder_hidden_states=seen, is_decoder=False
        ).last_hidden_state
        rewards: Tensor = self.head(read[:, 0].to(self.head[0].weight.dtype))[:, 0]
        return rewards


def load(file: Path) -> Network:
    """The float32 network of a published checkpoint, with ``med_config.json`` beside it.

    Raises:
        UserError: a file is missing, or is not what ImageReward published.
    """
    described = file.with_name(CONFIG)
    if not described.is_file():
        raise UserError(f"no {CONFIG} beside {file.name}")
    state = {
        _renamed(name): tensor
        for name, tensor in read_state(file).items()
        if not name.startswith(_UNUSED)
    }
    try:
        config = json.loads(described.read_text(encoding="utf-8"))
        network = Network(_vision(state), _text(config, state), _widths(state))
    except KeyError as error:
        raise UserError(f"{file.name} or {CONFIG} lacks {error}") from error
    except Exception as error:  # whatever the library finds wrong with sizes that others wrote
        raise UserError(f"{CONFIG}: {error}"[:300]) from error
    fill(network, state, file.name)
    return network


def _renamed(name: str) -> str:
    """The name in this network of a tensor of the checkpoint; strange ones keep theirs."""
    for pattern, ours in _NAMES:
        name = re.sub(f"^{pattern}", ours, name)
    return name


def _count(state: Mapping[str, Tensor], prefix: str) -> int:
    """How many layers have names that begin so."""
    return len({name[len(prefix) :].split(".")[0] for name in state if name.startswith(prefix)})


def _vision(state: Mapping[str, Tensor]) -> BlipVisionConfig:
    patches = state["vision.embeddings.patch_embedding.weight"]
    places = state["vision.embeddings.position_embedding"].shape[1] - 1
    width = patches.shape[0]
    return BlipVisionConfig(
        hidden_size=width,
        intermediate_size=state["vision.encoder.layers.0.mlp.fc1.weight"].shape[0],
        num_hidden_layers=_count(state, "vision.encoder.layers."),
        num_attention_heads=width // _HEAD_WIDTH,
        image_size=round(places**0.5) * patches.shape[-1],
        patch_size=patches.shape[-1],
        hidden_act="gelu",
        layer_norm_eps=1e-6,
    )


def _text(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> BlipTextConfig:
    same = (
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "max_position_embeddings",
        "hidden_act",
        "layer_norm_eps",
        "pad_token_id",
    )
    # The width in the published file is that of another vision transformer: it was always replaced.
    width = state["vision.embeddings.patch_embedding.weight"].shape[0]
    return BlipTextConfig(
        **{name: config[name] for name in same},
        encoder_hidden_size=width,
        is_decoder=True,
        bos_token_id=None,
        sep_token_id=None,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )


def _widths(state: Mapping[str, Tensor]) -> tuple[int, ...]:
    names = sorted(
        (name for name in state if re.fullmatch(r"head\.\d+\.weight", name)),
        key=lambda name: int(name.split(".")[1]),
    )
    if not names:
        raise KeyError("mlp.layers.0.weight")
    return (state[names[0]].shape[1], *(state[name].shape[0] for name in names))


def preprocessed(side: int) -> Any:
    """Pictures as in training: resized by PIL, cropped, then made numbers and standardised."""
    from torchvision.transforms import CenterCrop, Compose, Normalize, Resize, ToTensor
    from torchvision.transforms.functional import InterpolationMode

    return Compose(
        [
            Resize(side, interpolation=InterpolationMode.BICUBIC),
            CenterCrop(side),
            ToTensor(),
            Normalize((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
        ]
    )

"""The shape of the CLIP-like verifier, in open_clip's own format.

A folder holds ``open_clip_config.json``, ``open_clip_model.safetensors`` (fp16) and a word-level
tokenizer, so ``open_clip.create_model_and_transforms("local-dir:FOLDER")`` loads it like any CLIP
(Radford et al. 2021, arXiv:2103.00020).  The image tower is CLIP's modified ResNet, made small;
a vision transformer of the same cost learnt positions and counts less well from scratch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from noise_search.pipelines.shapes.scenes import WORDS

__all__ = ["STRONG", "WEAK", "build", "save", "write_config"]

STRONG: dict[str, Any] = {
    "image_size": 64,
    "layers": [1, 2, 2, 1],
    "width": 16,
    "embed_dim": 128,
    "text_layers": 3,
}
WEAK: dict[str, Any] = {
    "image_size": 64,
    "layers": [1, 1, 1, 1],
    "width": 8,
    "embed_dim": 64,
    "text_layers": 2,
}

MEAN, STD = 0.1, 0.3
"""Near the dark background, so that the zero padding of convolutions looks like more of it."""

CONTEXT = 16
_SPECIAL = ("[PAD]", "[UNK]", "[BOS]")


def _vocabulary() -> dict[str, int]:
    # The end token is the largest id: open_clip pools the text at the argmax of the ids.
    return {word: index for index, word in enumerate((*_SPECIAL, *WORDS, "[EOS]"))}


def config(size: dict[str, Any]) -> dict[str, Any]:
    """open_clip's configuration of a model of this size."""
    return {
        "model_cfg": {
            "embed_dim": size["embed_dim"],
            "vision_cfg": {
                "image_size": size["image_size"],
                "layers": size["layers"],
                "width": size["width"],
                "head_width": 32,
            },
            "text_cfg": {
                "context_length": CONTEXT,
                "vocab_size": len(_vocabulary()),
                "hf_tokenizer_name": "shapes",
                "width": 128,
                "heads": 4,
                "mlp_ratio": 2.0,
                "layers": size["text_layers"],
            },
        },
        "preprocess_cfg": {
            "mean": [MEAN] * 3,
            "std": [STD] * 3,
            "interpolation": "bicubic",
            "resize_mode": "squash",
        },
    }


def build(size: dict[str, Any], seed: int) -> Any:
    """A fresh ``open_clip.CLIP`` with weights from ``seed``; global random state is untouched."""
    import open_clip
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: Any = open_clip.CLIP(**config(size)["model_cfg"])
    # At its usual tiny scale the pool cannot tell places apart, and relations are never learnt.
    model.visual.attnpool.positional_embedding.data *= 12
    return model


def write_config(folder: Path, size: dict[str, Any]) -> None:
    """Write the configuration and the tokenizer."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(config(size), indent=2)
    (folder / "open_clip_config.json").write_text(text + "\n", encoding="utf-8")
    vocabulary = _vocabulary()
    words = Tokenizer(models.WordLevel(vocabulary, _SPECIAL[1]))
    words.normalizer = normalizers.Lowercase()
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="[BOS] $A [EOS]",
        special_tokens=[(mark, vocabulary[mark]) for mark in ("[BOS]", "[EOS]")],
    )
    marks = {f"{mark}_token": f"[{mark.upper()}]" for mark in ("pad", "unk", "bos", "eos")}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, model_max_length=CONTEXT, **marks)
    tokenizer.save_pretrained(str(folder))
    file = folder / "tokenizer_config.json"
    # transformers 5 writes a class name that transformers 4 lacks; both know the older one.
    known = file.read_text("utf-8").replace("TokenizersBackend", "PreTrainedTokenizerFast")
    file.write_text(known, "utf-8")


def save(model: Any, folder: Path) -> None:
    """Write the weights as fp16; integers (the step counts of batch norm) stay as they are."""
    import torch
    from safetensors.torch import save_file

    state = {
        name: (value.to(torch.float16) if value.is_floating_point() else value).contiguous()
        for name, value in model.state_dict().items()
    }
    partial = folder / "open_clip_model.safetensors.part"
    save_file(state, str(partial), metadata={"format": "pt"})
    partial.chmod(0o644)  # Written for the owner only, which a package would keep.
    partial.replace(folder / "open_clip_model.safetensors")

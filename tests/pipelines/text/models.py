"""Tiny random checkpoints of many families, and a cursor that writes what it is told to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

VOCABULARY = 61
SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "initializer_range": 0.3,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": 0,
}
GATED = {"intermediate_size": 48, "num_key_value_heads": 2}
WINDOWED = {"sliding_window": 8, "use_cache": True}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", GATED | {"tie_word_embeddings": True}),
    "llama-untied": ("Llama", GATED | {"num_key_value_heads": 4, "tie_word_embeddings": False}),
    "llama-linear": (
        "Llama",
        GATED | {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}},
    ),
    "llama-biased": ("Llama", GATED | {"attention_bias": True}),
    "llama-one-key": ("Llama", GATED | {"num_key_value_heads": 1}),
    "llama-dynamic": (
        "Llama",
        GATED | {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}},
    ),
    "gpt2": ("GPT2", {}),
    "qwen2": ("Qwen2", GATED),
    "mistral": ("Mistral", GATED | WINDOWED),
    "gemma2": ("Gemma2", GATED | WINDOWED | {"head_dim": 8}),
    "opt": ("OPT", {"ffn_dim": 48, "word_embed_proj_dim": 32}),
    "gptneox": ("GPTNeoX", {"intermediate_size": 48}),
    "bloom": ("Bloom", {}),
    "mamba": ("Mamba", {"state_size": 4}),
}


def build(family: str, folder: Path) -> Any:
    """A random checkpoint, saved and loaded."""
    return _build(family, *FAMILIES[family], folder)


def _build(family: str, name: str, options: dict[str, Any], folder: Path) -> Any:
    config = getattr(transformers, f"{name}Config")(**(SMALL | options))
    head = "GPT2LMHeadModel" if name == "GPT2" else f"{name}ForCausalLM"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = getattr(transformers, head)(config)
    # Norms begin as ones; other numbers tell whether they are used.
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        for weight in (p for p in model.parameters() if p.ndim == 1):
            weight += 0.1 * torch.randn_like(weight)
    model.save_pretrained(folder / family)
    return getattr(transformers, head).from_pretrained(folder / family).eval()


def wide(folder: Path) -> Any:
    """A Llama with four heads of 64 a key, whose sums over long texts libraries like to part."""
    options = {"hidden_size": 512, "num_attention_heads": 8, "max_position_embeddings": 512}
    return _build("wide", "Llama", GATED | options, folder)


def prompts(lengths: Sequence[int], seed: int = 0) -> list[list[int]]:
    """Random prompts without the padding token."""
    numbers = torch.Generator().manual_seed(seed)
    return [torch.randint(1, VOCABULARY, (n,), generator=numbers).tolist() for n in lengths]


class Writer:
    """A text of so many tokens, decided by numbers of its seed; without one, by likelihood."""

    def __init__(
        self,
        context: Sequence[int],
        count: int,
        seed: int | None = None,
        tokens: Sequence[int] = (),
    ) -> None:
        self.context = context
        self.tokens = tokens
        self.new: list[int] = []
        numbers = torch.Generator().manual_seed(seed or 0)
        drawn = torch.rand(len(tokens) + count, generator=numbers, dtype=torch.float64).tolist()
        self._left: list[float | None] = drawn[len(tokens) :] if seed else [None] * count

    def uniform(self) -> float | None:
        return self._left[0]

    def take(self, token: int) -> bool:
        self.new.append(token)
        del self._left[0]
        return bool(self._left)

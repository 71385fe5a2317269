"""The network of the arithmetic model, and its folder in transformers' format."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from noise_search.pipelines.arithmetic.tokens import BOS, EOS, PAD, new_tokenizer

__all__ = ["FOLDER", "LONGEST_SOLUTION", "export", "load", "new_model"]

FOLDER = Path(__file__).with_name("model")
"""The trained weights that ship with the package."""

LONGEST_SOLUTION = 96
"""Tokens that a solution of depth 8 never needs, its ``</s>`` included."""


def new_model(seed: int) -> LlamaForCausalLM:
    """A model of random float32 weights, 0.72 M of them, with eager attention.

    At this size explicit attention trains faster on a CPU than the fused kernel.
    """
    tokenizer = new_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=320,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=tokenizer.model_max_length,
        tie_word_embeddings=True,
        attn_implementation="eager",
        **_special_ids(tokenizer),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


def export(model: LlamaForCausalLM, folder: Path) -> None:
    """Write config, float16 weights and tokenizer as transformers' ``from_pretrained`` reads them.

    The model itself becomes float16.
    """
    tokenizer = new_tokenizer()
    model.generation_config = GenerationConfig(
        max_new_tokens=LONGEST_SOLUTION, **_special_ids(tokenizer)
    )
    model.to(torch.float16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def load(folder: Path = FOLDER) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """The float32 model, ready to be evaluated, and its tokenizer."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model.eval(), AutoTokenizer.from_pretrained(folder)


def _special_ids(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    names = {"pad": PAD, "bos": BOS, "eos": EOS}
    return {f"{k}_token_id": tokenizer.convert_tokens_to_ids(v) for k, v in names.items()}

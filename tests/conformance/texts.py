"""A tiny language model of arithmetic signs: random weights, and lines and texts that do end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from noise_search.pipelines.arithmetic.tokens import BOS, EOS, PAD, new_tokenizer

OFTEN = {
    "\n": 2.5,
    EOS: 1.5,
    "1": 2.5,
    "2": 2.0,
    "3": 1.0,
    " = ": 2.2,
    " + ": 2.2,
    " * ": 1.0,
    "answer ": 0.5,
}
"""What it likes to write, in logits; all else is at `SELDOM`."""
SELDOM = -1.0


def save_tiny_text(folder: Path) -> Path:
    """Save model and tokenizer as a folder that `hf:FOLDER` loads."""
    tokenizer = new_tokenizer()
    special = {"pad_token_id": PAD, "bos_token_id": BOS, "eos_token_id": EOS}
    ids: dict[str, Any] = {k: tokenizer.convert_tokens_to_ids(v) for k, v in special.items()}
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=False,
        initializer_range=0.3,
        **ids,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: Any = LlamaForCausalLM(config)
    with torch.no_grad():
        # One coordinate is the same for every token, so that its column of the head is a bias.
        model.model.embed_tokens.weight[:, 0] = 4.0
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight[0] = 0.0
            layer.mlp.down_proj.weight[0] = 0.0
        model.lm_head.weight[:, 0] = SELDOM
        for token, logit in OFTEN.items():
            model.lm_head.weight[tokenizer.convert_tokens_to_ids(token), 0] = logit
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder

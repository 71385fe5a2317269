"""Write many solutions at once: a batched loop with a key-value cache."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache, LlamaForCausalLM, PreTrainedTokenizerFast

from noise_search.pipelines.arithmetic.model import LONGEST_SOLUTION

__all__ = ["solutions"]

_CLEAR_EVERY = 8


def solutions(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    prompts: Sequence[str],
    temperature: float,
    seed: int,
    width: int = 256,
) -> list[str]:
    """The model's text after each prompt, up to ``</s>`` or :data:`LONGEST_SOLUTION` tokens.

    Temperature 0 takes the likeliest token.  Prompts are played ``width`` at a time, those of
    about equal length together, so a text depends on the other prompts through the random
    numbers.
    """
    rows = tokenizer(list(prompts))["input_ids"]
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    generator = torch.Generator().manual_seed(seed)
    texts = [""] * len(rows)
    for start in range(0, len(order), width):
        chosen = order[start : start + width]
        inputs = tokenizer.pad({"input_ids": [rows[i] for i in chosen]}, return_tensors="pt")
        written = _write(
            model, inputs["input_ids"], inputs["attention_mask"], temperature, generator
        )
        for i, text in zip(
            chosen, tokenizer.batch_decode(written, skip_special_tokens=True), strict=True
        ):
            texts[i] = text
    return texts


@torch.inference_mode()
def _write(
    model: LlamaForCausalLM,
    inputs: Tensor,
    mask: Tensor,
    temperature: float,
    generator: torch.Generator,
) -> Tensor:
    """Tokens (B, at most LONGEST_SOLUTION) after left-padded ``inputs`` (B, L) with their mask.

    Padding follows ``</s>``.  Finished rows leave the batch now and then.
    """
    pad, eos = model.config.pad_token_id, model.config.eos_token_id
    written = torch.full((len(inputs), LONGEST_SOLUTION), pad)
    live, cache = torch.arange(len(inputs)), DynamicCache()
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    ended = torch.zeros(len(inputs), dtype=torch.bool)
    for step in range(LONGEST_SOLUTION):
        # By position: the cache's parameter is not called the same in all releases.
        output = model(inputs, mask, positions, cache, use_cache=True, logits_to_keep=1)
        logits = output.logits[:, -1]
        token = _choose(logits, temperature, generator).masked_fill(ended, pad)
        written[live, step] = token
        ended |= token == eos
        if ended.all():
            break
        positions = positions[:, -1:] + 1
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        inputs = token[:, None]
        if step % _CLEAR_EVERY == 0 and ended.any():
            keep = (~ended).nonzero()[:, 0]
            cache.batch_select_indices(keep)
            live, ended = live[keep], ended[keep]
            positions, mask, inputs = positions[keep], mask[keep], inputs[keep]
    return written


def _choose(logits: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """One token (B,) for each row of ``logits`` (B, V)."""
    if temperature == 0:
        return logits.argmax(-1)
    chances = torch.softmax(logits / temperature, dim=-1)
    return torch.multinomial(chances, 1, generator=generator)[:, 0]

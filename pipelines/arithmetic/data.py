"""Training sequences of the arithmetic model, in batches of about equal length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from noise_search.pipelines.arithmetic.problems import DEPTHS, held_out, question, solve
from noise_search.pipelines.arithmetic.tokens import prompt_text

__all__ = ["Batch", "Example", "batches", "plain_example"]

_POOL = 1024
_IGNORED = -100


@dataclass(frozen=True)
class Example:
    """A prompt and the solution that is to be learnt after it."""

    prompt: str
    solution: str


@dataclass(frozen=True)
class Batch:
    """``inputs`` and ``labels``, both (B, L) int64; labels that do not count are -100."""

    inputs: Tensor
    labels: Tensor


def plain_example(rng: np.random.Generator) -> Example:
    """A training question of a random depth with its worked solution."""
    while True:
        text = question(rng, int(rng.integers(DEPTHS[0], DEPTHS[-1] + 1)))
        if not held_out(text):
            return Example(prompt_text(text), "\n".join(solve(text)))


def batches(
    draw: Callable[[np.random.Generator], Example],
    tokenizer: PreTrainedTokenizerFast,
    seed: int,
    tokens: int,
) -> Iterator[Batch]:
    """Endless batches of at most ``tokens`` tokens, padding included.

    Examples are drawn 1,024 at a time and sorted by length, so that little is padding; the
    batches of such a pool come in random order.
    """
    rng = np.random.default_rng(seed)
    while True:
        examples = [draw(rng) for _ in range(_POOL)]
        prompts = tokenizer([e.prompt for e in examples])["input_ids"]
        solutions = tokenizer([e.solution for e in examples], add_special_tokens=False)["input_ids"]
        rows = sorted(zip(prompts, solutions, strict=True), key=lambda row: len(row[0] + row[1]))
        cuts, start = [], 0
        for end in range(1, len(rows) + 1):
            widest = len(rows[min(end, len(rows) - 1)][0] + rows[min(end, len(rows) - 1)][1]) + 1
            if end == len(rows) or (end + 1 - start) * widest > tokens:
                cuts.append((start, end))
                start = end
        for which in rng.permutation(len(cuts)):
            yield _batch(rows[slice(*cuts[which])], tokenizer)


def _batch(rows: list[tuple[list[int], list[int]]], tokenizer: PreTrainedTokenizerFast) -> Batch:
    """Padded at the end; a causal model needs no mask for that."""
    length = max(len(prompt) + len(solution) for prompt, solution in rows) + 1
    inputs = torch.full((len(rows), length), tokenizer.pad_token_id)
    labels = torch.full((len(rows), length), _IGNORED)
    for row, (prompt, solution) in enumerate(rows):
        text = torch.tensor([*prompt, *solution, tokenizer.eos_token_id])
        inputs[row, : len(text)] = text
        labels[row, len(prompt) : len(text)] = text[len(prompt) :]
    return Batch(inputs, labels)

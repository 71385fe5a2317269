"""Tokenizers of the published classes whose vocabulary is the alphabet, built without a file."""

from __future__ import annotations

from string import printable
from typing import Any

import transformers
from tokenizers.pre_tokenizers import ByteLevel

library: Any = transformers

START, END = "<|startoftext|>", "<|endoftext|>"


def clip_tokenizer(pad: str = END) -> Any:
    """CLIP's byte-level tokenizer; `pad` is "!" for the second of SDXL."""
    letters = sorted(ByteLevel.alphabet())
    vocab = [*letters, *(f"{letter}</w>" for letter in letters), START, END]
    return library.CLIPTokenizer(
        vocab=_numbered(vocab), merges=[], pad_token=pad, model_max_length=77
    )


def t5_tokenizer(length: int = 64) -> Any:
    """A unigram tokenizer of T5's kind: pad 0, end 1, unknown 2."""
    pieces = ["<pad>", "</s>", "<unk>", "▁", *_letters()]
    scores = [(piece, 0.0 if at < 3 else -1.0) for at, piece in enumerate(pieces)]
    return library.T5Tokenizer(vocab=scores, extra_ids=0, model_max_length=length)


def _letters() -> list[str]:
    return [letter for letter in printable if not letter.isspace()]


def _numbered(vocab: list[str]) -> dict[str, int]:
    return {token: at for at, token in enumerate(vocab)}

"""Several questions about one picture: what they begin with is read once.

A vision-language model reads a picture as hundreds of tokens, and a question about it as a few
dozen.  Questions that differ behind the picture alone share its keys and values: the model reads
what they have in common once, and the rest of each question behind a copy of that.  The rests are
padded at their ends, where causal attention does not look: so neither masks nor positions have to
be told, and the model finds the latter itself, as it does when it writes.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from functools import partial
from itertools import takewhile
from math import isclose
from typing import TYPE_CHECKING, Any

from noise_search.errors import out_of_memory
from noise_search.verifiers.batches import Batches
from noise_search.verifiers.judge_models import Seeing, likelihoods
from noise_search.verifiers.pictures import Pixels

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["SharedPrefix"]

TOLERANCE = {"float32": 1e-3, "bfloat16": 0.2, "float16": 0.05}
"""Relative, of a likelihood: what rounding may do. Wrong positions or masks do far more."""


class SharedPrefix:
    """Reads the common beginning of several questions about a picture once.

    Args:
        model: sees and answers.
        said: tokens of an answer.
    """

    def __init__(self, model: Seeing, said: Sequence[int]) -> None:
        self._model = model
        self._said = list(said)
        takes = inspect.signature(model.model.forward).parameters
        self._cache = "cache" if "cache" in takes else "past_key_values"

    def agrees(self, picture: Pixels, questions: Sequence[str], expected: Sequence[float]) -> bool:
        """Whether the model answers as it does to whole questions.

        Some do not: those that look forward within a question, that keep no keys and values, or
        whose template puts the picture last.

        Args:
            picture: what is asked about.
            questions: as those of `__call__`.
            expected: how likely the answer is when each is read as a whole.
        """
        try:
            found = self(picture, questions)
        except Exception as error:  # whatever a model raises at what it is not made for
            if out_of_memory(error):
                raise
            return False
        bound = TOLERANCE[self._model.place.dtype]
        return all(isclose(a, b, rel_tol=bound) for a, b in zip(found, expected, strict=True))

    def __call__(self, picture: Pixels, questions: Sequence[str]) -> list[float]:
        """How likely the answer is behind each question, 0 to 1.

        Args:
            picture: what is asked about.
            questions: as `Seeing.question` gives them.

        Raises:
            ValueError: they do not share a picture at their beginning.
        """
        import torch
        from transformers import DynamicCache

        head, rests = self._parted(picture, questions)
        with torch.inference_mode():
            seen: Any = DynamicCache(config=self._model.model.config)
            self._model.model(**head, **{self._cache: seen}, use_cache=True, logits_to_keep=1)
            return Batches(partial(self._behind, seen), self._model.place.batch)(rests)

    def _parted(
        self, picture: Pixels, questions: Sequence[str]
    ) -> tuple[dict[str, Any], list[list[int]]]:
        """What the model takes of the common beginning, and the other tokens of each question."""
        inputs = self._model.encoded(questions[:1], [[picture]])
        tokens = [self._model.tokens(question) for question in questions]
        # of each at least one token is left, to say what comes after it
        same = (len(set(column)) == 1 for column in zip(*tokens, strict=False))
        alike = sum(takewhile(bool, same))
        shared = min(alike, *(len(row) - 1 for row in tokens))
        rests = [row[shared:] for row in tokens]
        ids: Tensor = inputs["input_ids"]
        length = len(rests[0])
        if ids[0, -length:].tolist() != rests[0]:
            raise ValueError("the picture is not at the beginning")
        cut = {
            key: value[:, :-length] if getattr(value, "shape", None) == ids.shape else value
            for key, value in inputs.items()
        }
        return cut, rests

    def _behind(self, seen: Any, rests: Sequence[Sequence[int]]) -> list[float]:
        """How likely the answer is behind each rest, each read behind what was seen."""
        import torch

        rows = [[*rest, *self._said[:-1]] for rest in rests]
        longest, first = max(map(len, rows)), min(map(len, rests)) - 1
        padded = [row + row[-1:] * (longest - len(row)) for row in rows]
        cache = copy.deepcopy(seen)
        cache.batch_repeat_interleave(len(rows))
        ids = torch.tensor(padded, device=self._model.place.device)
        kept = longest - first
        known = {self._cache: cache, "use_cache": True, "logits_to_keep": kept}
        logits = self._model.model(input_ids=ids, **known).logits[:, -kept:]
        begin = torch.tensor([len(rest) - 1 - first for rest in rests], device=logits.device)
        at = begin[:, None] + torch.arange(len(self._said), device=logits.device)
        return likelihoods(logits[torch.arange(len(rows))[:, None], at], self._said)

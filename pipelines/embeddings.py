"""Prompts are encoded once each, and in no company, so that an embedding never depends on it."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import wraps
from typing import Any

import torch
from torch import Tensor

__all__ = ["Embeddings"]

Row = tuple[Any, ...]


class Embeddings:
    """What a pipeline's `encode_prompt` answered, by text; the oldest are let go.

    A text encoder's last bits depend on how many rows it is given, so each prompt is encoded as
    `copies` rows of itself: the bits are those it has in a full batch, whatever the neighbours.

    Args:
        copies: rows of a batch.
        keep: bytes of embeddings kept.
    """

    def __init__(self, copies: int, keep: int = 256 << 20) -> None:
        self._copies = copies
        self._keep = keep
        self._bytes = 0
        self._rows: OrderedDict[Hashable, Row] = OrderedDict()

    def remembering(self, encode: Callable[..., Any]) -> Callable[..., Any]:
        """The same `encode_prompt`, which asks the encoder for new prompts alone."""
        signature = inspect.signature(encode)

        @wraps(encode)  # pipelines look at the signature
        def encode_prompt(*args: Any, **kwargs: Any) -> Any:
            given = signature.bind(*args, **kwargs).arguments
            texts = {k: v for k, v in given.items() if _is_texts(v)}
            rest = {k: v for k, v in given.items() if k not in texts}
            counts = {len(v) for v in texts.values()}
            if len(counts) != 1 or not all(_is_plain(v) for v in rest.values()):
                return encode(*args, **kwargs)
            rows = [
                self._row(encode, {k: v[i] for k, v in texts.items()}, rest)
                for i in range(counts.pop())
            ]
            return encode(*args, **kwargs) if None in rows else _joined([r for r in rows if r])

        return encode_prompt

    def _row(
        self, encode: Callable[..., Any], texts: Mapping[str, str], rest: Mapping[str, Any]
    ) -> Row | None:
        """One prompt's part of the answer; None where the answer has no rows of prompts."""
        key = (tuple(texts.items()), tuple((k, str(v)) for k, v in rest.items()))
        if key in self._rows:
            self._rows.move_to_end(key)
            return self._rows[key]
        answer = encode(**{k: [text] * self._copies for k, text in texts.items()}, **rest)
        if not isinstance(answer, tuple) or not any(self._has_rows(part) for part in answer):
            return None
        # A part without rows of prompts is the same for all of them, and kept as it is.
        row = tuple(part[:1].clone() if self._has_rows(part) else (part,) for part in answer)
        self._rows[key] = row
        self._bytes += _size(row)
        while self._bytes > self._keep and len(self._rows) > 1:
            self._bytes -= _size(self._rows.popitem(last=False)[1])
        return row

    def _has_rows(self, part: Any) -> bool:
        return isinstance(part, Tensor) and part.ndim > 0 and len(part) == self._copies


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, str) for v in value)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str, torch.device, torch.dtype))


def _size(row: Row) -> int:
    return sum(part.nbytes for part in row if isinstance(part, Tensor))


def _joined(rows: Sequence[Row]) -> tuple[Any, ...]:
    """The answer for a batch, from those of its prompts."""
    return tuple(
        torch.cat(parts) if isinstance(parts[0], Tensor) else parts[0][0]
        for parts in zip(*rows, strict=True)
    )

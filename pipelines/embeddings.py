"""Prompts are encoded once each, and in no company, so that an embedding never depends on it."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import wraps
from typing import Any, NamedTuple

import torch
from torch import Tensor

__all__ = ["Apart", "Embeddings"]


_COUNT = "batch_size"


class Apart(Exception):  # noqa: N818 - a wish, not an error
    """These prompts cannot share a batch: each must be played in one of its own."""


class Part(NamedTuple):
    """One part of an encoder's answer: one prompt's row of it, or what all prompts share."""

    value: Any
    per_prompt: bool


class Row(NamedTuple):
    """One prompt's part of an encoder's answer, and whether the answer was a tuple."""

    parts: tuple[Part, ...]
    several: bool

    @property
    def size(self) -> int:
        """Bytes held."""
        tensors = [
            item
            for part in self.parts
            for item in (part.value if isinstance(part.value, list) else [part.value])
            if isinstance(item, Tensor)
        ]
        return sum(tensor.nbytes for tensor in tensors)


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
            [count] = counts
            if rest.get(_COUNT) == count:  # some are told how many prompts they are given
                rest[_COUNT] = self._copies
            rows = [
                self._row(encode, {k: v[i] for k, v in texts.items()}, rest) for i in range(count)
            ]
            # Padded to a common length, a row would depend on its neighbours.
            if not _share_alike(rows):
                raise Apart
            return _joined(rows)

        return encode_prompt

    def _row(
        self, encode: Callable[..., Any], texts: Mapping[str, str], rest: Mapping[str, Any]
    ) -> Row:
        """One prompt's part of the answer."""
        key = (tuple(texts.items()), tuple((k, str(v)) for k, v in rest.items()))
        if key in self._rows:
            self._rows.move_to_end(key)
            return self._rows[key]
        answer = encode(**{k: [text] * self._copies for k, text in texts.items()}, **rest)
        parts = answer if isinstance(answer, tuple) else (answer,)
        row = Row(tuple(self._first(part) for part in parts), isinstance(answer, tuple))
        self._rows[key] = row
        self._bytes += row.size
        while self._bytes > self._keep and len(self._rows) > 1:
            self._bytes -= self._rows.popitem(last=False)[1].size
        return row

    def _first(self, part: Any) -> Part:
        """The first prompt's rows of one part; a part without such rows is the same for all."""
        if isinstance(part, (Tensor, list)) and _length(part) == self._copies:
            return Part(part[:1].clone() if isinstance(part, Tensor) else part[:1], True)
        return Part(part, False)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, str) for v in value)


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(part) for part in value.values())
    if isinstance(value, (list, tuple)):
        return all(_is_plain(part) for part in value)
    return value is None or isinstance(value, (bool, int, float, str, torch.device, torch.dtype))


def _length(part: Tensor | list[Any]) -> int:
    return len(part) if isinstance(part, list) or part.ndim else -1


def _share_alike(rows: Sequence[Row]) -> bool:
    """Whether the parts that are not a prompt's own are the same for all of these prompts."""
    first = rows[0].parts
    return all(
        _shaped(mine.value) == _shaped(its.value)
        if mine.per_prompt
        else not isinstance(mine.value, Tensor) or torch.equal(mine.value, its.value)
        for row in rows
        if row is not rows[0]
        for mine, its in zip(first, row.parts, strict=True)
    )


def _shaped(value: Any) -> tuple[int, ...]:
    """The shape of a tensor; lists hold rows of any length."""
    return tuple(value.shape) if isinstance(value, Tensor) else ()


def _joined(rows: Sequence[Row]) -> Any:
    """The answer for a batch, from those of its prompts."""
    answer = tuple(
        _cat([part.value for part in parts]) if parts[0].per_prompt else parts[0].value
        for parts in zip(*(row.parts for row in rows), strict=True)
    )
    return answer if rows[0].several else answer[0]


def _cat(values: Sequence[Any]) -> Any:
    if isinstance(values[0], Tensor):
        return torch.cat(list(values))
    return [item for value in values for item in value]

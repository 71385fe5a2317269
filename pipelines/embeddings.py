"""Prompts are encoded once each, and in no company, so that an embedding never depends on it."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import wraps
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from noise_search.pipelines.arguments import recorded
from noise_search.pipelines.calls import EMBEDDED

__all__ = ["ENCODING", "Apart", "Embeddings"]

ENCODING = "encode_prompt"
"""The method by which pipelines encode prompts."""

_COUNT = "batch_size"
_ALIKE = 2e-2
"""How far copies of a prompt may be apart, for half precision's sake."""


class Apart(Exception):  # noqa: N818 - a wish, not an error
    """These prompts cannot share a batch: each must be played in one of its own."""


class Part(NamedTuple):
    """One part of an encoder's answer: one prompt's rows of it, or what all prompts share.

    Attributes:
        value: the rows; the part as it is, or its own parts where it has some.
        axis: along which its rows lie; None where it has none.
        nested: whether it is a list or tuple of parts, as of a text encoder's layers.
    """

    value: Any
    axis: int | None
    nested: bool = False


class Row(NamedTuple):
    """One prompt's part of an encoder's answer, and the bytes that it holds."""

    part: Part
    size: int


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
            alone = not all(_is_plain(v) for v in rest.values())
            if len(counts) != 1 or (alone and not all(_is_told(v) for v in rest.values())):
                return encode(*args, **kwargs)
            [count] = counts
            if any(EMBEDDED in k and isinstance(v, Tensor) for k, v in rest.items()):
                return encode(*args, **kwargs)  # embeddings of each row, beside their texts
            # Encoders that look at a picture beside the text want one for each text.
            copies = 1 if alone else self._copies
            if rest.get(_COUNT) == count:  # some are told how many prompts they are given
                rest[_COUNT] = copies
            rows = [
                self._row(encode, {k: v[i] for k, v in texts.items()}, rest, copies).part
                for i in range(count)
            ]
            # Padded to a common length, a row would depend on its neighbours.
            if not _share_alike(rows):
                raise Apart
            return _joined(rows)

        return encode_prompt

    def _row(
        self,
        encode: Callable[..., Any],
        texts: Mapping[str, str],
        rest: Mapping[str, Any],
        copies: int,
    ) -> Row:
        """One prompt's part of the answer, where it is encoded in so many copies."""
        key = (tuple(texts.items()), tuple((k, _told(v)) for k, v in rest.items()))
        if key in self._rows:
            self._rows.move_to_end(key)
            return self._rows[key]
        answer = encode(**{k: [text] * copies for k, text in texts.items()}, **rest)
        part = _first(answer, copies)
        row = Row(part, _size(part))
        self._rows[key] = row
        self._bytes += row.size
        while self._bytes > self._keep and len(self._rows) > 1:
            self._bytes -= self._rows.popitem(last=False)[1].size
        return row


def _is_told(value: Any) -> bool:
    """Whether what a value holds can be told from its digest: pictures, arrays, plain values."""
    if isinstance(value, (list, tuple)):
        return all(_is_told(part) for part in value)
    picture = type(value).__module__.startswith("PIL.")
    return picture or isinstance(value, (Tensor, np.ndarray)) or _is_plain(value)


def _told(value: Any) -> str:
    return str(value) if _is_plain(value) else str(recorded(value))


def _first(answer: Any, copies: int) -> Part:
    """The first prompt's rows of an answer; a part without such rows is the same for all."""
    if isinstance(answer, Tensor):
        axis = _axis(answer, copies)
        return Part(answer if axis is None else answer.narrow(axis, 0, 1).clone(), axis)
    if isinstance(answer, list) and len(answer) == copies and _repeats(answer):
        return Part(answer[:1], 0)
    if isinstance(answer, (list, tuple)):
        return Part(type(answer)(_first(part, copies) for part in answer), None, nested=True)
    return Part(answer, None)


def _axis(part: Tensor, copies: int) -> int | None:
    """Where a tensor's rows lie: all are of one prompt, and so they are alike.

    The first axis is theirs, or a later one: some stack the layers of a text encoder.
    """
    axes = range(part.ndim - 1 if part.ndim > 2 else min(part.ndim, 1))
    fit = [axis for axis in axes if part.shape[axis] == copies]
    return next((axis for axis in fit if _repeats(part.unbind(axis))), None)


def _repeats(rows: Sequence[Any]) -> bool:
    """Whether rows are one and the same, but for the last bits."""
    first = rows[0]
    if not isinstance(first, Tensor):
        return not isinstance(first, (list, tuple)) and all(row == first for row in rows)
    return all(
        isinstance(row, Tensor)
        and row.shape == first.shape
        and torch.allclose(row.double(), first.double(), _ALIKE, _ALIKE, equal_nan=True)
        for row in rows[1:]
    )


def _size(part: Part) -> int:
    """Bytes held."""
    if part.nested:
        return sum(_size(inner) for inner in part.value)
    items = part.value if isinstance(part.value, list) else [part.value]
    return sum(item.nbytes for item in items if isinstance(item, Tensor))


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, str) for v in value)


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(part) for part in value.values())
    if isinstance(value, (list, tuple)):
        return all(_is_plain(part) for part in value)
    return value is None or isinstance(value, (bool, int, float, str, torch.device, torch.dtype))


def _share_alike(parts: Sequence[Part]) -> bool:
    """Whether answers differ in their prompts' own rows alone, and those can be joined."""
    first = parts[0]
    if any(part.nested != first.nested or part.axis != first.axis for part in parts):
        return False
    if first.nested:
        lengths = {len(part.value) for part in parts}
        within = zip(*(part.value for part in parts), strict=False)
        return len(lengths) == 1 and all(_share_alike(inner) for inner in within)
    if first.axis is not None:
        return len({_shaped(part.value) for part in parts}) == 1
    return all(_same(part.value, first.value) for part in parts[1:])


def _same(one: Any, other: Any) -> bool:
    """Whether what an answer holds once is the same for two prompts."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    return not (_is_plain(one) and _is_plain(other)) or one == other


def _shaped(value: Any) -> tuple[int, ...]:
    """The shape of a tensor; lists hold rows of any length."""
    return tuple(value.shape) if isinstance(value, Tensor) else ()


def _joined(parts: Sequence[Part]) -> Any:
    """The answer for a batch, from those of its prompts."""
    first = parts[0]
    if first.nested:
        within = zip(*(part.value for part in parts), strict=True)
        return type(first.value)(_joined(inner) for inner in within)
    if first.axis is None:
        return first.value
    if isinstance(first.value, Tensor):
        return torch.cat([part.value for part in parts], dim=first.axis)
    return [item for part in parts for item in part.value]

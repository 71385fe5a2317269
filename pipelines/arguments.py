"""The arguments of a pipeline's call as they stand in a record: plain values, and digests."""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Mapping
from typing import Any, cast

from pydantic import JsonValue as Json

from noise_search.errors import UserError

__all__ = ["Json", "is_digest", "recorded"]

_DIGEST = re.compile(r"<(image|array|tensor|callable|object) [^<>]{1,400}>")


def recorded(value: object, key: str = "pipeline") -> Json:
    """What stands for a value in a record; equal values have equal records.

    Pictures, arrays and tensors are told by a digest, functions and other objects by their names.

    >>> recorded((1, "a"))
    [1, 'a']

    Args:
        value: what the pipeline is called with.
        key: what it is called, for errors.

    Raises:
        UserError: it is not a finite number, or holds itself.
    """
    try:
        return _recorded(value, key)
    except RecursionError:
        raise UserError(f"{key}: nested too deeply, or holds itself") from None


def _recorded(value: object, key: str) -> Json:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, os.PathLike):
        return os.fsdecode(cast("os.PathLike[str]", value))
    if isinstance(value, float):
        if not math.isfinite(value):
            raise UserError(f"{key}={value}: a finite number is needed")
        return value
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return {str(k): _recorded(v, f"{key}.{k}"[:200]) for k, v in items}
    if isinstance(value, list | tuple):
        return [_recorded(part, key) for part in cast("list[object]", value)]
    return _told(value, key)


def _told(value: Any, key: str) -> Json:
    """The record of an object."""
    kind = type(value)
    if hasattr(value, "tobytes") and hasattr(value, "mode"):
        palette = bytes(value.getpalette() or ()) if value.mode == "P" else b""
        data = f"{value.mode} {value.size}".encode() + palette + value.tobytes()
        return f"<image sha256:{_sha256(data)} {value.width}x{value.height}>"
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        if not value.shape and hasattr(value, "item"):
            return recorded(value.item(), key)
        what = "tensor" if hasattr(value, "detach") else "array"
        shape = "x".join(map(str, value.shape))
        return f"<{what} sha256:{_sha256(_bytes(value))} {value.dtype} {shape}>"
    name = getattr(value, "__qualname__", None) if callable(value) else None
    if name is not None:
        return f"<callable {_plain(f'{value.__module__}.{name}')}>"
    return f"<object {_plain(f'{kind.__module__}.{kind.__qualname__}')}>"


def _bytes(value: Any) -> bytes:
    """The bytes of an array or a tensor, whatever its number type."""
    if hasattr(value, "detach"):
        import torch

        flat = value.detach().cpu().contiguous().reshape(-1)
        value = flat.view(torch.uint8).numpy()
    found: bytes = value.tobytes()
    return found


def _plain(name: str) -> str:
    """A name without the angle brackets of what is defined in a function."""
    return name.replace("<locals>.", "").replace("<", "").replace(">", "")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def is_digest(value: object) -> bool:
    """Whether a record's value stands for an object that it does not hold.

    >>> is_digest("<callable module.name>"), is_digest("a text")
    (True, False)
    """
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None

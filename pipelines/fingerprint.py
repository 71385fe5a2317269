"""Which weights a model has, in a line for the record."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

__all__ = ["fingerprint"]

_WHOLE = 256 << 20  # Bytes of weights that are hashed whole; larger models by samples.


def fingerprint(tensors: Mapping[str, Tensor], fetch: Callable[[str], Tensor] | None = None) -> str:
    """A digest of weights: of all their bytes, or for a large model of 4 KiB of each tensor.

    Args:
        tensors: by name.
        fetch: gets the content of one, where it is not in the tensor itself.
    """
    whole = sum(t.nbytes for t in tensors.values()) <= _WHOLE
    digest = hashlib.sha256()
    for key, tensor in sorted(tensors.items()):
        content = tensor if fetch is None else fetch(key)
        flat = content.detach().reshape(-1)
        if not whole:
            flat = flat[:: max(1, flat.numel() * flat.element_size() // 4096)]
        data = flat.contiguous().cpu().view(torch.uint8).numpy().tobytes()
        digest.update(f"{key} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(data)
    return f"sha256{'' if whole else '-sampled'}:{digest.hexdigest()}"

"""What other libraries put on a module: diffusers' hooks, and the wrapping of `torch.compile`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

__all__ = ["COMPILED", "hooks_of"]

COMPILED = "_orig_mod"
"""Where a module that `torch.compile` returns holds its model."""


def hooks_of(part: nn.Module) -> Iterator[tuple[str, Any]]:
    """Diffusers' hooks on a module itself, by name, in order of names."""
    held: Any = vars(part).get("_diffusers_hook")
    if held is not None:
        yield from sorted(held.hooks.items())

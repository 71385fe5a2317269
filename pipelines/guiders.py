"""Guiders: components of a pipeline that mix a denoiser's answers, and may remember earlier ones.

A pipeline with a guider (HunyuanImage's adaptive projected guidance, Sadat et al. 2410.02416, has
a momentum) goes on right from the middle of a path only with what the guider held there. It is
taken from the guider's own attributes, as a solver's memory is; no guider is known by name.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

__all__ = ["SEPARATOR", "guiders_of", "guides", "held", "put"]

SEPARATOR = "/"
"""Between the names that lead from a guider to what it holds."""


def guiders_of(pipe: Any) -> dict[str, Any]:
    """Copies of a pipeline's guiders by component: what one call holds is not the next one's."""
    return {n: copy.deepcopy(part) for n, part in pipe.components.items() if guides(part)}


def guides(part: Any) -> bool:
    """Whether a component is told each step and combines the predictions of it."""
    return callable(part) and hasattr(part, "set_state") and hasattr(part, "prepare_inputs")


def held(guiders: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What guiders hold, by the names that lead there: `guider/momentum_buffer/running_average`."""
    for name, guider in guiders.items():
        yield from _leaves(guider, name, set())


def _leaves(thing: Any, path: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """What a thing holds; of what refers to itself, each part once."""
    seen.add(id(thing))
    for name, value in vars(thing).items():
        here = f"{path}{SEPARATOR}{name}"
        if name == "_internal_dict" or id(value) in seen:
            continue
        if hasattr(value, "__dict__") and not isinstance(value, (Tensor, nn.Module, type)):
            yield from _leaves(value, here, seen)
        else:
            yield here, value


def put(guiders: Mapping[str, Any], path: str, value: Any) -> None:
    """Let a guider hold a value again.

    Args:
        guiders: by component; each has gone through the steps before, so what it makes on its
            way is there.
        path: as of `held`.
        value: what was held.
    """
    first, *between, last = path.split(SEPARATOR)
    thing = guiders[first]
    for name in between:
        thing = getattr(thing, name)
    setattr(thing, last, value)

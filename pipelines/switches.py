"""How the parts of a pipeline are set beyond their weights, in a line for the record.

Weights do not tell the numbers of a scheduler or a guider, the strength of a LoRA or an IP-Adapter,
FreeU, tiles and slices of a decoder, attention processors, caches, or whether a model is compiled.
Nothing is known of these by name: plain attributes and configurations are what is told.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from torch import nn

from noise_search.pipelines.guiders import guides
from noise_search.pipelines.hooks import COMPILED, hooks_of

__all__ = ["switches"]

_ADAPTERS = ("_active_adapter", "_disable_adapters")
"""Attributes of PEFT's layers that say which LoRA is in use."""


def switches(components: Mapping[str, object]) -> str:
    """A digest of how a pipeline is set; equal settings have equal digests.

    Args:
        components: by name. Of models of other libraries only their adapters are told.
    """
    models = {name: part for name, part in components.items() if isinstance(part, nn.Module)}
    told = {
        f"{name}.{path}": found
        for name, model in models.items()
        for path, part in model.named_modules()
        if (found := dict(_settings(part, model)))
    }
    others = {name: part for name, part in components.items() if name not in models}
    told |= {name: found for name, part in others.items() if (found := dict(_configured(part)))}
    data = json.dumps(told, sort_keys=True, default=str).encode()
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _configured(part: object) -> Iterator[tuple[str, object]]:
    """Name and value of what is set on a scheduler or a guider."""
    config: object = getattr(part, "config", None)
    if isinstance(config, Mapping):
        yield "class", type(part).__name__
        items = cast("Mapping[str, object]", config).items()
        yield from ((k, v) for k, v in items if not k.startswith("_") and _is_plain(v))
    if guides(part):
        yield from ((f"now {name}", value) for name, value in _plain(part))


def _settings(part: nn.Module, model: nn.Module) -> Iterator[tuple[str, object]]:
    """Name and value of what is set on one module."""
    of_peft = type(part).__module__.startswith("peft.")
    inner = getattr(model, COMPILED, model)
    if of_peft or type(inner).__module__.startswith("diffusers."):
        yield from _plain(part)
    if of_peft:
        yield from ((name, getattr(part, name, None)) for name in _ADAPTERS)
    if hasattr(part, COMPILED) or part._compiled_call_impl is not None:
        yield "compiled", True
    processor = vars(part).get("processor")
    if processor is not None:
        yield "processor", [type(processor).__qualname__, dict(_plain(processor))]
    for name, hook in hooks_of(part):
        if hook._is_stateful:
            yield f"hook {name}", dict(_plain(getattr(hook, "config", None)))


def _plain(thing: Any) -> Iterator[tuple[str, object]]:
    """The public attributes that are plain values."""
    for name, value in getattr(thing, "__dict__", {}).items():
        if not name.startswith("_") and name != "training" and _is_plain(value):
            yield name, value


def _is_plain(value: object, within: frozenset[int] = frozenset()) -> bool:
    """Whether JSON can tell a value; it cannot tell one that lies within itself."""
    if id(value) in within:
        return False
    inside = within | {id(value)}
    if isinstance(value, dict):
        items = cast("dict[object, object]", value).items()
        return all(isinstance(k, str) and _is_plain(v, inside) for k, v in items)
    if isinstance(value, list | tuple):
        return all(_is_plain(part, inside) for part in cast("list[object]", value))
    return value is None or isinstance(value, bool | int | float | str)

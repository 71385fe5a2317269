"""Weights of modules that keep them elsewhere while they are not used.

accelerate's hooks leave tensors without content in the module and hold the weights in a mapping;
diffusers' group offloading to a disk leaves tensors of anything and holds the weights in files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from noise_search.pipelines.hooks import COMPILED, hooks_of

__all__ = ["weights_of"]

Fetch = Callable[[], Tensor]


def weights_of(models: Mapping[str, nn.Module]) -> dict[str, tuple[Tensor, Fetch]]:
    """Every weight by name: the tensor as it stands in its module, and how to get its content.

    Args:
        models: by name.
    """
    found: dict[str, tuple[Tensor, Fetch]] = {}
    for name, model in models.items():
        away = dict(_away(model))
        for key, tensor in model.state_dict().items():
            there = name + "." + key.replace(f"{COMPILED}.", "")
            found[there] = tensor, away.get(key, _itself(tensor))
    return found


def _itself(tensor: Tensor) -> Fetch:
    return lambda: tensor


def _away(model: nn.Module) -> Iterator[tuple[str, Fetch]]:
    """Names of weights that are elsewhere, and how they are fetched."""
    files = dict(_on_disk(model))
    for key, tensor in _tensors(model):
        if id(tensor) in files:
            yield key, files[id(tensor)]
    for path, part in model.named_modules():
        for kept in _mappings(getattr(part, "_hf_hook", None)):
            for name, tensor in _tensors(part):
                if tensor.is_meta:
                    yield f"{path}.{name}" if path else name, _from(kept, name)


def _tensors(part: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from part.named_parameters(remove_duplicate=False)
    yield from part.named_buffers(remove_duplicate=False)


def _mappings(hook: Any) -> Iterator[Mapping[str, Tensor]]:
    """Where a hook of accelerate, or those it is made of, hold weights."""
    for one in getattr(hook, "hooks", (hook,)):
        if getattr(one, "weights_map", None) is not None:
            yield one.weights_map


def _from(kept: Mapping[str, Tensor], name: str) -> Fetch:
    return lambda: kept[name]


def _on_disk(model: nn.Module) -> Iterator[tuple[int, Fetch]]:
    """Tensors, by identity, that diffusers' group offloading has written to files."""
    for part in model.modules():
        for _, hook in hooks_of(part):
            group: Any = getattr(hook, "group", None)
            if getattr(group, "offload_to_disk_path", None):
                for tensor, key in group.tensor_to_key.items():
                    yield id(tensor), _in_file(group.safetensors_file_path, key)


def _in_file(path: str, key: str) -> Fetch:
    def fetch() -> Tensor:
        from safetensors import safe_open

        with safe_open(path, framework="pt") as file:
            tensor: Tensor = file.get_tensor(key)
            return tensor

    return fetch

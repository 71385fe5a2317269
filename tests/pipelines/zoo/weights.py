"""Random weights which all have effect: no layer is left at the zeros it is initialised with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Model = TypeVar("Model", bound=nn.Module)


def build(make: Callable[[], Any], *, seed: int = 0) -> Any:
    """The model of `make`, in eval mode, with weights drawn from `seed` alone."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # for what constructors draw and keep in buffers
        return liven(make(), seed).eval()


@torch.no_grad()
def liven(model: Model, seed: int) -> Model:
    """Draw every weight anew, but for norms' ones: embeddings N(0, 1), matrices N(0, 1/fan_in).

    Freshly constructed models are of little use as they are: adaLN-zero gates and output layers
    are zero, and text encoders (std 0.02) hardly depend on their text.
    """
    draws = torch.Generator().manual_seed(seed)
    for module in model.modules():
        for weight in module.parameters(recurse=False):
            if not _is_ones(weight):
                std = 1.0 if isinstance(module, nn.Embedding) else _std(weight)
                weight.copy_(std * torch.randn(weight.shape, generator=draws))
    return model


@torch.no_grad()
def louder(model: Any, name: str, by: float) -> Any:
    """The model with one of its parts multiplied, where little would hang on that part."""
    for weight in model.get_submodule(name).parameters():
        weight.mul_(by)
    return model


def _is_ones(weight: Tensor) -> bool:
    return bool((weight == 1).all())


def _std(weight: Tensor) -> float:
    if weight.ndim < 2:
        return 0.1
    fan_in = weight.numel() / weight.shape[0]
    return float(max(fan_in, 1.0) ** -0.5)

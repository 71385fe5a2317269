"""From a spec to the built-in model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from noise_search.errors import UserError, nearest
from noise_search.pipelines.loading import defaults, put, quietly, wrap
from noise_search.pipelines.options import Options
from noise_search.problem import Pipeline
from noise_search.specs import Spec

__all__ = ["shapes"]

_SHAPES = ("flow", "ddim")


def shapes(spec: Spec, options: Options, /) -> Pipeline:
    """The built-in model of coloured shapes: `shapes:flow` (the default) or `shapes:ddim`.

    Args:
        spec: as written.
        options: the run's.
    """
    variant = _SHAPES[0] if spec.target is None else spec.target
    if variant not in _SHAPES or spec.part is not None or spec.items:
        raise UserError(f"model {spec}: unknown variant {variant!r}{nearest(variant, _SHAPES)}")
    import torch

    from noise_search.pipelines.shapes.pipeline import ShapesPipeline

    folder = _folder(variant)
    if not (folder / "model_index.json").is_file():
        raise UserError(f"model {spec}: its weights are missing from {folder}; install it again")
    pipe: Any = ShapesPipeline
    with quietly():
        pipe = pipe.from_pretrained(folder)
    for module in pipe.components.values():
        if isinstance(module, torch.nn.Module):
            # Not the model's own method, which warns of modules to keep in fp32: it has none.
            torch.nn.Module.to(module, getattr(torch, options.dtype))
    put(pipe, options.device, options.offload)
    if options.guidance_scale is None:
        options = replace(options, guidance_scale=defaults("shapes").guidance_scale)
    return wrap(pipe, options)


def _folder(variant: str) -> Path:
    """Where the weights of a shapes model lie in the package."""
    return Path(__file__).resolve().parent / variant

"""Denoisers that keep what they have computed for their next steps, as diffusers' caches do.

What such a cache holds belongs to one batch on its way from noise to sample: first-block cache
(`FirstBlockCacheConfig`), pyramid attention broadcast (Zhao et al. 2408.12588), FasterCache (Lv et
al. 2410.19355), TaylorSeer (Liu et al. 2503.06923) and whatever else keeps state in a hook.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from noise_search.errors import UserError
from noise_search.pipelines.hooks import hooks_of

__all__ = ["check_cache", "keeps"]


def keeps(module: Any) -> bool:
    """Whether a module keeps something from one step of a path for the next."""
    return any(hook._is_stateful for part in module.modules() for _, hook in hooks_of(part))


def check_cache(pipe: Any, names: Sequence[str], *, whole: bool, width: int) -> None:
    """Refuse what a denoiser with a cache would do wrong.

    A path that begins in its middle would find an empty cache. Rows of one batch share the
    decision to skip, so that a row would depend on its neighbours.

    Args:
        pipe: the pipeline.
        names: of its denoisers.
        whole: whether paths are walked from noise to sample in one go.
        width: rows of a batch.

    Raises:
        UserError: a path would be cut, or share a batch, while a denoiser caches.
    """
    name = next((name for name in names if keeps(getattr(pipe, name))), None)
    if name is None:
        return
    said = f"{type(pipe).__name__}: its {name} caches what it computes from step to step"
    if not whole:
        raise UserError(
            f"{said}, so no path can be cut; search final noises (random, zero-order), "
            f"or turn the cache off, pipe.{name}.disable_cache()"
        )
    if width > 1:
        raise UserError(
            f"{said}, so rows of a batch would depend on each other; --batch 1, "
            f"or turn the cache off, pipe.{name}.disable_cache()"
        )

"""The user's own `callback_on_step_end` inside a search.

Any callback is told of the steps that are really made, and may change their latents. One that
steers the call otherwise (guidance that ends early, other embeddings) must be heard at each step
of each call, those that are skipped and those that are only surveyed too: else a path that is cut
would be another, and its price wrong. It says so as `diffusers.callbacks.PipelineCallback` does,
by an attribute `tensor_inputs`, the names of the arrays it wants.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from noise_search.errors import UserError

__all__ = ["CALLBACK", "INPUTS", "aside", "steers", "watched"]

CALLBACK, INPUTS = "callback_on_step_end", "callback_on_step_end_tensor_inputs"
"""Keywords of a pipeline's call."""

Callback = Callable[[Any, int, Any, dict[str, Any]], Mapping[str, Any] | None]

_OWN = ("_interrupt", "_num_timesteps", "_current_timestep")
"""Attributes of a pipeline that steer nothing."""


def steers(callback: Any) -> bool:
    """Whether a callback is part of the call, as it says itself."""
    return hasattr(callback, "tensor_inputs")


def aside(callback: Callback) -> Callback:
    """A callback for steps that are not made in earnest: what it says of latents is not heard."""

    def call(pipe: Any, index: int, time: Any, given: dict[str, Any]) -> dict[str, Any]:
        if not steers(callback):
            return {}
        changed = callback(pipe, index, time, given) or {}
        pipe._interrupt = False
        return {name: value for name, value in changed.items() if name != "latents"}

    return call


def watched(callback: Callback) -> Callback:
    """A callback that may change latents alone, unless it steers the call and says so."""
    if steers(callback):
        return callback

    def call(pipe: Any, index: int, time: Any, given: dict[str, Any]) -> Mapping[str, Any] | None:
        before, settings = dict(given), _settings(pipe)
        changed = callback(pipe, index, time, given)
        now = _settings(pipe)
        names = [n for n, v in (changed or {}).items() if n != "latents" and v is not before.get(n)]
        names += [name for name, value in now.items() if value != settings.get(name, value)]
        if names:
            raise UserError(
                f"{CALLBACK}: it changes {', '.join(sorted(names))}, which it must do at every "
                "step of every call; make it a diffusers.callbacks.PipelineCallback, or give it "
                "an attribute tensor_inputs"
            )
        return changed

    return call


def _settings(pipe: Any) -> dict[str, Any]:
    """The numbers by which a pipeline's loop is steered, such as `_guidance_scale`."""
    found = vars(pipe).items()
    return {n: v for n, v in found if n not in _OWN and isinstance(v, bool | int | float)}

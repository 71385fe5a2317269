"""The user's own `callback_on_step_end` inside a search.

Any callback is told of the steps that are really made, and may change their latents. One that
steers the call otherwise (guidance that ends early, other embeddings) must be heard at each step
of each call, those that are skipped and those that are only surveyed too: else a path that is cut
would be another, and its price wrong. It says so as `diffusers.callbacks.PipelineCallback` does,
by an attribute `tensor_inputs`, the names of the arrays it wants.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from noise_search.errors import Stop, UserError, out_of_memory

__all__ = [
    "CALLBACK",
    "INPUTS",
    "Thrown",
    "aside",
    "guarded",
    "plainly",
    "same_values",
    "steers",
    "watched",
]

P = ParamSpec("P")
R = TypeVar("R")

CALLBACK, INPUTS = "callback_on_step_end", "callback_on_step_end_tensor_inputs"
"""Keywords of a pipeline's call."""

Callback = Callable[[Any, int, Any, dict[str, Any]], Mapping[str, Any] | None]

_OWN = ("_interrupt", "_num_timesteps", "_current_timestep")
"""Attributes of a pipeline that steer nothing."""


class Thrown(BaseException):
    """What the user's callback has raised, on its way out: a pipeline's own errors are looked at.

    Whoever calls a pipeline again after an error, decodes fewer rows, or learns what it can from a
    call that has failed, must do none of that here. So this is no `Exception`; see `plainly`.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def guarded(callback: Callback) -> Callback:
    """A callback whose errors are marked as its own; its wish to stop is none."""

    def call(pipe: Any, index: int, time: Any, given: dict[str, Any]) -> Mapping[str, Any] | None:
        try:
            return callback(pipe, index, time, given)
        except Stop:
            raise
        except Exception as error:
            raise Thrown(_named(error)) from None

    return call


def _named(error: Exception) -> Exception:
    """An error as it can be raised anywhere: one that ends loops is nothing's end but a bug."""
    if not isinstance(error, StopIteration):
        return error
    named = RuntimeError(f"{CALLBACK} has raised StopIteration")
    named.__cause__ = error
    return named


def plainly(function: Callable[P, R]) -> Callable[P, R]:
    """A function that raises what the user's callback has raised as it was."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except Thrown as thrown:
            error = thrown.error
        raise error  # not while the mark is looked at, which is nobody's business

    return call


def steers(callback: Any) -> bool:
    """Whether a callback is part of the call, as it says itself."""
    return hasattr(callback, "tensor_inputs")


def aside(callback: Callback) -> Callback:
    """A callback for steps that are not made in earnest.

    What it says of latents is not heard, nor that the run is to end.
    """

    def call(pipe: Any, index: int, time: Any, given: dict[str, Any]) -> dict[str, Any]:
        if not steers(callback):
            return {}
        try:
            changed = guarded(callback)(pipe, index, time, given) or {}
        except Stop:
            changed = {}
        except Thrown as thrown:
            if out_of_memory(thrown.error):  # fewer rows may help
                raise thrown.error from None
            raise
        pipe._interrupt = False
        return {name: value for name, value in changed.items() if name != "latents"}

    return call


def same_values(given: object, before: Tensor) -> bool:
    """Whether a callback has handed on what it was given, unchanged.

    Where a loop steps several samples, its latents may be none of them: whoever changes them would
    change nothing that a path is made of.
    """
    if not isinstance(given, Tensor):
        return False
    if (given.shape, given.dtype) != (before.shape, before.dtype):
        return False
    return torch.allclose(given.to(before.device), before, rtol=0.0, atol=0.0, equal_nan=True)


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

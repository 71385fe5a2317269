"""Where a pipeline and its scheduler draw random numbers, and how they are given named ones.

diffusers draws with `randn_tensor`, a global of each module. A method that calls it is given a
copy of itself with another `randn_tensor` among its globals: nothing is patched for others, and
other threads see nothing of it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor

__all__ = ["Draw", "drawing", "invoked", "rebound", "unstirred"]

Draw = Callable[..., Tensor]
"""Stands for `randn_tensor(shape, generator=None, device=None, dtype=None, layout=None)`."""

_NAME = "randn_tensor"


def rebound(function: FunctionType, draw: Draw) -> FunctionType:
    """A copy of a function that draws its random numbers with `draw`."""
    others = {**function.__globals__, _NAME: draw}
    made = FunctionType(
        function.__code__, others, function.__name__, function.__defaults__, function.__closure__
    )
    made.__kwdefaults__ = function.__kwdefaults__
    made.__dict__.update(function.__dict__)
    made.__annotations__ = function.__annotations__
    return made


def drawing(thing: object, draw: Draw) -> dict[str, Any]:
    """The methods of an object that draw, rebound: to be put into its instance dictionary."""
    return {
        name: made if fixed else MethodType(made, thing)
        for name, function, fixed in _drawers(type(thing))  # type: ignore[arg-type]
        if name != "__call__"
        for made in [rebound(function, draw)]
    }


def invoked(pipe: Any, draw: Draw) -> Callable[..., Any]:
    """The pipeline's call: its own, or rebound where it draws its noise itself."""
    function = inspect.unwrap(type(pipe).__call__)
    if not isinstance(function, FunctionType) or _NAME not in function.__code__.co_names:
        own: Callable[..., Any] = pipe
        return own
    call: Callable[..., Any] = torch.no_grad()(MethodType(rebound(function, draw), pipe))
    return call


@contextmanager
def unstirred(device: torch.device) -> Iterator[None]:
    """Global random numbers, which a few decoders draw, begin alike in every call.

    The generators of the CPU and of the device go on as if nothing had been drawn.
    """
    graphic = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(graphic):
        torch.default_generator.manual_seed(0)
        for card in graphic:
            with torch.cuda.device(card):
                torch.cuda.manual_seed(0)
        yield


@cache  # every call of a pipeline asks; a class holds hundreds of methods
def _drawers(kind: type) -> tuple[tuple[str, FunctionType, bool], ...]:
    """Methods of a class that draw, by the name they are found under; whether they are static."""
    seen, found = set[str](), list[tuple[str, FunctionType, bool]]()
    for base in kind.__mro__:
        for name, member in vars(base).items():
            function = inspect.unwrap(getattr(member, "__func__", member))
            if name in seen or not isinstance(function, FunctionType):
                continue
            seen.add(name)
            if _NAME in function.__code__.co_names:
                found.append((name, function, isinstance(member, staticmethod)))
    return tuple(found)

"""Where a pipeline and its scheduler draw random numbers, and how they are given named ones.

diffusers draws with `randn_tensor`, a global of each module. A method that calls it is given a
copy of itself with another `randn_tensor` among its globals: nothing is patched for others, and
other threads see nothing of it. Whoever calls such a method from within gets a copy too: an
override by `super`, a decorator, or what a user has put in a method's place on the object.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor

__all__ = ["Draw", "drawing", "invoked", "unstirred"]

Draw = Callable[..., Tensor]
"""Stands for `randn_tensor(shape, generator=None, device=None, dtype=None, layout=None)`."""

_NAME, _SUPER, _CLASS = "randn_tensor", "super", "__class__"


def drawing(thing: object, draw: Draw) -> dict[str, Any]:
    """The methods of an object that draw, rebound: to be put into its instance dictionary."""
    copies, own = _Copies(thing, draw), vars(thing)
    found = {name: copies.of(value) for name, value in own.items()}
    for name in dict.fromkeys(n for base in type(thing).__mro__ for n in vars(base)):
        if name not in own and name != "__call__":
            found[name] = copies.above(None, name)
    return {name: made for name, made in found.items() if made is not None}


def invoked(pipe: Any, draw: Draw) -> Callable[..., Any]:
    """The pipeline's call: its own, or rebound where it draws its noise itself."""
    made = _Copies(pipe, draw).above(None, "__call__")
    if made is None:
        own: Callable[..., Any] = pipe
        return own
    call: Callable[..., Any] = torch.no_grad()(made)
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


class _Copies:
    """Copies of an object's functions that draw their random numbers with `draw`."""

    def __init__(self, thing: object, draw: Draw) -> None:
        self.thing, self.draw = thing, draw
        self._within = set[int]()
        self._found: dict[tuple[type | None, str], Any] = {}

    def above(self, kind: type | None, name: str) -> Any:
        """The object's method of a name, as it is found above a class, bound; None if it is calm.

        Args:
            kind: a class of the object's; None for the method that it has itself.
            name: of the method.
        """
        if (kind, name) not in self._found:
            order = type(self.thing).__mro__
            begin = 0 if kind is None else order.index(kind) + 1
            members = (vars(base)[name] for base in order[begin:] if name in vars(base))
            self._found[kind, name] = self._bound(next(members, None))
        return self._found[kind, name]

    def _bound(self, member: Any) -> Any:
        """A member of the object's class, copied and bound; None if it draws nothing."""
        function = getattr(member, "__func__", member)
        made = self.of(function)
        if made is None and hasattr(function, "__wrapped__"):
            made = self.of(inspect.unwrap(function))
        if made is None or isinstance(member, staticmethod):
            return made
        return MethodType(made, type(self.thing) if isinstance(member, classmethod) else self.thing)

    def of(self, value: object) -> Any:
        """A copy of a function or a method; None if it draws nothing."""
        if isinstance(value, MethodType):
            made = self.of(value.__func__)
            return None if made is None else MethodType(made, value.__self__)
        if not isinstance(value, FunctionType) or id(value) in self._within:
            return None
        self._within.add(id(value))
        try:
            names, cells = self._names(value), self._cells(value)
        finally:
            self._within.discard(id(value))
        return _copied(value, names, cells) if names or cells else None

    def _names(self, function: FunctionType) -> dict[str, object]:
        """Globals that are other things to a function's copy: `randn_tensor`, and what draws."""
        names, known = _names_of(function.__code__), function.__globals__
        found: dict[str, object] = {}
        for name in known.keys() & names:
            value, made = known[name], None
            if name == _NAME:
                made = self.draw
            elif isinstance(value, MethodType) or _draws(value):
                made = self._held(value)
            if made is not None:
                found[name] = made
        kind = _cells_of(function).get(_CLASS) if _SUPER in names else None
        if kind in type(self.thing).__mro__ and any(self.above(kind, n) for n in names):
            found[_SUPER] = self._super(kind)
        return found

    def _cells(self, function: FunctionType) -> dict[str, object]:
        """What a copy's closure holds that is another thing."""
        found: dict[str, object] = {}
        for name, value in _cells_of(function).items():
            made = self.draw if name == _NAME else self._held(value)
            if made is not None:
                found[name] = made
        return found

    def _held(self, value: object) -> Any:
        """A copy of a function that another one holds: of this object, or of none."""
        other = isinstance(value, MethodType) and value.__self__ is not self.thing
        return None if other else self.of(value)

    def _super(self, own: type) -> Callable[..., _Above]:
        """What `super` is to a method of a class."""

        def above(kind: type = own, thing: object = self.thing) -> _Above:
            return _Above(self, kind, thing)

        return above


class _Above:
    """Passes for what `super()` answers: methods above that draw are copies."""

    def __init__(self, copies: _Copies, kind: type, thing: object) -> None:
        object.__setattr__(self, "_given", (copies, kind, thing))

    def __getattribute__(self, name: str) -> Any:
        copies, kind, thing = object.__getattribute__(self, "_given")
        made = copies.above(kind, name) if thing is copies.thing else None
        return getattr(super(kind, thing), name) if made is None else made


@cache  # every call of a pipeline asks; a class holds hundreds of methods
def _names_of(code: CodeType) -> frozenset[str]:
    """Names that code looks up, in functions within it too."""
    inner = [_names_of(const) for const in code.co_consts if isinstance(const, CodeType)]
    return frozenset(code.co_names).union(*inner)


def _draws(value: object) -> bool:
    """Whether it is a function that draws itself; those it may call are not looked through."""
    return isinstance(value, FunctionType) and _NAME in _names_of(value.__code__)


def _cells_of(function: FunctionType) -> dict[str, Any]:
    """What a function's closure holds, by name; less what is not there yet."""
    found: dict[str, Any] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:
            continue
    return found


def _copied(
    function: FunctionType, names: dict[str, object], cells: dict[str, object]
) -> FunctionType:
    """A copy of a function, to which names and what its closure holds are other things."""
    held = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    closure = tuple(CellType(cells[name]) if name in cells else cell for name, cell in held)
    made = FunctionType(
        function.__code__,
        {**function.__globals__, **names},
        function.__name__,
        function.__defaults__,
        closure or None,
    )
    made.__kwdefaults__ = function.__kwdefaults__
    made.__dict__.update(function.__dict__)
    made.__annotations__ = function.__annotations__
    return made

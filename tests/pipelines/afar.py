"""A device that is not there: its tensors lie on the host and say they do not.

What a search costs a GPU beside its kernels is waiting: a number that is read back, a copy to or
from the host. On a CPU those cannot be told from what never leaves the host. Here each tensor is
told to lie on one side; operations over both sides are refused, as a GPU refuses them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

AFAR = torch.device("meta")
"""A kind of device that nobody has: PyTorch knows its name and nothing else of it."""

_COPIES = ("aten::_to_copy", "aten::copy_")
_NUMBERS = ("aten::_local_scalar_dense", "aten::equal", "aten::is_nonzero")
_SHAPES = ("aten::nonzero", "aten::masked_select", "aten::_unique2", "aten::repeat_interleave")
"""The shape of their results is a number on the device."""
_PLACES = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")


class Far(Tensor):
    """A tensor that says it lies on the device; `near` is where its numbers are."""

    near: Tensor

    @staticmethod
    def __new__(cls, near: Tensor) -> Far:
        """A tensor of the same shape and layout."""
        made: Far = Tensor._make_wrapper_subclass(
            cls,
            near.shape,
            strides=near.stride(),
            storage_offset=near.storage_offset(),
            dtype=near.dtype,
            device=AFAR,
        )
        made.near = near
        return made

    def __repr__(self) -> str:  # type: ignore[override]
        """As its numbers are written."""
        return f"Far({self.near})"

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Nothing is done on the device unless somebody counts."""
        raise RuntimeError(f"{func} outside of `counted`")


class _Device(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Does on the host what is asked of the device, and counts what a host would wait for."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.waits = Counter[str]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """One operation."""
        named: Mapping[str, Any] = kwargs or {}
        tensors = [x for x in tree_leaves((args, named)) if isinstance(x, Tensor)]
        far = any(isinstance(x, Far) for x in tensors)
        asked = named.get("device")
        there = far if asked is None else torch.device(asked).type == AFAR.type
        if not far and not there:
            return func(*args, **named)
        name: str = func._schema.name
        self._look(name, tensors, far, there)
        found = func(*tree_map(_near, args), **tree_map(_near, named))
        if func._schema.is_mutable:
            return args[0]
        return tree_map(_far, found) if there else found

    def _look(self, name: str, tensors: Sequence[Tensor], far: bool, there: bool) -> None:
        """Count what is waited for, and refuse what lies on two sides."""
        sides = {isinstance(x, Far) for x in tensors if x.ndim or name in _COPIES}
        if name in _COPIES:
            over = len(sides) > 1 or far != there
            self.waits["copies to or from the host"] += over
        elif name in (*_NUMBERS, *_SHAPES):
            self.waits["numbers read"] += 1
        elif name in _PLACES:
            self.waits["copies to or from the host"] += len(sides) > 1  # places may be the host's
        elif len(sides) > 1:
            raise RuntimeError(f"{name}: tensors on two devices")


class _Python(TorchFunctionMode):
    """What PyTorch does in no operation: tensors made of Python's numbers, and lists of numbers."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """One call."""
        named = dict(kwargs or {})
        if func is Tensor.tolist:
            return func(args[0].cpu())
        if func in (torch.tensor, torch.as_tensor) and not isinstance(args[0], Tensor):
            place = named.pop("device", None)
            return func(*tree_map(_here, args), **named).to(place or "cpu")
        return func(*args, **named)


def _near(value: Any) -> Any:
    if isinstance(value, Far):
        return value.near
    return torch.device("cpu") if isinstance(value, torch.device) else value


def _here(value: Any) -> Any:
    return value.cpu() if isinstance(value, Tensor) else value


def _far(value: Any) -> Any:
    return Far(value) if isinstance(value, Tensor) else value


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """The device is there; what a host waits for is counted by its kind."""
    with torch.no_grad(), _Device() as device, _Python():
        yield device.waits


def move(pipe: Any) -> None:
    """Put all models of a pipeline on the device."""
    for part in pipe.components.values():
        if isinstance(part, nn.Module):
            part.to(AFAR)

"""Batches of one width, halved when the memory does not suffice; no item is lost or asked twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from noise_search.errors import UserError, out_of_memory

__all__ = ["Batches"]

T = TypeVar("T")
R = TypeVar("R")


class Batches(Generic[T, R]):
    """Calls a function on batches that always have the same width, short ones padded with copies.

    The last bits of a matrix product depend on how many rows it has: at one width a row's answer
    does not depend on its neighbours.

    Args:
        function: gives one answer an item, in order.
        width: items a call, always; halved where a call runs out of memory, and kept so.
    """

    def __init__(self, function: Callable[[Sequence[T]], Sequence[R]], width: int) -> None:
        if width < 1:
            raise UserError(f"batch: a batch has at least one item, not {width}")
        self.function = function
        self.width = width

    def __call__(self, items: Sequence[T]) -> list[R]:
        """One answer an item, in order."""
        found: list[R] = []
        while len(found) < len(items):
            part = items[len(found) : len(found) + self.width]
            padded = [*part, *[part[-1]] * (self.width - len(part))]
            try:
                found += self.function(padded)[: len(part)]
            except Exception as error:
                if self.width == 1 or not out_of_memory(error):
                    raise
                self.width //= 2
        return found

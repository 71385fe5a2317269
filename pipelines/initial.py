"""Which of the drawings before a loop are its initial noise, and how a call is given another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from noise_search.errors import UserError
from noise_search.pipelines.standins import Watcher

__all__ = ["Checked", "Drawn", "Giving", "Place", "Unseen", "initial_of", "places_of"]


class Unseen(ValueError):  # noqa: N818 - not always an error: it may be drawn in another manner
    """The initial noise is not seen to be drawn."""


@dataclass(frozen=True)
class Drawn:
    """One drawing of random numbers before the loop.

    Attributes:
        number: of it among all drawings of the call, from 0 on.
        values: what was drawn.
    """

    number: int
    values: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row."""
        return tuple(self.values.shape[1:])


class Place(NamedTuple):
    """Which drawing of a call it is: some draw more before it where there are more rows.

    Attributes:
        number: of it in the call that was looked at.
        rows: of that call.
        growth: drawings more before it for each row more.
    """

    number: int
    rows: int
    growth: int = 0

    def at(self, rows: int) -> int:
        """The number of it in a call of so many rows."""
        return self.number + self.growth * (rows - self.rows)


def initial_of(
    drawn: Sequence[Drawn], rows: int, first: Sequence[Tensor], look: Callable[[int], list[Tensor]]
) -> list[Drawn]:
    """The drawings that the loop's first samples depend on.

    Another one may be what a condition is noised with: paths that differ by it alone all begin
    alike.

    Args:
        drawn: all drawings before the loop.
        rows: of the call.
        first: the samples its first steps were given.
        look: those of a call in which the drawing of a number is another.

    Raises:
        Unseen: there is none.
    """
    found = [part for part in drawn if len(part.values) == rows]
    if not drawn:
        raise Unseen("it draws no initial noise where it is seen: in a method, by randn_tensor")
    if not found:
        shapes = " and ".join(dict.fromkeys(str(tuple(part.values.shape)) for part in drawn))
        raise Unseen(f"it draws noise of the shape {shapes}, which is none for each of {rows} rows")
    found = [part for part in found if _differ(look(part.number), first)]
    if not found:
        raise Unseen("its loop begins with none of the noise it draws by diffusers' randn_tensor")
    return found


def _differ(ones: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    return len(ones) != len(others) or not all(map(torch.equal, ones, others))


def places_of(
    initial: Sequence[Drawn], drawn: Sequence[Drawn], rows: int, look: Callable[[int], list[Drawn]]
) -> tuple[Place, ...]:
    """Where in any call the initial noise is drawn.

    Args:
        initial: the drawings that are it.
        drawn: all drawings before the loop.
        rows: of the call.
        look: the drawings of a call of another number of rows.
    """
    before = [part for part in drawn if part.number <= initial[-1].number]
    if rows == 1 or all(len(part.values) == rows for part in before):
        return tuple(Place(part.number, rows) for part in initial)
    # One that does not grow with the rows may be drawn once, or once for each of them.
    wide = [part.number for part in look(rows + 1) if len(part.values) == rows + 1]
    narrow = [part.number for part in drawn if len(part.values) == rows]
    more = {one: other - one for one, other in zip(narrow, wide, strict=False)}
    return tuple(Place(part.number, rows, more.get(part.number, 0)) for part in initial)


class Giving:
    """Draws for a pipeline: its initial noise is the given one, all else equal in every row.

    Args:
        noise: of the batch; None where nobody is to see what is drawn.
        places: of the drawings that are the initial noise.
        shapes: of a row of each.
        rows: of the call.
        name: of the pipeline, for what is said of it.
    """

    def __init__(
        self,
        noise: Tensor | None,
        places: Sequence[Place],
        shapes: Sequence[tuple[int, ...]],
        rows: int,
        name: str,
    ) -> None:
        self._noise, self._rows, self._name = noise, rows, name
        self._seen = places[0].rows
        self._waiting = {p.at(rows): i for i, p in enumerate(places)}
        self._shapes = shapes
        self._drawn = 0

    def __call__(self, shape: Sequence[int], *_: Any, dtype: Any = None, **others: Any) -> Tensor:
        """Draw as `randn_tensor` does."""
        whole, number = tuple(shape), self._drawn
        dtype = dtype or torch.get_default_dtype()
        self._drawn += 1
        nth = self._waiting.get(number)
        if nth is None or self._noise is None or whole != (self._rows, *self._shapes[nth]):
            values = torch.randn(whole[1:], generator=torch.Generator().manual_seed(0))
            return values.expand(whole).to(device=others.get("device"), dtype=dtype).clone()
        del self._waiting[number]
        begin = sum(prod(shape) for shape in self._shapes[:nth])
        part = self._noise.flatten(1)[:, begin : begin + prod(whole[1:])].reshape(whole)
        return part.to(device=others.get("device"), dtype=dtype)

    def check(self) -> None:
        """To be called before anything is evaluated.

        Raises:
            UserError: the call has not drawn its initial noise: whatever is searched for would
                make no difference.
        """
        if self._noise is not None and self._waiting:
            raise UserError(
                f"{self._name}: in a call of {self._rows} rows its initial noise is not drawn as "
                f"in one of {self._seen}; set batch={self._seen}"
            )


class Checked:
    """Before a denoiser is asked in earnest, its pipeline has to have drawn its noise."""

    def __init__(self, watcher: Watcher, check: Callable[[], None]) -> None:
        self._watcher, self._check = watcher, check

    @property
    def walking(self) -> bool:
        """Whether the loop's step is to be made in earnest."""
        return self._watcher.walking

    def evaluated(self, rows: int, *, in_earnest: bool) -> None:
        """The denoiser was really given so many rows."""
        self._watcher.evaluated(rows, in_earnest=in_earnest)

    def fed(self, rows: int, sample: Any) -> None:
        """The denoiser is called."""
        self._check()
        self._watcher.fed(rows, sample)

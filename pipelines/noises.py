"""Arrays of a run's noises, in the shapes that a pipeline's loop asks for."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from noise_search.noise import Book, Name, Tensors
from noise_search.pipelines.rows import like
from noise_search.pipelines.slices import Noise
from noise_search.pipelines.solvers import Draws
from noise_search.pipelines.survey import Plan
from noise_search.pipelines.walks import Row

__all__ = ["Noises"]

_BYTES = 16 << 20


class Noises:
    """What rows draw, by name: double precision on the CPU, alike in every batch and process.

    Args:
        book: the recipes of the run.
    """

    def __init__(self, book: Book) -> None:
        self._book = book
        self._arrays: dict[tuple[tuple[int, ...], ...], Tensors[Tensor]] = {}

    def shaped(self, parts: tuple[tuple[int, ...], ...]) -> Tensors[Tensor]:
        """Makes arrays of a shape.

        Args:
            parts: the shape; several are drawn one after another and make one row of numbers.
        """
        if parts not in self._arrays:

            def draw(seed: int) -> Tensor:
                generator = torch.Generator("cpu").manual_seed(seed)
                drawn = [torch.randn(part, generator=generator).double() for part in parts]
                return drawn[0] if len(drawn) == 1 else torch.cat([x.flatten() for x in drawn])

            size = sum(prod(part) for part in parts)
            keep = max(8, _BYTES // (8 * max(1, size)))
            self._arrays[parts] = Tensors(self._book, draw, keep=keep)
        return self._arrays[parts]

    def at(self, plan: Plan, name: Name, step: int, *, going_back: bool = False) -> Tensor:
        """At step 0 the noise a path begins with; elsewhere noise of the shape the loop has.

        Args:
            plan: how the pipeline walks.
            name: of the recipe.
            step: of the schedule.
            going_back: whether it is what a path is renoised with.
        """
        beginning = step == 0 and not going_back
        return self.shaped(plan.drawings if beginning else (plan.shape,)).tensor(name, step)

    def of_steps(self, rows: Sequence[Row[Tensor]], plan: Plan) -> Noise:
        """What the loop's steps draw for a batch, each row by its own recipe."""

        def noise(index: int, sample: Tensor) -> Draws:
            def draws(nth: int) -> Tensor:
                step = plan.step_of_noise(index, nth)
                drawn = [self.at(plan, row.noise.name, step) for row in rows]
                return like(drawn, sample, plan.copies)

            return draws

        return noise

    def beginning(self, rows: Sequence[Row[Tensor]], plan: Plan) -> Tensor | None:
        """The noise that a batch begins with, or began with where the loop goes on to mix it in."""
        if rows[0].fresh:
            return torch.stack([row.x for row in rows])
        if not plan.mixes:
            return None
        return torch.stack([self.at(plan, row.origin, 0) for row in rows])

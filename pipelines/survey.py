"""What a pipeline's call is like, learned from a call of it that evaluates nothing.

The pipeline walks its whole loop with zeros for answers. That shows how many steps the loop
makes, what the denoiser is given at each, what noise is drawn before it, and how that noise
becomes the sample of the first step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from noise_search.pipelines.schedules import Path, Proof, proved, reading, stages_to_loop
from noise_search.pipelines.solvers import Loop, Solver
from noise_search.pipelines.standins import Halt

__all__ = ["ROWS", "Drawn", "Plan", "Surveyor"]

ROWS = 2
"""Rows of the surveying call: two noises tell how much of a sample is noise."""
_LIKE = 3e-2


@dataclass(frozen=True)
class Drawn:
    """One drawing of random numbers before the loop.

    Attributes:
        shape: of one row.
        values: what was drawn.
    """

    shape: tuple[int, ...]
    values: Tensor


@dataclass(frozen=True)
class Plan:
    """How a pipeline walks a schedule.

    Attributes:
        steps: stages of it, as the user counts them.
        loop: the steps of the pipeline's loop.
        rows: rows the denoiser is given at each of those, for each sample.
        ordinal: which drawing before the loop is the initial noise.
        noise: shape of it.
        shape: shape of a sample in the loop.
        copies: how often the loop holds each sample.
        dtype: of the sample.
        enters: whether a sample can be put into the beginning by way of `prepare_latents`.
        mixes: whether the loop changes samples between its steps, as where a part is painted.
        proof: what the scheduler's numbers mean.
    """

    steps: int
    loop: Loop
    rows: tuple[int, ...]
    ordinal: int
    noise: tuple[int, ...]
    shape: tuple[int, ...]
    copies: int
    dtype: torch.dtype
    enters: bool
    mixes: bool
    proof: Proof

    def at(self, stage: int) -> int:
        """The loop's steps made at a stage."""
        return stages_to_loop(stage, self.steps, len(self.loop.times))

    def span(self, begin: int, until: int, ahead: int, shown: bool) -> tuple[int, int, int]:
        """The loop's steps at which a stretch begins, is kept, and ends.

        Where the loop makes fewer steps than there are stages, a stage may lie where the one
        before it does: what is to be seen then needs a step more.
        """
        first, kept, end = self.at(begin), self.at(until), self.at(until + ahead)
        if shown and end == first < len(self.loop.times):
            end += 1
        return first, kept, end

    def step_of_noise(self, index: int, nth: int = 0) -> int:
        """The name of the noise that the loop's step before `index` draws first, second, ..."""
        stage = next(s for s in range(self.steps + 1) if self.at(s) >= index)
        return stage + (self.at(stage) - index) * 1_000_000 + nth * 1_000_000_000


class Surveyor:
    """Walks a pipeline's loop with zeros for answers, and writes down what it sees.

    Args:
        solver: the scheduler that the pipeline sets up.
        steps: what it is asked for.
    """

    walking = False

    def __init__(self, solver: Solver, steps: int) -> None:
        self.solver = solver
        self.steps = steps
        self.drawn: list[Drawn] = []
        self.prepared: Tensor | None = None
        self.beside = 0
        self._times: list[float] = []
        self._rows: list[int] = []
        self._first: Tensor | None = None
        self._given = 0
        self._honest = True
        self._handed: Tensor | None = None
        self._mixes = False

    def begin(self) -> None:
        """The pipeline has set its timesteps; it may do so more than once."""
        self.solver.began()
        self._times, self._rows, self._handed = [], [], None

    def draw(self, shape: Sequence[int], *_: Any, dtype: Any = None, **others: Any) -> Tensor:
        """Draw for the pipeline, from a generator of its own."""
        generator = torch.Generator().manual_seed(len(self.drawn))
        values = torch.randn(tuple(shape), generator=generator)
        if not self._times and not self._given and len(values) == ROWS:
            self.drawn.append(Drawn(tuple(values.shape[1:]), values))
        return values.to(device=others.get("device"), dtype=dtype)

    def evaluated(self, rows: int, *, in_earnest: bool) -> None:
        """The denoiser was asked because its answer could not be guessed."""
        self.beside += rows

    def fed(self, rows: int) -> None:
        """The denoiser is given so many rows."""
        self._given += rows

    def step(self, given: dict[str, Any]) -> Sequence[Any]:
        """Hand the sample on."""
        sample = given["sample"]
        if self._first is None:
            self._first = sample.detach().clone()
        self._mixes |= self._handed is not None and not torch.equal(self._handed, sample)
        self._handed = sample.clone()
        out = given["model_output"]
        # A guidance that is rescaled to a norm makes NaN of zeros.
        self._honest &= bool(((out == 0) | out.isnan()).all())
        # Some pipelines give the time of each row.
        self._times.append(float(torch.as_tensor(given["timestep"]).flatten()[0]))
        self._rows.append(self._given // ROWS)
        self._given = 0
        # Where a loop mixes noise in again, the scheduler's place says how much.
        self.solver.stand(self._place() + len(self._times))
        if len(self._times) > 4 * self.steps + 16:
            raise Halt("its loop takes too many steps")
        return sample, sample

    @property
    def whole(self) -> bool:
        """Whether the loop came to the end of the grid; some leave out its last time."""
        grid = self.solver.inner.timesteps
        return bool(self._times) and self._place() + len(self._times) >= len(grid) - 1

    def plan(self) -> Plan:
        """What was seen.

        Raises:
            ValueError: the noise or the loop could not be found.
        """
        if self._first is None or not self._times:
            raise ValueError("its loop does not step its scheduler")
        if not self.drawn:
            raise ValueError("it draws no initial noise with diffusers' randn_tensor")
        first, drawn = self._first, self.drawn[-1]
        copies = max(1, len(first) // ROWS)
        shape = tuple(first.shape[1:])
        loop = Loop(tuple(self._times), self._place())
        paths = [path for path in reading(self.solver.inner, loop) if self._suits(path, copies)]
        proof = proved(self._anew, loop, paths, self.steps)
        enters = self.prepared is not None and torch.equal(self.prepared, first)
        return Plan(
            self.steps,
            loop,
            tuple(self._rows),
            len(self.drawn) - 1,
            drawn.shape,
            shape,
            copies,
            first.dtype,
            enters,
            self._mixes,
            proof,
        )

    def _anew(self) -> Solver:
        solver = Solver(self.solver.inner)
        solver.began()
        return solver

    def _place(self) -> int:
        """Where on the grid the loop begins."""
        grid = [float(t) for t in self.solver.inner.timesteps]
        return grid.index(self._times[0]) if self._times[0] in grid else 0

    def _suits(self, path: Path, copies: int) -> bool:
        """Whether the pipeline mixes noise in as this reading has it.

        Two rows differ by their noise alone, whatever else is in them and wherever it was moved
        to. A pipeline that scales samples or answers in its own way has another path.
        """
        first, drawn = self._first, self.drawn[-1].values
        if first is None:
            return False
        apart = (first[0].float() - first[len(first) // copies - 1].float()).norm()
        wanted = path.levels[0].s * (drawn[0] - drawn[1]).norm()
        scale = float(getattr(self.solver.inner, "init_noise_sigma", 1.0))
        near = any(
            abs(float(apart) - float(w)) <= _LIKE * float(w)
            for w in (wanted, (drawn[0] - drawn[1]).norm() * scale)
        )
        trigonometric = self.solver.inner.config.get("prediction_type") == "trigflow"
        return near and (self._honest or trigonometric)

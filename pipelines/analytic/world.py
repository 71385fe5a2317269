"""Worlds whose denoiser is exact: every sampler and search can be checked without a network."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np

from noise_search.ask import Prompt
from noise_search.budget import ZERO, Cost
from noise_search.health import vector_problem
from noise_search.noise import Book, Name, Tensors, digest
from noise_search.pipelines.analytic.distributions import Array, Distribution
from noise_search.pipelines.stages import Staged
from noise_search.pipelines.states import Framework, State, States
from noise_search.pipelines.stretches import Stretch
from noise_search.pipelines.walks import Row, Walk, Walked
from noise_search.samplers.convert import Parts
from noise_search.samplers.ddim import ddim_step
from noise_search.samplers.path import Level, linear, times, variance_preserving

__all__ = ["Analytic", "Path", "levels"]

Path = Literal["linear", "vp"]


def _cosine(time: float) -> Level:
    """The cosine schedule (Nichol & Dhariwal 2102.09672), exact at both ends."""
    return variance_preserving(0.0 if time == 1.0 else math.cos(math.pi / 2 * time) ** 2)


_FAMILIES: Mapping[Path, Callable[[float], Level]] = {"linear": linear, "vp": _cosine}


@lru_cache(maxsize=64)
def levels(path: Path, steps: int) -> tuple[Level, ...]:
    """The noise levels of stages 0 (pure noise) to `steps` (clean data), evenly spaced in time.

    >>> levels("linear", 2)[1].s
    0.5
    """
    return tuple(_FAMILIES[path](time) for time in times(steps))


class Analytic(Staged[Array]):
    """A data distribution in closed form behind the protocol of a pipeline.

    Its posterior mean of x0 is the denoiser, DDIM the sampler: Euler on the linear path. The
    pixels are the vector x0, (d,). Prompts are not looked at.

    Args:
        distribution: the data; its `parts` is called with (width, d) once an evaluation.
        book: the recipes of the run.
        path: "linear" (flow matching) or "vp" (cosine).
        states: where latents are kept.
        width: rows of every batch.
        eta: how random a step is; see `ddim_step`.
        fast: do not pad short batches.
    """

    framework: ClassVar[Framework] = "numpy"

    def __init__(
        self,
        distribution: Distribution,
        book: Book,
        *,
        path: Path = "linear",
        states: States | None = None,
        width: int = 8,
        eta: float = 0.0,
        fast: bool = False,
    ) -> None:
        super().__init__(book, states, width=width, eta=eta, guided=False, decoder=False, fast=fast)
        self.distribution = distribution
        self.path: Path = path
        self._arrays = Tensors(book, self._draw)

    @property
    def tensors(self) -> Tensors[Array]:
        """Arrays of (d,) in double precision."""
        return self._arrays

    def describe(self) -> dict[str, object]:
        """What decides the results, for the run's record."""
        return {
            "class": f"{type(self).__name__}:{type(self.distribution).__name__}",
            "weights": self._weights,
            "dtype": "float64",
            "device": "cpu",
            "path": self.path,
            "eta": self.eta,
            "width": self.width,
            "fast": self.fast,
        }

    @property
    def _weights(self) -> str:
        """A digest of the distribution's parameters."""
        arrays = [v for v in vars(self.distribution).values() if isinstance(v, np.ndarray)]
        return f"digest:{digest([array.tolist() for array in arrays])}"

    def _draw(self, seed: int) -> Array:
        generator = np.random.Generator(np.random.PCG64(seed))
        return generator.standard_normal(self.distribution.dimension)

    def _levels(self, steps: int) -> Sequence[Level]:
        return levels(self.path, steps)

    @np.errstate(all="ignore")  # what overflows fails by its own row's check
    def _walk(self, rows: Sequence[Row[Array]], stretch: Stretch) -> Walk:
        grid = self._levels(stretch.steps)
        x = self._padded([row.x for row in rows])
        states: list[State] = []
        seen: dict[int, Array] = {}
        forwards, shown = 0, x
        for i in range(stretch.begin, stretch.end):
            parts = self.distribution.parts(x, grid[i])
            forwards += len(x)
            stage, shown = i + 1, parts.x0
            if stage in stretch.noted:
                seen[stage] = shown
            if stage == stretch.until:
                states = self._kept(x, parts, grid, stage, len(rows))
            x = self._step(rows, parts, grid, stage, stretch)
        # A padding row has no line in the ledger.
        each = Cost(nfe=stretch.evaluations, forwards=forwards // len(x))
        last = x if stretch.end == stretch.steps else shown
        pixels = list(last[: len(rows)]) if stretch.shown else [None] * len(rows)
        found = [self._walked(*both) for both in zip(states, pixels, strict=True)]
        noted = [{stage: x0[i].copy() for stage, x0 in seen.items()} for i in range(len(rows))]
        return Walk([replace(w, seen=s) for w, s in zip(found, noted, strict=True)], each)

    def _padded(self, rows: Sequence[Array]) -> Array:
        short = 0 if self.fast else self.width - len(rows)
        return np.stack([*rows, *[rows[-1]] * short])

    def _kept(
        self, x: Array, parts: Parts[Array], grid: Sequence[Level], stage: int, count: int
    ) -> list[State]:
        """The states of a stage: copies, so that a batch is not held by one of its rows."""
        if self._parts_of_state(stage, len(grid) - 1) == {"x"}:
            after = ddim_step(parts, grid[stage - 1], grid[stage])
            return [{"x": row.copy()} for row in after[:count]]
        # x0* and eps* are both kept: one from the other would not give the same last bits.
        said = np.stack([parts.x0, parts.eps], axis=1)
        return [{"x": x[i].copy(), "out": said[i].copy()} for i in range(count)]

    def _step(
        self,
        rows: Sequence[Row[Array]],
        parts: Parts[Array],
        grid: Sequence[Level],
        stage: int,
        stretch: Stretch,
    ) -> Array:
        """Leave a stage: at random before `until`, along the ODE after it and at the end."""
        now, then = grid[stage - 1], grid[stage]
        if not self.stochastic or stage >= stretch.until or stage == stretch.steps:
            return ddim_step(parts, now, then)
        noise = self._padded([self.tensors.tensor(row.noise.name, stage) for row in rows])
        return ddim_step(parts, now, then, self.eta, noise)

    def _leave(self, state: State, stage: int, steps: int, noise: Name) -> State:
        grid, drawn = self._levels(steps), self.tensors.tensor(noise, stage)
        x0, eps = state["out"]
        return {"x": ddim_step(Parts(x0, eps), grid[stage - 1], grid[stage], self.eta, drawn)}

    def _picture(self, x: Array, prompt: Prompt, steps: int) -> tuple[Array, Cost]:
        return x, ZERO

    def _previews(
        self, x0: Sequence[Array], rows: Sequence[Row[Array]], steps: int
    ) -> list[tuple[object | None, str | None]]:
        problems = [vector_problem(vector, (self.distribution.dimension,)) for vector in x0]
        return list(zip(x0, problems, strict=True))

    def _walked(self, state: State, pixels: Array | None) -> Walked:
        shape = (self.distribution.dimension,)
        problem = vector_problem(state["x"], shape)
        if pixels is not None:
            problem = problem or vector_problem(pixels, shape)
        return Walked(state, pixels, problem)

"""Loops that step several samples side by side, each by a scheduler of its own.

A video and its sound (LTX-2), or the frames of a video (diffusion forcing, Chen et al.
2407.01392): the denoiser sees all of them, their schedulers nothing of each other. Whoever copies
its scheduler in a call, or has a second one, is seen to do so. The samples of a path are kept as
one row of numbers, one after another, so whatever renoises, stores or compares a sample needs to
know nothing of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from noise_search.errors import UserError
from noise_search.pipelines.slices import EARLIER, OUT, Noise, Slice, Wanted
from noise_search.pipelines.solvers import MEMORY, Draws, Solver
from noise_search.pipelines.standins import Halt, Stepper
from noise_search.pipelines.survey import Plan, Strand

__all__ = ["slice_of"]


def slice_of(
    solver: Solver,
    plan: Plan,
    wanted: Wanted,
    x: Tensor,
    memory: Mapping[str, Tensor],
    noise: Noise,
) -> Slice:
    """The part of a path that one call is to walk; see `Slice`."""
    return (_Woven if plan.strands else Slice)(solver, plan, wanted, x, memory, noise)


class _Woven(Slice):
    """Slices of several samples, walked in turn; outside it looks like one of a single sample."""

    def __init__(
        self,
        solver: Solver,
        plan: Plan,
        wanted: Wanted,
        x: Tensor,
        memory: Mapping[str, Tensor],
        noise: Noise,
    ) -> None:
        super().__init__(solver, plan, wanted, x, memory, noise)
        self._parts: dict[int, Slice] = {}
        apart = _unwoven(memory, len(plan.strands))
        for strand, begin, remembered in zip(plan.strands, plan.places, apart, strict=True):
            own = replace(plan, shape=strand.shape, strands=())
            at = _cut(x, begin, strand) if x.numel() else x
            if EARLIER in memory:
                remembered[EARLIER] = _cut(memory[EARLIER], begin, strand)
            part = Slice(solver, own, wanted, at, remembered, _between(noise, begin, strand))
            part.patient = True  # the call ends after the last of them
            self._parts[strand.scheduler] = part

    @property
    def walking(self) -> bool:
        """Whether the loop's step is one of the slice."""
        return self._every[0].walking

    def begin(self) -> None:
        """The pipeline has set its own scheduler's timesteps."""
        self.begun(0)

    def step(self, given: dict[str, Any]) -> Sequence[Any]:
        """What the pipeline's own scheduler answers."""
        return self.stepped(0, given)

    def split(self, number: int, solver: Solver) -> Stepper:
        """Whoever walks the sample of one scheduler more."""
        if number in self._parts:
            self._parts[number].solver = solver
        return _Strand(self, number, solver)

    def begun(self, number: int) -> None:
        """The timesteps of a scheduler are set."""
        if number in self._parts:
            self._parts[number].begin()

    def stepped(self, number: int, given: dict[str, Any]) -> Sequence[Any]:
        """What a scheduler answers; the last of them ends the loop's step."""
        if number not in self._parts:
            raise RuntimeError("its loop steps a scheduler that it did not step before")
        part = self._parts[number]
        answer = part.step(given)
        if part is self._every[-1]:
            self.index = part.index
            self._gather()
            if self.over and not self.patient:
                raise Halt
        return answer

    def called_back(self, changed: Mapping[str, Any], interrupted: bool) -> None:
        """See `Slice.called_back`; latents that are none of the samples cannot be changed."""
        if "latents" in changed and self.index == self.wanted.until and OUT not in self.kept:
            part = _of_shape(changed["latents"], self._every)
            part.kept["x"] = changed["latents"].clone()
            if self.wanted.end == self.index == len(self.plan.loop.times):
                part.seen = part.kept["x"]
            self._gather()
        super().called_back({}, interrupted)

    @property
    def _every(self) -> list[Slice]:
        return list(self._parts.values())

    def _gather(self) -> None:
        """Note what the samples have come to, in one row."""
        parts = self._every
        if all(part.kept for part in parts):
            plain = [name for name in parts[0].kept if not name.startswith(MEMORY)]
            self.kept = {name: _flat([part.kept[name] for part in parts]) for name in plain}
            self.kept |= _woven([part.kept for part in parts])
        if self.index >= self.wanted.end and all(part.seen.numel() for part in parts):
            self.seen = _flat([part.seen for part in parts])
        self.noted = {i: _flat([part.noted[i] for part in parts]) for i in parts[-1].noted}


class _Strand:
    """Walks the sample of one scheduler of several."""

    def __init__(self, whole: _Woven, number: int, solver: Solver) -> None:
        self.whole, self.number, self.solver = whole, number, solver

    def begin(self) -> None:
        """The scheduler's timesteps are set."""
        self.whole.begun(self.number)

    def step(self, given: dict[str, Any]) -> Sequence[Any]:
        """What the scheduler answers."""
        return self.whole.stepped(self.number, given)

    def split(self, number: int, solver: Solver) -> Stepper:
        """See `Stepper.split`."""
        return self.whole.split(number, solver)


def _flat(samples: Sequence[Tensor]) -> Tensor:
    """Samples of a batch, (rows, ...) each, as one row of numbers for each of the batch."""
    return torch.cat([sample.flatten(1) for sample in samples], dim=1)


def _cut(flat: Tensor, begin: int, strand: Strand) -> Tensor:
    """A sample of several, out of a batch's rows of all their numbers."""
    return flat[:, begin : begin + strand.size].reshape(-1, *strand.shape)


def _between(noise: Noise, begin: int, strand: Strand) -> Noise:
    """The part of a path's noises that is one sample's."""

    def drawn(index: int, sample: Tensor) -> Draws:
        return lambda nth: _cut(noise(index, sample)(nth), begin, strand)

    return drawn


def _of_shape(latents: Tensor, parts: Sequence[Slice]) -> Slice:
    """Whoever walks the sample that the user's callback has changed.

    Raises:
        UserError: it cannot be told which one that is.
    """
    found = [part for part in parts if part.kept["x"].shape == latents.shape]
    if len(found) != 1:
        raise UserError("callback_on_step_end: it cannot change latents of several samples at once")
    return found[0]


def _woven(kept: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """What solvers remember, as the memory of one: their words, and all their arrays."""
    if not any(MEMORY in state for state in kept):
        return {}
    arrays: list[Tensor] = []
    told: list[tuple[str, int]] = []
    for state in kept:
        own = [
            state[f"{MEMORY}.{i}"] for i in range(sum(k.startswith(f"{MEMORY}.") for k in state))
        ]
        told.append((bytes(state[MEMORY].tolist()).decode() if MEMORY in state else "", len(own)))
        arrays += own
    words = torch.tensor(list(json.dumps(told).encode()), dtype=torch.uint8)
    return {MEMORY: words, **{f"{MEMORY}.{i}": array for i, array in enumerate(arrays)}}


def _unwoven(memory: Mapping[str, Tensor], count: int) -> list[dict[str, Tensor]]:
    """The inverse of `_woven`."""
    if MEMORY not in memory:
        return [{} for _ in range(count)]
    told = json.loads(bytes(memory[MEMORY].tolist()))
    found: list[dict[str, Tensor]] = []
    for (words, size), first in zip(
        told, accumulate((n for _, n in told), initial=0), strict=False
    ):
        own = {f"{MEMORY}.{i}": memory[f"{MEMORY}.{first + i}"] for i in range(size)}
        if words:
            own[MEMORY] = torch.tensor(list(words.encode()), dtype=torch.uint8)
        found.append(own)
    return found

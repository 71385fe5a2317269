"""What a pipeline's call is like, learned from a call of it that evaluates nothing.

The pipeline walks its whole loop with zeros for answers. That shows how many steps the loop
makes, what the denoiser is given at each, what noise is drawn before it, and how that noise
becomes the sample of the first step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from noise_search.pipelines.initial import Drawn, Place, initial_of, places_of
from noise_search.pipelines.schedules import Path, Proof, proved, reading, stages_to_loop
from noise_search.pipelines.solvers import Loop, Solver
from noise_search.pipelines.standins import Halt

__all__ = ["ROWS", "Plan", "Strand", "Surveyor"]

ROWS = 2
"""Rows of the surveying call: two noises tell how much of a sample is noise."""
_LIKE = 3e-2
_OTHER = 1_000_003
_NOTHING = 1e-4
"""How far from zero, in units of its sample, an answer may be that was made of zeros."""


class Strand(NamedTuple):
    """A sample of several that a loop steps side by side, each by a scheduler of its own.

    Attributes:
        scheduler: 0 for the pipeline's own, else which one more it was.
        shape: of the sample.
    """

    scheduler: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Numbers of the sample."""
        return prod(self.shape)


@dataclass(frozen=True)
class Plan:
    """How a pipeline walks a schedule.

    Attributes:
        steps: stages of it, as the user counts them.
        loop: the steps of the pipeline's loop.
        rows: rows the denoiser is given at each of those, for each sample.
        drawn_at: which drawings before the loop are the initial noise.
        drawings: shapes of a row of each; one, but where there are several samples, or where one
            begins with more.
        noise: shape of it.
        shape: shape of a sample in the loop.
        copies: how often the loop holds each sample.
        dtype: of the sample.
        enters: whether a sample can be put into the beginning by way of `prepare_latents`.
        mixes: whether the loop changes samples between its steps, as where a part is painted.
        overwrites: whether the loop writes what comes of a step over the sample it was made from.
        proof: what the scheduler's numbers mean.
        strands: the samples of a loop that steps several, in the order it does; then `noise` and
            `shape` are those of a row of all their numbers. Else none.
    """

    steps: int
    loop: Loop
    rows: tuple[int, ...]
    drawn_at: tuple[Place, ...]
    drawings: tuple[tuple[int, ...], ...]
    noise: tuple[int, ...]
    shape: tuple[int, ...]
    copies: int
    dtype: torch.dtype
    enters: bool
    mixes: bool
    overwrites: bool
    proof: Proof
    strands: tuple[Strand, ...] = ()

    @property
    def places(self) -> list[int]:
        """Where in a row of all their numbers each of several samples begins."""
        return list(accumulate((strand.size for strand in self.strands[:-1]), initial=0))

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


class Look(Protocol):
    """Makes a surveying call more: of so many steps and rows, with one drawing another."""

    def __call__(self, calls: int, rows: int, other: int) -> Surveyor: ...


class Surveyor:
    """Walks a pipeline's loop with zeros for answers, and writes down what it sees.

    Args:
        solver: the scheduler that the pipeline sets up.
        steps: what it is asked for.
        rows: of the call; of one alone, less can be told.
        calls: steps after which enough is seen; 0 for the whole loop.
        other: the number of a drawing that is to be another than in other surveys.

    Attributes:
        drawn: what was drawn before the loop.
        prepared: the latents of `prepare_latents`, if the pipeline has it.
        beside: rows that the denoiser was asked, for its answers could not be guessed.
    """

    walking = False

    def __init__(
        self, solver: Solver, steps: int, rows: int = ROWS, *, calls: int = 0, other: int = -1
    ) -> None:
        self.solver = solver
        self._enough, self._other = calls, other
        self.steps, self.rows = steps, rows
        self.drawn: list[Drawn] = []
        self.prepared: Tensor | None = None
        self.beside = 0
        self._tracks = [_Track(self, solver)]
        self._calls: list[_Track] = []
        self._rows: list[int] = []
        self._given = 0
        self._shown: Any = None
        self._honest = self._flows = True

    def begin(self) -> None:
        """The pipeline has set its timesteps; it may do so more than once."""
        self._tracks[0].begin()

    def split(self, number: int, solver: Solver) -> _Track:
        """The pipeline has a scheduler more."""
        self._tracks.append(_Track(self, solver, number))
        return self._tracks[-1]

    def draw(self, shape: Sequence[int], *_: Any, dtype: Any = None, **others: Any) -> Tensor:
        """Draw for the pipeline, from a generator of its own."""
        number = len(self.drawn)
        seed = number if number != self._other else number + _OTHER
        values = torch.randn(tuple(shape), generator=torch.Generator().manual_seed(seed))
        if not self._calls and not self._given:
            self.drawn.append(Drawn(number, values))
        return values.to(device=others.get("device"), dtype=dtype)

    def evaluated(self, rows: int, *, in_earnest: bool) -> None:
        """The denoiser was asked because its answer could not be guessed."""
        self.beside += rows

    def fed(self, rows: int, sample: Any) -> None:
        """The denoiser is given so many rows."""
        self._given += rows
        self._shown = sample

    def step(self, given: dict[str, Any]) -> Sequence[Any]:
        """Hand the sample on."""
        return self._tracks[0].step(given)

    def stepped(self, track: _Track, out: Tensor, sample: Tensor) -> None:
        """Note that a scheduler was asked for a step."""
        # A guidance that is rescaled to a norm makes NaN of zeros, or of equals nearly equals.
        none = out.abs() <= _NOTHING * sample.abs().max()
        self._honest &= bool((none | out.isnan()).all())
        self._flows = self._flows and not self._honest and track.flows(out, sample, self._shown)
        self._calls.append(track)
        self._rows.append(self._given // self.rows)
        self._given = 0
        if len(self._calls) == self._enough:
            raise Halt("enough is seen")
        if len(track.times) > 4 * self.steps + 16:
            raise Halt("its loop takes too many steps")

    @property
    def whole(self) -> bool:
        """Whether the loop came to the end of the grid; some leave out its last time."""
        if not self._calls:
            return False
        track = self._calls[0]
        return track.place + len(track.times) >= len(track.solver.inner.timesteps) - 1

    @property
    def first(self) -> list[Tensor]:
        """The samples that each scheduler is given first."""
        tracks = dict.fromkeys(self._calls)
        return [track.first for track in tracks if track.first is not None]

    def plan(self, look: Look) -> Plan:
        """What was seen.

        Args:
            look: makes another surveying call up to the end of so many steps: of so many rows,
                and with another drawing in the place of that of a number, if it is not negative.

        Raises:
            ValueError: the noise or the loop could not be found, or the loop is none that can be
                walked in parts.
            Unseen: it is the noise.
        """
        tracks, first = self._stepping(), self.first
        copies = max(1, len(first[0]) // self.rows)
        strands = tuple(
            Strand(t.number, tuple(x.shape[1:])) for t, x in zip(tracks, first, strict=True)
        )
        each = len(tracks)
        drawn = initial_of(
            self.drawn, self.rows, first, lambda number: look(each, self.rows, number).first
        )
        places = places_of(drawn, self.drawn, self.rows, lambda rows: look(each, rows, -1).drawn)
        sample, noise = first[0], drawn[0].values
        if each > 1:
            sample = torch.cat([x.flatten(1) for x in first], dim=1)
        if each > 1 or len(drawn) > 1:
            noise = torch.cat([part.values.flatten(1) for part in drawn], dim=1)
        track = tracks[0]
        loop = Loop(tuple(track.times), track.place)
        readings = reading(track.solver.inner, loop) if _alike(tracks) else []
        paths = [path for path in readings if self._suits(path, copies, sample, noise)]
        enters = self.prepared is not None and torch.equal(self.prepared, sample)
        proof = proved(track.anew, loop, paths, self.steps)
        if proof.random and len(tracks) > 1:
            raise ValueError("its steps draw noise for several samples side by side")
        return Plan(
            self.steps,
            loop,
            tuple(sum(self._rows[i : i + each]) for i in range(0, len(self._rows), each)),
            places,
            tuple(part.shape for part in drawn),
            tuple(noise.shape[1:]),
            tuple(sample.shape[1:]),
            copies,
            sample.dtype,
            enters,
            any(track.mixes for track in tracks),
            any(track.overwrites for track in tracks),
            proof,
            strands if len(tracks) > 1 else (),
        )

    def _stepping(self) -> list[_Track]:
        """The schedulers that the loop steps, each once at a time.

        Raises:
            ValueError: it steps none, or in another way.
        """
        if not self._calls:
            raise ValueError("its loop does not step its scheduler")
        tracks = list(dict.fromkeys(self._calls))
        if any(track.anew_begun for track in tracks):
            raise ValueError(
                "its loop begins anew for each part of a video; only one part can be searched"
            )
        if any(track.uneven for track in tracks):
            raise ValueError("its loop asks its scheduler more than once a step, in its own way")
        if self._calls != tracks * (len(self._calls) // len(tracks)) or any(
            track.times != tracks[0].times for track in tracks
        ):
            raise ValueError("its loop steps several samples at different times")
        if len(tracks) > 1 and any(
            track.first is None or len(track.first) != self.rows for track in tracks
        ):
            raise ValueError("its loop holds copies of several samples")
        return tracks

    def _suits(self, path: Path, copies: int, sample: Tensor, noise: Tensor) -> bool:
        """Whether the pipeline mixes noise in as this reading has it.

        Two rows differ by their noise alone, whatever else is in them and wherever it was moved
        to. A pipeline that scales samples or answers in its own way has another path.
        """
        alone = 0.0 if self.rows == 1 else 1.0  # of a single one, the noise has to be all there is
        apart = (sample[0].float() - alone * sample[len(sample) // copies - 1].float()).norm()
        drawn = (noise[0] - alone * noise[-1]).norm()
        # Of noise that is painted over in part, as by a first frame, the rest is as loud.
        share = min(1.0, sample[0].numel() / noise[0].numel())
        allowed = _LIKE if share == 1.0 else max(_LIKE, 3.0 / (2 * sample[0].numel()) ** 0.5)
        inner = self._calls[0].solver.inner
        scale = float(getattr(inner, "init_noise_sigma", 1.0))
        near = any(
            abs(float(apart) - float(w)) <= allowed * float(w)
            for w in (drawn * share**0.5 * path.levels[0].s, drawn * share**0.5 * scale)
        )
        trigonometric = inner.config.get("prediction_type") == "trigflow"
        return near and (self._flows if path.rescaled else self._honest or trigonometric)


class _Track:
    """What is seen of one scheduler's sample.

    Attributes:
        times: of its steps.
        first: the sample of the first of them.
        mixes: whether the sample changes between its steps.
        overwrites: whether what comes of a step is written over its sample.
        anew_begun: whether its timesteps were set again after it had stepped.
        uneven: whether its samples are of several shapes.
    """

    def __init__(self, surveyor: Surveyor, solver: Solver, number: int = 0) -> None:
        self.surveyor, self.solver, self.number = surveyor, solver, number
        self.times: list[float] = []
        self.first: Tensor | None = None
        self.mixes = self.overwrites = self.anew_begun = self.uneven = False
        self._before: Tensor | None = None
        self._handed: Tensor | None = None

    def begin(self) -> None:
        """Its timesteps are set; that may be done more than once before it steps."""
        self.solver.began()
        self.anew_begun |= bool(self.times)

    def step(self, given: dict[str, Any]) -> Sequence[Any]:
        """Hand the sample on."""
        sample = given["sample"]
        if self.first is None:
            self.first = sample.detach().clone()
        if self._handed is not None and self._before is not None:
            self.uneven |= self._handed.shape != sample.shape
            self.mixes |= not torch.equal(self._handed, sample)
            self.overwrites |= self._before.data_ptr() == sample.data_ptr()
        self._before, self._handed = sample, sample.clone()
        # Some pipelines give the time of each row.
        self.times.append(float(torch.as_tensor(given["timestep"]).flatten()[0]))
        # Where a loop mixes noise in again, the scheduler's place says how much.
        self.solver.stand(self.place + len(self.times))
        self.surveyor.stepped(self, given["model_output"], sample)
        answer = sample.clone()
        return answer, answer

    def flows(self, out: Tensor, sample: Tensor, shown: Any) -> bool:
        """Whether a model that says nothing is taken to have been shown data, as a flow's is.

        Args:
            out: what the loop has made of zeros.
            sample: that the scheduler is given with it.
            shown: what the model was given.
        """
        grid, at = getattr(self.solver.inner, "sigmas", None), self.place + len(self.times) - 1
        if grid is None or at >= len(grid) or getattr(shown, "shape", None) != sample.shape:
            return False
        x0 = sample - grid[at].to(sample) * out
        return bool((x0 - shown).norm() <= _LIKE * shown.norm())

    def split(self, number: int, solver: Solver) -> _Track:
        """The pipeline has a scheduler more."""
        return self.surveyor.split(number, solver)

    @property
    def place(self) -> int:
        """Where on the grid the loop begins."""
        grid = [float(t) for t in self.solver.inner.timesteps]
        return grid.index(self.times[0]) if self.times[0] in grid else 0

    def anew(self) -> Solver:
        """The scheduler as the pipeline has set it up."""
        solver = Solver(self.solver.inner)
        solver.began()
        return solver


def _alike(tracks: Sequence[_Track]) -> bool:
    """Whether schedulers have one grid."""
    inners = [track.solver.inner for track in tracks]
    grids = [
        [getattr(inner, name, None) for name in ("timesteps", "sigmas", "alphas_cumprod")]
        for inner in inners
    ]
    return all(
        (one is None and other is None)
        or (one is not None and other is not None and torch.equal(one, other))
        for grid in grids[1:]
        for one, other in zip(grids[0], grid, strict=True)
    )

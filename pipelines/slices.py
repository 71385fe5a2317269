"""The part of a path that one call of a pipeline is to walk, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from noise_search.errors import Stop, UserError
from noise_search.pipelines.solvers import MEMORY, Draws, Solver
from noise_search.pipelines.standins import Halt, Stepper
from noise_search.pipelines.survey import Plan
from noise_search.samplers.ddim import ddim_step

__all__ = ["EARLIER", "OUT", "MisshapenError", "Slice", "Wanted", "left"]

OUT, EARLIER = "out", "earlier"
"""Parts of a state: what the model said, and the x0 before it where a scheduler wants it back."""

Noise = Callable[[int, Tensor], Draws]
"""What the loop's step before an index draws for the batch, like a sample."""


class MisshapenError(Exception):
    """The denoiser has answered with what no step can be made of."""


@dataclass(frozen=True)
class Wanted:
    """What is wanted of a call, in the loop's steps.

    Attributes:
        begin: the step to walk from.
        until: the step before which the state is kept.
        end: the step to walk to, for the preview.
        shown: whether the pipeline is to decode what it came to.
        final: whether the state is that of a finished sample.
        eta: how random the steps before `until` are, where they are ours.
        random: whether they draw noise at all.
        noted: steps whose x0-predictions are wanted.
    """

    begin: int
    until: int
    end: int
    shown: bool
    final: bool
    eta: float = 0.0
    random: bool = False
    noted: frozenset[int] = frozenset()


class Slice:
    """Walks a part of a pipeline's loop.

    Args:
        solver: the scheduler that the pipeline sets up.
        plan: how the pipeline walks this schedule.
        wanted: the part.
        x: the batch at its beginning.
        memory: what the solver remembers there.
        noise: gives the batch's noises.

    Attributes:
        index: steps the loop has made.
        kept: the batch's state at `until`.
        seen: the latents to decode.
        noted: the x0-predictions that are wanted, by step.
        rows: rows the denoiser was given on the slice.
        tried: rows it was given and has not answered yet.
        beside: rows it was given only to learn what its answer looks like.
        patient: the call ends after the user's own callback, not before it.
        stopped: the user ends the run; what is walked by then is still shown.
    """

    def __init__(
        self,
        solver: Solver,
        plan: Plan,
        wanted: Wanted,
        x: Tensor,
        memory: Mapping[str, Tensor],
        noise: Noise,
    ) -> None:
        self.solver, self.plan, self.wanted = solver, plan, wanted
        self.x, self.memory, self.noise = x, memory, noise
        self.index = self.rows = self.tried = self.beside = 0
        self.kept: dict[str, Tensor] = {}
        self.noted: dict[int, Tensor] = {}
        self.seen = x
        self.patient = self.stopped = False

    @property
    def walking(self) -> bool:
        """Whether the loop's step is one of the slice."""
        return self.wanted.begin <= self.index < self.wanted.end

    def begin(self) -> None:
        """The pipeline has set its timesteps; it may do so more than once."""
        self.index = 0
        self.solver.began()
        if self.wanted.begin == 0:
            self._wake(0)

    def evaluated(self, rows: int, *, in_earnest: bool) -> None:
        """The denoiser was really given so many rows."""
        self.tried = 0
        if in_earnest:
            self.rows += rows
        else:
            self.beside += rows

    def fed(self, rows: int, sample: Any) -> None:
        """The denoiser is called with so many rows: evaluations alone are counted."""
        self.tried = rows if self.walking else 0

    def step(self, given: dict[str, Any]) -> Sequence[Any]:
        """What the scheduler answers at the loop's step."""
        answer: Sequence[Any] = (given["sample"],) * 2
        if self.walking:
            answer = self._walk(self.index, given)
        elif self.index == self.wanted.begin - 1:
            # Laid out in memory as the pipeline's own: a convolution's last bits depend on that.
            x = torch.empty_like(given["sample"]).copy_(self.x)
            # Some schedulers are handed this back as the x0 before; where there is none, None.
            beside = None if self.solver.takes_earlier else x
            answer = (x, self.memory.get(EARLIER, beside))
            self._wake(self.index + 1)
        elif self.index < self.wanted.begin:
            self.solver.stand(self.plan.loop.first + self.index + 1)
        self.index += 1
        if self.over and not self.patient:
            raise Halt
        if self.index == len(self.plan.loop.times) and self.wanted.end < self.index:
            return (self.seen, self.seen)
        return answer

    def split(self, number: int, solver: Solver) -> Stepper:
        """A scheduler more, which was not seen to step: it stands for itself."""
        return _Idle(solver)

    @property
    def over(self) -> bool:
        """Whether nothing more is wanted of the call."""
        return self.index >= self.wanted.end and not self.wanted.shown

    def called_back(self, changed: Mapping[str, Any], interrupted: bool) -> None:
        """After the user's own callback: latents it has changed are those to go on with.

        Raises:
            Stop: it wants the search to end, and the slice is not walked yet.
            Halt: the slice is walked.
        """
        self.stopped |= interrupted
        if interrupted and self.index < self.wanted.end:
            raise Stop
        if "latents" in changed and self.index == self.wanted.until and OUT not in self.kept:
            self.kept["x"] = changed["latents"].clone()
            if self.wanted.end == self.index == len(self.plan.loop.times):
                self.seen = self.kept["x"]
        if self.over:
            raise Halt

    def _wake(self, index: int) -> None:
        """Let the solver stand before a step with the memory it had there."""
        self.solver.recall({k: v for k, v in self.memory.items() if k != EARLIER}, self.x.device)
        self.solver.stand(self.plan.loop.first + index)

    def _walk(self, index: int, given: dict[str, Any]) -> Sequence[Any]:
        wanted, sample, out = self.wanted, given["sample"], given["model_output"]
        _check_shape(out, sample)
        last = index + 1 == len(self.plan.loop.times)
        ahead = index >= wanted.until
        kept = index + 1 == wanted.until
        if kept and wanted.random and not wanted.final:
            # Whoever goes on draws the noise of this step: the state is what came before it.
            # Copies, since the pipeline may go on to change these in place.
            self.kept = {"x": sample.clone(), OUT: out.clone(), **self._memory(given, sample)}
        calm = ahead or (kept and bool(self.kept))
        noise = None if calm or not wanted.random else self.noise(index + 1, sample)
        answer, x0 = transition(self.solver, self.plan, index, given, wanted, noise)
        if index + 1 == wanted.end or index in wanted.noted:
            seen = answer[0] if last else x0()
            if index + 1 == wanted.end:
                self.seen = seen
            if index in wanted.noted:
                self.noted[index] = seen.detach().clone()
        if kept and not self.kept:
            if self.plan.overwrites:  # as the loop is about to do: a solver may hold on to it
                sample.copy_(answer[0])
            self.kept = {"x": answer[0].clone(), **self.solver.remember(answer[0])}
            if self.solver.takes_earlier:
                self.kept[EARLIER] = answer[1].clone()
        return answer

    def _memory(self, given: Mapping[str, Any], sample: Tensor) -> dict[str, Tensor]:
        """What the solver remembers before a step."""
        earlier = given.get("old_pred_original_sample")
        found = self.solver.remember(sample)
        return found if earlier is None else {**found, EARLIER: earlier.clone()}


class _Idle:
    """A scheduler that a pipeline has beside its own and sets up, but never steps."""

    def __init__(self, solver: Solver) -> None:
        self.solver = solver

    def begin(self) -> None:
        """Nothing begins."""

    def step(self, given: dict[str, Any]) -> Sequence[Any]:
        """It was not seen to step when the call was looked at."""
        raise RuntimeError("its loop steps a scheduler that it did not step before")

    def split(self, number: int, solver: Solver) -> Stepper:
        """One more of its kind."""
        return _Idle(solver)


def left(
    scheduler: Solver,
    plan: Plan,
    index: int,
    state: Mapping[str, Tensor],
    eta: float,
    noise: Draws,
) -> dict[str, Tensor]:
    """The state after a random step, from what came before it: the step is made with a noise.

    Args:
        scheduler: as the pipeline has set it up.
        plan: how the pipeline walks this schedule.
        index: of the step.
        state: of a batch.
        eta: how random the step is, where it is ours.
        noise: what the step draws, like the sample.
    """
    solver = Solver(scheduler.inner)
    solver.began()
    solver.recall({k: v for k, v in state.items() if k.startswith(MEMORY)}, state["x"].device)
    solver.stand(plan.loop.first + index)
    given = solver.arguments(plan.loop, index, state[OUT], state["x"], state.get(EARLIER))
    wanted = Wanted(index, index + 1, index + 1, False, False, eta, random=True)
    answer, _ = transition(solver, plan, index, given, wanted, noise)
    found = {"x": answer[0], **solver.remember(answer[0])}
    return {**found, EARLIER: answer[1]} if solver.takes_earlier else found


def _check_shape(out: Tensor, sample: Tensor) -> None:
    """An answer is of its sample's shape; one that learns variances has more channels."""
    at, of = tuple(out.shape), tuple(sample.shape)
    same = len(at) == len(of) > 1 and (at[0], *at[2:]) == (of[0], *of[2:])
    if not same or at[1] % of[1]:
        raise MisshapenError(f"the denoiser's answer has the shape {at}, its sample {of}")


def transition(
    solver: Solver,
    plan: Plan,
    index: int,
    given: Mapping[str, Any],
    wanted: Wanted,
    noise: Draws | None,
) -> tuple[Sequence[Any], Callable[[], Tensor]]:
    """One step: the scheduler's answer, or ours in its place, and what makes its x0-prediction.

    Ours is DDIM's (Song et al. 2010.02502, eq. 12) on the scheduler's own path: where noise is
    wanted of a scheduler that draws none, and where none is wanted of one that draws it. Few
    steps are looked at, so a prediction that the scheduler does not make is left to be asked for.
    """
    sample, out, path = given["sample"], given["model_output"], plan.proof.path
    eta = 0.0 if noise is None else wanted.eta
    if plan.proof.random:
        ours = noise is None and wanted.end > wanted.until
    else:
        ours = wanted.eta > 0.0 and not solver.takes_eta
    if ours:
        if path is None:
            raise UserError("the noise levels of this pipeline are not known")
        now, then = path.levels[index], path.levels[index + 1]
        parts = path.parts(index, out, sample)
        drawn = None if noise is None else noise(0).to(parts.x0.dtype)
        after = ddim_step(parts, now, then, eta, drawn).to(sample.dtype)
        solver.stand(plan.loop.first + index + 1)  # its place says how it scales the next input
        return (after, parts.x0.to(sample.dtype)), lambda: path.x0(index, out, sample)
    arguments = {**given, "return_dict": True}
    if solver.takes_eta and not plan.proof.random:
        arguments["eta"] = eta
    found = solver.step(noise, **arguments)
    answer = tuple(found.to_tuple()) if hasattr(found, "to_tuple") else tuple(found)

    def x0() -> Tensor:
        own: Tensor | None = getattr(found, "pred_original_sample", None)
        if own is not None:
            return own
        if path is not None:
            return path.x0(index, out, sample)
        return torch.as_tensor(answer[-1] if len(answer) > 1 else sample)

    return answer, x0

"""Any diffusers pipeline, driven from outside over a part of its path.

No fork and no adapter for a model: a scheduler and a denoiser stand in for the time of a call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from noise_search.ask import Ask, Prompt
from noise_search.budget import ZERO, Cost
from noise_search.candidate import Candidate
from noise_search.errors import Stop, UserError, out_of_memory
from noise_search.noise import Book, Name, Tensors
from noise_search.pipelines.arguments import recorded
from noise_search.pipelines.caches import check_cache
from noise_search.pipelines.callbacks import Thrown, plainly
from noise_search.pipelines.calls import check_call, denoisers, labelled
from noise_search.pipelines.checks import check_stretch
from noise_search.pipelines.decoding import Decoding, Shown
from noise_search.pipelines.driver import Driver
from noise_search.pipelines.embeddings import Apart
from noise_search.pipelines.fingerprint import fingerprint
from noise_search.pipelines.noises import Noises
from noise_search.pipelines.offloaded import weights_of
from noise_search.pipelines.previews import decoder_of
from noise_search.pipelines.results import beside, noted_at, results, spent, tried
from noise_search.pipelines.rows import (
    alike,
    as_bytes,
    batched,
    by_prompt,
    copied,
    like,
    problem_of,
)
from noise_search.pipelines.schedules import draws_noise
from noise_search.pipelines.signatures import decoder_name, signature_of
from noise_search.pipelines.slices import MisshapenError, Slice, Wanted, left
from noise_search.pipelines.solvers import MEMORY, Solver, joined, rows_of
from noise_search.pipelines.stages import Staged
from noise_search.pipelines.states import Framework, State, States
from noise_search.pipelines.strands import slice_of
from noise_search.pipelines.stretches import Stretch
from noise_search.pipelines.survey import Plan
from noise_search.pipelines.switches import switches
from noise_search.pipelines.walks import Picture, Row, Walk, Walked
from noise_search.pipelines.widths import Alone, Full, tell
from noise_search.samplers.path import Level

__all__ = ["DiffusersPipeline"]

T = TypeVar("T")


class DiffusersPipeline(Staged[Tensor]):
    """A loaded `DiffusionPipeline` behind the protocol of this package.

    Whole paths are bit-equal to plain calls of the pipeline at the same width with the same
    noise; a path cut anywhere, and continued, is bit-equal to the whole.

    Args:
        pipe: the pipeline.
        book: the recipes of the run.
        width: rows of every batch; halved where memory does not suffice.
        arguments: further keywords of the pipeline's call, for instance guidance_scale.
        eta: how random a step is; see `ddim_step`.
        states: where latents are kept.
        fast: do not pad short batches.
        preview: how partial samples are shown, as in "taesd" or "half"; None is its own decoder.
        fps: frames a second of its videos; None is its own.

    Attributes:
        rate: frames a second, where it makes videos.

    Raises:
        UserError: an argument is not supported.
    """

    framework: ClassVar[Framework] = "torch"
    _results = staticmethod(results)

    def __init__(
        self,
        pipe: Any,
        book: Book,
        *,
        width: int = 8,
        arguments: Mapping[str, Any] | None = None,
        eta: float = 0.0,
        states: States | None = None,
        fast: bool = False,
        preview: str | None = None,
        fps: float | None = None,
    ) -> None:
        self.pipe = pipe
        takes = signature_of(type(pipe))
        self.arguments = {**takes.paced(fps), **(arguments or {})}
        self.kind = type(pipe).__name__
        check_call(pipe, self.arguments)
        self.rate = takes.rate(self.arguments, fps)
        decoder = decoder_name(pipe) is not None
        super().__init__(
            book, states, width=width, eta=eta, guided=False, decoder=decoder, fast=fast
        )
        self.most_steps = int(pipe.scheduler.config.get("num_train_timesteps", 1000))
        self._decoder: Any = None
        self._preview: str | None = None
        if preview is not None:
            self._decoder, self._preview = decoder_of(preview, pipe)
        # Two rows at least tell what an answer holds for each prompt from what it holds once.
        self._driver = Driver(pipe, self.arguments, copies=2 if fast else width)
        self._plans: dict[tuple[int, bool], Plan] = {}
        self._solvers: dict[int, Solver] = {}
        self._noises = Noises(book)
        self._owed = ZERO
        self._allowed = set[tuple[Stretch, bool, int]]()
        self._decoding = Decoding(self._driver, width)

    @property
    def tensors(self) -> Tensors[Tensor]:
        """Arrays of the initial noise's shape, in double precision on the CPU."""
        return self._noises.shaped(next(iter(self._plans.values())).drawings)

    @property
    def stochastic(self) -> bool:
        """Whether a transition between stages draws noise: by eta, or by the scheduler itself."""
        return self.eta > 0.0 or self._native

    @cached_property
    def _native(self) -> bool:
        """Whether the scheduler draws noise of its own, as pipelines set it up."""
        alone = draws_noise(self.pipe.scheduler)
        if alone is not None:
            return alone
        return self._plan(4, Prompt("", "0" if labelled(self.pipe) else "a")).proof.random

    def describe(self) -> dict[str, object]:
        """What decides the results, for the run's record."""
        denoiser = getattr(self.pipe, denoisers(self.pipe)[0])
        return {
            "class": self.kind,
            "scheduler": type(self.pipe.scheduler).__name__,
            "weights": self._weights,
            "switches": switches(self.pipe.components),
            "dtype": str(denoiser.dtype).removeprefix("torch."),
            "device": self._driver.place,
            "threads": torch.get_num_threads(),
            "torch": str(torch.__version__),
            "width": self.width,
            "fast": self.fast,
            "eta": self.eta,
            **({} if self._preview is None else {"preview": self._preview}),
            "arguments": {
                key: recorded(value, key) for key, value in sorted(self.arguments.items())
            },
        }

    @cached_property
    def _weights(self) -> str:
        found = weights_of(self._models)
        return fingerprint({k: t for k, (t, _) in found.items()}, lambda key: found[key][1]())

    @property
    def _models(self) -> dict[str, torch.nn.Module]:
        parts = self.pipe.components.items()
        return {name: m for name, m in parts if isinstance(m, torch.nn.Module)}

    def picture(self, candidate: Candidate, prompt: Prompt) -> Picture[Tensor]:
        """See `Staged.picture`; the run has ended, and no callback can end it once more."""
        self._driver.heeds = False
        try:
            return super().picture(candidate, prompt)
        finally:
            self._driver.heeds = True

    def price(self, ask: Ask) -> Cost:
        """What playing this costs, counted on a call that evaluates nothing.

        Raises:
            UserError: the pipeline cannot do this, or not be driven at all.
        """
        plan, stretch = self._plan(ask.steps, ask.prompt), Stretch.of(ask)
        rewound = ask.parent is not None and ask.rewind > 0
        key = (stretch, rewound, self.width)
        if key not in self._allowed:  # each check asks every module of the denoiser
            check_cache(self.pipe, denoisers(self.pipe), whole=stretch.whole, width=self.width)
            check_stretch(self.pipe, self.arguments, plan, stretch, eta=self.eta, rewound=rewound)
            self._allowed.add(key)
        return self._each(plan, stretch)

    def _each(self, plan: Plan, stretch: Stretch) -> Cost:
        """What a row costs."""
        first, _, end = plan.span(stretch.begin, stretch.until, stretch.ahead, stretch.shown)
        shown = stretch.showing(self.decoder, self._decoder is not None)
        return Cost(end - first, sum(plan.rows[first:end])) + shown

    def _plan(self, steps: int, prompt: Prompt) -> Plan:
        """How the pipeline walks a schedule, learned from a call that evaluates nothing."""
        key = (steps, prompt.negative is not None)
        if key not in self._plans:
            plan, self._solvers[steps], asked = self._driver.survey(steps, prompt)
            self._owed += asked
            self._plans[key] = plan
            if self._driver.single and self.width > 1:
                self.width = self._decoding.width = 1
                tell(f"{self.kind} takes one prompt a call: rows are given one by one")
        return self._plans[key]

    def _prepare(self, steps: int, prompt: Prompt) -> None:
        self._plan(steps, prompt)

    def _levels(self, steps: int) -> Sequence[Level]:
        plan = self._any_plan(steps)
        if plan.proof.path is None:
            raise UserError(f"the noise levels of {self.kind} are not known")
        return [plan.proof.path.levels[plan.at(s)] for s in range(steps + 1)]

    def _any_plan(self, steps: int) -> Plan:
        return next(plan for (n, _), plan in self._plans.items() if n == steps)

    def _noise(self, name: Name, step: int, going_back: bool = False) -> Tensor:
        plan = next(iter(self._plans.values()))
        return self._noises.at(plan, name, step, going_back=going_back)

    def _wide(self, x: Tensor) -> Tensor:
        return x.double()

    def _leave(self, state: State, stage: int, steps: int, noise: Name) -> State:
        plan, index = self._any_plan(steps), self._any_plan(steps).at(stage) - 1
        batch = {k: v if k == MEMORY else joined([v], plan.copies) for k, v in state.items()}
        batch = {k: v if k == MEMORY else v.to(self._driver.device) for k, v in batch.items()}

        def draws(nth: int) -> Tensor:
            drawn = self._noise(noise, plan.step_of_noise(index + 1, nth))
            return like([drawn], batch["x"], plan.copies)

        after = left(self._solvers[steps], plan, index, batch, self.eta, draws)
        return {k: v if k == MEMORY else rows_of(v, 1)[0].cpu() for k, v in after.items()}

    def _walk(self, rows: Sequence[Row[Tensor]], stretch: Stretch) -> Walk:
        """Walk rows, in groups that can share a call, in batches that fit the memory."""
        found: dict[int, Walked] = {}
        each, overhead, self._owed = ZERO, self._owed, ZERO
        waiting, stopped = [list(group) for group in alike(rows)], False
        why = ""
        while waiting and not stopped:
            group = waiting.pop(0)
            part, rest = group[: self.width], group[self.width :]
            waiting = [rest, *waiting] if rest else waiting
            try:
                walk = self._attempt([rows[i] for i in part], stretch)
            except Apart:
                waiting = [*by_prompt(rows, part), *waiting]
                continue
            except Full as full:
                overhead += full.spent
                if self.width > 1:
                    self.width = (self.width + 1) // 2
                    tell(f"out of memory: from here on batches of {self.width}")
                    waiting.insert(0, part)
                    continue
                walk = self._failed("out of memory at a batch of 1", part, rows, stretch)
            except MisshapenError as error:
                walk = self._failed(str(error), part, rows, stretch)
            except Alone as alone:
                overhead += alone.spent
                why = self._one_by_one(alone)
                waiting.insert(0, part)
                continue
            if why:  # it has helped
                tell(why)
                why = ""
            found |= {i: w for i, w in zip(part, walk.rows, strict=True) if w is not None}
            each, overhead, stopped = walk.each, overhead + walk.overhead, walk.stopped
        return Walk([found.get(i) for i in range(len(rows))], each, overhead, stopped)

    def _failed(
        self, problem: str, part: Sequence[int], rows: Sequence[Row[Tensor]], stretch: Stretch
    ) -> Walk:
        plan = self._plan(stretch.steps, rows[0].prompt)
        return Walk([Walked({}, None, problem) for _ in part], self._each(plan, stretch))

    @plainly
    def _attempt(self, rows: Sequence[Row[Tensor]], stretch: Stretch) -> Walk:
        """Walk one batch.

        Raises:
            Full: the memory does not suffice.
            Alone: it may be that the pipeline takes a single prompt.
        """
        plan, batch = self._plan(stretch.steps, rows[0].prompt), self._padded(list(rows))
        part, prompts = self._slice(batch, plan, stretch), [row.prompt for row in batch]
        shown: Shown | None = None
        try:
            shown = self._driver.call(part, prompts, batch, self._noises.beginning(batch, plan))
        except Stop:
            lost = spent(part, len(rows)) + beside(part, len(batch))
            return Walk([None] * len(rows), self._each(plan, stretch), lost, stopped=True)
        except (Apart, UserError):
            raise
        except Thrown as thrown:
            if out_of_memory(thrown.error):  # what it was about to change is lost
                raise Full(spent(part, len(rows))) from None
            raise
        except Exception as error:
            if part.kept and part.index >= part.wanted.end and stretch.shown:
                if not self._decoding.spares(error, len(batch)):
                    raise  # else what is walked can still be shown
            elif out_of_memory(error):
                raise Full(spent(part, len(rows))) from None
            elif self._driver.together or part.rows or len(batch) == 1:
                raise
            else:
                raise Alone(error, tried(part, len(batch))) from error
        if stretch.shown and shown is None:
            latents = rows_of(part.seen, len(batch))
            shown = self._decoding.show_all(latents, plan, prompts, self._cheap(stretch))
        each = self._each(plan, stretch)
        found = self._results(part, shown, len(batch), len(rows), stretch)
        return Walk(found, each, beside(part, len(batch)), part.stopped)

    def _cheap(self, stretch: Stretch) -> Any:
        """What shows the rows of a stretch in the decoder's place, where they are partial."""
        return None if stretch.finishes else self._decoder

    def _slice(self, batch: Sequence[Row[Tensor]], plan: Plan, stretch: Stretch) -> Slice:
        """The part of a call's loop that a batch is to walk."""
        first, kept, end = plan.span(stretch.begin, stretch.until, stretch.ahead, stretch.shown)
        fits = self._decoding.width >= len(batch) and self._cheap(stretch) is None
        given = (first, kept, end, stretch.shown and fits, stretch.finishes, self.eta)
        noted = frozenset(noted_at(plan, stretch).values())
        x, memory = batched(batch, plan, self._driver.device)
        wanted = Wanted(*given, random=self.stochastic, noted=noted)
        part = slice_of(
            Solver.of(self.pipe), plan, wanted, x, memory, self._noises.of_steps(batch, plan)
        )
        if first == end and stretch.finishes:
            part.kept = {"x": x}
        return part

    def _previews(
        self, x0: Sequence[Tensor], rows: Sequence[Row[Tensor]], steps: int
    ) -> list[tuple[object | None, str | None]]:
        found: dict[int, tuple[object | None, str | None]] = {}
        plan, waiting = self._plan(steps, rows[0].prompt), [list(range(len(rows)))]
        while waiting:
            part = waiting.pop()
            latents, prompts = [x0[i] for i in part], [rows[i].prompt for i in part]
            try:
                pictures, problems = self._shown(latents, plan, prompts, self._decoder)
            except Apart:
                waiting += by_prompt(rows, part)
                continue
            for i, picture, said in zip(part, pictures, problems, strict=False):  # less the padding
                problem = said or problem_of(picture, finished=False)
                found[i] = (None if problem else as_bytes(picture), problem)
        return [found[i] for i in range(len(rows))]

    @plainly
    def _shown(
        self, latents: Sequence[Tensor], plan: Plan, prompts: Sequence[Prompt], decoder: Any
    ) -> Shown:
        """The pictures of latents, and of what they are padded with, at the width of batches."""
        given = [copied(x, plan).to(self._driver.device) for x in latents]
        rows, texts = self._padded(given), self._padded(prompts)
        try:
            return self._decoding.show_all(rows, plan, texts, decoder)
        except Alone as alone:
            why = self._one_by_one(alone)
        found = self._decoding.show_all(given, plan, prompts, decoder)
        tell(why)  # it has helped
        return found

    def _one_by_one(self, alone: Alone) -> str:
        """Go on row by row; what a user is told if that helps."""
        why = f"{self.kind} fails with {self.width} rows, and is given one by one: {alone}"
        self.width = self._decoding.width = 1
        return why

    def _padded(self, items: Sequence[T]) -> list[T]:
        short = 0 if self.fast else self.width - len(items)
        return [*items, *[items[-1]] * short]

    def _picture(self, x: Tensor, prompt: Prompt, steps: int) -> tuple[NDArray[np.uint8], Cost]:
        plan = self._plan(steps, prompt)
        pictures, problems = self._shown([x.to(plan.dtype)], plan, [prompt], None)
        if problems[0] is not None:
            raise UserError(f"a picture cannot be shown again: {problems[0]}")
        return as_bytes(pictures[0]), Cost(decodes=int(self.decoder))

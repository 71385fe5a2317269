"""Any diffusers pipeline, driven from outside over a part of its path.

No fork and no adapter for a model: a scheduler and a denoiser stand in for the time of a call.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
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
from noise_search.pipelines.calls import check_call, denoisers, labelled
from noise_search.pipelines.driver import Driver
from noise_search.pipelines.embeddings import Apart
from noise_search.pipelines.fingerprint import fingerprint
from noise_search.pipelines.offloaded import weights_of
from noise_search.pipelines.previews import decoder_of
from noise_search.pipelines.rows import alike, as_bytes, by_prompt, copied, like, problem_of
from noise_search.pipelines.schedules import draws_noise
from noise_search.pipelines.signatures import decoder_name, signature_of
from noise_search.pipelines.slices import Slice, Wanted, left
from noise_search.pipelines.solvers import MEMORY, Draws, Solver, joined, rows_of
from noise_search.pipelines.stages import Picture, Row, Staged, Stretch, Walk, Walked
from noise_search.pipelines.standins import in_place
from noise_search.pipelines.states import Framework, State, States
from noise_search.pipelines.survey import ROWS, Plan
from noise_search.pipelines.switches import switches
from noise_search.samplers.path import Level

__all__ = ["DiffusersPipeline"]

T = TypeVar("T")
_NOISE_BYTES = 16 << 20
_SCHEDULES = ("sigmas", "timesteps")
"""Arguments that name each step of a schedule."""


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
        # Two rows at least tell what an answer holds for each prompt from what it holds once.
        self._decoder: Any = None
        self._preview: str | None = None
        if preview is not None:
            self._decoder, self._preview = decoder_of(preview, pipe)
        self._driver = Driver(pipe, self.arguments, copies=2 if fast else width)
        self._plans: dict[tuple[int, bool], Plan] = {}
        self._solvers: dict[int, Solver] = {}
        self._arrays: dict[tuple[int, ...], Tensors[Tensor]] = {}
        self._owed = ZERO
        self._decodes = width

    @property
    def tensors(self) -> Tensors[Tensor]:
        """Arrays of the initial noise's shape, in double precision on the CPU."""
        return self._tensors(next(iter(self._plans.values())).noise)

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
            "switches": switches(self._models),
            "dtype": str(denoiser.dtype).removeprefix("torch."),
            "device": _told(self._driver.device),
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
        self._check(plan, stretch, rewound=ask.parent is not None and ask.rewind > 0)
        return self._each(plan, stretch)

    def _each(self, plan: Plan, stretch: Stretch) -> Cost:
        """What a row costs."""
        first, _, end = plan.span(stretch.begin, stretch.until, stretch.ahead, stretch.shown)
        shown = stretch.showing(self.decoder, self._decoder is not None)
        return Cost(end - first, sum(plan.rows[first:end])) + shown

    def _check(self, plan: Plan, stretch: Stretch, rewound: bool) -> None:
        """Refuse what a pipeline cannot do before anything is spent."""
        made = len(plan.loop.times)
        for name in _SCHEDULES:
            if self.arguments.get(name) is not None and made != plan.steps:
                raise UserError(f"{name}: {made} steps; set steps={made}, not {plan.steps}")
        scheduler, known = type(self.pipe.scheduler).__name__, plan.proof.path is not None
        whole = stretch.begin == 0 and stretch.finishes
        check_cache(self.pipe, denoisers(self.pipe), whole=whole, width=self.width)
        if self.eta > 0.0 and not (known or "eta" in _parameters(self.pipe.scheduler.step)):
            raise UserError(f"eta: the noise levels of {self.kind} with {scheduler} are not known")
        if rewound and not known:
            raise UserError(
                f"{self.kind} with {scheduler}: its noise levels are not known, so a search "
                "cannot go back; searches over final noises work"
            )
        if rewound and not plan.proof.cold and stretch.begin:
            raise UserError(f"{scheduler} cannot begin in the middle of a path; a search goes back")
        if plan.proof.random and stretch.ahead and not known:
            raise UserError(f"lookahead: the noise levels of {scheduler} are not known")

    def _plan(self, steps: int, prompt: Prompt) -> Plan:
        """How the pipeline walks a schedule, learned from a call that evaluates nothing."""
        key = (steps, prompt.negative is not None)
        if key not in self._plans:
            plan, self._solvers[steps], asked = self._driver.survey(steps, prompt)
            self._owed += Cost(ROWS if asked else 0, asked)
            self._plans[key] = plan
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

    def _tensors(self, shape: tuple[int, ...]) -> Tensors[Tensor]:
        if shape not in self._arrays:

            def draw(seed: int) -> Tensor:
                generator = torch.Generator("cpu").manual_seed(seed)
                return torch.randn(shape, generator=generator, dtype=torch.float32).double()

            keep = max(8, _NOISE_BYTES // (8 * max(1, int(np.prod(shape)))))
            self._arrays[shape] = Tensors(self.book, draw, keep=keep)
        return self._arrays[shape]

    def _noise(self, name: Name, step: int, going_back: bool = False) -> Tensor:
        """At step 0 the noise a path begins with; elsewhere noise of the shape the loop has."""
        plan = next(iter(self._plans.values()))
        beginning = step == 0 and not going_back
        return self._tensors(plan.noise if beginning else plan.shape).tensor(name, step)

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
        while waiting and not stopped:
            group = waiting.pop(0)
            part, rest = group[: self.width], group[self.width :]
            waiting = [rest, *waiting] if rest else waiting
            try:
                walk = self._attempt([rows[i] for i in part], stretch)
            except Apart:
                waiting = [*by_prompt(rows, part), *waiting]
                continue
            except _Full as full:
                overhead += full.spent
                if self.width > 1:
                    self.width = (self.width + 1) // 2
                    waiting.insert(0, part)
                    continue
                problem = "out of memory at a batch of 1"
                plan = self._plan(stretch.steps, rows[0].prompt)
                walk = Walk([Walked({}, None, problem) for _ in part], self._each(plan, stretch))
            found |= {i: w for i, w in zip(part, walk.rows, strict=True) if w is not None}
            each, overhead, stopped = walk.each, overhead + walk.overhead, walk.stopped
        return Walk([found.get(i) for i in range(len(rows))], each, overhead, stopped)

    def _attempt(self, rows: Sequence[Row[Tensor]], stretch: Stretch) -> Walk:
        """Walk one batch.

        Raises:
            _Full: the memory does not suffice.
        """
        plan = self._plan(stretch.steps, rows[0].prompt)
        first, kept, end = plan.span(stretch.begin, stretch.until, stretch.ahead, stretch.shown)
        batch = self._padded(list(rows))
        cheap = None if stretch.finishes else self._decoder
        inline = stretch.shown and self._decodes >= len(batch) and cheap is None
        given = (first, kept, end, inline, stretch.finishes, self.eta, self.stochastic)
        wanted = Wanted(*given, noted=frozenset(_noted(plan, stretch).values()))
        x, memory = self._batch(batch, plan)

        def noise(index: int, sample: Tensor) -> Draws:
            def draws(nth: int) -> Tensor:
                step = plan.step_of_noise(index, nth)
                return like([self._noise(r.noise.name, step) for r in batch], sample, plan.copies)

            return draws

        solver = Solver.of(self.pipe)
        part = Slice(solver, plan, wanted, x, memory, noise)
        prompts = [row.prompt for row in batch]
        if first == end and stretch.finishes:
            part.kept = {"x": x}
        shown: tuple[NDArray[Any], list[str | None]] | None = None
        try:
            shown = self._driver.call(part, prompts, batch, self._beginning(batch, plan))
        except Stop:
            spent = _spent(part, len(rows)) + _beside(part, len(batch))
            return Walk([None] * len(rows), ZERO, spent, stopped=True)
        except Exception as error:
            if not out_of_memory(error):
                raise
            if not (part.kept and part.index >= end and stretch.shown):
                raise _Full(_spent(part, len(rows))) from None
            self._decodes = max(1, (min(self._decodes, len(batch)) + 1) // 2)
        if stretch.shown and shown is None:
            shown = self._decoded(rows_of(part.seen, len(batch)), plan, prompts, cheap)
        each = self._each(plan, stretch)
        results = self._results(part, shown, len(batch), len(rows), stretch)
        return Walk(results, each, _beside(part, len(batch)), part.stopped)

    def _beginning(self, rows: Sequence[Row[Tensor]], plan: Plan) -> Tensor | None:
        """The noise that a batch begins with, or began with where the loop goes on to mix it in."""
        if rows[0].fresh:
            return torch.stack([row.x for row in rows])
        if not plan.mixes:
            return None
        return torch.stack([self._tensors(plan.noise).tensor(row.origin, 0) for row in rows])

    def _decoded(
        self, latents: Sequence[Tensor], plan: Plan, prompts: Sequence[Prompt], decoder: Any
    ) -> tuple[NDArray[Any], list[str | None]]:
        """The pictures of latents, as many at a time as there is memory to decode."""
        count = len(latents)
        pictures: list[NDArray[Any]] = []
        problems: list[str | None] = []
        while len(pictures) < count:
            now = slice(len(pictures), len(pictures) + self._decodes)
            x = joined(latents[now], plan.copies)
            try:
                found = self._show(x, plan, prompts[now], decoder)
            except Exception as error:
                if not out_of_memory(error):
                    raise
                if self._decodes > 1:
                    self._decodes //= 2
                    continue
                found = np.zeros((1, 1, 1, 3)), ["out of memory while decoding"]
            pictures += list(found[0])
            problems += found[1]
        shape = next((p.shape for p, q in zip(pictures, problems, strict=True) if not q), (1, 1, 3))
        same = [p if p.shape == shape else np.zeros(shape) for p in pictures]
        return np.stack(same), problems

    def _previews(
        self, x0: Sequence[Tensor], rows: Sequence[Row[Tensor]], steps: int
    ) -> list[tuple[object | None, str | None]]:
        found: dict[int, tuple[object | None, str | None]] = {}
        plan, waiting = self._plan(steps, rows[0].prompt), [list(range(len(rows)))]
        while waiting:
            part = waiting.pop()
            latents = [copied(x0[i], plan).to(self._driver.device) for i in self._padded(part)]
            prompts = [rows[i].prompt for i in self._padded(part)]
            try:
                pictures, problems = self._decoded(latents, plan, prompts, self._decoder)
            except Apart:
                waiting += by_prompt(rows, part)
                continue
            for i, picture, said in zip(part, pictures, problems, strict=False):  # less the padding
                problem = said or problem_of(picture, finished=False)
                found[i] = (None if problem else as_bytes(picture), problem)
        return [found[i] for i in range(len(rows))]

    def _show(
        self, x: Tensor, plan: Plan, prompts: Sequence[Prompt], decoder: Any = None
    ) -> tuple[NDArray[Any], list[str | None]]:
        """The pipeline's own last part, on latents; another decoder may stand for its own."""
        last = len(plan.loop.times)
        wanted = Wanted(last, last, last, True, True)
        part = Slice(Solver.of(self.pipe), plan, wanted, x, {}, lambda _, x: lambda _: x)
        name = decoder_name(self.pipe)
        with in_place(self.pipe, **({} if decoder is None or name is None else {name: decoder})):
            shown = self._driver.call(part, prompts)
        if shown is None:
            raise RuntimeError("the pipeline has returned no picture")
        return shown

    def _results(
        self,
        part: Slice,
        shown: tuple[NDArray[Any], list[str | None]] | None,
        width: int,
        count: int,
        stretch: Stretch,
    ) -> list[Walked]:
        """Each row's state, pixels and what is broken in it."""
        whole = {k: v.detach().cpu() for k, v in part.kept.items()}
        rows = {k: [v] * width if k == MEMORY else rows_of(v, width) for k, v in whole.items()}
        seen = rows_of(part.seen.detach().cpu(), width)
        noted = {s: i for s, i in _noted(part.plan, stretch).items() if i in part.noted}
        x0 = {stage: rows_of(part.noted[i].cpu(), width) for stage, i in noted.items()}
        found: list[Walked] = []
        for i in range(count):
            # Copies, so that a batch is not held by one of its rows; files want them contiguous.
            state = {
                k: values[i].clone(memory_format=torch.contiguous_format)
                for k, values in rows.items()
            }
            checked = [v for k, v in state.items() if k != MEMORY]
            checked += [seen[i]] if shown is not None else []
            sound = all(bool(v.isfinite().all()) for v in checked if v.is_floating_point())
            problem = None if sound else "latents are not finite"
            pixels = None
            if shown is not None:
                problem = problem or shown[1][i] or problem_of(shown[0][i], stretch.finishes)
                pixels = None if problem else as_bytes(shown[0][i])
            own = {
                stage: values[i].clone(memory_format=torch.contiguous_format)
                for stage, values in x0.items()
            }
            found.append(Walked(state, pixels, problem, seen=own))
        return found

    def _padded(self, items: Sequence[T]) -> list[T]:
        short = 0 if self.fast else self.width - len(items)
        return [*items, *[items[-1]] * short]

    def _batch(self, rows: Sequence[Row[Tensor]], plan: Plan) -> tuple[Tensor, dict[str, Tensor]]:
        """The batch's sample and its solvers' memory, on the device of the pipeline."""
        place = self._driver.device
        if rows[0].fresh:
            return torch.empty(0, device=place), {}
        wide = [copied(row.x, plan) for row in rows]
        x = joined([x.to(plan.dtype) for x in wide], plan.copies).to(place)
        memory = {
            k: v if k == MEMORY else joined([r.memory[k] for r in rows], plan.copies).to(place)
            for k, v in rows[0].memory.items()
        }
        return x, memory

    def _picture(self, x: Tensor, prompt: Prompt, steps: int) -> tuple[NDArray[np.uint8], Cost]:
        plan = self._plan(steps, prompt)
        latents = joined(self._padded([x.to(plan.dtype)]), plan.copies).to(self._driver.device)
        pictures, _ = self._show(latents, plan, self._padded([prompt]))
        return as_bytes(pictures[0]), Cost(decodes=int(self.decoder))


class _Full(Exception):  # noqa: N818 - told to the loop above it alone
    """The memory did not suffice; what had been spent by then."""

    def __init__(self, spent: Cost) -> None:
        super().__init__("out of memory")
        self.spent = spent


def _beside(part: Slice, rows: int) -> Cost:
    """What a batch has cost only to learn what the denoiser's answer looks like."""
    return Cost(rows if part.beside else 0, part.beside)


def _spent(part: Slice, rows: int) -> Cost:
    """What rows have cost that did not come to the end of their slice."""
    made = range(part.wanted.begin, max(part.wanted.begin, part.index))
    return Cost(len(made), sum(part.plan.rows[i] for i in made)) * rows


def _noted(plan: Plan, stretch: Stretch) -> dict[int, int]:
    """The loop's steps that make the x0-predictions of the stages on the way, by stage.

    Where the loop makes fewer steps than there are stages, it may be the first one of the way.
    """
    first, on_the_way = plan.at(stretch.begin), [s for s in stretch.noted if s > stretch.begin]
    return {stage: max(first, plan.at(stage) - 1) for stage in on_the_way}


def _told(device: torch.device) -> str:
    """A device, which for the processor has no number."""
    return device.type if device.type == "cpu" else str(device)


def _parameters(function: Callable[..., Any]) -> Mapping[str, Any]:
    return inspect.signature(function).parameters

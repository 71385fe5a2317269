"""Any diffusers pipeline, driven from outside over a part of its path.

No fork and no adapter for a model: a scheduler and a denoiser stand in for the time of a call.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from noise_search.budget import ZERO, Cost
from noise_search.errors import UserError, out_of_memory
from noise_search.health import image_problem
from noise_search.noise import Book, Name, Tensors
from noise_search.pipelines.arguments import recorded
from noise_search.pipelines.calls import arguments_of, check_call, denoisers, pictures_of
from noise_search.pipelines.draws import drawing, invoked
from noise_search.pipelines.embeddings import Apart, Embeddings
from noise_search.pipelines.fingerprint import fingerprint
from noise_search.pipelines.schedules import draws_noise
from noise_search.pipelines.slices import OUT, Slice, Wanted, transition
from noise_search.pipelines.solvers import MEMORY, Solver, joined, rows_of
from noise_search.pipelines.stages import Row, Staged, Stretch, Walk, Walked
from noise_search.pipelines.standins import Denoiser, Halt, Scheduler, Walker, in_place
from noise_search.pipelines.states import Framework, State, States
from noise_search.pipelines.survey import ROWS, Plan, Surveyor
from noise_search.problem import Ask, Prompt
from noise_search.samplers.path import Level

__all__ = ["DiffusersPipeline"]

T = TypeVar("T")
_NOISE_BYTES = 256 << 20
_GUESSES = (1, 2, 0)
"""Channels of a guessed answer for each of the sample's; 0 asks the denoiser."""


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
    ) -> None:
        self.pipe = pipe
        self.arguments = dict(arguments or {})
        self.kind = type(pipe).__name__
        check_call(pipe, self.arguments)
        decoder = getattr(pipe, "vae", None) is not None
        super().__init__(
            book, states, width=width, eta=eta, guided=False, decoder=decoder, fast=fast
        )
        self.most_steps = int(pipe.scheduler.config.get("num_train_timesteps", 1000))
        # Two rows at least tell what an answer holds for each prompt from what it holds once.
        self._embeddings = Embeddings(2 if fast else width)
        self._answers: dict[tuple[Any, ...], Any] = {}
        self._plans: dict[tuple[int, bool], Plan] = {}
        self._solvers: dict[int, Solver] = {}
        self._arrays: dict[tuple[int, ...], Tensors[Tensor]] = {}
        self._owed = ZERO
        self._decodes = width

    @property
    def tensors(self) -> Tensors[Tensor]:
        """Arrays of the initial noise's shape, in double precision on the CPU."""
        return self._tensors(next(iter(self._plans.values())).noise)

    @cached_property
    def stochastic(self) -> bool:
        """Whether a transition between stages draws noise: by eta, or by the scheduler itself."""
        return self.eta > 0.0 or self._native

    @cached_property
    def _native(self) -> bool:
        """Whether the scheduler draws noise of its own, as pipelines set it up."""
        alone = draws_noise(self.pipe.scheduler)
        if alone is not None:
            return alone
        return self._plan(4, Prompt("", "0" if self._labels else "a")).proof.random

    @property
    def _labels(self) -> bool:
        return "prompt" not in inspect.signature(type(self.pipe).__call__).parameters

    def describe(self) -> dict[str, object]:
        """What decides the results, for the run's record."""
        denoiser = getattr(self.pipe, denoisers(self.pipe)[0])
        return {
            "class": self.kind,
            "scheduler": type(self.pipe.scheduler).__name__,
            "weights": self._weights,
            "dtype": str(denoiser.dtype).removeprefix("torch."),
            "device": str(denoiser.device),
            "threads": torch.get_num_threads(),
            "torch": str(torch.__version__),
            "width": self.width,
            "fast": self.fast,
            "eta": self.eta,
            "arguments": {
                key: recorded(value, key) for key, value in sorted(self.arguments.items())
            },
        }

    @cached_property
    def _weights(self) -> str:
        modules = sorted(self.pipe.components.items())
        parts = [(n, m) for n, m in modules if isinstance(m, torch.nn.Module)]
        tensors = {f"{n}.{k}": t for n, m in parts for k, t in m.state_dict().items()}
        return fingerprint(tensors)

    def price(self, ask: Ask) -> Cost:
        """What playing this costs, counted on a call that evaluates nothing.

        Raises:
            UserError: the pipeline cannot do this, or not be driven at all.
        """
        plan, stretch = self._plan(ask.steps, ask.prompt), Stretch.of(ask)
        rewound = ask.parent is not None and ask.rewind > 0
        self._check(plan, stretch, rewound)
        first, _, end = plan.span(stretch.begin, stretch.until, stretch.ahead, stretch.shown)
        decodes = int(self.decoder and stretch.shown)
        return Cost(end - first, sum(plan.rows[first:end]), decodes=decodes)

    def _check(self, plan: Plan, stretch: Stretch, rewound: bool) -> None:
        """Refuse what a pipeline cannot do before anything is spent."""
        scheduler, known = type(self.pipe.scheduler).__name__, plan.proof.path is not None
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
            self._plans[key] = self._surveyed(steps, prompt)
        return self._plans[key]

    def _surveyed(self, steps: int, prompt: Prompt) -> Plan:
        problem: Exception | None = None
        for guess in _GUESSES:
            surveyor = Surveyor(Solver(self.pipe.scheduler), steps)

            def prepared(found: Any, surveyor: Surveyor = surveyor) -> Any:
                surveyor.prepared = (found[0] if isinstance(found, tuple) else found).clone()
                return found

            try:
                with self._driven(surveyor, surveyor.draw, guess, prepared) as call:
                    call(**self._given([prompt] * ROWS, steps, output="latent"))
            except Halt:
                problem = UserError(f"{self.kind}: its loop takes too many steps")
                continue
            except UserError:
                raise
            except Exception as error:
                problem = error
                if not surveyor._times:
                    continue
            try:
                plan = surveyor.plan()
            except ValueError as error:
                problem = error
                continue
            self._owed += Cost(ROWS if surveyor.beside else 0, surveyor.beside)
            solver = Solver(surveyor.solver.inner)
            solver.began()
            self._solvers[steps] = solver
            return plan
        if isinstance(problem, (TypeError, ValueError)):
            raise UserError(f"{self.kind}: {problem}") from problem
        raise problem or UserError(f"{self.kind} cannot be driven")

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
        plan, solver = self._any_plan(steps), self._solvers[steps]
        index = plan.at(stage) - 1
        place = self._device
        x, out = (joined([state[k]], plan.copies).to(place) for k in ("x", OUT))
        made = Solver(solver.inner)
        made.began()
        memory = {k: v for k, v in state.items() if k.startswith(MEMORY)}
        memory = {k: v if k == MEMORY else joined([v], plan.copies) for k, v in memory.items()}
        made.recall(memory, place)
        made.stand(plan.loop.first + index)
        time = made.inner.timesteps[plan.loop.first + index]
        given: dict[str, Any] = {"model_output": out, "timestep": time, "sample": x}
        if made.takes_earlier:
            earlier = state.get("earlier")
            given["old_pred_original_sample"] = (
                None if earlier is None else joined([earlier], plan.copies).to(place)
            )
            given["timestep_back"] = (
                made.inner.timesteps[plan.loop.first + index - 1] if index else None
            )
        if hasattr(made.inner, "is_scale_input_called"):
            made.inner.is_scale_input_called = True
        drawn = self._noise(noise, plan.step_of_noise(index + 1)).to(place)
        like = _like([drawn], x, plan.copies)
        wanted = Wanted(index, index + 1, index + 1, False, False, self.eta, True)
        answer, _ = transition(made, plan, index, given, wanted, like)
        left = {"x": answer[0], **made.remember(answer[0])}
        if made.takes_earlier:
            left["earlier"] = answer[1]
        return {k: v if k == MEMORY else rows_of(v, 1)[0].cpu() for k, v in left.items()}

    @property
    def _device(self) -> torch.device:
        return torch.device(self.pipe._execution_device)

    @contextmanager
    def _driven(
        self,
        walker: Walker,
        draw: Callable[..., Tensor],
        guess: int,
        prepared: Callable[[Any], Any],
        **others: object,
    ) -> Iterator[Callable[..., Any]]:
        """Put the stand-ins in place for one call, and hand out what is to be called."""
        pipe = self.pipe
        stand_ins: dict[str, object] = {
            **drawing(pipe, draw),
            "scheduler": Scheduler(walker),
            "_progress_bar_config": {"disable": True},
            **others,
        }
        for name in denoisers(pipe):
            stand_ins[name] = Denoiser(getattr(pipe, name), walker, self._answers, guess)
        for name, part in pipe.components.items():
            if name.startswith("controlnet") and callable(part):
                stand_ins[name] = Denoiser(part, walker, self._answers, 0, counts=False)
        encode = getattr(pipe, "encode_prompt", None)
        if encode is not None:
            stand_ins["encode_prompt"] = self._embeddings.remembering(encode)
        prepare = stand_ins.get("prepare_latents", getattr(pipe, "prepare_latents", None))
        if callable(prepare):
            stand_ins["prepare_latents"] = _then(prepare, prepared)
        with ExitStack() as stack:
            stack.enter_context(in_place(pipe, **stand_ins))
            stack.enter_context(np.errstate(all="ignore"))  # a row's own check finds it
            yield invoked(pipe, draw)

    def _given(self, prompts: Sequence[Prompt], steps: int, output: str = "np") -> dict[str, Any]:
        """The keywords of a call."""
        generators = [torch.Generator("cpu").manual_seed(0) for _ in prompts]
        own = {k: v for k, v in self.arguments.items() if k != "callback_on_step_end"}
        return {
            **own,
            **arguments_of(self.pipe, prompts),
            "num_inference_steps": steps,
            "generator": generators,
            "output_type": output,
            "return_dict": False,
        }

    def _call(
        self, part: Slice, prompts: Sequence[Prompt], rows: Sequence[Row[Tensor]] | None
    ) -> tuple[NDArray[Any], list[str | None]] | None:
        """Call the pipeline over a slice; its pictures, (rows, [frames,] height, width, 3)."""
        plan, count = part.plan, len(prompts)
        fresh = rows is not None and part.wanted.begin == 0 and rows[0].fresh
        entered = rows is not None and part.wanted.begin == 0 and not fresh
        noise = torch.stack([row.x for row in rows]) if rows is not None and fresh else None
        drawn = 0

        def draw(shape: Sequence[int], *_: Any, dtype: Any = None, **others: Any) -> Tensor:
            nonlocal drawn
            ours = drawn == plan.ordinal and tuple(shape) == (count, *plan.noise)
            drawn += tuple(shape)[:1] == (count,)
            if ours and noise is not None:
                return noise.to(device=others.get("device"), dtype=dtype)
            values = torch.randn(tuple(shape)[1:], generator=torch.Generator().manual_seed(0))
            return values.expand(tuple(shape)).to(device=others.get("device"), dtype=dtype).clone()

        def prepared(found: Any) -> Any:
            if not entered:
                return found
            return (part.x, *found[1:]) if isinstance(found, tuple) else part.x

        given = self._given(prompts, plan.steps)
        callback = self.arguments.get("callback_on_step_end")
        if callback is not None:
            part.patient = True
            given["callback_on_step_end"] = _calling_back(callback, part)
        problem: Exception | None = None
        for guess in _GUESSES:
            drawn = 0
            try:
                with self._driven(part, draw, guess, prepared) as call:
                    return pictures_of(call(**given), count)
            except Halt:
                return None
            except (UserError, Apart):
                raise
            except Exception as error:
                # Outside of the slice an answer may have been guessed in a wrong shape.
                if part.rows or out_of_memory(error) or part.wanted.begin == 0:
                    raise
                problem = error
            finally:
                self.pipe.maybe_free_model_hooks()
        raise problem or RuntimeError("the pipeline cannot be driven")

    def _walk(self, rows: Sequence[Row[Tensor]], stretch: Stretch) -> Walk:
        """Walk rows, in groups that can share a call, in batches that fit the memory."""
        found: dict[int, Walked] = {}
        each, overhead, self._owed = ZERO, self._owed, ZERO
        waiting = [list(group) for group in _alike(rows)]
        while waiting:
            group = waiting.pop(0)
            part, rest = group[: self.width], group[self.width :]
            waiting = [rest, *waiting] if rest else waiting
            try:
                walk = self._attempt([rows[i] for i in part], stretch)
            except Apart:
                waiting = [*_by_prompt(rows, part), *waiting]
                continue
            except _Full as full:
                overhead += full.spent
                if self.width > 1:
                    self.width = (self.width + 1) // 2
                    waiting.insert(0, part)
                    continue
                problem = "out of memory at a batch of 1"
                walk = Walk([Walked({}, None, problem) for _ in part], self._each(rows[0], stretch))
            found |= dict(zip(part, walk.rows, strict=True))
            each, overhead = walk.each, overhead + walk.overhead
        return Walk([found[i] for i in range(len(rows))], each, overhead)

    def _each(self, row: Row[Tensor], stretch: Stretch) -> Cost:
        plan = self._plan(stretch.steps, row.prompt)
        first, _, end = plan.span(stretch.begin, stretch.until, stretch.ahead, stretch.shown)
        decodes = int(self.decoder and stretch.shown)
        return Cost(end - first, sum(plan.rows[first:end]), decodes=decodes)

    def _attempt(self, rows: Sequence[Row[Tensor]], stretch: Stretch) -> Walk:
        """Walk one batch.

        Raises:
            _Full: the memory does not suffice.
        """
        plan = self._plan(stretch.steps, rows[0].prompt)
        first, kept, end = plan.span(stretch.begin, stretch.until, stretch.ahead, stretch.shown)
        batch = self._padded(list(rows))
        inline = stretch.shown and self._decodes >= len(batch)
        wanted = Wanted(first, kept, end, inline, stretch.finishes, self.eta, self.stochastic)
        x, memory = self._batch(batch, plan)

        def noise(index: int, sample: Tensor) -> Tensor:
            step = plan.step_of_noise(index)
            return _like([self._noise(r.noise.name, step) for r in batch], sample, plan.copies)

        solver = Solver(self.pipe.scheduler)
        part = Slice(solver, plan, wanted, x, memory, noise)
        prompts = [row.prompt for row in batch]
        if first == end and stretch.finishes:
            part.kept = {"x": x}
        shown: tuple[NDArray[Any], list[str | None]] | None = None
        try:
            shown = self._call(part, prompts, batch)
        except Exception as error:
            if not out_of_memory(error):
                raise
            if not (part.kept and part.index >= end and stretch.shown):
                raise _Full(Cost(part.rows, part.rows)) from None
            self._decodes = max(1, (min(self._decodes, len(batch)) + 1) // 2)
        if stretch.shown and shown is None:
            shown = self._decoded(part, prompts)
        each = self._each(rows[0], stretch)
        results = self._results(part, shown, len(batch), len(rows), stretch)
        return Walk(results, each, Cost(len(batch) if part.beside else 0, part.beside))

    def _decoded(
        self, done: Slice, prompts: Sequence[Prompt]
    ) -> tuple[NDArray[Any], list[str | None]]:
        """The pictures of latents that a whole batch had no memory to decode."""
        plan, count = done.plan, len(prompts)
        latents = rows_of(done.seen, count)
        pictures: list[NDArray[Any]] = []
        problems: list[str | None] = []
        while len(pictures) < count:
            now = slice(len(pictures), len(pictures) + self._decodes)
            x = joined(latents[now], plan.copies)
            try:
                found = self._show(x, plan, prompts[now])
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

    def _show(
        self, x: Tensor, plan: Plan, prompts: Sequence[Prompt]
    ) -> tuple[NDArray[Any], list[str | None]]:
        """The pipeline's own last part, on latents."""
        last = len(plan.loop.times)
        wanted = Wanted(last, last, last, True, True)
        part = Slice(Solver(self.pipe.scheduler), plan, wanted, x, {}, lambda _, like: like)
        shown = self._call(part, prompts, None)
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
        found: list[Walked] = []
        for i in range(count):
            # Copies, so that a batch is not held by one of its rows.
            state = {k: values[i].clone() for k, values in rows.items()}
            checked = [v for k, v in state.items() if k != MEMORY]
            checked += [seen[i]] if shown is not None else []
            sound = all(bool(v.isfinite().all()) for v in checked if v.is_floating_point())
            problem = None if sound else "latents are not finite"
            pixels = None
            if shown is not None:
                problem = problem or shown[1][i] or _problem(shown[0][i], stretch.finishes)
                pixels = None if problem else _bytes(shown[0][i])
            found.append(Walked(state, pixels, problem))
        return found

    def _padded(self, items: Sequence[T]) -> list[T]:
        short = 0 if self.fast else self.width - len(items)
        return [*items, *[items[-1]] * short]

    def _batch(self, rows: Sequence[Row[Tensor]], plan: Plan) -> tuple[Tensor, dict[str, Tensor]]:
        """The batch's sample and its solvers' memory, on the device of the pipeline."""
        place = self._device
        if rows[0].fresh:
            return torch.empty(0, device=place), {}
        wide = [_copied(row.x, plan) for row in rows]
        x = joined([x.to(plan.dtype) for x in wide], plan.copies).to(place)
        memory = {
            k: v if k == MEMORY else joined([r.memory[k] for r in rows], plan.copies).to(place)
            for k, v in rows[0].memory.items()
        }
        return x, memory

    def _picture(self, x: Tensor, prompt: Prompt, steps: int) -> tuple[NDArray[np.uint8], Cost]:
        plan = self._plan(steps, prompt)
        latents = joined(self._padded([x.to(plan.dtype)]), plan.copies).to(self._device)
        pictures, _ = self._show(latents, plan, self._padded([prompt]))
        return _bytes(pictures[0]), Cost(decodes=int(self.decoder))


class _Full(Exception):  # noqa: N818 - told to the loop above it alone
    """The memory did not suffice; what had been spent by then."""

    def __init__(self, spent: Cost) -> None:
        super().__init__("out of memory")
        self.spent = spent


def _parameters(function: Callable[..., Any]) -> Mapping[str, Any]:
    return inspect.signature(function).parameters


def _then(function: Callable[..., Any], after: Callable[[Any], Any]) -> Callable[..., Any]:
    """A function whose answer goes through another."""

    def both(*args: Any, **kwargs: Any) -> Any:
        return after(function(*args, **kwargs))

    both.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return both


def _calling_back(callback: Callable[..., Any], part: Slice) -> Callable[..., Any]:
    """The user's own callback, called for the steps that are really made."""

    def call(pipe: Any, index: int, time: Any, given: dict[str, Any]) -> dict[str, Any]:
        if not part.wanted.begin < part.index <= part.wanted.end:
            return {}
        changed = dict(callback(pipe, index, time, given) or {})
        part.called_back(changed, bool(getattr(pipe, "_interrupt", False)))
        return changed

    return call


def _alike(rows: Sequence[Row[Tensor]]) -> list[list[int]]:
    """Places of rows that can share a call: that begin alike and came the same way."""
    groups: dict[tuple[bool, bytes], list[int]] = {}
    for i, row in enumerate(rows):
        words = row.memory.get(MEMORY)
        key = (row.fresh, b"" if words is None else bytes(words.tolist()))
        groups.setdefault(key, []).append(i)
    return list(groups.values())


def _by_prompt(rows: Sequence[Row[Tensor]], part: Sequence[int]) -> list[list[int]]:
    """Places of rows by prompt: embeddings of different lengths cannot share a batch."""
    groups: dict[str, list[int]] = {}
    for i in part:
        groups.setdefault(rows[i].prompt.name, []).append(i)
    return list(groups.values())


def _copied(x: Tensor, plan: Plan) -> Tensor:
    """A sample as often as the loop holds it."""
    alone = x.ndim == len(plan.shape)
    return x.expand(plan.copies, *plan.shape) if plan.copies > 1 and alone else x


def _like(noises: Sequence[Tensor], sample: Tensor, copies: int) -> Tensor:
    """The batch of noises, in the order, number type and place of a sample."""
    if copies > 1:
        noises = [n.expand(copies, *n.shape) for n in noises]
    return joined(noises, copies).to(device=sample.device, dtype=sample.dtype)


def _problem(picture: NDArray[Any], finished: bool) -> str | None:
    """What is broken in a picture, or in all frames of a video."""
    if picture.ndim != 4:
        return image_problem(picture, finished)
    problems = [image_problem(frame, finished) for frame in picture]
    if any(p is not None and "finite" in p for p in problems):
        return "pixels are not finite"
    return problems[0] if all(problems) else None


def _bytes(picture: NDArray[Any]) -> NDArray[np.uint8]:
    """[0, 1] to 8 bits, as diffusers makes its PIL pictures."""
    return (picture * 255).round().astype(np.uint8)

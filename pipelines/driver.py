"""Calls a pipeline with stand-ins in the place of its scheduler, denoiser and random numbers."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from noise_search.ask import Prompt
from noise_search.budget import ZERO, Cost
from noise_search.errors import Stop, UserError, out_of_memory
from noise_search.pipelines.callbacks import (
    CALLBACK,
    INPUTS,
    aside,
    guarded,
    plainly,
    same_values,
    steers,
    watched,
)
from noise_search.pipelines.calls import arguments_of, denoisers, pictures_of
from noise_search.pipelines.draws import Draw, drawing, invoked, unstirred
from noise_search.pipelines.embeddings import ENCODING, Apart, Embeddings
from noise_search.pipelines.initial import Checked, Giving, Unseen
from noise_search.pipelines.signatures import signature_of
from noise_search.pipelines.slices import Slice
from noise_search.pipelines.solvers import Solver
from noise_search.pipelines.standins import Answers, Denoiser, Halt, Scheduler, Walker, in_place
from noise_search.pipelines.survey import ROWS, Plan, Surveyor
from noise_search.pipelines.vaes import encoding_alike
from noise_search.pipelines.walks import Row
from noise_search.pipelines.writers import Writers

__all__ = ["Driver"]

_GUESSES = (1, 2, 0)
"""Channels of a guessed answer for each of the sample's; 0 asks the denoiser."""
_TEXT = re.compile(r"(negative_)?prompt(_\d)?")


class _Manner(NamedTuple):
    """How a pipeline wants to be called.

    Attributes:
        apart: with a generator for each row.
        rows: of a surveying call; one where it takes a single prompt, and that in no list.
    """

    apart: bool = True
    rows: int = ROWS


# Some want a picture for each generator, and are given one of both.
_MANNERS = (_Manner(), _Manner(apart=False), _Manner(apart=False, rows=1))


class Driver:
    """Drives a pipeline's call.

    Args:
        pipe: the pipeline.
        arguments: further keywords of its call.
        copies: rows that each prompt is encoded as.

    Attributes:
        heeds: whether the user's callback may end the run.
        together: whether several rows were seen to go through one call.
    """

    def __init__(self, pipe: Any, arguments: Mapping[str, Any], copies: int) -> None:
        self.pipe = pipe
        self.arguments = arguments
        self.kind = type(pipe).__name__
        self._embeddings = Embeddings(copies)
        self._writers = Writers()
        self._answers: Answers = {}
        self._manner = _MANNERS[0]
        self.heeds = True
        self.together = False
        read = signature_of(type(pipe)).takes("prompt")
        self._unencoded = read and not hasattr(pipe, ENCODING)

    @cached_property
    def device(self) -> torch.device:
        """Where the pipeline runs; to find that out it asks each of its modules."""
        return torch.device(self.pipe._execution_device)

    @property
    def place(self) -> str:
        """The device as a record tells it: the processor has no number."""
        return self.device.type if self.device.type == "cpu" else str(self.device)

    @property
    def single(self) -> bool:
        """Whether a survey has found that the pipeline takes a single prompt."""
        return self._manner.rows == 1

    @plainly
    def survey(self, steps: int, prompt: Prompt) -> tuple[Plan, Solver, Cost]:
        """How the pipeline walks a schedule, learned from a call that evaluates nothing.

        Returns:
            The plan, the scheduler as the pipeline has set it up, and what it has cost to ask the
            denoiser because its answers could not be guessed.

        Raises:
            UserError: the pipeline cannot be driven.
        """
        first, *others = [self._manner, *(m for m in _MANNERS if m != self._manner)]
        found = self._surveyed(steps, prompt)
        for manner in others if isinstance(found, Exception) else ():
            self._manner = manner
            again = self._surveyed(steps, prompt)
            if not isinstance(again, Exception):
                return again
        if isinstance(found, Exception):
            self._manner = first
            if isinstance(found, (TypeError, ValueError, Halt)):
                raise UserError(f"{self.kind}: {found}") from found
            raise found
        return found

    def _surveyed(self, steps: int, prompt: Prompt) -> tuple[Plan, Solver, Cost] | Exception:
        """What a survey has found, or why there is none."""
        problem: Exception = UserError(f"{self.kind} cannot be driven")
        for guess in _GUESSES:
            surveyor = Surveyor(Solver.of(self.pipe), steps, self._manner.rows)
            try:
                self._look(surveyor, prompt, guess)
            except UserError:
                raise
            except Exception as error:  # decoding zeros may fail; the loop is what is looked at
                problem = error
                if not surveyor.whole:
                    continue
            asked = _asked(surveyor)

            def look(calls: int, rows: int, other: int, guess: int = guess) -> Surveyor:
                nonlocal asked
                solver = Solver.of(self.pipe)
                more = Surveyor(solver, steps, rows, calls=calls, other=other)
                # Of more rows it may fail; what is then not known is checked in each call.
                with suppress(Halt if rows == self._manner.rows else Exception):
                    self._look(more, prompt, guess)
                asked += _asked(more)
                return more

            try:
                plan = surveyor.plan(look)
            except Unseen as error:  # of another number of prompts it may be
                return error
            except ValueError as error:  # no other answer of the denoiser would change that
                raise UserError(f"{self.kind}: {error}") from error
            solver = Solver(surveyor.solver.inner)
            solver.began()
            return plan, solver, asked
        return problem

    def _look(self, surveyor: Surveyor, prompt: Prompt, guess: int) -> None:
        """Make the surveying call."""

        def prepared(found: Any) -> Any:
            surveyor.prepared = (found[0] if isinstance(found, tuple) else found).clone()
            return found

        try:
            with self._driven(surveyor, surveyor.draw, guess, prepared) as call:
                call(**self._given([prompt] * surveyor.rows, surveyor.steps, output="latent"))
        finally:
            self.pipe.maybe_free_model_hooks()

    def call(
        self,
        part: Slice,
        prompts: Sequence[Prompt],
        rows: Sequence[Row[Tensor]] = (),
        noise: Tensor | None = None,
    ) -> tuple[NDArray[Any], list[str | None]] | None:
        """Call the pipeline over a slice; its pictures, unless it ends before them.

        Args:
            part: the slice.
            prompts: of the batch.
            rows: of the batch; none where latents are only to be shown.
            noise: that the batch begins with, or began with where the loop goes on to mix it in.

        Returns:
            (rows, [frames,] height, width, 3) in [0, 1] and what is broken in each, or None.

        Raises:
            Stop: the user ends the run before the slice is walked.
            Apart: the prompts cannot share a call.
        """
        if len(set(map(_text_of, prompts))) > 1 and self._unencoded:
            raise Apart  # whoever reads them pads them to a common length
        given = {**self._given(prompts, part.plan.steps), **self._heeding(part)}
        entering = bool(rows) and part.wanted.begin == 0 and not rows[0].fresh
        prepared = _entering(part.x, entering)
        problem: Exception = RuntimeError(f"{self.kind} cannot be driven")
        for guess in _GUESSES:
            plan, count = part.plan, len(prompts)
            draw = Giving(noise, plan.drawn_at, plan.drawings, count, self.kind)
            driven = self._driven(part, draw, guess, prepared, draw.check)
            try:
                answer = self._answer(part, driven, given)
                self.together |= len(prompts) > 1
                return None if answer is None else pictures_of(answer, len(prompts))
            except (UserError, Apart, Stop):
                raise
            except Exception as error:
                # Outside of the slice an answer may have been guessed in a wrong shape.
                if part.rows or out_of_memory(error) or part.wanted.begin == 0:
                    raise
                problem = error
        raise problem

    def _answer(
        self, part: Slice, driven: AbstractContextManager[Callable[..., Any]], given: dict[str, Any]
    ) -> Any:
        """What one call answers; None where it ends when no more is wanted of it."""
        try:
            with driven as call:
                answer = call(**given)
                if part.index < part.wanted.end and getattr(self.pipe, "_interrupt", False):
                    raise Stop  # from another thread: the loop has left out what was to come
                return answer
        except Halt:
            return None
        finally:
            self.pipe.maybe_free_model_hooks()

    @contextmanager
    def _driven(
        self,
        walker: Walker,
        draw: Draw,
        guess: int,
        prepared: Callable[[Any], Any],
        check: Callable[[], None] = lambda: None,
    ) -> Iterator[Callable[..., Any]]:
        """Put the stand-ins in place for one call, and hand out what is to be called."""
        pipe = self.pipe
        scheduler = Scheduler(walker)
        stand_ins: dict[str, object] = {
            **drawing(pipe, draw),
            "scheduler": scheduler,
            "_interrupt": False,  # one of an earlier call is not for this one
            "_progress_bar_config": {"disable": True},
            # Models that wait elsewhere go there after the call: hooks are not for stand-ins.
            "maybe_free_model_hooks": lambda: None,
            **walker.solver.guiders,
        }
        checked = Checked(walker, check)
        for name in denoisers(pipe):
            stand_ins[name] = Denoiser(getattr(pipe, name), checked, self._answers, guess)
        for name, part in pipe.components.items():
            if name != "scheduler" and hasattr(part, "set_timesteps") and hasattr(part, "step"):
                stand_ins[name] = scheduler.another(part)
            if name.startswith("controlnet") and callable(part):
                stand_ins[name] = Denoiser(part, walker, self._answers, 0, counts=False)
        encode = getattr(pipe, ENCODING, None)
        if encode is not None:
            stand_ins[ENCODING] = self._embeddings.remembering(encode)
        prepare = stand_ins.get("prepare_latents", getattr(pipe, "prepare_latents", None))
        if callable(prepare):
            stand_ins["prepare_latents"] = _then(prepare, prepared)
        # What is not finite fails by its own row's check.
        with ExitStack() as stack:
            stack.enter_context(in_place(pipe, **stand_ins))
            stack.enter_context(unstirred(self.device))
            stack.enter_context(encoding_alike(pipe.components.values()))
            stack.enter_context(self._writers.remembering(pipe.components, self.device))
            stack.enter_context(np.errstate(all="ignore"))
            yield invoked(pipe, draw)

    def _heeding(self, part: Slice) -> dict[str, Any]:
        """The user's callback, which is told of the slice's steps and may change their latents."""
        if CALLBACK not in self.arguments:
            return {}
        part.patient = True
        return {CALLBACK: _calling_back(watched(self.arguments[CALLBACK]), part, self.heeds)}

    def _steering(self) -> dict[str, Any]:
        """The user's callback, where it is part of the call."""
        callback: Any = self.arguments.get(CALLBACK)
        if not steers(callback):
            return {}
        return {CALLBACK: aside(callback), INPUTS: list(callback.tensor_inputs)}

    def _given(self, prompts: Sequence[Prompt], steps: int, output: str = "np") -> dict[str, Any]:
        """The keywords of a call. What else it draws is the same for all rows and in all calls."""
        generators = [torch.Generator("cpu").manual_seed(0) for _ in prompts]
        said = arguments_of(self.pipe, prompts, self.arguments)
        if self._manner.rows == len(prompts) == 1:
            said = {name: value[0] for name, value in said.items()}
        return {
            **{k: _for_each(k, v, prompts) for k, v in self.arguments.items() if k != CALLBACK},
            **self._steering(),
            **said,
            "num_inference_steps": steps,
            "generator": generators if self._manner.apart else generators[0],
            "output_type": output,
            "return_dict": False,
        }


def _text_of(prompt: Prompt) -> tuple[str, str | None]:
    return prompt.text, prompt.negative


def _for_each(key: str, value: Any, prompts: Sequence[Prompt]) -> Any:
    """A text beside the prompt (`prompt_2`) is each row's: pipelines want lists of one length."""
    beside = isinstance(value, str) and _TEXT.fullmatch(key) is not None
    return [value] * len(prompts) if beside else value


def _asked(surveyor: Surveyor) -> Cost:
    """What a survey has cost: the denoiser was asked where its answer could not be guessed."""
    return Cost(surveyor.rows, surveyor.beside) if surveyor.beside else ZERO


def _entering(x: Tensor, enters: bool) -> Callable[[Any], Any]:
    """Puts a batch in the place of the latents that a pipeline has prepared, if it enters there."""

    def prepared(found: Any) -> Any:
        if not enters:
            return found
        return (x, *found[1:]) if isinstance(found, tuple) else x

    return prepared


def _then(function: Callable[..., Any], after: Callable[[Any], Any]) -> Callable[..., Any]:
    """A function whose answer goes through another."""

    def both(*args: Any, **kwargs: Any) -> Any:
        return after(function(*args, **kwargs))

    both.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return both


def _calling_back(callback: Callable[..., Any], part: Slice, heeds: bool) -> Callable[..., Any]:
    """The user's own callback, called for the steps that are really made.

    It ends the run as it would end a call, by `_interrupt`, or by raising `Stop`.
    """
    beside = aside(callback)

    def call(pipe: Any, index: int, time: Any, given: dict[str, Any]) -> dict[str, Any]:
        if not part.wanted.begin < part.index <= part.wanted.end:
            return dict(beside(pipe, index, time, given) or {})
        changed: dict[str, Any] = {}
        before = given["latents"].clone() if part.plan.strands and "latents" in given else None
        try:
            changed |= guarded(callback)(pipe, index, time, given) or {}
            stops = bool(getattr(pipe, "_interrupt", False))
        except Stop:
            stops = True
        pipe._interrupt = False  # what is walked is still to be shown
        same = before is not None and same_values(changed.get("latents"), before)
        heard = {k: v for k, v in changed.items() if not (same and k == "latents")}
        part.called_back(heard, stops and heeds)
        return changed

    return call

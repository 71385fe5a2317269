"""What stands in a pipeline's place of a scheduler and a denoiser for the time of one call.

The pipeline walks its full grid, so that options which depend on the loop's index stay right.
Outside of the slice the denoiser's stand-in answers zeros and the scheduler's hands the sample
on; after it the pipeline either decodes what is to be seen, in its own way, or is stopped.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from noise_search.pipelines.schedules import Grid, check_scheduler

__all__ = ["Denoiser", "Halt", "Scheduler", "Slice", "in_place"]


class Halt(Exception):  # noqa: N818 - a wish, not an error
    """Raised inside a pipeline's call when nothing more is wanted of it."""


class Slice:
    """The part of a path that one call of a pipeline is to walk, and what came of it.

    Args:
        grid: the schedule.
        steps: evaluations of the whole schedule.
        begin: the stage to walk from.
        until: the stage whose state is kept.
        end: the stage to walk to, for the preview.
        shown: whether the pipeline is to decode what it came to.
        x: the batch at `begin`.
        eta: how random the steps before `until` are.
        noise: the batch's noise of leaving a stage.

    Attributes:
        index: steps the pipeline's loop has made.
        kept: the batch's state at `until`.
        seen: the latents to decode.
        rows: rows the denoiser was given on the slice.
        beside: rows it was given only to learn what its answer looks like.
        guessing: whether that is guessed where it is not known.
        guessed: whether it had to be.
    """

    def __init__(
        self,
        grid: Grid,
        steps: int,
        *,
        begin: int,
        until: int,
        end: int,
        shown: bool,
        x: Tensor,
        eta: float = 0.0,
        noise: Callable[[int], Tensor] | None = None,
    ) -> None:
        self.grid = grid
        self.steps = steps
        self.begin = begin
        self.until = until
        self.end = end
        self.shown = shown
        self.x = x
        self.eta = eta
        self.noise = noise
        self.index = 0
        self.kept: dict[str, Tensor] = {}
        self.seen = x
        self.rows = 0
        self.beside = 0
        self.guessing = True
        self.guessed = False

    @property
    def walking(self) -> bool:
        """Whether the loop's step is one of the slice."""
        return self.begin <= self.index < self.end

    def step(self, output: Tensor, sample: Tensor) -> Tensor:
        """What the scheduler answers at the loop's step."""
        after = sample
        if self.walking:
            after = self._walk(self.index + 1, output, sample)
        elif self.index == self.begin - 1:
            after = self.x
        self.index += 1
        if self.index == self.end and not self.shown:
            raise Halt
        return self.seen if self.index == self.steps else after

    def _walk(self, stage: int, output: Tensor, sample: Tensor) -> Tensor:
        random = self.eta > 0.0 and stage < self.steps
        if random and stage == self.until:
            # Whoever goes on draws the noise of this step: the state is what came before it.
            # Copies, since the pipeline may go on to change these in place.
            self.kept = {"x": sample.clone(), "out": output.clone()}
        noise = self.noise(stage) if random and stage < self.until and self.noise else None
        eta = 0.0 if noise is None else self.eta
        after, x0 = self.grid.step(stage, output, sample, eta, noise)
        if stage == self.until and not self.kept:
            self.kept = {"x": after.clone()}
        if stage == self.end:
            self.seen = after if stage == self.steps else x0
        return after


class Scheduler:
    """Passes for the grid's scheduler; its steps are the slice's."""

    def __init__(self, part: Slice) -> None:
        inner = part.grid.scheduler
        fields = self.__dict__
        fields["_inner"] = inner
        fields["set_timesteps"] = self._setting(part, inner)
        fields["step"] = self._stepping(part, inner)

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # pyright: ignore
        """The class of the scheduler it stands for: pipelines ask."""
        return type(self.__dict__["_inner"])

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_inner"], name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._inner, name, value)

    def __len__(self) -> int:
        return len(self._inner)

    @staticmethod
    def _setting(part: Slice, inner: Any) -> Callable[..., None]:
        @wraps(inner.set_timesteps)  # pipelines look at the signature
        def set_timesteps(*args: Any, **kwargs: Any) -> None:
            inner.set_timesteps(*args, **kwargs)
            check_scheduler(inner, part.steps)
            part.index = 0

        return set_timesteps

    @staticmethod
    def _stepping(part: Slice, inner: Any) -> Callable[..., tuple[Tensor] | Any]:
        bind = inspect.signature(inner.step).bind

        @wraps(inner.step)
        def step(*args: Any, **kwargs: Any) -> tuple[Tensor] | Any:
            # By name: schedulers do not agree on the order.
            given = bind(*args, **kwargs).arguments
            after = part.step(given["model_output"], given["sample"])
            if not given.get("return_dict", True):
                return (after, after)
            return _Output(prev_sample=after)

        return step


class _Output(dict[str, Tensor]):
    """What a scheduler's step returns where a pipeline wants it by name."""

    def __getattr__(self, name: str) -> Tensor:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __getitem__(self, key: Any) -> Tensor:
        return list(self.values())[key] if isinstance(key, int) else super().__getitem__(key)


class Denoiser:
    """Passes for the pipeline's denoiser, counts the rows it is given, and skips what it may.

    Args:
        inner: the denoiser.
        part: the slice of this call, or None to halt at the first evaluation.
        blanks: answers of zeros by number of rows, kept between calls.
    """

    def __init__(self, inner: Any, part: Slice | None, blanks: dict[int, Any]) -> None:
        fields = self.__dict__
        fields["_inner"], fields["_part"], fields["_blanks"] = inner, part, blanks

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # pyright: ignore
        """The class of the denoiser it stands for: pipelines ask."""
        return type(self.__dict__["_inner"])

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_inner"], name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._inner, name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The denoiser's answer on the slice, zeros elsewhere."""
        part, blanks = self._part, self._blanks
        if part is None:
            raise Halt
        rows = next(len(a) for a in (*args, *kwargs.values()) if isinstance(a, Tensor) and a.ndim)
        if not part.walking and rows in blanks:
            return _mapped(torch.zeros_like, blanks[rows])
        if not part.walking and part.guessing:
            part.guessed = True
            return _guess(*args, **kwargs)
        answer = self._inner(*args, **kwargs)
        if part.walking:
            part.rows += rows
        else:
            part.beside += rows
        if rows not in blanks:
            blanks[rows] = _mapped(torch.zeros_like, answer)
        return answer


def _guess(*args: Any, return_dict: bool = True, **kwargs: Any) -> Any:
    """Zeros as an answer: like the sample, which is the first tensor a denoiser is given."""
    sample = next(a for a in (*args, *kwargs.values()) if isinstance(a, Tensor) and a.ndim)
    blank = torch.zeros_like(sample)
    return _Output(sample=blank) if return_dict else (blank,)


def _mapped(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    """A denoiser's answer with every tensor of it mapped."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, dict):
        return type(value)(**{key: _mapped(function, part) for key, part in value.items()})
    if isinstance(value, (tuple, list)):
        return type(value)(_mapped(function, part) for part in value)
    return value


@contextmanager
def in_place(pipe: Any, **others: object) -> Iterator[None]:
    """Put other things in the place of a pipeline's attributes, and put them back whatever comes.

    The instance's own dictionary is used: a pipeline's `__setattr__` would note the stand-ins in
    its config.
    """
    fields = vars(pipe)
    before = {name: fields[name] for name in others if name in fields}
    fields.update(others)
    try:
        yield
    finally:
        for name in others:
            fields.pop(name, None)
        fields.update(before)

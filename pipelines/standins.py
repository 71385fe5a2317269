"""What stands in a pipeline's place of a scheduler and a denoiser for the time of one call.

The pipeline walks its full grid, so that options which depend on the loop's index stay right.
Outside of the slice the denoiser's stand-in answers zeros and the scheduler's hands the sample
on; after it the pipeline either decodes what is to be seen, in its own way, or is stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from functools import wraps
from itertools import count
from typing import Any, Protocol

import torch
from torch import Tensor

from noise_search.pipelines.solvers import Solver

__all__ = ["Answers", "Denoiser", "Halt", "Scheduler", "Stepper", "Walker", "Watcher", "in_place"]


class Halt(Exception):  # noqa: N818 - a wish, not an error
    """Raised inside a pipeline's call when nothing more is wanted of it."""


class Stepper(Protocol):
    """Whoever decides what becomes of a scheduler's sample.

    Attributes:
        solver: the scheduler that the pipeline sets up.
    """

    solver: Solver

    def begin(self) -> None:
        """The pipeline has set its timesteps."""

    def step(self, given: dict[str, Any]) -> Sequence[Any]:
        """The scheduler's answer at the loop's step: the sample after it, and what goes beside."""
        ...

    def split(self, number: int, solver: Solver) -> Stepper:
        """The pipeline has a scheduler more, the so-manieth: a copy, or another component."""
        ...


class Watcher(Protocol):
    """Whoever decides whether a denoiser is asked, and is told of it."""

    @property
    def walking(self) -> bool:
        """Whether the loop's step is to be made in earnest."""
        ...

    def evaluated(self, rows: int, *, in_earnest: bool) -> None:
        """The denoiser was really given so many rows."""

    def fed(self, rows: int, sample: Any) -> None:
        """The denoiser is called with a sample of so many rows, whether it is asked or not."""


class Walker(Stepper, Watcher, Protocol):
    """Whoever decides what a call's loop does at each of its steps."""


class Scheduler:
    """Passes for the walker's scheduler; its steps are the walker's."""

    def __init__(self, walker: Stepper, numbers: Iterator[int] | None = None) -> None:
        fields = self.__dict__
        fields["_walker"] = walker
        fields["_numbers"] = count(1) if numbers is None else numbers
        fields["_inner"] = walker.solver.inner
        fields["set_timesteps"] = self._setting(walker)
        fields["step"] = self._stepping(walker)

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # pyright: ignore
        """The class of the scheduler it stands for: pipelines ask."""
        return type(self.__dict__["_inner"])

    def __getattr__(self, name: str) -> Any:
        inner = self.__dict__["_inner"]
        if name == _SCALING and not hasattr(inner, name):
            return _unscaled  # `type(...)` tells pipelines that this is another class
        return getattr(inner, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._inner, name, value)

    def __len__(self) -> int:
        return len(self._inner)

    def __deepcopy__(self, _: object) -> Scheduler:
        """A pipeline copies its scheduler to step another sample beside."""
        return self.another(self.__dict__["_inner"])

    def another(self, scheduler: Any) -> Scheduler:
        """A stand-in for a scheduler that is stepped beside this one."""
        walker, numbers = self.__dict__["_walker"], self.__dict__["_numbers"]
        return Scheduler(walker.split(next(numbers), Solver(scheduler)), numbers)

    @staticmethod
    def _setting(walker: Stepper) -> Callable[..., None]:
        inner = walker.solver.inner

        @wraps(inner.set_timesteps)  # pipelines look at the signature
        def set_timesteps(*args: Any, **kwargs: Any) -> None:
            inner.set_timesteps(*args, **kwargs)
            walker.begin()

        return set_timesteps

    @staticmethod
    def _stepping(walker: Stepper) -> Callable[..., Any]:
        @wraps(walker.solver.inner.step)
        def step(*args: Any, **kwargs: Any) -> Any:
            given = walker.solver.bind(*args, **kwargs)
            by_name = given.get("return_dict", True)
            answer = tuple(walker.step(given))
            return _Stepped(answer) if by_name else answer

        return step


_SCALING = "scale_model_input"


def _unscaled(sample: Tensor, *_: Any) -> Tensor:
    """What a scheduler that scales nothing would answer, if it were asked."""
    return sample


class _Stepped(tuple[Any, ...]):
    """What a scheduler's step returns where a pipeline wants it by name."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[0] if name == "prev_sample" else self[-1]


Answers = MutableMapping[tuple[Any, ...], Any]
"""What answers look like, by what was asked: zeros that take no memory."""


class Denoiser:
    """Passes for a pipeline's denoiser, counts the rows it is given, and skips what it may.

    Nobody looks at answers outside of the slice, so their shape is guessed until one is known.

    Args:
        inner: the denoiser.
        walker: says whether a step is made in earnest.
        answers: what answers look like, kept between calls.
        guess: channels of a guessed answer for each of the sample's; 0 asks the denoiser.
        counts: whether its rows are evaluations: a ControlNet's are not.
    """

    def __init__(
        self, inner: Any, walker: Watcher, answers: Answers, guess: int, counts: bool = True
    ) -> None:
        self.__dict__.update(
            _inner=inner, _walker=walker, _answers=answers, _guess=guess, _counts=counts
        )

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # pyright: ignore
        """The class of the denoiser it stands for: pipelines ask."""
        return type(self.__dict__["_inner"])

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_inner"], name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._inner, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._inner, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The denoiser's answer on the slice, zeros elsewhere."""
        walker: Watcher = self._walker
        sample = next(_samples([*args, *kwargs.values()]))
        rows = len(sample)
        first = sample[0] if isinstance(sample, list) else sample
        if self._counts:
            walker.fed(rows, sample)
        key = (type(self._inner), rows, tuple(first.shape), bool(kwargs.get("return_dict", True)))
        if not walker.walking:
            if key in self._answers:
                return _mapped(torch.zeros_like, self._answers[key])
            if self._guess and self._counts:
                return _guessed(sample, self._guess, key[-1])
        answer = self._inner(*args, **kwargs)
        if self._counts:
            walker.evaluated(rows, in_earnest=walker.walking)
        if key not in self._answers:
            self._answers[key] = _mapped(_template, answer)
        return answer if walker.walking else _mapped(torch.zeros_like, answer)


def _samples(values: Sequence[Any]) -> Iterator[Any]:
    """The tensors among a denoiser's arguments, the sample first; some are given lists of rows."""
    for value in values:
        if (isinstance(value, Tensor) and value.ndim > 1) or (
            isinstance(value, list) and value and all(isinstance(v, Tensor) for v in value)
        ):
            yield value
    raise TypeError("the denoiser was given no sample")


def _guessed(sample: Any, channels: int, by_name: bool) -> Any:
    def blank(x: Tensor) -> Tensor:
        return torch.cat([torch.zeros_like(x)] * channels, dim=1 if x.ndim > 1 else 0)

    answer = [blank(x) for x in sample] if isinstance(sample, list) else blank(sample)
    return _Named(sample=answer) if by_name else (answer,)


class _Named(dict[str, Any]):
    """What a denoiser returns where a pipeline wants it by name."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __getitem__(self, key: Any) -> Any:
        return list(self.values())[key] if isinstance(key, int) else super().__getitem__(key)


def _template(tensor: Tensor) -> Tensor:
    """Zeros of the same kind that take no memory."""
    return torch.zeros((), dtype=tensor.dtype, device=tensor.device).expand(tensor.shape)


def _mapped(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    """A denoiser's answer with every tensor of it mapped."""
    if isinstance(value, Tensor):
        return function(value)
    if type(value) is dict:  # as of keys and values by layer
        return {key: _mapped(function, part) for key, part in value.items()}
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

"""A search's path beside a plain call of the pipeline that draws the same random numbers.

The pipeline is called as its users call it, on its own scheduler and models; nothing of the driver
is in that. Only where the pipeline's own code draws with diffusers' `randn_tensor` are its numbers
those of a path, by the names that `docs/pipelines.md` tells.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from noise_search.ask import Prompt
from noise_search.moves import Start
from noise_search.noise import Gaussian, seed_from
from tests.pipelines.playing import latents, player
from tests.pipelines.zoo.calling import networks, plain_call
from tests.pipelines.zoo.kind import Kind

_OWN = ("diffusers.pipelines.", "diffusers.schedulers.")
"""Modules whose drawings are a path's; models draw from the generator of the call."""
_AGAIN = 1_000_000_000
"""From the name of a step's first drawing to that of its second."""


@dataclass
class Path:
    """What a call of one row did.

    Attributes:
        given: every tensor that the denoisers were given, in order.
        said: every tensor that they answered.
        last: the sample after the last step.
        picture: ([frames,] height, width, 3), of 8 bits.
    """

    given: list[Tensor] = field(default_factory=list[Tensor])
    said: list[Tensor] = field(default_factory=list[Tensor])
    last: Tensor = field(default_factory=lambda: torch.empty(0))
    picture: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))


def differences(kind: Kind, pipe: Any, seed: int) -> list[str]:
    """What a searched path has otherwise than the plain call, in any bit; nothing, if it is one."""
    found, wanted = searched_path(kind, pipe, seed), plain_path(kind, pipe, seed)
    same = {
        "given": _same(found.given, wanted.given),
        "said": _same(found.said, wanted.said),
        "last": _same([found.last.reshape_as(wanted.last)], [wanted.last]),
        "picture": np.array_equal(found.picture, wanted.picture),
    }
    return [name for name, equal in same.items() if not equal]


def searched_path(kind: Kind, pipe: Any, seed: int) -> Path:
    """The path of a seed, as a search walks it."""
    path, play, prompt = Path(), player(pipe, kind, width=1), Prompt("p", kind.prompts[0])
    play.pipeline.price(play.ask(Start(Gaussian(seed)), prompt))  # surveyed unseen
    with _observed(pipe, path):
        made = play.one(Start(Gaussian(seed)), prompt)
    path.last, path.picture = latents(play, made), made.pixels
    return path


def plain_path(kind: Kind, pipe: Any, seed: int) -> Path:
    """The same path by a plain call."""
    path, before = _called(kind, pipe, seed, initial=0)
    # Where the pipeline draws more than that before its loop, the last are the initial noise.
    initial = before - kind.drawings
    return path if initial <= 0 else _called(kind, pipe, seed, initial)[0]


def _called(kind: Kind, pipe: Any, seed: int, initial: int) -> tuple[Path, int]:
    """A plain call with its path's numbers, and how often it has drawn before its first step."""
    path, draws = Path(), _Draws(seed, initial)
    with torch.random.fork_rng(), draws.given_to(pipe.scheduler), _observed(pipe, path):
        torch.manual_seed(0)  # a few decoders draw from the global generator
        [picture] = plain_call(kind, pipe, kind.prompts[0], seed=0)
    path.last, path.picture = draws.last, (picture * 255).round().astype(np.uint8)
    return path, draws.before


class _Draws:
    """The random numbers of a seed's path, for what a pipeline and its scheduler draw.

    Args:
        seed: of the path.
        initial: from which drawing before the first step on they are the initial noise.

    Attributes:
        before: drawings before the first step.
    """

    def __init__(self, seed: int, initial: int) -> None:
        self.seed, self.initial = seed, initial
        self.before = self._steps = 0
        self._noise = torch.Generator().manual_seed(seed)
        self._samples: dict[int, Tensor] = {}
        self._ordinals: Iterator[int] | None = None  # of a step's drawings, while there is one

    @property
    def last(self) -> Tensor:
        """The sample after the last step; where copies of the scheduler step some, all of them."""
        samples = list(self._samples.values())
        return samples[0] if len(samples) == 1 else torch.cat([x.flatten() for x in samples])

    @contextmanager
    def given_to(self, scheduler: Any) -> Iterator[None]:
        """Answer drawings for the time of a call, and watch the steps of the scheduler's class."""
        step = type(scheduler).step

        @wraps(step)  # pipelines look at the signature
        def stepped(own: Any, *args: Any, **kwargs: Any) -> Any:
            self._steps, self._ordinals = self._steps + 1, count()
            answer = step(own, *args, **kwargs)
            self._samples[id(own)], self._ordinals = answer[0].clone(), None
            return answer

        with pytest.MonkeyPatch.context() as put:
            put.setattr(type(scheduler), "step", stepped)
            for name, module in list(sys.modules.items()):
                if name.startswith(_OWN) and "randn_tensor" in vars(module):
                    put.setattr(module, "randn_tensor", self._draw)
            yield

    def _draw(self, shape: Sequence[int], *_: Any, dtype: Any = None, **__: Any) -> Tensor:
        return torch.randn(tuple(shape), generator=self._generator()).to(dtype)

    def _generator(self) -> torch.Generator:
        """Of what is drawn now."""
        made = torch.Generator()
        if self._ordinals is not None:
            step = self._steps + next(self._ordinals) * _AGAIN
            return made.manual_seed(seed_from("step", self.seed, step))
        initial = self._steps == 0 and self.before >= self.initial
        self.before += self._steps == 0
        return self._noise if initial else made.manual_seed(0)


@contextmanager
def _observed(pipe: Any, path: Path) -> Iterator[None]:
    """Note what the denoisers are given and say, from within."""

    def before(_: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        path.given += _tensors([given, named])

    def after(_: Any, given: tuple[Any, ...], answer: Any) -> None:
        path.said += _tensors(answer)

    handles = [n.register_forward_pre_hook(before, with_kwargs=True) for n in networks(pipe)]
    handles += [n.register_forward_hook(after) for n in networks(pipe)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _tensors(value: Any) -> list[Tensor]:
    """Copies of all tensors of a nested value, in order."""
    if isinstance(value, Tensor):
        return [value.detach().clone()]
    parts = list(value.values()) if isinstance(value, dict) else value
    return [t for part in parts for t in _tensors(part)] if isinstance(parts, (list, tuple)) else []


def _same(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> bool:
    return len(found) == len(wanted) and all(map(torch.equal, found, wanted))

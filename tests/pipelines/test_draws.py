"""Where random numbers are drawn: by which methods, and beside diffusers' own function."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import MethodType
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers.utils import torch_utils

from noise_search.errors import UserError
from noise_search.moves import Start
from noise_search.noise import Book, Gaussian
from noise_search.pipelines.diffusers import DiffusersPipeline
from noise_search.pipelines.states import States
from tests.pipelines.passing import (
    cut_anywhere_is_whole,
    equals_the_plain_call,
    player,
    rows_of,
)
from tests.pipelines.playing import Player
from tests.pipelines.zoo import KINDS, load
from tests.pipelines.zoo.unets import GUIDED, sd_parts
from tests.pipelines.zoo.video_vaes import ltx_vae
from tests.pipelines.zoo.warnings import KNOWN

pytestmark = [*KNOWN]
library: Any = diffusers
randn_tensor: Any = torch_utils.randn_tensor
SOFT = 0.5


def test_a_decoder_that_draws_of_itself_shows_the_same_each_time(tmp_path: Path) -> None:
    """LTX 0.9.1's adds noise to its features, from the global generator."""
    kind = KINDS["ltx"]
    pipe = load(kind, tmp_path)
    pipe.vae = ltx_vae(decoder_inject_noise=(True,) * 5)
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    seen = []
    for width in (2, 1):
        book = Book()
        pipeline = DiffusersPipeline(pipe, book, width=width, arguments=dict(kind.arguments))
        play = Player(pipeline, book, kind.steps)
        seen += [play.start(1).pixels, play.start(1).pixels]
        pipeline.states = States()
        made = play.start(1)
        seen.append(pipeline.picture(made.candidate, play.ask(Start(Gaussian(1))).prompt).pixels)
    assert torch.equal(torch.rand(3), wanted)  # who draws beside it is not disturbed
    for pixels in seen:
        assert np.abs(pixels.astype(int) - seen[0]).max() <= 1


class Softer(library.StableDiffusionPipeline):  # type: ignore[misc]
    """Stable Diffusion with less noise than it was trained with."""

    def prepare_latents(self, *args: Any, **kwargs: Any) -> Any:
        return SOFT * super().prepare_latents(*args, **kwargs)


def softened(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def softer(*args: Any, **kwargs: Any) -> Any:
        return SOFT * function(*args, **kwargs)

    return softer


class Decorated(library.StableDiffusionPipeline):  # type: ignore[misc]
    prepare_latents = softened(library.StableDiffusionPipeline.prepare_latents)


class Again(Softer):
    """Calls up through a class that calls up itself."""

    def prepare_latents(self, *args: Any, **kwargs: Any) -> Any:
        return super(Again, self).prepare_latents(*args, **kwargs) / 1.0  # noqa: UP008


def put_in_place(pipe: Any) -> Any:
    pipe.prepare_latents = softened(pipe.prepare_latents)
    return pipe


def bound(pipe: Any) -> Any:
    pipe.prepare_latents = MethodType(Softer.prepare_latents, pipe)
    return pipe


def helped(*args: Any) -> Any:
    """A method that a user has written with another of their own."""
    return SOFT * noise_of(*args[1:])


def noise_of(batch: int, channels: int, height: int, width: int, *more: Any) -> Any:
    dtype, device, generator = more[:3]
    shape = (batch, channels, height // 8, width // 8)
    return randn_tensor(shape, generator=generator, device=device, dtype=dtype)


class Helped(library.StableDiffusionPipeline):  # type: ignore[misc]
    prepare_latents = helped


WAYS: dict[str, Callable[[], Any]] = {
    "super": lambda: Softer(**sd_parts()),
    "super twice": lambda: Again(**sd_parts()),
    "a decorator": lambda: Decorated(**sd_parts()),
    "a function of the module": lambda: Helped(**sd_parts()),
    "on the object": lambda: put_in_place(library.StableDiffusionPipeline(**sd_parts())),
    "a method of the object's": lambda: bound(Softer(**sd_parts())),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_method_that_calls_one_that_draws_is_heeded(way: str) -> None:
    """Paths are those of plain calls, by the user's own method."""
    pipe = WAYS[way]()
    before = dict(vars(pipe))
    equals_the_plain_call(pipe, GUIDED)
    cut_anywhere_is_whole(pipe, GUIDED)
    assert vars(pipe).get("prepare_latents") is before.get("prepare_latents")


def test_a_method_on_the_object_that_hides_its_noise_is_not_passed_over() -> None:
    def hidden(*args: Any) -> Any:
        return type(pipe).prepare_latents(pipe, *args)

    pipe = library.StableDiffusionPipeline(**sd_parts())
    pipe.prepare_latents = hidden
    play = player(pipe, GUIDED)
    with rows_of(pipe.unet) as rows, pytest.raises(UserError, match="draws no initial noise"):
        play.one(Start(Gaussian(1)))
    assert rows == []


def test_a_class_may_be_changed_between_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = library.StableDiffusionPipeline(**sd_parts())
    equals_the_plain_call(pipe, GUIDED)
    softer = softened(library.StableDiffusionPipeline.prepare_latents)
    monkeypatch.setattr(library.StableDiffusionPipeline, "prepare_latents", softer)
    equals_the_plain_call(pipe, GUIDED)

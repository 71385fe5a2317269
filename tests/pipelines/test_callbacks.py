"""The user's own callback: what it raises, what it is called for, what it may change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from noise_search.errors import Stop
from noise_search.moves import Start
from noise_search.noise import Gaussian
from noise_search.pipelines.callbacks import same_values
from noise_search.problem import CutShort
from tests.pipelines.passing import PROMPTS, STEPS, player, rows_of
from tests.pipelines.playing import latents
from tests.pipelines.zoo.unets import GUIDED, sd15
from tests.pipelines.zoo.warnings import KNOWN

pytestmark = [*KNOWN]
ERRORS: list[type[Exception]] = [TypeError, ValueError, KeyError, RuntimeError]


class Broken:
    """A callback that raises at a step, and notes at which it was called."""

    def __init__(self, at: int, error: Exception) -> None:
        self.at, self.error = at, error
        self.calls: list[int] = []

    def __call__(self, _: Any, index: int, __: Any, given: dict[str, Any]) -> dict[str, Any]:
        self.calls.append(index)
        if index == self.at:
            raise self.error
        return given


class Steering(Broken):
    """One that is part of the call, and is heard where the pipeline is only surveyed too."""

    tensor_inputs = ("latents",)


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("at", range(STEPS))
@pytest.mark.parametrize("kind", [Broken, Steering])
def test_what_a_callback_raises_is_raised_as_it_is_and_at_once(
    kind: type[Broken], at: int, error: type[Exception]
) -> None:
    broken = kind(at, error("mine"))
    play = player(sd15(), {**GUIDED, "callback_on_step_end": broken}, width=2)
    with pytest.raises(error) as raised:
        play.one(Start(Gaussian(7)), PROMPTS[0])
    assert raised.value is broken.error
    assert raised.value.__cause__ is raised.value.__context__ is None
    assert broken.calls == [*range(at + 1)]


def test_the_end_of_an_iterator_in_a_callback_is_told_as_its_error() -> None:
    broken = Broken(1, StopIteration())
    play = player(sd15(), {**GUIDED, "callback_on_step_end": broken})
    with pytest.raises(RuntimeError, match="callback_on_step_end has raised StopIteration"):
        play.one(Start(Gaussian(7)), PROMPTS[0])


def test_a_callback_that_cannot_decode_does_not_make_the_search_decode_less() -> None:
    def wrong(pipe: Any, index: int, _: Any, given: dict[str, Any]) -> dict[str, Any]:
        if index == STEPS - 1:
            pipe.vae.decode(given["latents"][:, :3])
        return given

    play = player(sd15(), {**GUIDED, "callback_on_step_end": wrong}, width=2)
    with pytest.raises(RuntimeError, match="expected input"):
        play.one(Start(Gaussian(7)), PROMPTS[0])


def test_memory_that_runs_out_in_a_callback_makes_batches_smaller() -> None:
    def large(_: Any, index: int, __: Any, given: dict[str, Any]) -> dict[str, Tensor]:
        if index == STEPS - 1 and len(given["latents"]) > 1:
            raise torch.OutOfMemoryError("mine")
        return {"latents": given["latents"] * 0.9}

    wide, narrow = (
        player(sd15(), {**GUIDED, "callback_on_step_end": large}, width=width) for width in (2, 1)
    )
    with pytest.warns(RuntimeWarning, match="out of memory: from here on batches of 1"):
        made = wide.one(Start(Gaussian(7)), PROMPTS[0])
    other = narrow.one(Start(Gaussian(7)), PROMPTS[0])
    assert torch.equal(latents(wide, made), latents(narrow, other))
    assert np.array_equal(made.pixels, other.pixels)


def test_a_steering_callback_may_end_the_run_at_a_step_that_is_made() -> None:
    steering = Steering(0, Stop())
    pipe = sd15()
    play = player(pipe, {**GUIDED, "callback_on_step_end": steering})
    with rows_of(pipe.unet) as rows, pytest.raises(CutShort):
        play.one(Start(Gaussian(7)), PROMPTS[0])
    assert len(rows) == 1  # no wish of a call that only looks is heard


@pytest.mark.parametrize(
    ("given", "same"),
    [
        (torch.tensor([1.0, torch.nan, torch.inf]), True),  # what is broken has its own check
        (torch.tensor([1.0, 2.0, torch.inf]), False),
        (torch.tensor([1.0, torch.nan]), False),
        (torch.tensor([1.0, torch.nan, torch.inf], dtype=torch.float64), False),
        (None, False),
    ],
    ids=["broken", "changed", "shorter", "wider", "none"],
)
def test_latents_that_are_handed_on_unchanged_are_known(given: Tensor | None, same: bool) -> None:
    assert same_values(given, torch.tensor([1.0, torch.nan, torch.inf])) == same

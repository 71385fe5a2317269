"""Pipelines that take one row a call, and what comes of it wherever that is found out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from noise_search.ask import Prompt
from noise_search.errors import Notice
from noise_search.moves import Start
from noise_search.noise import Book, Gaussian
from noise_search.pipelines.diffusers import DiffusersPipeline
from noise_search.pipelines.shapes.pipeline import ShapesPipeline
from noise_search.pipelines.states import States
from tests.pipelines.conftest import Load
from tests.pipelines.playing import Made, Player
from tests.pipelines.zoo import KINDS, Kind, load
from tests.pipelines.zoo.warnings import KNOWN

pytestmark = [*KNOWN]
TEXT = Prompt("p", "a red circle")
WIDTH = 3
SAID = {
    "wan-vace": "WanVACEPipeline takes one prompt a call",
    "sd-upscale": "StableDiffusionUpscalePipeline takes one prompt a call",
}


def players(pipe: Any, arguments: Mapping[str, Any], steps: int) -> Callable[[], Player]:
    """Makes players of one run, as processes do that go on with it."""
    book, states = Book(), States()

    def anew() -> Player:
        made = DiffusersPipeline(pipe, book, width=WIDTH, arguments=dict(arguments), states=states)
        return Player(made, book, steps)

    return anew


def shows_again(anew: Callable[[], Player], made: Sequence[Made], said: str) -> None:
    """The pictures are shown by players that have played nothing, who say how they go on."""
    for one in made:
        other = anew()
        with pytest.warns(Notice, match=said):
            picture = other.pipeline.picture(one.candidate, TEXT)
        assert np.array_equal(picture[0], one.pixels)
        assert other.pipeline.width == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "kind",
    [KINDS["wan-vace"], pytest.param(KINDS["sd-upscale"], marks=pytest.mark.nightly)],
    ids=SAID,
)
def test_a_process_that_only_shows_finds_out_that_rows_go_one_by_one(
    kind: Kind, tmp_path: Path
) -> None:
    anew = players(load(kind, tmp_path), kind.arguments, kind.steps)
    play = anew()
    whole, half = play.one(Start(Gaussian(3)), TEXT), play.one(Start(Gaussian(3), until=2), TEXT)
    assert whole.played.failure is None
    shows_again(anew, [whole, half], SAID[kind.name])


class Narrow(ShapesPipeline):
    """A pipeline that takes two rows, as it is surveyed with, and no more."""

    def _predict(self, *args: Any) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        if len(args[0]) > 2:
            raise ValueError("two at most")
        return super()._predict(*args)


def test_a_picture_that_fails_in_company_is_shown_alone(load_tiny: Load) -> None:
    pipe: Any = Narrow(**load_tiny("flow").components)
    pipe.set_progress_bar_config(disable=True)
    anew = players(pipe, {"guidance_scale": 3.0}, 4)
    play = anew()
    with pytest.warns(Notice, match="Narrow fails with 3 rows"):
        made = [play.one(Start(Gaussian(3)), TEXT), play.one(Start(Gaussian(3), until=2), TEXT)]
    shows_again(anew, made, "Narrow fails with 3 rows")

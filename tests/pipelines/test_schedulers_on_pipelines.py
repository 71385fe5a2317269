"""One pipeline under many schedulers: cut anywhere it is the whole path, and it costs its price."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from noise_search.errors import UserError
from noise_search.moves import Continue, Start
from noise_search.noise import Book, Gaussian
from noise_search.pipelines.diffusers import DiffusersPipeline
from tests.pipelines.playing import Player
from tests.pipelines.zoo import KINDS, load
from tests.pipelines.zoo.warnings import KNOWN

pytestmark = [*KNOWN]
library: Any = diffusers
STEPS = 5

LEADING = ("DDIM", "DDPM", "EulerDiscrete", "EulerAncestralDiscrete", "HeunDiscrete", "PNDM", "LCM")
SOLVERS = ("DPMSolverMultistep", "DPMSolverSinglestep", "UniPCMultistep", "DEISMultistep", "TCD")
FLOWS = ("FlowMatchEulerDiscrete", "FlowMatchHeunDiscrete", "FlowMatchLCM")
PAIRS = [
    *(("sd15", name) for name in (*LEADING, *SOLVERS)),
    *(("sd3", name) for name in FLOWS),
    ("sana-sprint", "SCM"),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("zoo")


def player(kind: str, scheduler: str, root: Path, eta: float = 0.0) -> Player:
    pipe = load(KINDS[kind], root)
    made: Any = getattr(library, f"{scheduler}Scheduler")
    pipe.scheduler = made.from_config(pipe.scheduler.config)
    book = Book()
    given = dict(KINDS[kind].arguments)
    return Player(DiffusersPipeline(pipe, book, width=2, arguments=given, eta=eta), book, STEPS)


@pytest.mark.parametrize(("kind", "scheduler"), PAIRS)
def test_a_path_cut_anywhere_is_the_whole_path(kind: str, scheduler: str, root: Path) -> None:
    play = player(kind, scheduler, root)
    [whole] = play.play([Start(Gaussian(1))])
    assert whole.played.failure is None
    for cut in range(1, STEPS):
        [half] = play.play([Start(Gaussian(1), until=cut)])
        [again] = play.play([Continue(half.candidate, Gaussian(1))])
        assert np.array_equal(again.pixels, whole.pixels)
        assert again.cost.nfe + half.cost.nfe == whole.cost.nfe
        assert again.cost.forwards + half.cost.forwards == whole.cost.forwards


@pytest.mark.parametrize(("kind", "scheduler"), [*PAIRS, ("sd15", "EDMEuler")])
def test_steps_that_draw_by_eta_are_cut_too(kind: str, scheduler: str, root: Path) -> None:
    """A scheduler that scales its model's input does so by its place, whoever takes the step."""
    play = player(kind, scheduler, root, eta=0.5)
    try:
        [whole] = play.play([Start(Gaussian(1))])
    except UserError as refused:
        assert "eta" in str(refused)  # noqa: PT017 - some can, and some say that they cannot
        return
    for cut in range(1, STEPS):
        [half] = play.play([Start(Gaussian(1), until=cut)])
        [again] = play.play([Continue(half.candidate, Gaussian(1))])
        assert np.array_equal(again.pixels, whole.pixels)


@pytest.mark.parametrize(("kind", "scheduler"), PAIRS)
def test_what_goes_back_goes_back_or_is_refused(kind: str, scheduler: str, root: Path) -> None:
    play = player(kind, scheduler, root)
    [half] = play.play([Start(Gaussian(1), until=3)])
    move = Continue(half.candidate, Gaussian(2), rewind=1)
    if scheduler == "PNDM":
        with pytest.raises(UserError, match="cannot begin in the middle of a path"):
            play.play([move])
        return
    [made] = play.play([move])
    [usual] = play.play([Start(Gaussian(1))])
    assert made.played.failure is None
    assert not np.array_equal(made.pixels, usual.pixels)


@pytest.mark.parametrize(("kind", "scheduler"), [p for p in PAIRS if p[0] != "sana-sprint"])
def test_a_whole_path_is_a_plain_call_of_that_scheduler(
    kind: str, scheduler: str, root: Path
) -> None:
    play = player(kind, scheduler, root)
    if play.pipeline.stochastic:
        pytest.skip("its other random numbers come from the same generator")
    pipe: Any = play.pipeline.pipe  # type: ignore[attr-defined]
    [made] = play.play([Start(Gaussian(7))])
    seeds = [torch.Generator().manual_seed(7) for _ in range(2)]
    given = dict(KINDS[kind].arguments)
    images = pipe(["a red circle"] * 2, num_inference_steps=STEPS, generator=seeds, **given).images
    assert np.array_equal(np.asarray(images[0]), made.pixels)

"""A search makes no host wait for its device more often than a plain call of the pipeline does."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from noise_search.ask import Prompt
from noise_search.moves import Continue, Start
from noise_search.noise import Book, Gaussian
from noise_search.pipelines.diffusers import DiffusersPipeline
from tests.pipelines.afar import counted, move
from tests.pipelines.playing import Player
from tests.pipelines.zoo import KINDS, load
from tests.pipelines.zoo.kind import Kind
from tests.pipelines.zoo.warnings import KNOWN

WIDTH, FEW, MANY, CUT = 2, 3, 7, 2
EACH_COMMIT = ("sd15", "lcm", "sd3")
NIGHTLY = ("sdxl", "flux", "kandinsky3", "pixart-sigma", "auraflow", "hunyuandit", "wan", "ltx")

pytestmark = [*KNOWN]
each = pytest.mark.parametrize(
    "name", [*EACH_COMMIT, *(pytest.param(name, marks=pytest.mark.nightly) for name in NIGHTLY)]
)


def plain(pipe: Any, kind: Kind, steps: int) -> None:
    """A plain call with a batch."""
    pipe(
        prompt=[kind.prompts[0]] * WIDTH,
        num_inference_steps=steps,
        generator=[torch.Generator().manual_seed(seed) for seed in range(WIDTH)],
        output_type="np",
        **kind.arguments,
    )


def playing(pipe: Any, kind: Kind, steps: int) -> Player:
    """A player that has surveyed its pipeline and encoded its prompt."""
    book = Book()
    play = Player(DiffusersPipeline(pipe, book, width=WIDTH, arguments=kind.arguments), book, steps)
    play.play([Start(Gaussian(9), until=1, look=False)], [Prompt("p", kind.prompts[0])])
    return play


def whole(play: Player, kind: Kind) -> None:
    """A batch from noise to picture."""
    prompt = Prompt("p", kind.prompts[0])
    made = play.play([Start(Gaussian(seed)) for seed in range(WIDTH)], [prompt] * WIDTH)
    assert [m.played.failure for m in made] == [None] * WIDTH


def cut(play: Player, kind: Kind) -> None:
    """A batch in two parts.

    The first is not looked at: to decode a preview, the pipeline goes on over its whole loop.
    """
    prompts = [Prompt("p", kind.prompts[0])] * WIDTH
    made = play.play(
        [Start(Gaussian(seed), until=CUT, look=False) for seed in range(WIDTH)], prompts
    )
    play.play([Continue(m.candidate, m.candidate.noise) for m in made], prompts)


def beyond(pipe: Any, kind: Kind, steps: int) -> dict[str, Counter[str]]:
    """How often a host waits for the device in a search of one batch, less in a plain call."""
    with counted() as waits:
        plain(pipe, kind, steps)
        plainly = Counter(waits)
        play = playing(pipe, kind, steps)
        found = {}
        for way in (whole, cut):
            waits.clear()
            way(play, kind)
            found[way.__name__] = Counter(waits)
            found[way.__name__].subtract(plainly)
    return found


@each
def test_no_step_makes_a_host_wait_that_a_plain_call_would_not(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    pipe = load(kind, tmp_path)
    with counted():
        move(pipe)
    few, many = beyond(pipe, kind, FEW), beyond(pipe, kind, MANY)
    assert few == many
    # A batch: latents and what is seen come back to be checked, shared embeddings are compared.
    assert few["whole"].total() <= 3

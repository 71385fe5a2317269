"""Random numbers that are drawn beside diffusers' own function."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from noise_search.moves import Start
from noise_search.noise import Book, Gaussian
from noise_search.pipelines.diffusers import DiffusersPipeline
from noise_search.pipelines.states import States
from tests.pipelines.playing import Player
from tests.pipelines.zoo import KINDS, load
from tests.pipelines.zoo.video_vaes import ltx_vae
from tests.pipelines.zoo.warnings import KNOWN

pytestmark = [*KNOWN]


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

"""Whether an argument, an adapter or a setting passes through a search untouched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from noise_search.ask import Prompt
from noise_search.moves import Continue, Start
from noise_search.noise import Book, Gaussian
from noise_search.pipelines.calls import denoisers
from noise_search.pipelines.diffusers import DiffusersPipeline
from tests.pipelines.playing import Player, apart, latents

STEPS, SEEDS = 3, (7, 8, 9)
PROMPTS = [Prompt(f"p{i}", text) for i, text in enumerate(("a red circle", "two cubes", "green"))]


def player(pipe: Any, arguments: Mapping[str, Any], steps: int = STEPS, **more: Any) -> Player:
    """A player of single rows, as a plain call makes them."""
    book = Book()
    given = {"width": 1, "arguments": dict(arguments), **more}
    return Player(DiffusersPipeline(pipe, book, **given), book, steps)


def denoiser(pipe: Any) -> Any:
    """The network whose rows are counted."""
    return getattr(pipe, denoisers(pipe)[0])


@contextmanager
def rows_of(*modules: Any) -> Iterator[list[int]]:
    """Rows of each call of modules, seen from within."""
    rows: list[int] = []

    def hook(_: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        rows.append(len(next(v for v in (*given, *named.values()) if hasattr(v, "__len__"))))

    handles = [m.register_forward_pre_hook(hook, with_kwargs=True) for m in modules]
    try:
        yield rows
    finally:
        for handle in handles:
            handle.remove()


def plain(pipe: Any, arguments: Mapping[str, Any], steps: int = STEPS) -> tuple[Any, int]:
    """The picture of a plain call with the first seed and prompt, and the rows that it took."""
    pipe.set_progress_bar_config(disable=True)
    with rows_of(denoiser(pipe)) as rows:
        pictures = pipe(
            prompt=[PROMPTS[0].text],
            num_inference_steps=steps,
            generator=torch.Generator().manual_seed(SEEDS[0]),
            output_type="np",
            **arguments,
        )[0]
    return (np.asarray(pictures[0]) * 255).round().astype(np.uint8), sum(rows)


def equals_the_plain_call(pipe: Any, arguments: Mapping[str, Any], steps: int = STEPS) -> None:
    """A candidate is the plain call's picture bit for bit, at as many rows of the denoiser."""
    picture, rows = plain(pipe, arguments, steps)
    play = player(pipe, arguments, steps)
    with rows_of(denoiser(pipe)) as given:
        made = play.one(Start(Gaussian(SEEDS[0])), PROMPTS[0])
    assert made.played.failure is None
    assert np.array_equal(made.pixels, picture)
    assert sum(given) == rows == made.cost.forwards
    assert play.overhead.forwards == 0


def cut_anywhere_is_whole(pipe: Any, arguments: Mapping[str, Any], steps: int = STEPS) -> None:
    """A path that is cut, with another one walked between, is the path in one go."""
    play = player(pipe, arguments, steps)
    whole = play.one(Start(Gaussian(SEEDS[0])), PROMPTS[0])
    for cut in range(1, steps):
        half = play.one(Start(Gaussian(SEEDS[0]), until=cut), PROMPTS[0])
        play.one(Start(Gaussian(SEEDS[1]), until=cut), PROMPTS[1])
        again = play.one(Continue(half.candidate, Gaussian(SEEDS[0])), PROMPTS[0])
        assert torch.equal(latents(play, again), latents(play, whole))
        assert np.array_equal(again.pixels, whole.pixels)


def rows_are_their_own(pipe: Any, arguments: Mapping[str, Any], steps: int = STEPS) -> None:
    """Rows of a batch are those of batches of one, in two parts too."""
    wide, narrow = player(pipe, arguments, steps, width=3), player(pipe, arguments, steps)
    moves = [Start(Gaussian(seed), until=1) for seed in SEEDS]
    halves = wide.play(moves, PROMPTS)
    onward = [Continue(h.candidate, Gaussian(s)) for h, s in zip(halves, SEEDS, strict=True)]
    found = [latents(wide, made) for made in wide.play(onward, PROMPTS)]
    for row, seed, prompt in zip(found, SEEDS, PROMPTS, strict=True):
        wanted = latents(narrow, narrow.one(Start(Gaussian(seed)), prompt))
        assert apart(row, wanted) <= 1e-4


def passes_through(pipe: Any, arguments: Mapping[str, Any], steps: int = STEPS) -> None:
    """All of these."""
    equals_the_plain_call(pipe, arguments, steps)
    cut_anywhere_is_whole(pipe, arguments, steps)
    rows_are_their_own(pipe, arguments, steps)

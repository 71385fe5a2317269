"""Pipelines of many kinds, none known by name: whole paths, cut paths, going back, prices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from noise_search.ask import Prompt
from noise_search.budget import Cost
from noise_search.errors import UserError
from noise_search.moves import Continue, Move, Start
from noise_search.noise import Gaussian
from noise_search.pipelines.states import States
from tests.pipelines.passing import rows_of
from tests.pipelines.plainly import differences
from tests.pipelines.playing import WIDTH, apart, begun, latents, player, prompts
from tests.pipelines.zoo import KINDS, Kind
from tests.pipelines.zoo.calling import networks, plain_call
from tests.pipelines.zoo.warnings import KNOWN

pytestmark = [*KNOWN]
EVERY = [
    pytest.param(kind, marks=[] if kind.each_commit else pytest.mark.nightly, id=kind.name)
    for kind in KINDS.values()
]
TWICE = "cogvideox-dpm"  # a step of it draws twice
RANDOM = [
    pytest.param(KINDS[name], marks=[] if name == TWICE else pytest.mark.nightly, id=name)
    for name in (
        TWICE,
        "sdxl-turbo",
        "lcm",
        "hunyuandit",
        "kandinsky3",
        "sana-sprint",
        "allegro",
        "ddpm",
        "consistency",
        "deepfloyd-if",
        "kandinsky22",
    )
]
SEEDED = [
    param
    for param in EVERY
    if "image" not in KINDS[str(param.id)].arguments
    and param.id not in {random.id for random in RANDOM}
]
each_kind = pytest.mark.parametrize("kind", EVERY)
seeded = pytest.mark.parametrize("kind", SEEDED)


@each_kind
def test_a_path_cut_anywhere_is_the_whole_path(kind: Kind, loaded: Callable[[Kind], Any]) -> None:
    play = player(loaded(kind), kind)
    whole = begun(play, kind)
    assert all(made.played.failure is None for made in whole)
    for cut in range(1, kind.steps):
        halves = begun(play, kind, until=cut)
        moves = [Continue(half.candidate, Gaussian(i + 1)) for i, half in enumerate(halves)]
        for again, once in zip(play.play(moves, prompts(kind)), whole, strict=True):
            assert torch.equal(latents(play, again), latents(play, once))
            assert np.array_equal(again.pixels, once.pixels)


@each_kind
def test_a_row_depends_neither_on_its_place_nor_on_its_neighbours(
    kind: Kind, loaded: Callable[[Kind], Any]
) -> None:
    pipe, [one, other] = loaded(kind), [Start(Gaussian(i)) for i in (1, 2)]
    text = prompts(kind)[:1]
    ways = [[one, other], [other, one], [one]]
    plays = [player(pipe, kind) for _ in ways]
    made = [p.play(moves, text * len(moves)) for p, moves in zip(plays, ways, strict=True)]
    rows = [(plays[0], made[0][0]), (plays[1], made[1][1]), (plays[2], made[2][0])]
    for play, row in rows[1:]:
        found, wanted = latents(play, row), latents(*rows[0])
        if kind.video:  # in a Conv3d on a CPU a row's place decides its last bits
            assert apart(found, wanted) <= 1e-6
        else:
            assert torch.equal(found, wanted)


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["omnigen", "qwen-image-edit", "ernie-image"])
def test_a_row_does_not_depend_on_how_long_the_texts_beside_it_are(
    name: str, loaded: Callable[[Kind], Any]
) -> None:
    kind = KINDS[name]
    pipe, text = loaded(kind), [Prompt("a", "a red circle"), Prompt("b", "green " * 3)]
    both = player(pipe, kind).play([Start(Gaussian(1)), Start(Gaussian(2))], text)
    alone = player(pipe, kind).one(Start(Gaussian(1)), text[0])
    assert np.array_equal(both[0].pixels, alone.pixels)


@pytest.mark.nightly
def test_a_pipeline_that_takes_one_prompt_is_called_for_one(loaded: Callable[[Kind], Any]) -> None:
    kind = KINDS["prx"]
    play = player(loaded(kind), kind)
    with pytest.warns(RuntimeWarning, match="PRXPipeline fails with 2 rows, and is given one by"):
        assert all(made.played.failure is None for made in begun(play, kind))
    assert play.pipeline.width == 1  # type: ignore[attr-defined]
    assert play.overhead == Cost(WIDTH, 2 * WIDTH)  # the one evaluation that told
    begun(play, kind)
    assert play.overhead.nfe == WIDTH


@each_kind
def test_widths_differ_in_the_last_bits_alone(kind: Kind, loaded: Callable[[Kind], Any]) -> None:
    pipe = loaded(kind)
    [wide, narrow] = [player(pipe, kind, width=width) for width in (3, 1)]
    found = [latents(p, p.one(Start(Gaussian(1)), prompts(kind)[0])) for p in (wide, narrow)]
    assert apart(*found) <= 1e-4


@each_kind
def test_the_price_is_what_the_denoiser_is_given(kind: Kind, loaded: Callable[[Kind], Any]) -> None:
    pipe = loaded(kind)
    play = player(pipe, kind)
    with rows_of(*networks(pipe)) as rows:
        made = play.play([Start(Gaussian(i)) for i in range(WIDTH)], prompts(kind)[:1] * WIDTH)
    assert sum(rows) == sum(m.cost.forwards for m in made) + play.overhead.forwards


@each_kind
def test_a_path_is_a_plain_call_that_draws_the_same_numbers(
    kind: Kind, loaded: Callable[[Kind], Any]
) -> None:
    """All that the denoiser is given and says, the last latents and the picture, bit for bit."""
    assert differences(kind, loaded(kind), seed=7) == []


@seeded
def test_a_seed_is_the_seed_of_a_plain_call(kind: Kind, loaded: Callable[[Kind], Any]) -> None:
    pipe = loaded(kind)
    made = player(pipe, kind, width=1).one(Start(Gaussian(7)), prompts(kind)[0])
    [plain] = plain_call(kind, pipe, kind.prompts[0], 7)
    assert np.array_equal(made.pixels, (plain * 255).round().astype(np.uint8))


@each_kind
def test_going_back_and_on(kind: Kind, loaded: Callable[[Kind], Any]) -> None:
    play = player(loaded(kind), kind)
    whole = begun(play, kind)
    back = play.play([Continue(m.candidate, Gaussian(9), rewind=2) for m in whole], prompts(kind))
    for made, once in zip(back, whole, strict=True):
        assert made.played.failure is None
        assert made.pixels.shape == once.pixels.shape
        assert not np.array_equal(made.pixels, once.pixels)


@pytest.mark.parametrize("kind", RANDOM)
def test_whoever_goes_on_from_a_random_step_draws_its_noise(
    kind: Kind, loaded: Callable[[Kind], Any]
) -> None:
    play, text = player(loaded(kind), kind), prompts(kind)[:1] * WIDTH
    assert play.pipeline.stochastic
    for cut in range(1, kind.steps):
        [half] = play.play([Start(Gaussian(1), until=cut)], text[:1])
        moves = [Continue(half.candidate, Gaussian(seed), until=cut + 1) for seed in (5, 6)]
        one, other = (latents(play, made) for made in play.play(moves, text))
        assert apart(one, other) > 1e-3


@pytest.mark.parametrize("rewind", [0, 3])
def test_noise_that_the_loop_mixes_in_again_is_that_which_the_path_began_with(
    rewind: int, loaded: Callable[[Kind], Any]
) -> None:
    """What is not painted is noised anew at each step, by one noise wherever a path is cut."""
    kind = KINDS["sd15-inpaint"]
    play, text = player(loaded(kind), kind), prompts(kind)
    begins: list[Move] = [Start(Gaussian(1)), Start(Gaussian(2))]
    if rewind:
        begins = [Continue(m.candidate, Gaussian(9), rewind=rewind) for m in begun(play, kind)]
    whole = play.play(begins, text)
    halves = play.play([replace(move, until=2) for move in begins], text)
    again: list[Move] = [
        Continue(half.candidate, Gaussian(9 if rewind else i + 1)) for i, half in enumerate(halves)
    ]
    for lost in (False, True):  # latents that are gone are made again from their path
        if lost:
            play.pipeline.states = States()  # type: ignore[attr-defined]
        for made, once in zip(play.play(again, text), whole, strict=True):
            assert np.abs(made.pixels.astype(int) - once.pixels).max() <= 1


def test_equal_runs_have_equal_records_of_objects(loaded: Callable[[Kind], Any]) -> None:
    kind = KINDS["sd15-img2img"]
    pipe = loaded(kind)
    image = kind.arguments["image"]
    other = {**kind.arguments, "image": image.copy()}
    [one, two] = [player(pipe, kind, arguments=a).pipeline for a in (kind.arguments, other)]
    assert one.describe()["arguments"] == two.describe()["arguments"]
    image = image.copy()
    image.putpixel((0, 0), (1, 2, 3))
    [three] = [player(pipe, kind, arguments={**other, "image": image}).pipeline]
    assert one.describe()["arguments"] != three.describe()["arguments"]


def test_what_is_not_known_of_a_scheduler_is_refused_before_anything_is_spent(
    loaded: Callable[[Kind], Any],
) -> None:
    from diffusers.schedulers.scheduling_pndm import PNDMScheduler

    kind = KINDS["sd15"]
    pipe = loaded(kind)
    before = pipe.scheduler
    pipe.scheduler = PNDMScheduler.from_config(before.config, skip_prk_steps=True)
    try:
        play = player(pipe, kind)
        whole = begun(play, kind)
        assert whole[0].cost.nfe == kind.steps + 1
        back = play.ask(Continue(whole[0].candidate, Gaussian(9), rewind=2), prompts(kind)[0])
        cannot = pytest.raises(UserError, match="PNDMScheduler cannot begin in the middle")
        with rows_of(*networks(pipe)) as rows, cannot:
            play.pipeline.price(back)
        assert rows == []
    finally:
        pipe.scheduler = before

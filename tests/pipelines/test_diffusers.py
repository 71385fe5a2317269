"""A diffusers pipeline driven from outside: bit-equal to plain calls, cut anywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from noise_search.ask import Prompt
from noise_search.budget import ZERO, Cost
from noise_search.moves import END, Continue, Start
from noise_search.noise import Gaussian
from noise_search.samplers import ddim_step, from_flow, linear
from tests.pipelines.conftest import Load
from tests.pipelines.driven import (
    NEGATIVES,
    PROMPTS,
    SCHEDULERS,
    STEPS,
    WIDTH,
    each_kind,
    hooked,
    noise,
    plain,
    player,
    same,
    same_paths,
)
from tests.pipelines.playing import latents


@pytest.mark.parametrize("kind", ["flow", "ddim"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scale", [1.0, 3.0])
@pytest.mark.parametrize("prompts", [PROMPTS, NEGATIVES])
def test_a_whole_path_is_a_plain_call(
    load_tiny: Load, kind: str, dtype: torch.dtype, scale: float, prompts: list[Prompt]
) -> None:
    pipe = load_tiny(kind, dtype)
    rows = player(pipe, scale).play([Start(Gaussian(i)) for i in range(4)], prompts)
    wanted = plain(pipe, prompts, [noise(i) for i in range(4)], scale)
    for row, picture in zip(rows, wanted, strict=True):
        assert row.played.failure is None
        same(row.pixels, picture)
        assert row.cost == Cost(nfe=STEPS, forwards=STEPS * (1 + (scale > 1)))


@pytest.mark.parametrize("name", SCHEDULERS)
def test_schedulers_of_other_settings(load_tiny: Load, name: str) -> None:
    pipe = load_tiny("flow")
    pipe.scheduler = SCHEDULERS[name]
    steps = 7 if name.endswith("odd") else STEPS
    play = player(pipe, steps=steps)
    rows = play.play([Start(Gaussian(i)) for i in range(4)], PROMPTS)
    noises = torch.stack([noise(i) for i in range(4)])
    wanted = pipe(
        [p.text for p in PROMPTS],
        num_inference_steps=steps,
        guidance_scale=3.0,
        latents=noises,
        output_type="latent",
    ).images
    for i, row in enumerate(rows):
        assert torch.equal(latents(play, row), wanted[i])
    for cut in range(1, steps):
        half = play.one(Start(Gaussian(1), until=cut), PROMPTS[1])
        other = play.one(Continue(half.candidate, Gaussian(9)), PROMPTS[1])
        same_paths(play, other, rows[1])


@each_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("cut", range(1, STEPS))
def test_a_path_cut_anywhere_is_the_whole_path(
    load_tiny: Load, kind: str, eta: float, dtype: torch.dtype, cut: int
) -> None:
    play = player(load_tiny(kind, dtype), eta=eta)
    whole = play.start(3)
    half = play.start(3, cut)
    same_paths(play, play.one(Continue(half.candidate, Gaussian(3))), whole)
    again = play.one(Continue(half.candidate, Gaussian(3), until=cut + 1, look=False))
    if not again.candidate.finished:
        same_paths(play, play.one(Continue(again.candidate, Gaussian(3))), whole)
    assert play.overhead == ZERO


def test_a_random_path_is_the_schedulers_own(
    load_tiny: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = load_tiny("ddim")
    row = player(pipe, eta=0.7, width=1).start(3)
    drawn = iter(range(1, STEPS + 1))
    monkeypatch.setattr(
        "diffusers.schedulers.scheduling_ddim.randn_tensor",
        lambda *_, **__: noise(3, next(drawn))[None],
    )
    same(row.pixels, plain(pipe, PROMPTS[:1], [noise(3)], eta=0.7)[0])


def test_a_random_path_of_a_flow_is_ddim_on_the_linear_path(load_tiny: Load) -> None:
    pipe = load_tiny("flow")
    play = player(pipe, eta=0.7, width=1)
    row = play.start(3)
    with torch.no_grad():
        embeds, mask, no_embeds, no_mask = pipe.encode_prompt(PROMPTS[0].text)
        plain(pipe, PROMPTS[:1], [noise(3)])  # sets guidance and the schedule, as the pipeline will
        x, sigmas = noise(3)[None], pipe.scheduler.sigmas.tolist()
        for i, t in enumerate(pipe.scheduler.timesteps):
            both, masks = torch.cat([no_embeds, embeds]), torch.cat([no_mask, mask])
            now, then = linear(sigmas[i]), linear(sigmas[i + 1])
            parts = from_flow(x, pipe._predict(x, t, both, masks), now)
            x = ddim_step(parts, now, then, 0.7, noise(3, i + 1)[None])
    torch.testing.assert_close(latents(play, row), x[0], rtol=0, atol=3e-6)


@each_kind
def test_branches_of_one_candidate(load_tiny: Load, kind: str, eta: float) -> None:
    play = player(load_tiny(kind), eta=eta)
    half = play.start(3, 2).candidate
    one, other, third = play.play([Continue(half, Gaussian(s)) for s in (11, 12, 11)])
    assert np.array_equal(one.pixels, other.pixels) == (eta == 0.0)
    same(one.pixels, third.pixels)


@each_kind
def test_going_back(load_tiny: Load, kind: str, eta: float) -> None:
    play = player(load_tiny(kind), eta=eta)
    parents = [play.start(3, 3), play.start(3, END)]
    for parent in parents:
        for rewind in range(1, parent.candidate.stage + 1):
            begin = parent.candidate.stage - rewind
            move = Continue(parent.candidate, Gaussian(9), until=begin + 1, rewind=rewind)
            back = play.one(move)
            assert back.cost.nfe == 1
            assert back.played.failure is None
            if begin == 0 and kind == "flow":  # pure noise: nothing of the parent is left
                same(back.pixels, play.start(9, 1).pixels)


def test_going_back_is_the_forward_kernel(load_tiny: Load) -> None:
    play = player(load_tiny("flow"))
    whole = play.start(3)
    x = latents(play, whole).double()
    captured: list[Tensor] = []

    def hook(_: Any, inputs: Any) -> None:
        captured.append(inputs[0])

    pipe = play.pipeline.pipe  # type: ignore[attr-defined]
    with hooked(pipe.transformer, hook, before=True):
        play.one(Continue(whole.candidate, Gaussian(9), until=3, rewind=3))
    plain(pipe, PROMPTS[:1], [noise(3)])  # sets the schedule, as the pipeline will
    s = float(pipe.scheduler.sigmas[2])
    wanted = (1 - s) * x + s * noise(9, -2).double()
    assert torch.equal(captured[0][0], wanted.float())


@each_kind
def test_looking_ahead(load_tiny: Load, kind: str, eta: float) -> None:
    play = player(load_tiny(kind), eta=eta)
    ahead = play.start(3, 2, lookahead=2)
    assert ahead.cost == Cost(nfe=4, forwards=8)
    same_paths(play, play.one(Continue(ahead.candidate, Gaussian(3))), play.start(3))
    if eta == 0.0:
        same(ahead.pixels, play.start(3, 4).pixels)
        same(play.start(3, 3, lookahead=9).pixels, play.start(3).pixels)
    assert not np.array_equal(ahead.pixels, play.start(3, 2).pixels)


def test_a_waypoint_shows_nothing(load_tiny: Load) -> None:
    waypoint = player(load_tiny("flow")).start(3, 2, look=False, lookahead=2)
    assert waypoint.pixels is None
    assert waypoint.cost == Cost(nfe=2, forwards=4)


@each_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_row_does_not_depend_on_its_neighbours(
    load_tiny: Load, kind: str, eta: float, dtype: torch.dtype
) -> None:
    pipe = load_tiny(kind, dtype)
    alone = player(pipe, eta=eta).one(Start(Gaussian(3)), NEGATIVES[0])
    for count in range(2, WIDTH + 1):
        for position in range(count):
            play = player(pipe, eta=eta)
            moves = [Start(Gaussian(20 + i)) for i in range(count)]
            prompts = NEGATIVES[1:][:count]
            moves[position] = Start(Gaussian(3))
            prompts = [*prompts[:position], NEGATIVES[0], *prompts[position:]][:count]
            row = play.play(moves, prompts)[position]
            same(row.pixels, alone.pixels)


def test_rows_of_different_lengths_share_no_call(load_tiny: Load) -> None:
    pipeline = player(load_tiny("flow")).pipeline
    play = player(load_tiny("flow"))
    asks = [
        play.ask(Start(Gaussian(1))),
        play.ask(Start(Gaussian(1), until=2)),
        play.ask(Start(Gaussian(1), until=2, look=False)),
        play.ask(Start(Gaussian(1), until=2, lookahead=1)),
        play.ask(Start(Gaussian(1), steps=6)),
        play.ask(Start(Gaussian(1)), NEGATIVES[0]),
    ]
    assert len({pipeline.lane(ask) for ask in asks}) == len(asks)
    assert pipeline.lane(asks[0]) == pipeline.lane(play.ask(Start(Gaussian(2)), PROMPTS[1]))

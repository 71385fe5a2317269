"""What driving a pipeline costs, what breaks, what is lost, and what is left as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from noise_search.budget import ZERO, Cost
from noise_search.errors import UserError
from noise_search.moves import END, Continue, Start
from noise_search.noise import Gaussian, Neighbor
from noise_search.pipelines.diffusers import DiffusersPipeline
from noise_search.pipelines.shapes.pipeline import ShapesPipeline
from noise_search.pipelines.states import States
from noise_search.pipelines.survey import ROWS
from tests.pipelines.conftest import Load
from tests.pipelines.driven import (
    DDIM,
    FLOW,
    KINDS,
    PROMPTS,
    STEPS,
    WIDTH,
    counted,
    each_kind,
    hooked,
    player,
    same,
)
from tests.pipelines.playing import Made, latents


@each_kind
def test_the_ledger_counts_what_the_denoiser_was_given(
    load_tiny: Load, kind: str, eta: float
) -> None:
    pipe = load_tiny(kind)
    play = player(pipe, eta=eta)
    with counted(pipe.transformer) as rows:
        a = play.play([Start(Gaussian(s), until=3, lookahead=1) for s in range(4)], PROMPTS)
        b = play.play([Continue(m.candidate, Gaussian(9), rewind=2) for m in a], PROMPTS)
        c = play.play([Continue(b[0].candidate, Gaussian(s), rewind=1, until=5) for s in range(2)])
    # The padding of the last batch, 2 rows of 4, has no line.
    assert sum(rows) == sum(m.cost.forwards for m in [*a, *b]) + 2 * sum(m.cost.forwards for m in c)
    assert play.overhead == ZERO


class Particular(ShapesPipeline):
    """A pipeline that wants the denoiser's answer to be as the denoiser gives it."""

    def _predict(self, *args: Any) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        prediction = super()._predict(*args)
        if prediction.shape[1] != 9:
            raise ValueError("where is the rest?")
        return prediction[:, :3]


def particular(pipe: Any) -> Any:
    """The pipeline with a denoiser that predicts more than anybody would guess."""

    def tripled(_: Any, inputs: Any, output: Any) -> Any:
        return (torch.cat([output[0]] * 3, dim=1),)

    pipe.transformer.register_forward_hook(tripled)
    found: Any = Particular(**pipe.components)
    found.set_progress_bar_config(disable=True)
    return found


@pytest.mark.parametrize(("made", "paid"), [(lambda pipe: pipe, 0), (particular, 1)])
def test_a_process_that_only_goes_on_pays_only_where_the_answers_shape_cannot_be_guessed(
    load_tiny: Load, tmp_path: Path, made: Callable[[Any], Any], paid: int
) -> None:
    first = player(made(load_tiny("flow")), states=States(tmp_path))
    half = first.start(3, 2)
    pipe = made(load_tiny("flow"))
    other = player(pipe, states=States(tmp_path))
    other.book.add(Gaussian(3))
    with counted(pipe.transformer) as rows:
        row = other.one(Continue(half.candidate, Gaussian(3)))
        asked = WIDTH + ROWS  # once to learn the schedule, once at the width of a batch
        assert other.overhead == Cost(nfe=asked, forwards=2 * asked) * paid
        other.one(Continue(half.candidate, Gaussian(3), until=4))
        assert other.overhead == Cost(nfe=asked, forwards=2 * asked) * paid
    assert sum(rows) == 2 * WIDTH * (3 + 2) + other.overhead.forwards
    same(row.pixels, first.one(Continue(half.candidate, Gaussian(3))).pixels)


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
@pytest.mark.parametrize("until", [2, END])
@each_kind
def test_a_broken_row_fails_alone_and_is_charged(
    load_tiny: Load, kind: str, eta: float, broken: float, until: int
) -> None:
    pipe = load_tiny(kind)
    moves = [Start(Gaussian(s), until=until) for s in range(4)]
    sound = player(pipe, eta=eta).play(moves, PROMPTS)

    def hook(_: Any, inputs: Any, output: Any) -> Any:
        answer = output[0].clone()
        answer[WIDTH + 1] = broken  # of the doubled batch: the second row, as it is wanted
        return (answer, *output[1:])

    play = player(pipe, eta=eta)
    with hooked(pipe.transformer, hook):
        rows = play.play(moves, PROMPTS)
    for i, (row, other) in enumerate(zip(rows, sound, strict=True)):
        assert row.cost == other.cost
        if i == 1:
            assert row.played.failure == "latents are not finite"
            assert row.pixels is None
        else:
            assert row.played.failure is None
            same(row.pixels, other.pixels)


@pytest.mark.parametrize(("value", "reason"), [(-9.0, "the picture is black"), (9.0, "is flat")])
def test_black_and_flat_pictures_are_failures(load_tiny: Load, value: float, reason: str) -> None:
    pipe = load_tiny("ddim")
    pipe.scheduler = DDIM(prediction_type="sample", timestep_spacing="trailing")

    def hook(_: Any, inputs: Any, output: Any) -> Any:
        return (torch.full_like(output[0], value),)

    play = player(pipe)
    with hooked(pipe.transformer, hook):
        finished, preview = play.start(3), play.start(3, 2)
    assert finished.played.failure is not None
    assert reason in finished.played.failure
    assert finished.cost.nfe == STEPS
    assert preview.played.failure is None


def test_lost_states_are_made_again(load_tiny: Load) -> None:
    def chain(kind: str, eta: float, states: States) -> tuple[list[Made], Cost]:
        play = player(load_tiny(kind), eta=eta, states=states)
        a = play.play([Start(Gaussian(s), until=3) for s in range(3)], PROMPTS[:3])
        b = play.play(
            [Continue(m.candidate, Gaussian(7), until=4, rewind=2) for m in a], PROMPTS[:3]
        )
        c = play.play(
            [Continue(m.candidate, Neighbor(Gaussian(7).name, 5, 0.9)) for m in b], PROMPTS[:3]
        )
        return [*a, *b, *c], play.overhead

    for kind, eta in KINDS:
        kept, nothing = chain(kind, eta, States())
        lost, overhead = chain(kind, eta, States(memory=0))
        for one, other in zip(kept, lost, strict=True):
            same(one.pixels, other.pixels)
            assert one.cost == other.cost
        assert nothing == ZERO
        assert overhead.nfe == 3 * (3 + (3 + 3))


def test_changed_and_foreign_states_are_made_again(load_tiny: Load, tmp_path: Path) -> None:
    first = player(load_tiny("flow"), states=States(tmp_path))
    half = first.start(3, 2)
    whole = first.one(Continue(half.candidate, Gaussian(3)))
    for path in tmp_path.iterdir():
        data = bytearray(path.read_bytes())
        data[-5] ^= 1
        path.write_bytes(bytes(data))
    other = player(load_tiny("flow"), states=States(tmp_path))
    other.book.add(Gaussian(3))
    same(other.one(Continue(half.candidate, Gaussian(3))).pixels, whole.pixels)
    assert other.overhead.nfe == 2


@each_kind
def test_pictures_of_candidates_are_those_that_were_judged(
    load_tiny: Load, kind: str, eta: float
) -> None:
    pipe = load_tiny(kind)
    play = player(pipe, eta=eta)
    half = play.start(3, 2)
    whole = play.one(Continue(half.candidate, Gaussian(5)))
    kept = play.pipeline.picture(whole.candidate, PROMPTS[0])
    same(kept[0], whole.pixels)
    assert kept[2] == ZERO
    fresh = DiffusersPipeline(
        pipe, play.book, width=WIDTH, eta=eta, arguments={"guidance_scale": 3.0}
    )
    for made in (half, whole):
        picture = fresh.picture(made.candidate, PROMPTS[0])
        same(picture.pixels, made.pixels)
        assert picture.overhead.nfe == made.candidate.stage
        assert torch.equal(picture.latents, latents(play, made))


class BoomError(Exception):
    pass


@pytest.mark.parametrize("where", ["transformer", "text_encoder", "after"])
def test_everything_is_put_back_whatever_comes(load_tiny: Load, where: str) -> None:
    pipe = load_tiny("flow")
    play = player(pipe)
    before, config = dict(vars(pipe)), dict(pipe.config)
    times = pipe.scheduler.timesteps

    def hook(*_: Any) -> None:
        raise BoomError

    if where == "after":
        play.start(3)
        play.start(3, 2, look=False)
    else:
        with hooked(getattr(pipe, where), hook), pytest.raises(BoomError):
            play.start(3)
    after = dict(vars(pipe))
    for changed in ("_guidance_scale", "_num_timesteps", "_interrupt"):  # the pipeline's own
        before.pop(changed)
        after.pop(changed)
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)
    assert pipe.scheduler.timesteps is times
    assert dict(pipe.config) == config


def test_a_prompt_is_encoded_once_and_in_no_company(load_tiny: Load) -> None:
    pipe = load_tiny("flow")
    play = player(pipe)
    with counted(pipe.text_encoder) as rows:
        for _ in range(3):
            play.play([Start(Gaussian(s)) for s in range(4)], [*PROMPTS[:2], *PROMPTS[:2]])
    # Two prompts, each with the empty negative prompt, at the width of a batch.
    assert rows == [WIDTH] * 4


def test_global_random_numbers_are_left_alone(load_tiny: Load) -> None:
    pipe = load_tiny("ddim")
    before = torch.random.get_rng_state()
    player(pipe, eta=1.0).start(3)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_nothing_is_printed(load_tiny: Load, capfd: pytest.CaptureFixture[str]) -> None:
    pipe = load_tiny("flow")
    pipe.set_progress_bar_config(disable=False)
    capfd.readouterr()
    player(pipe).start(3)
    assert capfd.readouterr() == ("", "")
    pipe("a red circle", num_inference_steps=1)
    assert "100%" in capfd.readouterr().err


def test_fast_batches_are_not_padded(load_tiny: Load) -> None:
    pipe = load_tiny("flow")
    padded = player(pipe).start(3)
    with counted(pipe.transformer) as rows:
        row = player(pipe, fast=True).start(3)
    assert rows == [2] * STEPS
    assert row.cost == padded.cost
    difference = row.pixels.astype(int) - padded.pixels.astype(int)
    assert np.abs(difference).max() <= 1


def test_what_cannot_be_driven_is_refused_before_anything_is_spent(load_tiny: Load) -> None:
    pipe = load_tiny("flow")
    with counted(pipe.transformer) as rows:
        for arguments, said in (
            ({"guidance": 2.0}, "unknown argument 'guidance'"),
            ({"latents": None}, "argument 'latents' belongs to the search"),
        ):
            with pytest.raises(UserError, match=said):
                player(pipe, arguments=arguments)
        pipe.scheduler = FLOW(use_dynamic_shifting=True)
        with pytest.raises(UserError, match=r"ShapesPipeline: .*mu"):
            player(pipe).start(3)
    assert rows == []
    with pytest.raises(UserError, match="eta must lie in"):
        player(load_tiny("flow"), eta=2.0)
    with pytest.raises(UserError, match="at least one row"):
        player(load_tiny("flow"), width=0)


def test_the_record_tells_models_apart(load_tiny: Load) -> None:
    one, other = load_tiny("flow"), load_tiny("flow")
    described = player(one).pipeline.describe()
    assert described["dtype"] == "float32"
    assert described["width"] == WIDTH
    assert described == player(load_tiny("flow")).pipeline.describe()
    with torch.no_grad():
        other.transformer.proj_out.bias[0] += 1.0
    assert player(other).pipeline.describe()["weights"] != described["weights"]
    assert player(load_tiny("flow", torch.bfloat16)).pipeline.describe() != described


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_seed_is_the_seed_of_a_plain_call(load_tiny: Load, dtype: torch.dtype) -> None:
    pipe = load_tiny("flow", dtype)
    play = player(pipe, width=1)
    for seed in (0, 1, 12345, 2**32 - 1):
        images = pipe(
            PROMPTS[0].text,
            num_inference_steps=STEPS,
            guidance_scale=3.0,
            generator=torch.Generator("cpu").manual_seed(seed),
        ).images
        same(play.start(seed).pixels, np.asarray(images[0]))

"""Rows that fail, batches that do not fit, users who stop: what becomes of the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from noise_search.errors import Stop
from noise_search.moves import Start
from noise_search.noise import Gaussian
from noise_search.problem import CutShort
from tests.pipelines.passing import rows_of
from tests.pipelines.playing import WIDTH, begun, player, prompts
from tests.pipelines.zoo import KINDS, Kind
from tests.pipelines.zoo.calling import networks
from tests.pipelines.zoo.unets import CHECKED
from tests.pipelines.zoo.warnings import KNOWN

pytestmark = [*KNOWN]
few = pytest.mark.parametrize("kind", [KINDS["sd15"], KINDS["flux"]], ids=["sd15", "flux"])


@few
@pytest.mark.filterwarnings("ignore:out of memory. from here on batches of")
@pytest.mark.parametrize("most", [1, 2, 3])
def test_memory_that_does_not_suffice_halves_the_batch(
    kind: Kind, most: int, loaded: Callable[[Kind], Any]
) -> None:
    pipe = loaded(kind)
    wanted = begun(player(pipe, kind, width=4), kind)
    play = player(pipe, kind, width=4)
    begun(play, kind, until=1)  # surveyed before the memory runs short
    doubled = wanted[0].cost.forwards // kind.steps

    def full(_: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        rows = len(next(v for v in (*given, *named.values()) if hasattr(v, "__len__")))
        if rows > most * doubled:
            raise torch.OutOfMemoryError("out of memory")

    handle = networks(pipe)[0].register_forward_pre_hook(full, with_kwargs=True)
    rows = begun(play, kind)
    handle.remove()
    assert play.pipeline.width == (1 if most == 1 else 2)  # type: ignore[attr-defined]
    for made, once in zip(rows, wanted, strict=True):
        assert made.cost == once.cost
        assert np.abs(made.pixels.astype(int) - once.pixels).max() <= 1


def test_pictures_that_a_safety_checker_blanks_fail_with_that_reason(
    loaded: Callable[[Kind], Any],
) -> None:
    play = player(loaded(CHECKED), CHECKED)
    for made in begun(play, CHECKED):
        assert made.played.failure == "the pipeline's safety checker blanked it"
        assert made.cost.nfe == CHECKED.steps
    assert play.pipeline.pipe.safety_checker is not None  # type: ignore[attr-defined]


@few
def test_what_is_decoded_in_parts_is_decoded_at_one_width(
    kind: Kind, loaded: Callable[[Kind], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the last part, and those that were decoded before memory ran short."""
    pipe, widths = loaded(kind), list[int]()
    decode = pipe.vae.decode

    def full(latents: torch.Tensor, *args: Any, **named: Any) -> Any:
        widths.append(len(latents))
        if len(latents) > 4 or len(widths) == 3:
            raise torch.OutOfMemoryError("out of memory")
        return decode(latents, *args, **named)

    play = player(pipe, kind, width=7)
    play.pipeline.price(play.ask(Start(Gaussian(1)), prompts(kind)[0]))  # surveyed in peace
    monkeypatch.setattr(pipe.vae, "decode", full)
    first, *_, last = play.play([Start(Gaussian(1))] * 7, prompts(kind)[:1] * 7)
    assert widths == [7, 4, 4, *[2] * 4]
    assert np.array_equal(first.pixels, last.pixels)


@few
@pytest.mark.parametrize("first", [0, 2])
def test_a_row_that_breaks_at_a_step_fails_alone(
    kind: Kind, first: int, loaded: Callable[[Kind], Any]
) -> None:
    pipe = loaded(kind)
    wanted = begun(player(pipe, kind), kind)
    play = player(pipe, kind)
    play.pipeline.price(play.ask(Start(Gaussian(1)), prompts(kind)[0]))  # surveyed in peace
    calls = iter(range(1000))

    def broken(_: Any, given: Any, answer: Any) -> Any:
        out = answer[0].clone()
        out[1] = float("nan") if next(calls) >= first else out[1]
        return (out, *answer[1:])

    handle = networks(pipe)[0].register_forward_hook(broken)
    good, bad = begun(play, kind)
    handle.remove()
    assert bad.played.failure == "latents are not finite"
    assert np.array_equal(good.pixels, wanted[0].pixels)
    assert [good.cost, bad.cost] == [m.cost for m in wanted]


@few
def test_answers_of_another_shape_fail_with_that_reason(
    kind: Kind, loaded: Callable[[Kind], Any]
) -> None:
    pipe = loaded(kind)
    play = player(pipe, kind)
    price = play.pipeline.price(play.ask(Start(Gaussian(1)), prompts(kind)[0]))

    def cropped(_: Any, given: Any, answer: Any) -> Any:
        return (answer[0][..., :-1], *answer[1:])

    handle = networks(pipe)[0].register_forward_hook(cropped)
    found = begun(play, kind)
    handle.remove()
    for made in found:
        assert made.played.failure is not None
        assert made.played.failure.startswith("the denoiser's answer has the shape")
        assert made.cost == price
    assert all(made.played.failure is None for made in begun(play, kind))


@few
def test_memory_that_does_not_suffice_to_decode_halves_that_alone(
    kind: Kind, loaded: Callable[[Kind], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = loaded(kind)
    wanted = begun(player(pipe, kind), kind)
    decode = pipe.vae.decode

    def full(latents: torch.Tensor, *args: Any, **named: Any) -> Any:
        if len(latents) > 1:
            raise torch.OutOfMemoryError("out of memory")
        return decode(latents, *args, **named)

    monkeypatch.setattr(pipe.vae, "decode", full)
    play = player(pipe, kind)
    with rows_of(*networks(pipe)) as rows:
        found = begun(play, kind)
    assert sum(rows) == sum(m.cost.forwards for m in wanted)  # nothing is evaluated twice
    for made, once in zip(found, wanted, strict=True):
        assert np.abs(made.pixels.astype(int) - once.pixels).max() <= 1
    assert play.pipeline.width == WIDTH  # type: ignore[attr-defined]
    again, _, _ = play.pipeline.picture(found[0].candidate, prompts(kind)[0])
    assert np.array_equal(again, found[0].pixels)  # a winner is shown in the width that fits


@few
def test_what_was_finished_before_the_user_stops_has_its_cost(
    kind: Kind, loaded: Callable[[Kind], Any]
) -> None:
    pipe, ended = loaded(kind), list[int]()

    def callback(pipe: Any, index: int, _: Any, given: dict[str, Any]) -> dict[str, Any]:
        ended.append(index)
        if len(ended) > kind.steps:  # in the second half of the batch
            raise Stop
        return {}

    play = player(pipe, kind, arguments={**kind.arguments, "callback_on_step_end": callback})
    asks = [play.ask(Start(Gaussian(i + 1)), prompts(kind)[i]) for i in range(WIDTH)]
    price = play.pipeline.price(asks[0])
    play.pipeline.width = 1  # type: ignore[attr-defined]
    with pytest.raises(CutShort) as cut:
        play.pipeline.play(asks)
    first, second = cut.value.played
    assert first is not None
    assert first.cost == price
    assert second is None
    assert cut.value.overhead.nfe == 1


def test_a_callback_of_the_user_ends_the_search(loaded: Callable[[Kind], Any]) -> None:
    kind = KINDS["sd15"]
    seen: list[int] = []

    def callback(pipe: Any, index: int, _: Any, given: dict[str, Any]) -> dict[str, Any]:
        seen.append(index)
        pipe._interrupt = len(seen) == 6
        return {}

    arguments = {**kind.arguments, "callback_on_step_end": callback}
    play = player(loaded(kind), kind, arguments=arguments)
    begun(play, kind)
    assert seen == list(range(kind.steps))
    with pytest.raises(Stop):
        begun(play, kind)

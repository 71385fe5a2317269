"""Loops of other kinds: several samples side by side, samples scaled up, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from PIL.Image import Image
from torch import Tensor

from noise_search.ask import Prompt
from noise_search.errors import UserError
from noise_search.moves import Continue, Start
from noise_search.noise import Gaussian
from noise_search.pipelines.driver import Driver
from tests.pipelines.passing import rows_of
from tests.pipelines.playing import Made, Player, apart, latents, player
from tests.pipelines.zoo import KINDS, Kind, load
from tests.pipelines.zoo.calling import networks
from tests.pipelines.zoo.odd import ODD
from tests.pipelines.zoo.warnings import KNOWN

pytestmark = [*KNOWN]
SOUND, WORLD, STABLE = KINDS["ltx2"], KINDS["cosmos2-t2i"], KINDS["stable-video"]
TEXT = Prompt("p", "a red circle")
Load = Callable[[Kind], Any]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Load:
    root = tmp_path_factory.mktemp("zoo")
    return lambda kind: load(kind, root)


def test_the_noise_of_several_samples_is_drawn_by_one_seed(loaded: Load) -> None:
    """Of the video first and then of the sound, as the plain call does."""
    pipe = loaded(SOUND)
    plan, _, _ = Driver(pipe, SOUND.arguments, copies=1).survey(SOUND.steps, TEXT)
    seen = list[Tensor]()

    def before(_: Any, given: Any, named: dict[str, Any]) -> None:
        seen.extend([named["hidden_states"].clone(), named["audio_hidden_states"].clone()])

    play = player(pipe, SOUND, width=1)
    play.pipeline.price(play.ask(Start(Gaussian(7)), TEXT))
    handle = networks(pipe)[0].register_forward_pre_hook(before, with_kwargs=True)
    play.one(Start(Gaussian(7)), TEXT)
    handle.remove()
    generator = torch.Generator().manual_seed(7)
    video, sound = (torch.randn(shape, generator=generator) for shape in plan.drawings)
    assert [len(shape) for shape in plan.drawings] == [4, 3]
    for given, drawn in zip(seen, (video, sound), strict=False):  # packed, so in another order
        assert torch.equal(given[0].flatten().sort().values, drawn.flatten().sort().values)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_several_samples_go_on_and_back_together(eta: float, loaded: Load) -> None:
    play = player(loaded(SOUND), SOUND, width=2, eta=eta)
    whole = play.one(Start(Gaussian(1)), TEXT)
    sizes = _sizes(loaded(SOUND), SOUND)
    assert latents(play, whole).shape == (sum(sizes),)
    for cut in range(1, SOUND.steps):
        half = play.one(Start(Gaussian(1), until=cut), TEXT)
        assert torch.equal(latents(play, _on(play, half, 1)), latents(play, whole))
        other = _on(play, half, 2)
        assert torch.equal(latents(play, other), latents(play, whole)) == (eta == 0.0)
    back = play.one(Continue(whole.candidate, Gaussian(9), rewind=2), TEXT)
    parts = [torch.split(latents(play, made), sizes) for made in (back, whole)]
    pairs = zip(*parts, strict=True)
    assert all(apart(one, other) > 1e-2 for one, other in pairs)  # the video and its sound


def test_a_callback_may_change_the_sample_that_it_is_shown(loaded: Load) -> None:
    def louder(_: Any, index: int, time: Any, given: dict[str, Any]) -> dict[str, Any]:
        return {"latents": given["latents"] * (2.0 if index == 1 else 1.0)}

    pipe = loaded(SOUND)
    arguments = {**SOUND.arguments, "callback_on_step_end": louder}
    play = player(pipe, SOUND, width=1, arguments=arguments)
    whole = play.one(Start(Gaussian(1)), TEXT)
    half = play.one(Start(Gaussian(1), until=2), TEXT)
    assert torch.equal(latents(play, _on(play, half, 1)), latents(play, whole))
    plain = player(pipe, SOUND, width=1)
    assert apart(latents(plain, plain.one(Start(Gaussian(1)), TEXT)), latents(play, whole)) > 1e-2


@pytest.mark.parametrize("name", ["skyreels-v2-df", "ltx2-i2v"])
def test_a_callback_may_hand_on_latents_of_several_samples_but_not_change_them(
    name: str, loaded: Load
) -> None:
    """Those it is shown are none of the samples, but all frames of a video."""
    seen = list[int]()

    def same(_: Any, index: int, time: Any, given: dict[str, Any]) -> dict[str, Any]:
        seen.append(index)
        return given

    def louder(_: Any, index: int, time: Any, given: dict[str, Any]) -> dict[str, Any]:
        return {"latents": given["latents"] * 1.1}

    kind = KINDS[name]
    pipe = loaded(kind)
    [with_it, plain] = [
        player(pipe, kind, width=1, arguments={**kind.arguments, **more})
        for more in ({"callback_on_step_end": same}, {})
    ]
    whole = with_it.one(Start(Gaussian(1)), TEXT)
    assert seen == [*range(kind.steps)]
    assert torch.equal(latents(with_it, whole), latents(plain, plain.one(Start(Gaussian(1)), TEXT)))
    half = with_it.one(Start(Gaussian(1), until=2), TEXT)
    assert torch.equal(latents(with_it, _on(with_it, half, 1)), latents(with_it, whole))
    changing = player(
        pipe, kind, width=1, arguments={**kind.arguments, "callback_on_step_end": louder}
    )
    with pytest.raises(UserError, match="cannot change latents of several samples at once"):
        changing.one(Start(Gaussian(1)), TEXT)


def test_of_a_flow_that_is_scaled_up_every_x_is_data_and_noise(loaded: Load) -> None:
    """Where all data is one point: x0 is that point, whole, cut and gone back."""
    pipe = loaded(WORLD)
    [network] = networks(pipe)

    def flow(_: Any, given: Any, named: dict[str, Any], answer: Any) -> Any:
        x, time = named["hidden_states"], named["timestep"].view(-1, 1, 1, 1, 1)
        return ((x - 0.5) / time,)

    handle = network.register_forward_hook(flow, with_kwargs=True)
    play = player(pipe, WORLD, width=1)
    whole = play.one(Start(Gaussian(1)), TEXT)
    half = play.one(Start(Gaussian(1), until=2), TEXT)
    made = [whole, _on(play, half, 1)]
    made += [play.one(Continue(whole.candidate, Gaussian(9), rewind=k), TEXT) for k in (1, 3)]
    handle.remove()
    for one in made:
        assert float((latents(play, one) - 0.5).abs().max()) < 0.02  # the last level is 0.002


@pytest.mark.filterwarnings("ignore:flex_attention called without:UserWarning")
@pytest.mark.parametrize("said", ODD)
def test_a_loop_that_cannot_be_walked_in_parts_is_refused(said: str, loaded: Load) -> None:
    kind = ODD[said]
    pipe = loaded(kind)
    play = player(pipe, kind)
    with rows_of(*networks(pipe)) as rows, pytest.raises(UserError, match=said) as error:
        play.pipeline.price(play.ask(Start(Gaussian(1)), TEXT))
    assert "\n" not in str(error.value)
    assert sum(rows) <= 4  # one call at most, to see what an answer looks like


def test_a_picture_alone_is_told_for_each_row(loaded: Load) -> None:
    pipe, picture = loaded(STABLE), STABLE.arguments["image"]
    assert isinstance(picture, Image)
    ways = [picture, [picture], torch.zeros(1, 3, 224, 224), torch.zeros(3, 224, 224)]
    made = [_with(pipe, image) for image in ways]
    assert torch.equal(made[0], made[1])
    assert torch.equal(made[2], made[3])
    with pytest.raises(UserError, match="one image is needed, not 2"):
        _with(pipe, [picture, picture])
    with pytest.raises(UserError, match="give it as the argument image"):
        _with(pipe, None)


def _with(pipe: Any, image: Any) -> Tensor:
    arguments = {k: v for k, v in STABLE.arguments.items() if k != "image"}
    given = arguments if image is None else {**arguments, "image": image}
    play = player(pipe, STABLE, arguments=given)
    return latents(play, play.one(Start(Gaussian(1)), TEXT))


def _on(play: Player, made: Made, seed: int) -> Made:
    return play.one(Continue(made.candidate, Gaussian(seed)), TEXT)


def _sizes(pipe: Any, kind: Kind) -> list[int]:
    plan, _, _ = Driver(pipe, kind.arguments, copies=1).survey(kind.steps, TEXT)
    return [strand.size for strand in plan.strands]

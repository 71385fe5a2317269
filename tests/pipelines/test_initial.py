"""Which of the numbers that a pipeline draws are searched: those its loop begins with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers.utils import torch_utils
from torch import Tensor

from noise_search.ask import Prompt
from noise_search.errors import UserError
from noise_search.moves import Continue, Start
from noise_search.noise import Gaussian
from noise_search.pipelines.driver import Driver
from tests.pipelines.passing import rows_of
from tests.pipelines.playing import Player, apart, latents, player
from tests.pipelines.zoo.kind import Kind
from tests.pipelines.zoo.pictures import picture
from tests.pipelines.zoo.stages import LEVELS, deepfloyd
from tests.pipelines.zoo.unets import GUIDED, kandinsky3, sd_parts
from tests.pipelines.zoo.warnings import KNOWN
from tests.pipelines.zoo.weights import build

pytestmark = [*KNOWN]
library: Any = diffusers
randn_tensor: Any = torch_utils.randn_tensor
TEXT = Prompt("p", "a red circle")
SIZE = (4, 8, 8)
"""Of a row's latents."""


class Stable(library.StableDiffusionPipeline):  # type: ignore[misc]
    """Stable Diffusion, which draws its noise and more in an order of its own."""

    def prepare_latents(
        self,
        batch: int,
        channels: int,
        height: int,
        width: int,
        dtype: Any,
        device: Any,
        generator: Any,
        latents: Any = None,
    ) -> Any:
        return self.drawn(batch, generator) * self.scheduler.init_noise_sigma

    def drawn(self, batch: int, generator: Any) -> Any:
        return randn_tensor((batch, *SIZE), generator=generator)


class Before(Stable):
    """Grain for all rows alike is drawn before their noise."""

    def drawn(self, batch: int, generator: Any) -> Any:
        self.grain = randn_tensor((1, *SIZE))
        return randn_tensor((batch, *SIZE), generator=generator)


class RowByRow(Stable):
    """Grain is drawn for one row after the other, and then their noise."""

    def drawn(self, batch: int, generator: Any) -> Any:
        self.grain = [randn_tensor((1, *SIZE)) for _ in range(batch)]
        return randn_tensor((batch, *SIZE), generator=generator)


class After(Stable):
    """Grain for each row is drawn after their noise."""

    def drawn(self, batch: int, generator: Any) -> Any:
        noise = randn_tensor((batch, *SIZE), generator=generator)
        self.grain = randn_tensor((batch, *SIZE), generator=generator)
        return noise


class Both(Stable):
    """Two drawings make the noise."""

    def drawn(self, batch: int, generator: Any) -> Any:
        one = randn_tensor((batch, *SIZE), generator=generator)
        self.grain = randn_tensor((batch, *SIZE))
        other = randn_tensor((batch, *SIZE), generator=generator)
        return 0.6 * one + 0.8 * other


class Aside(Stable):
    """The noise is drawn by torch alone."""

    def drawn(self, batch: int, generator: Any) -> Any:
        self.grain = randn_tensor((batch, *SIZE))
        rows = [torch.randn(SIZE, generator=one) for one in generator]
        return torch.stack(rows)


class AllAside(Stable):
    """The noise of all rows is drawn by torch alone, from the first generator."""

    def drawn(self, batch: int, generator: Any) -> Any:
        self.grain = randn_tensor((batch, *SIZE))
        one = generator[0] if isinstance(generator, list) else generator
        return torch.randn((batch, *SIZE), generator=one)


class Squared(Stable):
    """What is drawn before the noise grows faster than the rows."""

    def drawn(self, batch: int, generator: Any) -> Any:
        self.grain = [randn_tensor((1, *SIZE)) for _ in range(batch**2)]
        return randn_tensor((batch, *SIZE), generator=generator)


def stable(kind: Any = Stable) -> Any:
    made = kind(**sd_parts())
    made.set_progress_bar_config(disable=True)
    return made


def kind_of(name: str, arguments: dict[str, Any]) -> Kind:
    return Kind(name, stable, arguments)


SD15 = kind_of("sd15", dict(GUIDED))


def found(pipe: Any, width: int, seeds: Sequence[int], kind: Kind = SD15) -> list[Tensor]:
    """The last latents of seeds."""
    play = player(pipe, kind, width=width)
    return [latents(play, made) for made in play.play([Start(Gaussian(s)) for s in seeds])]


@pytest.mark.parametrize("kind", [Before, RowByRow, After])
@pytest.mark.parametrize("width", [1, 2, 4])
def test_whatever_else_is_drawn_the_noise_is_searched(kind: Any, width: int) -> None:
    seeds = list(range(width))
    pairs = zip(found(stable(kind), width, seeds), found(stable(), width, seeds), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_noise_of_two_drawings_is_that_of_a_plain_call() -> None:
    pipe = stable(Both)
    play = player(pipe, SD15, width=1)
    made = play.one(Start(Gaussian(7)), TEXT)
    [plain] = pipe(
        [TEXT.text],
        num_inference_steps=SD15.steps,
        generator=[torch.Generator().manual_seed(7)],
        output_type="np",
        **SD15.arguments,
    ).images
    assert np.array_equal(made.pixels, (plain * 255).round().astype(np.uint8))
    half = play.one(Start(Gaussian(7), until=2), TEXT)
    again = play.one(Continue(half.candidate, Gaussian(7)), TEXT)
    assert torch.equal(latents(play, again), latents(play, made))
    back = play.one(Continue(made.candidate, Gaussian(9), rewind=2), TEXT)
    assert apart(latents(play, back), latents(play, made)) > 1e-2


def test_noise_of_two_drawings_is_noise_of_a_known_level() -> None:
    plan, _, _ = Driver(stable(Both), GUIDED, copies=1).survey(4, TEXT)
    assert plan.drawings == (SIZE, SIZE)
    assert [place.at(2) for place in plan.drawn_at] == [0, 2]
    assert plan.proof.path is not None


@pytest.mark.parametrize("kind", [Aside, AllAside])
def test_noise_that_is_not_seen_is_refused_before_anything_is_spent(kind: Any) -> None:
    refused(stable(kind), 2, "Aside: its loop begins with none of the noise it draws")


def test_a_call_that_draws_otherwise_is_refused_before_anything_is_spent() -> None:
    assert len(found(stable(Squared), 2, [1, 2])) == 2
    refused(stable(Squared), 4, "Squared: in a call of 4 rows .*; set batch=2")


def refused(pipe: Any, width: int, said: str) -> None:
    with rows_of(pipe.unet) as rows, pytest.raises(UserError, match=said) as error:
        found(pipe, width, [1, 2])
    assert rows == []
    assert "\n" not in str(error.value)


def super_resolution() -> tuple[Any, Kind]:
    """The second stage of DeepFloyd IF: noise is added to the picture that it is told, too."""
    parts = deepfloyd().components
    unet = build(
        lambda: library.UNet2DConditionModel(
            sample_size=32,
            in_channels=6,
            out_channels=6,
            encoder_hid_dim=16,
            addition_embed_type="text",
            addition_embed_type_num_heads=2,
            class_embed_type="timestep",
            **LEVELS,
        )
    )
    noising = library.DDPMScheduler(beta_schedule="squaredcos_cap_v2")
    more = {"unet": unet, "image_noising_scheduler": noising, "requires_safety_checker": False}
    pipe = library.IFSuperResolutionPipeline(**{**parts, **more})
    pipe.set_progress_bar_config(disable=True)
    arguments = {"image": picture(16), "height": 32, "width": 32, "clean_caption": False}
    return pipe, kind_of("deepfloyd-if-2", arguments)


def test_the_noise_of_a_condition_is_not_searched() -> None:
    pipe, kind = super_resolution()
    play = player(pipe, kind, width=1)
    play.pipeline.price(play.ask(Start(Gaussian(1)), TEXT))
    seen: list[Tensor] = []

    def before(_: Any, given: tuple[Any, ...], __: Any) -> None:
        seen.append(given[0].clone())

    handle = pipe.unet.register_forward_pre_hook(before, with_kwargs=True)
    one, other = (_first_of(play, seen, seed) for seed in (1, 2))
    handle.remove()
    assert apart(one[:3], other[:3]) > 1.0  # the sample
    assert torch.equal(one[3:], other[3:])  # the condition


def _first_of(play: Player, seen: list[Tensor], seed: int) -> Tensor:
    seen.clear()
    play.one(Start(Gaussian(seed)), TEXT)
    return seen[0][0]


def test_a_picture_that_is_changed_for_one_prompt_is_searched() -> None:
    """Kandinsky 3 draws noise for each picture, of which it is told one."""
    parts = kandinsky3().components
    pipe = library.Kandinsky3Img2ImgPipeline(**parts)
    pipe.set_progress_bar_config(disable=True)
    kind = kind_of("kandinsky3-img2img", {"image": picture(), "strength": 0.6})
    play = player(pipe, kind, width=1)
    one, other = (play.one(Start(Gaussian(seed)), TEXT) for seed in (1, 2))
    assert apart(latents(play, one), latents(play, other)) > 0.1
    half = play.one(Start(Gaussian(1), until=1), TEXT)
    again = play.one(Continue(half.candidate, Gaussian(1)), TEXT)
    assert torch.equal(latents(play, again), latents(play, one))

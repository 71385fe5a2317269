"""What tests of the driver share: the built-in kind of pipeline, plain calls, counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from torch import Tensor

from noise_search.ask import Prompt
from noise_search.noise import Book, seed_from
from noise_search.pipelines.diffusers import DiffusersPipeline
from tests.pipelines.playing import Made, Player, latents

library: Any = diffusers  # its types are not exported
DDIM = library.DDIMScheduler
FLOW = library.FlowMatchEulerDiscreteScheduler

STEPS, WIDTH = 5, 4
PROMPTS = [
    Prompt("a", "a red circle"),
    Prompt("b", "two blue squares"),
    Prompt("c", "a green triangle left of a cyan square"),
    Prompt("d", "three yellow circles and a red square"),
]
WITHOUT = ("blue", "", "a", "red")
NEGATIVES = [Prompt(p.name, p.text, n) for p, n in zip(PROMPTS, WITHOUT, strict=True)]
KINDS = [("flow", 0.0), ("flow", 0.6), ("ddim", 0.0), ("ddim", 1.0)]
SCHEDULERS: dict[str, Any] = {
    "flow shifted": FLOW(shift=3.0),
    "flow karras": FLOW(use_karras_sigmas=True),
    "ddim v leading": DDIM(
        prediction_type="v_prediction", set_alpha_to_one=False, steps_offset=1, clip_sample=False
    ),
    "ddim sample linspace": DDIM(prediction_type="sample", timestep_spacing="linspace"),
    "ddim trailing odd": DDIM(timestep_spacing="trailing"),
}
each_kind = pytest.mark.parametrize(("kind", "eta"), KINDS)


def player(pipe: Any, scale: float = 3.0, steps: int = STEPS, **more: Any) -> Player:
    book = Book()
    more = {"width": WIDTH, "arguments": {"guidance_scale": scale}, **more}
    return Player(DiffusersPipeline(pipe, book, **more), book, steps)


def noise(seed: int, step: int = 0) -> Tensor:
    generator = torch.Generator("cpu").manual_seed(seed_from("step", seed, step) if step else seed)
    return torch.randn((3, 32, 32), generator=generator)


def plain(
    pipe: Any,
    prompts: Sequence[Prompt],
    latents: Sequence[Tensor],
    scale: float = 3.0,
    **more: Any,
) -> list[np.ndarray]:
    negative = None if prompts[0].negative is None else [p.negative for p in prompts]
    images = pipe(
        [p.text for p in prompts],
        negative_prompt=negative,
        num_inference_steps=STEPS,
        guidance_scale=scale,
        latents=torch.stack(list(latents)).to(pipe.transformer.dtype),
        **more,
    ).images
    return [np.asarray(image) for image in images]


def same(found: Any, wanted: Any) -> None:
    assert np.array_equal(found, wanted)


def same_paths(play: Player, one: Made, other: Made) -> None:
    """Bit-equal latents say more than equal pixels of 8 bits."""
    assert torch.equal(latents(play, one), latents(play, other))
    same(one.pixels, other.pixels)


@contextmanager
def hooked(module: torch.nn.Module, hook: Any, before: bool = False) -> Iterator[None]:
    register = module.register_forward_pre_hook if before else module.register_forward_hook
    handle = register(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def counted(module: torch.nn.Module) -> Iterator[list[int]]:
    """Rows of every call of a module, seen from within."""
    rows: list[int] = []

    def hook(_: Any, inputs: Any, output: Any) -> None:
        rows.append(len(output[0]))

    with hooked(module, hook):
        yield rows

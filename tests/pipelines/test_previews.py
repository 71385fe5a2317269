"""Cheap pictures of partial samples: tiny autoencoders and lower resolutions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from noise_search.ask import Prompt
from noise_search.budget import Cost
from noise_search.errors import UserError
from noise_search.moves import Continue, Start
from noise_search.noise import Book, Gaussian
from noise_search.pipelines.diffusers import DiffusersPipeline
from noise_search.study.reproduce import reproduce
from noise_search.study.search import search
from tests.pipelines.playing import Player
from tests.pipelines.zoo import KINDS, Kind, load
from tests.pipelines.zoo.warnings import KNOWN

pytestmark = [*KNOWN]

SHOWN = [KINDS[name] for name in ("sd15", "sdxl", "flux", "sd15-img2img", "wan")]
PROMPT = Prompt("p", "a red circle")
library: Any = diffusers


def tiny(folder: Path, channels: int = 4) -> Path:
    """A tiny autoencoder of random weights, in the published format."""
    torch.manual_seed(0)
    library.AutoencoderTiny(
        latent_channels=channels,
        encoder_block_out_channels=(8,) * 4,
        decoder_block_out_channels=(8,) * 4,
        num_encoder_blocks=(1,) * 4,
        num_decoder_blocks=(1,) * 4,
    ).save_pretrained(folder)
    return folder


def player(pipe: Any, kind: Kind, preview: str | None) -> Player:
    book = Book()
    pipeline = DiffusersPipeline(pipe, book, width=2, arguments=kind.arguments, preview=preview)
    return Player(pipeline, book, kind.steps)


@pytest.mark.parametrize("kind", SHOWN, ids=lambda kind: kind.name)
@pytest.mark.parametrize(("preview", "by"), [("half", 2), ("quarter", 4)])
def test_a_small_preview_changes_nothing_but_the_picture(
    kind: Kind, preview: str, by: int, tmp_path: Path
) -> None:
    pipe, start = load(kind, tmp_path), Start(Gaussian(1), until=2)
    decoder = pipe.vae
    usual, small = player(pipe, kind, None), player(pipe, kind, preview)
    [large], [less] = usual.play([start], [PROMPT]), small.play([start], [PROMPT])
    assert large.cost == Cost(2, large.cost.forwards, decodes=1)
    assert less.cost == Cost(2, large.cost.forwards, previews=1)
    shape = np.array(np.shape(large.pixels))
    shape[-3:-1] //= by
    assert np.shape(less.pixels) == tuple(shape)
    ends = [
        p.play([Continue(row.candidate, Gaussian(1))], [PROMPT])[0]
        for p, row in ((usual, large), (small, less))
    ]
    assert np.array_equal(ends[0].pixels, ends[1].pixels)
    assert ends[0].cost == ends[1].cost
    assert pipe.vae is decoder


@pytest.mark.nightly
def test_a_decoder_of_another_name_is_stood_for_and_counted(tmp_path: Path) -> None:
    kind = KINDS["kandinsky3"]
    play = player(load(kind, tmp_path), kind, "half")
    less, whole = (play.play([Start(Gaussian(1), until=n)], [PROMPT])[0] for n in (2, 4))
    assert less.cost == Cost(2, 4, previews=1)
    assert np.shape(less.pixels) == (32, 32, 3)
    assert whole.cost == Cost(4, 8, decodes=1)
    assert np.shape(whole.pixels) == (64, 64, 3)


def test_a_small_preview_looks_like_the_large_one(tmp_path: Path) -> None:
    """A decoder of a constant picture shows the same at any size."""
    kind = KINDS["sd15"]
    pipe = load(kind, tmp_path)
    with torch.no_grad():
        for weights in pipe.vae.decoder.parameters():
            weights.zero_()
        pipe.vae.decoder.conv_out.bias.copy_(torch.tensor([0.1, -0.4, 0.6]))
    [half] = player(pipe, kind, "half").play([Start(Gaussian(1), until=2)], [PROMPT])
    assert np.array_equal(np.unique(half.pixels.reshape(-1, 3), axis=0), [[140, 76, 204]])


def test_a_tiny_autoencoder_shows_what_diffusers_shows_with_it(tmp_path: Path) -> None:
    kind = KINDS["sd15"]
    pipe, folder = load(kind, tmp_path), tiny(tmp_path / "taesd")
    own = player(pipe, kind, f"taesd:{folder}")
    [row] = own.play([Start(Gaussian(1), until=2)], [PROMPT])
    assert row.cost == Cost(2, 4, previews=1)
    [usual] = player(pipe, kind, None).play([Start(Gaussian(1), until=2)], [PROMPT])
    assert not np.array_equal(row.pixels, usual.pixels)
    # a look ahead to the end shows the finished latents, by the tiny autoencoder still
    last = kind.steps - 1
    [ahead] = own.play([Start(Gaussian(1), until=last, lookahead=1)], [PROMPT])
    swapped = load(kind, tmp_path)
    swapped.vae = library.AutoencoderTiny.from_pretrained(folder)
    noise = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(1))
    images = swapped(
        [PROMPT.text] * 2,
        num_inference_steps=kind.steps,
        latents=torch.cat([noise, noise]),
        **kind.arguments,
    ).images
    assert np.array_equal(ahead.pixels, np.asarray(images[0]))


def test_the_record_tells_which_decoder_has_shown_it(tmp_path: Path) -> None:
    kind = KINDS["sd15"]
    pipe, folder = load(kind, tmp_path), tiny(tmp_path / "taesd")
    told = player(pipe, kind, f"taesd:{folder}").pipeline.describe()["preview"]
    assert str(told).startswith(f"taesd:{folder} ")
    assert "preview" not in player(pipe, kind, None).pipeline.describe()


@pytest.mark.parametrize("preview", ["half", "taesd"])
def test_a_search_resumes_and_reproduces_cheap_previews(preview: str, tmp_path: Path) -> None:
    kind = KINDS["sd15"]
    pipe = load(kind, tmp_path)
    if preview == "taesd":
        preview = f"taesd:{tiny(tmp_path / 'taesd')}"

    def bright(pictures: list[Any], _: str) -> list[float]:
        return [float(np.asarray(p).mean()) for p in pictures]

    more: Any = kind.arguments
    result = search(
        pipe,
        "a red circle",
        verifier=bright,
        search="prune(at=0.5)",
        budget=f"{8 * kind.steps}nfe",
        steps=kind.steps,
        batch=2,
        preview=preview,
        out=tmp_path / "run",
        **more,
    )
    partial = [c for c in result.candidates if not c.finished]
    ends = [c for c in result.candidates if c.finished]
    assert result.spent.previews == len(partial) > 0
    assert result.spent.decodes == len(ends) > 0
    for candidate in (partial[0], ends[0]):
        assert reproduce(tmp_path / "run", pipe, candidate=candidate.name).equal


@pytest.mark.parametrize(
    ("preview", "said"),
    [
        ("hlaf", "did you mean 'half'"),
        ("half:x", "write half, quarter, taesd"),
        ("taesd", "noise-search prefetch madebyollin/taesd"),
        ("taesd:ORG/NAME", "noise-search prefetch ORG/NAME"),
        ("taesd:./nowhere", "cannot be loaded"),
    ],
)
def test_what_cannot_be_shown_is_refused(preview: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        player(load(KINDS["sd15"], tmp_path), KINDS["sd15"], preview)


def test_latents_of_another_kind_and_models_without_a_decoder_are_refused(tmp_path: Path) -> None:
    folder = tiny(tmp_path / "taef1", channels=16)
    with pytest.raises(UserError, match="16 channels, not 4"):
        player(load(KINDS["sd15"], tmp_path), KINDS["sd15"], f"taesd:{folder}")
    pipe = load(KINDS["sd15"], tmp_path)
    pipe.vae.register_to_config(scaling_factor=0.77)
    with pytest.raises(UserError, match="no tiny autoencoder is known for this model"):
        player(pipe, KINDS["sd15"], "taesd")
    with pytest.raises(UserError, match="preview: shapes decodes nothing"):
        search("shapes", "a red circle", preview="half")

"""Samples against their own earlier previews, which cost a decoding and change nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from noise_search.ask import Ask, Prompt, resolve
from noise_search.budget import ZERO, Cost
from noise_search.errors import UserError
from noise_search.judged import Judged
from noise_search.moves import Start
from noise_search.noise import Book, Gaussian
from noise_search.pipelines.loading import load as load_model
from noise_search.pipelines.options import Options
from noise_search.pipelines.prices import PicturePrices
from noise_search.problem import Sample
from noise_search.study.bench import complete
from noise_search.study.dry_run import Judging, price_of
from noise_search.study.judges import check_apart, check_weights
from noise_search.study.settings import Settings
from noise_search.verifiers.clip import encoder_of
from noise_search.verifiers.clip_files import shipped_folder
from noise_search.verifiers.loading import load
from noise_search.verifiers.models import Models, Place
from tests.pipelines.zoo.warnings import KNOWN
from tests.verifiers.looking import Looking
from tests.verifiers.towers import lively, samples

PROMPT = Prompt("p", "a red circle")
pytestmark = [*KNOWN]
PICTURES = PicturePrices(guided=True, decoder=True, stochastic=False)
SELF = f"self:clip(model={shipped_folder('shapes-clip')},at=0.5)"


def write_dino(folder: Path) -> Path:
    from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        config = Dinov2Config(
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=28,
            patch_size=14,
        )
        lively(Dinov2Model(config)).save_pretrained(folder)
    size = {"shortest_edge": 28}
    BitImageProcessor(size=size, crop_size={"height": 28, "width": 28}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def dino(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dino(tmp_path_factory.mktemp("dino"))


def pairs(count: int) -> list[Sample]:
    """Finished samples, each with an earlier preview of its own."""
    shown = samples(count)
    before = [np.asarray(s.pixels)[::-1].copy() for s in shown]
    return [replace(s, earlier=e) for s, e in zip(shown, before, strict=True)]


def values(spec: str, shown: list[Sample]) -> list[float]:
    scores = load(spec).score(shown)
    assert [score.failure for score in scores] == [None] * len(shown)
    return [score.values[spec] for score in scores]


def test_dino_compares_class_tokens(dino: Path) -> None:
    from transformers import AutoImageProcessor, AutoModel

    model: Any = AutoModel.from_pretrained(str(dino)).eval()
    processor: Any = AutoImageProcessor.from_pretrained(str(dino))

    def features(pixels: object) -> torch.Tensor:
        image = Image.fromarray(np.asarray(pixels))
        with torch.inference_mode():
            given = processor(image, return_tensors="pt").pixel_values
            found: torch.Tensor = model(given).last_hidden_state[0, 0]
        return found

    shown = pairs(4)
    expected = [
        float(torch.cosine_similarity(features(s.earlier), features(s.pixels), dim=0))
        for s in shown
    ]
    assert max(expected) - min(expected) > 1e-3
    assert values(f"self:dino(model={dino})", shown) == pytest.approx(expected, abs=1e-5)


def test_clip_compares_pictures_and_shares_its_tower() -> None:
    models = Models()
    folder = str(shipped_folder("shapes-clip"))
    encoder = encoder_of(folder, models, Place())
    shown = pairs(3)
    before = encoder.pictures([np.asarray(s.earlier) for s in shown])
    after = encoder.pictures([np.asarray(s.pixels) for s in shown])
    expected = [float(b @ a) for b, a in zip(before, after, strict=True)]
    assert len(set(expected)) == 3
    name = f"self:clip(model={folder})"
    verifier: Any = load(name, models)
    assert verifier.encoder is encoder
    assert [s.values[name] for s in verifier.score(shown)] == pytest.approx(expected, abs=1e-9)
    assert verifier.card.needs == {"pixels", "preview"}
    assert verifier.card.version == f"self:clip at:0.8 cosine of {encoder.version}"


def test_sixteen_at_once_score_as_sixteen_alone(dino: Path) -> None:
    spec, shown = f"self:dino(model={dino},batch=4)", pairs(16)
    alone = [values(spec, [sample])[0] for sample in shown]
    assert values(spec, shown) == pytest.approx(alone, abs=1e-6)


def test_videos_are_compared_frame_by_frame(dino: Path) -> None:
    still = pairs(4)
    size = (slice(0, 32), slice(0, 32))
    after = np.stack([np.asarray(s.pixels)[size] for s in still])
    before = np.stack([np.asarray(s.earlier)[size] for s in still])
    spec = f"self:dino(model={dino})"
    [video] = load(spec).score([replace(still[0], pixels=after, earlier=before)])
    frames = [replace(still[0], pixels=a, earlier=b) for a, b in zip(after, before, strict=True)]
    single = values(spec, frames)
    assert video.values[spec] == pytest.approx(sum(single) / 4, abs=1e-6)
    assert video.values[f"{spec}.min"] == pytest.approx(min(single), abs=1e-6)
    [cut] = load(spec).score([replace(still[0], pixels=after, earlier=before[:2])])
    assert "the earlier preview has other frames" in str(cut.failure)


def test_what_cannot_be_compared_fails_alone(dino: Path) -> None:
    [good] = pairs(1)
    shape = np.asarray(good.pixels).shape
    shown = {
        "it has no earlier preview": replace(good, earlier=None),
        "the picture is black": replace(good, pixels=np.zeros(shape, np.uint8)),
        "the earlier preview: pixels are not finite": replace(good, earlier=np.full(shape, np.nan)),
        "the earlier preview: the picture has the shape": replace(good, earlier=np.zeros((4, 4))),
        "judges pictures": replace(good, pixels=None),
    }
    first, *broken, last = load(f"self:dino(model={dino})").score([good, *shown.values(), good])
    assert first.values == last.values
    for score, said in zip(broken, shown, strict=True):
        assert score.values == {}
        assert said in str(score.failure)
    dark = replace(good, earlier=np.zeros(shape, np.uint8))
    assert load(f"self:dino(model={dino})").score([dark])[0].failure is None


def world(book: Book, width: int = 2, model: str = "shapes", **options: Any) -> Any:
    return load_model(model, Options(book=book, width=width, **options))


def ask(noise: Gaussian, **options: Any) -> Ask:
    return resolve(PROMPT, Start(noise, **options), 8, stochastic=False)


@pytest.mark.parametrize(
    ("model", "eta"), [("shapes", 0.0), ("shapes:ddim", 1.0), ("gaussian", 0.0), ("mixture", 1.0)]
)
def test_the_preview_is_that_of_the_stage_and_nothing_else_changes(model: str, eta: float) -> None:
    book = Book()
    noise = Gaussian(7)
    book.add(noise)
    whole, half = ask(noise), ask(noise, until=4)
    plain, looked = Looking(None), Looking(0.5)
    [alone] = Judged(world(book, model=model, eta=eta), plain).play([whole]).candidates
    [early] = Judged(world(book, model=model, eta=eta), plain).play([half]).candidates
    problem = Judged(world(book, model=model, eta=eta), looked)
    [both] = problem.play([whole]).candidates
    [sample] = looked.seen
    assert np.array_equal(np.asarray(sample.pixels), np.asarray(plain.seen[0].pixels))
    assert np.array_equal(np.asarray(sample.earlier), np.asarray(plain.seen[1].pixels))
    assert (both.name, both.sha256, both.scores) == (alone.name, alone.sha256, alone.scores)
    decodes = both.cost.decodes - alone.cost.decodes
    assert decodes == early.cost.decodes
    assert both.cost == alone.cost + Cost(decodes=decodes)
    assert problem.price(whole) == both.cost


def test_a_search_is_guided_by_it() -> None:
    book = Book()
    recipes = [Gaussian(seed) for seed in range(4)]
    for recipe in recipes:
        book.add(recipe)
    problem = Judged(world(book), load(SELF))
    found = problem.play([ask(recipe) for recipe in recipes]).candidates
    scores = [candidate.scores[SELF] for candidate in found]
    assert len(set(scores)) == 4
    assert all(-1 <= score < 1 for score in scores)


def test_previews_of_one_stage_are_kept_for_a_ranking() -> None:
    folder = shipped_folder("shapes-clip")
    joined: Any = load(f"rank(shapes-clip,{SELF})")
    assert joined.earlier == 0.5
    with pytest.raises(UserError, match=r"one earlier preview is kept, not at=0.5 and at=0.8$"):
        load(f"rank({SELF},self:clip(model={folder}))")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("self", r"^verifier self: compare by self:clip or self:dino"),
        ("self:dinp", r"did you mean 'dino'\?$"),
        ("self:dino", "of facebook/dinov2-base are not on the disk; noise-search prefetch 'self:d"),
        ("self:dino(model=org/dino)", "of org/dino are not on the disk"),
        ("self:dino(model=./absent)", "no config.json in 'absent'"),
        ("self:clip(model=./absent)", "no folder 'absent'"),
        ("self:clip(at=1)", r"self: at=1: input should be less than 1$"),
        ("self:clip(modl=x)", r"did you mean 'model'\?$"),
    ],
)
def test_what_lacks_is_named(spec: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "/nonexistent")
    with pytest.raises(UserError, match=said) as error:
        load(spec)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("verifier", "decodes"),
    [
        ("shapes-clip", 16),
        ("self:clip(model=./folder)", 32),
        ("rank(shapes-clip,self:dino(at=0.5))", 32),
        ("self:clip(at=0.01)", 32),
    ],
)
def test_a_dry_run_knows_the_price_of_previews(verifier: str, decodes: int) -> None:
    pricer = price_of(complete(Settings.of({"model": "shapes", "verifier": verifier})))
    assert pricer.price(ask(Gaussian(1))).decodes == 0, "shapes have no decoder"
    price = Judging(PICTURES, ZERO, getattr(pricer, "earlier", None)).price(ask(Gaussian(1)))
    assert 16 * price.decodes == decodes
    assert (price.nfe, price.forwards) == (8, 16)


def test_it_cannot_be_an_evaluator(dino: Path) -> None:
    spec = f"self:dino(model={dino})"
    said = "compares previews of a search, and evaluators are shown the outcome$"
    with pytest.raises(UserError, match=said):
        check_apart("shapes-clip", [f"rank(shapes,{spec})"])
    with pytest.raises(UserError, match=said):
        check_weights(load("shapes-clip"), [load(spec)])
    check_apart(spec, ["shapes-clip"])
    check_weights(load(spec), [load("shapes-clip")])


def test_nothing_is_shown_while_a_model_is_loaded(
    dino: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    load(f"self:dino(model={dino})")
    assert capfd.readouterr() == ("", "")

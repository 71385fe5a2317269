"""Published weights give the published scores; CONTRIBUTING.md has the command that runs these."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noise_search.ask import Prompt
from noise_search.errors import UserError
from noise_search.problem import Sample, Verifier
from noise_search.verifiers.loading import load

IMAGES = Path(__file__).parents[1] / "data" / "images"
OCEAN = (
    "a painting of an ocean with clouds and birds, day time, low depth field effect",
    *(f"imagereward_{i}.webp" for i in range(1, 5)),
)
GOOD = {
    "clipscore_image1.jpg": "an orange cat and a grey cat are lying together.",
    "clipscore_image2.jpg": "a black dog wearing headphones looks at the camera "
    "as an orange cat walks in the background.",
}
BAD = {
    "clipscore_image1.jpg": "a calico cat and a white cat are lying together.",
    "clipscore_image2.jpg": "a black dog wearing a hat looks at the camera "
    "as a tabby walks in the background.",
}
pytestmark = pytest.mark.weights


def published(spec: str) -> Verifier:
    """The verifier, where its weights are on the disk."""
    try:
        return load(spec)
    except UserError as error:
        if "not on the disk" in str(error):
            pytest.skip(str(error))
        raise


def scores(spec: str, shown: list[tuple[str, str]]) -> list[float]:
    """Scores of files of `IMAGES`, each with its own prompt."""
    verifier = published(spec)
    samples = [
        Sample(Prompt(name, text), np.asarray(Image.open(IMAGES / name).convert("RGB")), 1, 1)
        for name, text in shown
    ]
    found = verifier.score(samples)
    assert [score.failure for score in found] == [None] * len(shown)
    return [score.values[spec] for score in found]


def test_image_reward_scores_its_four_pictures_as_published() -> None:
    prompt, *names = OCEAN
    found = scores("image-reward", [(name, prompt) for name in names])
    published_by_it = [0.5811622738838196, 0.2745276093482971, -1.413181900978088, -2.029569625854]
    assert found == pytest.approx(published_by_it, abs=5e-3)


def test_clipscore_of_its_example_is_the_published_one() -> None:
    spec = "clip:ViT-B-32/openai(clipscore=true)"
    good, bad = (scores(spec, list(captions.items())) for captions in (GOOD, BAD))
    assert sum(good) / 2 == pytest.approx(0.8585, abs=1e-3)
    assert sum(bad) / 2 == pytest.approx(0.7153, abs=1e-3)


def test_hps_of_its_demo_is_the_published_one() -> None:
    shown = [("hpsv2_demo.jpg", "A cat with two horns on its head")]
    assert scores("hps", shown) == pytest.approx([0.2876], abs=2e-3)


@pytest.mark.parametrize("spec", ["pick", "hps", "hps:v2.1"])
def test_right_captions_score_above_wrong_ones(spec: str) -> None:
    good, bad = (scores(spec, list(captions.items())) for captions in (GOOD, BAD))
    assert sum(good) > sum(bad)


def test_aesthetic_scores_pictures_within_its_scale() -> None:
    prompt, *names = OCEAN
    found = scores("aesthetic", [(name, prompt) for name in names])
    assert all(1 < score < 10 for score in found)

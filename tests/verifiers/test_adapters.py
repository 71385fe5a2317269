"""Verifiers made of a check or a function: videos, broken pictures, versions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from noise_search.ask import Prompt
from noise_search.pipelines.shapes.scenes import parse, render
from noise_search.problem import Sample, Verifier
from noise_search.verifiers.loading import load

CAPTION = "a red circle"


@pytest.fixture(scope="module")
def right() -> NDArray[np.uint8]:
    """A picture that shows its caption."""
    return render(parse(CAPTION), np.random.default_rng(0))


def judged(pixels: Any, caption: str = CAPTION, steps: int = 1) -> Any:
    verifier: Verifier = load("shapes")
    [score] = verifier.score([Sample(Prompt("p", caption), pixels, 1, steps)])
    return score


def test_a_video_is_right_as_often_as_its_key_frames_are(right: NDArray[np.uint8]) -> None:
    wrong = right[:, :, ::-1].copy()
    assert judged(right).values == {"shapes": 1.0}
    assert judged(wrong).values == {"shapes": 0.0}
    video = np.stack([right, right, right, wrong])
    assert judged(video).values == {"shapes": 0.75, "shapes.min": 0.0}


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (np.zeros((32, 32, 3), np.uint8), "shapes: the picture is black"),
        (np.full((32, 32, 3), 9, np.uint8), "shapes: the picture is flat"),
        (np.full((32, 32, 3), np.nan), "shapes: pixels are not finite"),
        (np.ones((32, 32), np.uint8), "shapes: the picture has the shape"),
        (np.zeros((0, 32, 32, 3), np.uint8), "shapes: the video has no frames"),
        (None, "shapes: it judges pictures, and this is none"),
    ],
    ids=["black", "flat", "nan", "grey", "no frames", "nothing"],
)
def test_a_broken_picture_is_a_failure(pixels: Any, said: str) -> None:
    score = judged(pixels)
    assert score.values == {}
    assert score.failure.startswith(said)


def test_a_dark_preview_is_judged() -> None:
    assert judged(np.zeros((32, 32, 3), np.uint8), steps=8).values == {"shapes": 0.0}


def test_a_caption_outside_the_language_is_a_failure(right: NDArray[np.uint8]) -> None:
    assert judged(right, "a cat").failure.startswith("shapes: ")

"""A function of pictures is a verifier: broken pictures, previews and videos are dealt with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from noise_search.ask import Prompt
from noise_search.judged import judge
from noise_search.problem import Sample, Score
from noise_search.verifiers.card import Card
from noise_search.verifiers.loading import from_callable
from noise_search.verifiers.pictures import Answer, Pictures, Pixels

PROMPT = Prompt("p", "a red circle")
CARD = Card(version="1", needs=frozenset({"pixels"}))


def picture(seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 255, (4, 6, 3), dtype=np.uint8)


def sample(pixels: object, stage: int = 8) -> Sample:
    return Sample(PROMPT, pixels, stage, 8)


def means(pictures: Sequence[Pixels], prompts: Sequence[str]) -> list[Answer]:
    assert all(p.shape == (4, 6, 3) and p.dtype == np.uint8 for p in pictures)
    assert len(pictures) == len(prompts)
    return [float(p.mean()) for p in pictures]


MEAN = Pictures(means, "mean", CARD)
BROKEN: list[tuple[Any, str]] = [
    (np.full((4, 6, 3), np.nan), "pixels are not finite"),
    (np.full((4, 6, 3), np.inf), "pixels are not finite"),
    (np.zeros((4, 6, 3), np.uint8), "black"),
    (np.full((4, 6, 3), 200, np.uint8), "flat"),
    (np.zeros((4, 6), np.uint8), "the shape (4, 6)"),
    (np.zeros((4, 6, 4), np.uint8), "the shape (4, 6, 4)"),
    (np.zeros((0, 6, 3), np.uint8), "the shape (0, 6, 3)"),
    (np.random.default_rng(0).random((4, 6, 3)), "float64, not uint8"),
    (np.zeros((0, 4, 6, 3), np.uint8), "no frames"),
    (np.zeros((5, 4, 6, 3), np.uint8), "every key frame: the picture is black"),
    (np.full((5, 4, 6, 3), np.nan), "frame 0: pixels are not finite"),
    (None, "it judges pictures"),
]


@pytest.mark.parametrize(("pixels", "reason"), BROKEN, ids=[reason for _, reason in BROKEN])
def test_a_broken_picture_is_a_failure_and_fails_no_other(pixels: Any, reason: str) -> None:
    first, broken, last = MEAN.score([sample(picture(1)), sample(pixels), sample(picture(2))])
    assert broken.values == {}
    assert broken.failure is not None
    assert broken.failure.startswith("mean: ")
    assert reason in broken.failure
    assert [first, last] == [Score({"mean": float(picture(s).mean())}) for s in (1, 2)]


def test_a_preview_may_be_dark() -> None:
    dark = np.zeros((4, 6, 3), np.uint8)
    [early, late] = MEAN.score([sample(dark, stage=1), sample(dark, stage=8)])
    assert early == Score({"mean": 0.0})
    assert late.failure == "mean: the picture is black"


def test_a_video_has_the_mean_of_its_key_frames_and_their_minimum() -> None:
    frames = [picture(s) for s in range(10)]
    video = np.stack(frames)
    value = [float(frames[i].mean()) for i in (0, 3, 6, 9)]
    still, moving = MEAN.score([sample(picture(3)), sample(video)])
    assert still == Score({"mean": float(picture(3).mean())})
    assert moving.values == {
        "mean": pytest.approx(sum(value) / 4, rel=1e-12),
        "mean.min": min(value),
    }


def test_a_video_may_fade_in_from_black() -> None:
    video = np.stack([np.zeros((4, 6, 3), np.uint8), picture(1), picture(2), picture(3)])
    [score] = MEAN.score([sample(video)])
    assert score.values["mean.min"] == 0.0


def test_an_answer_in_words_fails_its_own_sample_and_nan_is_no_number() -> None:
    answers: list[Answer] = [1.0, "no face\n was found", float("nan")]
    verifier = Pictures(lambda pictures, prompts: answers, "odd", CARD)
    assert verifier.score([sample(picture(s)) for s in range(3)]) == [
        Score({"odd": 1.0}),
        Score(failure="odd: no face was found"),
        Score(failure="odd gave nan"),
    ]


def test_a_wrong_number_of_answers_is_no_score() -> None:
    verifier = Pictures(lambda pictures, prompts: [1.0], "few", CARD)
    [one, two] = judge(verifier, [sample(picture(1)), sample(picture(2))])
    assert one.failure == two.failure == "few raised ValueError: 1 answers about 2 pictures"


def test_nothing_is_asked_about_nothing() -> None:
    def never(pictures: Sequence[Pixels], prompts: Sequence[str]) -> list[Answer]:
        raise AssertionError

    verifier = Pictures(never, "v", CARD)
    assert verifier.score([]) == []
    assert verifier.score([sample(None)])[0].failure is not None


def test_a_function_is_shown_the_key_frames_of_a_video() -> None:
    frames = np.stack([np.full((4, 4, 3), value, np.uint8) for value in range(10, 19)])
    seen: list[int] = []

    def brightness(pictures: list[Any], _: str) -> list[float]:
        seen.extend(int(np.asarray(p)[0, 0, 0]) for p in pictures)
        return [float(np.asarray(p).mean()) for p in pictures]

    [score] = from_callable(brightness).score([Sample(Prompt("p", "a"), frames, 4, 4)])
    assert seen == [10, 13, 15, 18]
    assert score.values == {"brightness": 14.0, "brightness.min": 10.0}

"""Verifiers of pictures: a function from pictures and prompts to numbers is all that one needs.

To add one, write that function and a function of the spec, and name the latter in the table of
`noise_search.registry`::

    def brightness(spec: Spec, /) -> Verifier:
        \"\"\"The mean of all pixels.\"\"\"
        card = Card(version="brightness 1", low=0, high=255, needs=frozenset({"pixels"}))
        return Pictures(lambda pictures, prompts: [p.mean() for p in pictures], str(spec), card)

Broken pictures, previews, videos and what the function does wrong are dealt with here.  A function
of the spec that takes ``models: Models`` as its second positional parameter is given the models
that other verifiers of the run have loaded; its keyword parameters are the options of the spec
(``Device``, ``Dtype`` and ``Width`` of `noise_search.verifiers.models` spell the usual three).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import fsum
from time import perf_counter_ns
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noise_search.frames import key_frames
from noise_search.health import image_problem
from noise_search.problem import Sample, Score
from noise_search.verifiers.card import Card
from noise_search.verifiers.speeds import Stopwatch

__all__ = ["Answer", "Judging", "Pictures", "Pixels", "frames_of", "pixels_of"]

Pixels = NDArray[np.uint8]
"""A picture, (height, width, 3), or a video, (frames, height, width, 3)."""
Answer = float | str
"""A number, higher is better, or why there is none."""
Judging = Callable[[Sequence[Pixels], Sequence[str]], Sequence[Answer]]
"""One answer a picture: shown pictures (height, width, 3), each with its own prompt, in order."""


Features = Callable[[Sequence[Pixels]], Sequence[NDArray[Any]]]
"""One row of numbers a picture."""


class Pictures:
    """A function of pictures as a verifier: of videos it judges key frames.

    A picture's score is called after the verifier; a video's is the mean over its key frames, and
    the least of them is kept beside it as ``name.min``.

    Args:
        judging: gives one answer a picture, each independent of the others. What it raises fails
            every sample it was shown; an answer in words fails its own sample alone.
        name: the spec it was made from.
        card: what it declares.
        frames: key frames of a video, at most.
        features: of pictures, a row each, where a model makes some: by them it is told how far
            samples are from each other.

    Attributes:
        stopwatch: told of every call the pictures and the nanoseconds, or None.
    """

    stopwatch: Stopwatch | None = None

    def __init__(
        self,
        judging: Judging,
        name: str,
        card: Card,
        frames: int = 4,
        features: Features | None = None,
    ) -> None:
        self.judging = judging
        self.name = name
        self.card = card
        self.frames = frames
        self.features = features

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """One score a sample, in order; a broken picture is a failure."""
        shown = [frames_of(sample, self.frames) for sample in samples]
        due = [
            (frame, sample.prompt.text)
            for sample, frames in zip(samples, shown, strict=True)
            if not isinstance(frames, str)
            for frame in frames
        ]
        pictures, began = [frame for frame, _ in due], perf_counter_ns()
        answers = self.judging(pictures, [text for _, text in due]) if due else []
        if self.stopwatch is not None and due:
            self.stopwatch(pictures, perf_counter_ns() - began)
        if len(answers) != len(due):
            raise ValueError(f"{len(answers)} answers about {len(due)} pictures")
        rest = iter(answers)
        return [
            Score(failure=f"{self.name}: {frames}")
            if isinstance(frames, str)
            else self._score([next(rest) for _ in frames], np.asarray(sample.pixels).ndim == 4)
            for sample, frames in zip(samples, shown, strict=True)
        ]

    def _score(self, answers: Sequence[Answer], moving: bool) -> Score:
        values: list[float] = []
        for answer in answers:
            if isinstance(answer, str):
                return Score(failure=f"{self.name}: {' '.join(answer.split())[:200]}")
            values.append(float(answer))
        if not np.isfinite(values).all():
            return Score(failure=f"{self.name} gave {next(v for v in values if v - v != 0)}")
        if not moving:
            return Score({self.name: values[0]})
        return Score({self.name: fsum(values) / len(values), f"{self.name}.min": min(values)})


def frames_of(sample: Sample, wanted: int = 4) -> list[Pixels] | str:
    """The picture of a sample, or the key frames of a video; or why there is nothing to judge.

    Args:
        sample: of a preview only numbers and a shape are asked, as it may rightly be dark.
        wanted: key frames, at most.
    """
    if sample.pixels is None:
        return "it judges pictures, and this is none"
    pixels = np.asarray(sample.pixels)
    if pixels.ndim != 4:
        return _problem(pixels, finished=sample.stage >= sample.steps) or [pixels]
    if len(pixels) == 0:
        return "the video has no frames"
    chosen = key_frames(len(pixels), wanted)
    frames = [pixels[i] for i in chosen]
    for number, frame in zip(chosen, frames, strict=True):
        if (said := _problem(frame, finished=False)) is not None:
            return f"frame {number}: {said}"
    if sample.stage >= sample.steps:
        # a video may fade in from black; one that shows nothing in any key frame is broken
        found = [_problem(frame, finished=True) for frame in frames]
        if all(found):
            return f"every key frame: {found[0]}"
    return frames


def pixels_of(image: Any) -> Pixels:
    """The pixels of a PIL picture, or of an array that holds them already, as RGB."""
    if isinstance(image, np.ndarray):
        return image
    return np.asarray(image.convert("RGB"))


def _problem(pixels: NDArray[Any], *, finished: bool) -> str | None:
    said = image_problem(pixels, finished)
    if said is None and pixels.dtype != np.uint8:
        return f"the picture is of {pixels.dtype}, not uint8"
    return said

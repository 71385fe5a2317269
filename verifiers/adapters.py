"""From models and functions to verifiers: what a sample holds, what they take, what they answer."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from noise_search.frames import key_frames
from noise_search.problem import Sample, Score
from noise_search.verifiers.card import Card
from noise_search.verifiers.pictures import Answer, Judging, Pixels

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Custom", "picture", "right_or_wrong"]

Function = Callable[[list[Any], str], Sequence[float]]


def picture(sample: Sample) -> Image.Image:
    """The pixels of a sample, (height, width, 3) uint8, as a PIL picture."""
    from PIL import Image

    return Image.fromarray(np.asarray(sample.pixels, dtype=np.uint8))


def right_or_wrong(check: Callable[[Pixels, str], bool]) -> Judging:
    """1 where a picture shows what its prompt says, 0 where it does not.

    Args:
        check: whether a picture (uint8) shows what a sentence says; a ValueError is a failure.
    """

    def judged(pictures: Sequence[Pixels], prompts: Sequence[str]) -> list[Answer]:
        return [answer(*pair) for pair in zip(pictures, prompts, strict=True)]

    def answer(picture: Pixels, prompt: str) -> Answer:
        try:
            return float(check(picture, prompt))
        except ValueError as error:
            return _line(error) or "it cannot be told"

    return judged


class Custom:
    """A user's function as a verifier. What it does wrong is a failure and never an exception.

    Of a video it is shown key frames: the score is their mean, the least is kept as `name.min`.

    Args:
        function: `function(shown, prompt)` gives one number each, higher is better. It is shown
            PIL pictures, or the texts where the model writes.
        name: what its scores are called.
        batch: pictures or texts a call, always: short batches are padded with copies, so that a
            score does not depend on which others were due.
    """

    def __init__(self, function: Function, name: str, batch: int = 1) -> None:
        if batch < 1:
            raise ValueError(f"a batch has at least one sample, not {batch}")
        self.function = function
        self.name = name
        self.batch = batch

    @property
    def card(self) -> Card | None:
        """What a function declares that has a ``version``: its scores may be kept, then."""
        version: object = getattr(self.function, "version", None)
        return Card(version=version, costly=True) if isinstance(version, str) else None

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """One score a sample, in order; the function sees one prompt at a time."""
        shown = [_stills(sample) for sample in samples]
        found = iter(self._scores([still for stills in shown for still in stills]))
        return [self._joined([next(found) for _ in stills]) for stills in shown]

    def _joined(self, scores: Sequence[Score]) -> Score:
        """The score of a video, from those of its key frames."""
        failed = next((score for score in scores if score.failure is not None), None)
        if failed is not None or len(scores) == 1:
            return failed or scores[0]
        values = [score.values[self.name] for score in scores]
        mean = math.fsum(values) / len(values)
        return Score({self.name: mean, f"{self.name}.min": min(values)})

    def _scores(self, samples: Sequence[Sample]) -> list[Score]:
        groups: dict[str, list[int]] = defaultdict(list)
        for i, sample in enumerate(samples):
            groups[sample.prompt.text].append(i)
        scores: dict[int, Score] = {}
        for prompt, rows in groups.items():
            for start in range(0, len(rows), self.batch):
                part = rows[start : start + self.batch]
                found = self._ask([samples[i] for i in part], prompt)
                scores |= dict(zip(part, found, strict=True))
        return [scores[i] for i in range(len(samples))]

    def _ask(self, samples: Sequence[Sample], prompt: str) -> list[Score]:
        padded = [*samples, *[samples[-1]] * (self.batch - len(samples))]
        try:
            answer = list(self.function([_shown(sample) for sample in padded], prompt))
        except Exception as error:
            reason = f"{self.name} raised {type(error).__name__}: {_line(error)}"
            return [Score(failure=reason)] * len(samples)
        if len(answer) != len(padded):
            kind = "pictures" if samples[0].text is None else "texts"
            reason = f"{self.name} gave {len(answer)} scores for {len(padded)} {kind}"
            return [Score(failure=reason)] * len(samples)
        return [self._score(value) for value in answer[: len(samples)]]

    def _score(self, value: object) -> Score:
        try:
            number = float(value)  # type: ignore[arg-type]  # whatever a user returns
        except (TypeError, ValueError):
            return Score(failure=f"{self.name} gave {value!r:.80}, not a number")
        if not math.isfinite(number):
            return Score(failure=f"{self.name} gave {number}")
        return Score({self.name: number})

    def describe(self) -> dict[str, object]:
        """What decides the scores, for the run's record."""
        return {"class": f"{self.function.__module__}.{self.name}", "batch": self.batch}


def _stills(sample: Sample) -> list[Sample]:
    """The sample, or those of a video's key frames."""
    if sample.text is not None or np.ndim(sample.pixels) != 4:  # type: ignore[arg-type]  # an array
        return [sample]
    frames = np.asarray(sample.pixels)
    return [replace(sample, pixels=frames[i]) for i in key_frames(len(frames))]


def _shown(sample: Sample) -> Any:
    return picture(sample) if sample.text is None else sample.text.words


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]

"""Models and verifiers as another package would bring them: registered by entry points."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from noise_search.budget import Cost
from noise_search.errors import UserError
from noise_search.noise import seed_from
from noise_search.pipelines.loading import Options, wrap
from noise_search.problem import Pipeline, Sample, Score, Verifier, content_hash
from noise_search.specs import Spec
from noise_search.text import Text

ENTRY_POINTS = """\
[noise_search.models]
tiny-shapes = tests.conformance.extras:tiny_shapes

[noise_search.verifiers]
redness = tests.conformance.extras:redness
slow = tests.conformance.extras:slow
words = tests.conformance.extras:words
"""


def tiny_shapes(spec: Spec, options: Options, /) -> Pipeline:
    """A shapes pipeline of any weights: `tiny-shapes:FOLDER`."""
    if spec.target is None:
        raise UserError(f"model {spec}: name the folder of its weights")
    return wrap(_loaded(spec.target), options)


@cache
def _loaded(folder: str) -> Any:
    from noise_search.pipelines.shapes.pipeline import ShapesPipeline

    pipe: Any = ShapesPipeline
    pipe = pipe.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe


class Redness:
    """How much more red than blue there is in a picture."""

    def __init__(self, name: str) -> None:
        self.name = name

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """One score a sample, each of its own pixels alone."""
        return [Score({self.name: _redness(np.asarray(s.pixels, np.int64))}) for s in samples]


def _redness(pixels: np.ndarray) -> float:
    return int((pixels[..., 0] - pixels[..., 2]).sum()) / pixels[..., 0].size


def redness(spec: Spec, /) -> Verifier:
    """How much more red than blue there is in a picture."""
    return Redness(str(spec))


class Slow:
    """A verifier that takes its time, and scores by the bytes it is shown."""

    def __init__(self, milliseconds: float, name: str) -> None:
        self.milliseconds = milliseconds
        self.name = name

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """One score a sample, in [0, 1]."""
        time.sleep(self.milliseconds / 1000)
        return [Score({self.name: int(content_hash(s.pixels)[:8], 16) / 2**32}) for s in samples]


def slow(spec: Spec, /, milliseconds: float = 1.0) -> Verifier:
    """A verifier that takes its time.

    Args:
        spec: as written.
        milliseconds: how long it takes for a batch.
    """
    return Slow(milliseconds, str(spec))


class Words:
    """Scores texts, finished or not, by a hash of their words; it reads every token of them."""

    def __init__(self, name: str) -> None:
        self.name = name

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """One score a sample, in [0, 1)."""
        return [self._score(sample.text or Text()) for sample in samples]

    def _score(self, text: Text) -> Score:
        value = seed_from(text.words, bits=32) / 2**32
        return Score({self.name: value}, cost=Cost(judge_tokens=len(text.tokens)))


def words(spec: Spec, /) -> Verifier:
    """A hash of the words."""
    return Words(str(spec))

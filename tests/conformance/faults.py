"""Faults put into real pipelines and verifiers, where and when a hash of a name says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from noise_search.candidate import Candidate
from noise_search.noise import Book, Recipe, Splice, seed_from
from noise_search.pipelines.analytic.world import Analytic
from noise_search.pipelines.stretches import Stretch
from noise_search.pipelines.walks import Row, Walk, Walked
from noise_search.problem import Sample, Score, Verifier, content_hash
from noise_search.study.bench import Bench, build
from noise_search.study.settings import Settings


@dataclass(frozen=True)
class Fault:
    """One kind of fault at one place.

    Attributes:
        place: "noise", "latent", "image" or "score".
        kind: what is put there.
        rate: the share of candidates it happens to.
        salt: another salt, other candidates.
    """

    place: str
    kind: str
    rate: float = 0.5
    salt: int = 0

    def __str__(self) -> str:
        return f"{self.place}-{self.kind}"

    def hits(self, name: str, stage: int = 0) -> bool:
        """Whether it happens to what a name stands for."""
        return seed_from(self.salt, name, stage) < self.rate * 2**63

    def hit(self, candidate: Candidate) -> bool:
        """Whether it has happened to a candidate."""
        if self.place == "score":
            return self.hits(candidate.sha256 or "")
        if self.kind in ("black", "flat") and candidate.stage < candidate.steps:
            return False  # an early prediction may rightly be so
        return self.hits_path(candidate.noise, candidate.stage)

    def hits_path(self, noise: Recipe, stage: int) -> bool:
        """Whether it happens on the way to a stage: a path goes by the noise of its last part."""
        return self.hits(noise.tail if isinstance(noise, Splice) else noise.name, stage)


def _scored(name: str, value: float) -> Score:
    return Score({name: value})


NUMBERS = {"nan": np.nan, "inf": np.inf, "-inf": -np.inf}
SCORES: dict[str, Callable[[str], Score]] = {
    **{kind: partial(_scored, value=value) for kind, value in NUMBERS.items()},
    "failure": lambda name: Score(failure="the verifier gave up"),
    "nothing": lambda name: Score(),
}
EVERYWHERE = [
    *(Fault("noise", kind) for kind in NUMBERS),
    *(Fault("latent", kind) for kind in NUMBERS),
    *(Fault("image", kind) for kind in NUMBERS),
    Fault("image", "shape"),
    *(Fault("score", kind) for kind in SCORES),
]
ON_TEXTS = [fault for fault in EVERYWHERE if fault.place == "score"]
ON_PICTURES = [*EVERYWHERE, Fault("image", "black"), Fault("image", "flat")]


class FaultyVerifier:
    """A verifier that now and then gives no usable score."""

    def __init__(self, inner: Verifier, fault: Fault) -> None:
        self.inner = inner
        self.fault = fault
        self.name = inner.name

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        sound = self.inner.score(samples)
        return [
            SCORES[self.fault.kind](self.name) if self.fault.hits(_hash(s)) else score
            for s, score in zip(samples, sound, strict=True)
        ]


def _hash(sample: Sample) -> str:
    """What its candidate's record will say of it."""
    return content_hash(sample.pixels if sample.text is None else sample.text)


def faulty(fault: Fault, bench_of: Callable[..., Bench] = build) -> Callable[..., Bench]:
    """A bench with a fault in it: an argument of `run_folder`."""

    def bench(settings: Settings, book: Book, folder: Path | None) -> Bench:
        sound = bench_of(settings, book, folder)
        if fault.place == "score":
            return replace(sound, verifier=FaultyVerifier(sound.verifier, fault))
        spoil(sound.pipeline, fault)
        return sound

    return bench


def spoil(pipeline: Any, fault: Fault) -> None:
    """Put a fault into this very pipeline, where a row begins or where it is looked at."""
    row, walk = pipeline._row, pipeline._walk
    hits: list[bool] = []

    def spoiled_row(prompt: Any, noise: Any, stretch: Stretch, *parent: Any) -> Row[Any]:
        made: Row[Any] = row(prompt, noise, stretch, *parent)
        hit = fault.place == "noise" and fault.hits_path(noise, stretch.until)
        return replace(made, x=made.x + NUMBERS[fault.kind]) if hit else made

    def spoiled_walk(rows: Sequence[Row[Any]], stretch: Stretch) -> Walk:
        hits[:] = [fault.hits_path(r.noise, stretch.until) for r in rows]
        walked: Walk = walk(rows, stretch)
        return walked

    pipeline._row, pipeline._walk = spoiled_row, spoiled_walk
    if isinstance(pipeline, Analytic):
        pipeline._walked = _spoiled_vectors(pipeline._walked, fault, hits)  # type: ignore[method-assign]
    else:
        pipeline._results = _spoiled_pictures(pipeline._results, fault, hits)


def _spoiled_vectors(
    walked: Callable[..., Walked], fault: Fault, hits: list[bool]
) -> Callable[..., Walked]:
    def spoiled(state: Any, pixels: Any) -> Walked:
        hit = hits.pop(0)
        if hit and fault.place == "latent":
            state = {part: array + NUMBERS[fault.kind] for part, array in state.items()}
        if hit and fault.place == "image":
            pixels = spoiled_image(pixels, fault.kind)
        return walked(state, pixels)

    return spoiled


def _spoiled_pictures(
    results: Callable[..., list[Walked]], fault: Fault, hits: list[bool]
) -> Callable[..., list[Walked]]:
    def spoiled(part: Any, shown: Any, width: int, count: int, stretch: Stretch) -> list[Walked]:
        rows = [i for i, hit in enumerate(hits) if hit]
        if fault.place == "latent":
            for tensor in (*part.kept.values(), part.seen):
                tensor[rows] = NUMBERS[fault.kind]
        if fault.place == "image":
            pictures = [
                spoiled_image(picture, fault.kind) if i in rows else picture
                for i, picture in enumerate(shown[0])
            ]
            shown = (pictures, shown[1])
        return results(part, shown, width, count, stretch)

    return spoiled


def spoiled_image(pixels: Any, kind: str) -> Any:
    """Pixels, a vector or a picture of floats in [0, 1], with a fault in them."""
    if kind == "shape":
        return pixels[:-1] if pixels.ndim == 1 else pixels[..., :1]
    if kind == "black":
        return pixels * 0.0
    if kind == "flat":
        return pixels * 0.0 + 0.5
    return pixels + NUMBERS[kind]

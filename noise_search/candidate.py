"""A candidate: one partial or finished sample with its scores and its cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from noise_search.budget import ZERO, Cost
from noise_search.noise import Name, Recipe
from noise_search.text import Text


@dataclass(frozen=True, eq=False)
class Candidate:
    """One partial or finished sample.

    The constructor is the gate: a score that is not finite makes the candidate a failure, so
    a NaN can never win.

    Attributes:
        name: digest of the ask that led here; equality and hash go by it.
        prompt: name of the prompt.
        noise: the recipe of the whole path.
        steps: stages of a full path on this candidate's schedule: denoiser evaluations, or the
            most reasoning steps of a text.
        stage: stages made on the path so far.
        parent: name of the candidate it was continued from.
        scores: raw scores by verifier; higher is better.
        failure: why it failed, or None. Failed means done.
        cost: what making it from its parent cost.
        ended: finished before its last stage (a text that came to its answer).
        detail: words beside the scores (a judge's reasons).
        sha256: of the pixels or words that were looked at, or None for a waypoint or a failure.
        text: what was written so far, where the model writes.
        lookahead: deterministic stages more after which it was looked at.
    """

    name: Name
    prompt: Name
    noise: Recipe
    steps: int
    stage: int
    parent: Name | None = None
    scores: Mapping[str, float] = field(default_factory=dict[str, float])
    failure: str | None = None
    cost: Cost = ZERO
    ended: bool = False
    detail: Mapping[str, str] = field(default_factory=dict[str, str])
    sha256: str | None = None
    text: Text | None = None
    lookahead: int = 0

    def __post_init__(self) -> None:
        for verifier, value in self.scores.items():
            if self.failure is None and not math.isfinite(value):
                object.__setattr__(self, "failure", f"{verifier} gave {value}")
        if self.failure is not None:
            object.__setattr__(self, "scores", {})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Candidate) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def finished(self) -> bool:
        """A whole sample: the path is at its end and nothing failed."""
        return self.failure is None and (self.ended or self.stage >= self.steps)

    @property
    def done(self) -> bool:
        """Nothing can be continued from here without going back."""
        return self.failure is not None or self.finished

    @property
    def answer(self) -> str | None:
        """The answer of a text, or None."""
        return None if self.text is None else self.text.answer

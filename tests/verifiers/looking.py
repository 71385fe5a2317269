"""A verifier that is asked for what it is shown, not for what it says."""

from __future__ import annotations

from collections.abc import Sequence

from noise_search.problem import Sample, Score


class Looking:
    """Judges by nothing, and keeps what it was shown."""

    name = "looking"

    def __init__(self, earlier: float | None) -> None:
        self.earlier = earlier
        self.seen: list[Sample] = []

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        self.seen += samples
        return [Score({"looking": 1.0}) for _ in samples]

"""Rewards in closed form, for analytic worlds: what a search should find is known exactly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from noise_search.problem import Sample, Score

__all__ = ["Reward"]


class Reward:
    """The linear reward r(x) = slope . x of a vector x.

    Args:
        slope: the first coordinates of the slope; those that follow are 0.
        name: the spec it was made from.
    """

    def __init__(self, slope: Sequence[float] = (1.0,), name: str = "reward") -> None:
        self.slope = np.asarray(slope, dtype=np.float64)
        self.name = name

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """One reward a sample; a sample with fewer coordinates than the slope is a failure."""
        return [self._score(np.asarray(sample.pixels, dtype=np.float64)) for sample in samples]

    def _score(self, x: np.ndarray) -> Score:
        if x.ndim != 1 or x.size < self.slope.size:
            return Score(failure=f"a reward of {self.slope.size} coordinates of shape {x.shape}")
        return Score({self.name: float(np.sum(x[: self.slope.size] * self.slope))})

    def describe(self) -> dict[str, object]:
        """What decides the scores, for the run's record."""
        return {"class": type(self).__name__, "slope": self.slope.tolist()}

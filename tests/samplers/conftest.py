"""A Gaussian data set whose denoiser is a scalar formula, so that moments are exact recursions."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pytest

from noise_search.samplers import Level, Parts


@dataclass(frozen=True)
class Moments:
    mean: float
    variance: float


@dataclass(frozen=True)
class Normal:
    """Data N(mean, scale^2) of one coordinate, in plain floats throughout."""

    mean: float
    scale: float

    def at(self, level: Level) -> Moments:
        return Moments(level.a * self.mean, (level.a * self.scale) ** 2 + level.s**2)

    def parts(self, x: float, level: Level) -> Parts[float]:
        offset = (x - level.a * self.mean) / self.at(level).variance
        return Parts(self.mean + level.a * self.scale**2 * offset, level.s * offset)

    def denoise(self, x: float, level: Level) -> float:
        return self.parts(x, level).x0

    def ode(self, x: float, now: Level, then: Level) -> float:
        """The exact solution of the probability-flow ODE."""
        here, there = self.at(now), self.at(then)
        return there.mean + (x - here.mean) * math.sqrt(there.variance / here.variance)

    def cosines(self, levels: Sequence[Level]) -> float:
        """What N steps of DDIM or Euler keep of x - a mean, against the exact ODE."""
        angles = [math.atan2(level.s, level.a * self.scale) for level in levels]
        return math.prod(math.cos(b - a) for a, b in pairwise(angles))

    def through(self, step: Callable[[float, float], float], before: Moments) -> Moments:
        """The moments after a step (x, noise) -> x', which is affine for Gaussian data."""
        still, moved, noised = step(0.0, 0.0), step(1.0, 0.0), step(0.0, 1.0)
        gain, spread = moved - still, noised - still
        return Moments(still + gain * before.mean, gain**2 * before.variance + spread**2)


@pytest.fixture
def normal() -> Normal:
    return Normal(mean=1.3, scale=0.6)

"""Conversions between what models predict, by way of the two parts of a sample.

A sample x = a x0 + s eps and any one prediction determine the parts `(x0, eps)`; any
prediction can be read off the parts. So `to_b(from_a(x, a, level), level)` converts a to b.
Samples and predictions have any one shape, for instance (batch, channels, height, width).
"""

import math
from typing import Generic, NamedTuple

from noise_search.samplers.path import Array, Level, Point


class Parts(NamedTuple, Generic[Array]):
    """The data part and the unit-noise part of a sample, as a model predicts them."""

    x0: Array
    eps: Array


def from_eps(x: Array, eps: Array, level: Level) -> Parts[Array]:
    """Split by the predicted noise: x0 = (x - s eps) / a."""
    if level.a == 0.0:
        raise ValueError("pure noise (a = 0) and its eps say nothing of x0; predict x0 or v")
    return Parts((x - level.s * eps) / level.a, eps)


def from_x0(x: Array, x0: Array, level: Level) -> Parts[Array]:
    """Split by the predicted data: eps = (x - a x0) / s. Use it after clipping x0, too."""
    if level.s == 0.0:
        raise ValueError("a clean sample (s = 0) and its x0 say nothing of eps; predict eps or v")
    return Parts(x0, (x - level.a * x0) / level.s)


def from_v(x: Array, v: Array, level: Level) -> Parts[Array]:
    """Split by the v-prediction v = a eps - s x0 (Salimans & Ho 2202.00512, appendix D).

    x0 = (a x - s v) / (a^2 + s^2) and eps = (s x + a v) / (a^2 + s^2), defined at all levels.
    """
    power = level.a * level.a + level.s * level.s
    return Parts((level.a * x - level.s * v) / power, (level.s * x + level.a * v) / power)


def from_flow(x: Array, v: Array, level: Level) -> Parts[Array]:
    """Split by the flow-matching prediction v = eps - x0 (Lipman et al. 2210.02747).

    x0 = (x - s v) / (a + s) and eps = (x + a v) / (a + s), defined at all levels.
    """
    total = level.a + level.s
    return Parts((x - level.s * v) / total, (x + level.a * v) / total)


def from_velocity(x: Array, u: Array, point: Point) -> Parts[Array]:
    """Split by the velocity u = a' x0 + s' eps, primes being rates (Kim et al. 2503.19385).

    x0 = (s u - s' x) / (a' s - a s') and eps = (a' x - a u) / (a' s - a s').
    """
    _require_finite_rates(point)
    turn = point.a_rate * point.s - point.a * point.s_rate
    if turn == 0.0:
        raise ValueError("the velocity says nothing of x0 where the ratio a / s stands still")
    x0 = (point.s * u - point.s_rate * x) / turn
    return Parts(x0, (point.a_rate * x - point.a * u) / turn)


def from_score(x: Array, score: Array, level: Level) -> Parts[Array]:
    """Split by the score of the marginal, grad log p = -eps / s."""
    return from_eps(x, -level.s * score, level)


def to_sample(parts: Parts[Array], level: Level) -> Array:
    """Return the sample a x0 + s eps made of these parts."""
    return level.mix(parts.x0, parts.eps)


def to_v(parts: Parts[Array], level: Level) -> Array:
    """Return the v-prediction a eps - s x0."""
    return level.a * parts.eps - level.s * parts.x0


def to_flow(parts: Parts[Array]) -> Array:
    """Return the flow-matching prediction eps - x0."""
    return parts.eps - parts.x0


def to_velocity(parts: Parts[Array], point: Point) -> Array:
    """Return the velocity a' x0 + s' eps of the probability-flow ODE, primes being rates."""
    _require_finite_rates(point)
    return point.a_rate * parts.x0 + point.s_rate * parts.eps


def to_score(parts: Parts[Array], level: Level) -> Array:
    """Return the score of the marginal, -eps / s."""
    if level.s == 0.0:
        raise ValueError("eps does not determine the score of clean data (s = 0)")
    return (-1.0 / level.s) * parts.eps


def _require_finite_rates(point: Point) -> None:
    if not (math.isfinite(point.a_rate) and math.isfinite(point.s_rate)):
        raise ValueError(f"the path has no finite velocity at time {point.time}")

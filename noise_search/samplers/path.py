"""Noise levels of a path x_t = a x0 + s eps, the common families of them, and grids.

Every sampler of this package is written in terms of levels, so one formula serves
flow-matching models, variance-preserving diffusion and variance-exploding diffusion.
Levels hold Python floats; samples are whatever adds and multiplies: NumPy arrays, torch
tensors, or plain numbers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, Self, TypeVar


class Arithmetic(Protocol):
    """What the samplers ask of a sample: sums with its like, products with a number."""

    def __add__(self, other: Self, /) -> Self:
        """Return the sum of two samples."""
        ...

    def __sub__(self, other: Self, /) -> Self:
        """Return the difference of two samples."""
        ...

    def __mul__(self, other: float, /) -> Self:
        """Return the sample scaled by a number on its right."""
        ...

    def __rmul__(self, other: float, /) -> Self:
        """Return the sample scaled by a number on its left."""
        ...

    def __truediv__(self, other: float, /) -> Self:
        """Return the sample divided by a number."""
        ...


Array = TypeVar("Array", bound=Arithmetic)


@dataclass(frozen=True, slots=True)
class Level:
    """A noise level: how much data (`a`) and how much unit noise (`s`) a sample holds.

    `Level(1, 0)` is clean data, a level with `a == 0` is pure noise.
    """

    a: float
    s: float

    def __post_init__(self) -> None:
        """Reject coefficients that describe no sample."""
        # A NumPy scalar would turn float32 samples into float64 ones, a Python float does not.
        object.__setattr__(self, "a", float(self.a))
        object.__setattr__(self, "s", float(self.s))
        if not (0.0 <= self.a < math.inf and 0.0 <= self.s < math.inf):
            raise ValueError(f"a and s must be finite and not negative, got {self.a} and {self.s}")
        if self.a == 0.0 and self.s == 0.0:
            raise ValueError("a level needs some data or some noise, got a = s = 0")

    @property
    def snr(self) -> float:
        """Signal-to-noise ratio of amplitudes, a / s; infinite for clean data."""
        return self.a / self.s if self.s > 0.0 else math.inf

    def is_noisier_than(self, other: "Level") -> bool:
        """Whether the signal-to-noise ratio is below that of `other`; rounding is forgiven.

        >>> Level(0.5, 0.5).is_noisier_than(Level(1, 0))
        True
        """
        # Cross products compare the ratios without dividing by a vanishing s.
        return self.a * other.s < other.a * self.s * (1.0 - 1e-12)

    def mix(self, x0: Array, eps: Array) -> Array:
        """Return a x0 + s eps; a part with coefficient zero is left out, whatever it holds."""
        if self.s == 0.0:
            return self.a * x0
        if self.a == 0.0:
            return self.s * eps
        return self.a * x0 + self.s * eps


@dataclass(frozen=True, slots=True)
class Point(Level):
    """A level of a family at a time, with the rates of change da/dt and ds/dt there."""

    time: float
    a_rate: float
    s_rate: float


def linear(time: float) -> Point:
    """Flow matching and rectified flow: a = 1 - t, s = t, with t = 1 pure noise.

    >>> linear(0.25)
    Point(a=0.75, s=0.25, time=0.25, a_rate=-1.0, s_rate=1.0)
    """
    _require_unit("time", time)
    return Point(1.0 - time, time, float(time), -1.0, 1.0)


def variance_preserving(alpha_bar: float) -> Level:
    """Level of a diffusion model with cumulative product alpha_bar (Ho et al. 2006.11239)."""
    _require_unit("alpha_bar", alpha_bar)
    return Level(math.sqrt(alpha_bar), math.sqrt(1.0 - alpha_bar))


def variance_exploding(sigma: float) -> Point:
    """Level a = 1, s = sigma (Karras et al. 2206.00364), whose time is sigma itself."""
    return Point(1.0, sigma, float(sigma), 0.0, 1.0)


def continuous_variance_preserving(time: float, low: float = 0.1, high: float = 20.0) -> Point:
    """Variance-preserving SDE with a linear rate from `low` at r = 0 to `high` at r = 1.

    a = exp(-T/2), s = sqrt(1 - exp(-T)), T = r^2 (high - low) / 2 + r low
    (Song et al. 2011.13456, appendix C). At r = 0 the rate of s is infinite.
    """
    _require_unit("time", time)
    _require_rates(low, high)
    integral = 0.5 * time * time * (high - low) + time * low
    rate = time * (high - low) + low
    a, s = math.exp(-0.5 * integral), math.sqrt(-math.expm1(-integral))
    s_rate = 0.5 * rate * a * a / s if s > 0.0 else math.inf
    return Point(a, s, float(time), -0.5 * rate * a, s_rate)


def linear_at_snr(snr: float) -> Point:
    """Return the level of the linear family with signal-to-noise ratio a / s = `snr`."""
    _require_snr(snr)
    return linear(1.0 / (1.0 + snr))


def variance_preserving_at_snr(snr: float) -> Level:
    """Return the level with a^2 + s^2 = 1 and signal-to-noise ratio a / s = `snr`."""
    _require_snr(snr)
    if math.isinf(snr):
        return Level(1.0, 0.0)
    return Level(snr / math.hypot(1.0, snr), 1.0 / math.hypot(1.0, snr))


def variance_exploding_at_snr(snr: float) -> Point:
    """Return the level of the variance-exploding family with ratio a / s = `snr` > 0."""
    _require_snr(snr)
    if snr == 0.0:
        raise ValueError("the variance-exploding family never reaches pure noise, got snr 0")
    return variance_exploding(1.0 / snr)


def continuous_variance_preserving_at_snr(
    snr: float, low: float = 0.1, high: float = 20.0
) -> Point:
    """Return the level of the continuous variance-preserving schedule with a / s = `snr`."""
    _require_snr(snr)
    _require_rates(low, high)
    if snr == 0.0:
        raise ValueError("the continuous schedule never reaches pure noise, got snr 0")
    integral = math.log1p(1.0 / snr**2)
    time = 2.0 * integral / (low + math.sqrt(low * low + 2.0 * (high - low) * integral))
    return continuous_variance_preserving(time, low, high)


def times(steps: int, start: float = 1.0, end: float = 0.0) -> tuple[float, ...]:
    """Return `steps` + 1 evenly spaced times from `start` to `end`, both exact.

    >>> times(4)
    (1.0, 0.75, 0.5, 0.25, 0.0)
    """
    _require_steps(steps)
    inner = (start + (end - start) * (i / steps) for i in range(1, steps))
    return (float(start), *inner, float(end))


def shift(time: float, factor: float) -> float:
    """Move a flow time towards noise: t' = f t / (1 + (f - 1) t) (Esser et al. 2403.03206).

    >>> shift(0.5, 3.0)
    0.75
    """
    _require_unit("time", time)
    if not 0.0 < factor < math.inf:
        raise ValueError(f"factor must be positive and finite, got {factor}")
    return factor * time / (1.0 + (factor - 1.0) * time)


def linger_at_noise(time: float) -> float:
    """Spend more steps near pure noise: t' = sqrt(1 - (1 - t)^2) (Kim et al. 2503.19385)."""
    _require_unit("time", time)
    return math.sqrt(time * (2.0 - time))


def timesteps(
    steps: int,
    total: int = 1000,
    spacing: Literal["leading", "trailing", "linspace"] = "leading",
    offset: int = 0,
) -> tuple[int, ...]:
    """Pick `steps` of `total` training timesteps, noisiest first (Lin et al. 2305.08891).

    `offset` is added to the "leading" grid only; the models trained as Stable Diffusion 1 use 1.

    >>> timesteps(4), timesteps(4, spacing="trailing")
    ((750, 500, 250, 0), (999, 749, 499, 249))
    """
    _require_steps(steps)
    if steps > total or not 0 <= offset <= total - 1 - (steps - 1) * (total // steps):
        raise ValueError(f"cannot pick {steps} of {total} timesteps with offset {offset}")
    if spacing == "leading":
        return tuple(i * (total // steps) + offset for i in reversed(range(steps)))
    if spacing == "trailing":
        return tuple(round(i * total / steps) - 1 for i in range(steps, 0, -1))
    return tuple(round(t) for t in times(steps - 1, total - 1.0)) if steps > 1 else (0,)


def discrete_levels(
    alpha_bars: Sequence[float], timesteps: Sequence[int], final: float = 1.0
) -> tuple[Level, ...]:
    """Return the levels at the given timesteps and, last, the level with alpha_bar = `final`.

    A model trained so that its last step is timestep 0 has `final = alpha_bars[0]`.
    """
    return tuple(variance_preserving(bar) for bar in (*(alpha_bars[t] for t in timesteps), final))


def _require_unit(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} must lie in [0, 1], got {value}")


def _require_snr(snr: float) -> None:
    if not snr >= 0.0:
        raise ValueError(f"snr must not be negative, got {snr}")


def _require_rates(low: float, high: float) -> None:
    if not 0.0 < low <= high < math.inf:
        raise ValueError(f"rates must satisfy 0 < low <= high, got {low} and {high}")


def _require_steps(steps: int) -> None:
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")

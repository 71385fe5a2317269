"""Random transitions: the forward kernel, the reverse SDE, and GLASS.

Samples and noises share any one shape; noises are unit Gaussians made by the caller.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeAlias

from noise_search.samplers.convert import Parts, from_x0, to_score, to_velocity
from noise_search.samplers.ddim import ddim_step
from noise_search.samplers.path import Array, Level, Point, linear_at_snr

Denoiser: TypeAlias = Callable[[Array, Level], Array]
Family: TypeAlias = Callable[[float], Level]


def renoise(x: Array, now: Level, then: Level, noise: Array) -> Array:
    """Draw from the forward kernel p(x' | x) of the path, from `now` to a noisier level.

    x' = (a'/a) x + sqrt(s'^2 - (a'/a)^2 s^2) noise keeps the marginals exact (the noising of
    Ma et al. 2501.09732, search over paths). Between levels of one a / s it only rescales.
    """
    if now.is_noisier_than(then):
        raise ValueError("renoise leads to a noisier level; see ddim_step")
    if not then.is_noisier_than(now):
        return change_family(x, now, then)
    if then.a == 0.0:
        return then.s * noise
    kept = then.a / now.a
    added = math.sqrt((then.s - kept * now.s) * (then.s + kept * now.s))
    return kept * x + added * noise


def change_family(x: Array, now: Level, then: Level) -> Array:
    """Rescale a sample to a level with the same a / s, as of another family."""
    if now.is_noisier_than(then) or then.is_noisier_than(now):
        raise ValueError(f"only levels of one ratio a / s convert, got {now.snr} and {then.snr}")
    # The larger coefficient is never zero and divides with the smaller rounding error.
    return (then.a / now.a if now.a >= now.s else then.s / now.s) * x


class LinearEquivalent(NamedTuple):
    """Where a level lies on the linear path: x of the level is `scale` times x at `time`."""

    time: float
    scale: float
    time_rate: float
    scale_rate: float


def linear_equivalent(point: Point) -> LinearEquivalent:
    """Find the time of the linear path with the a / s of `point` (Kim et al. 2503.19385).

    time = s / (a + s), scale = a + s, and their rates of change along the family of `point`.
    """
    scale, scale_rate = point.a + point.s, point.a_rate + point.s_rate
    turn = point.s_rate * point.a - point.s * point.a_rate
    return LinearEquivalent(point.s / scale, scale, turn / scale**2, scale_rate)


def velocity_from_linear(x: Array, v: Array, point: Point) -> Array:
    """Return the velocity at `point` from that of a flow model at the equivalent time.

    u = (c'/c) x + c t' v(x / c, t), with t and c of `linear_equivalent` (2503.19385).
    """
    same = linear_equivalent(point)
    if not math.isfinite(same.scale_rate):
        raise ValueError(f"the path has no finite velocity at time {point.time}")
    return (same.scale_rate / same.scale) * x + (same.scale * same.time_rate) * v


def square_diffusion(time: float, norm: float = 3.0) -> float:
    """Return the diffusion coefficient g = norm t^2 of Kim et al. (2503.19385)."""
    return norm * time * time


def memoryless_diffusion(point: Point) -> float:
    """Return g = sqrt(2 (s s' - s^2 a'/a)), for which the forward SDE needs no score.

    With it x at pure noise is independent of the data: the DDPM-like choice.
    """
    if point.a == 0.0:
        raise ValueError("the memoryless diffusion is infinite at pure noise (a = 0)")
    if not math.isfinite(point.s_rate):
        raise ValueError(f"the path has no finite velocity at time {point.time}")
    return math.sqrt(2.0 * point.s * (point.s_rate - point.s * point.a_rate / point.a))


def reverse_sde_step(
    x: Array, parts: Parts[Array], now: Point, then: Point, g: float, noise: Array
) -> Array:
    """Take an Euler-Maruyama step of the reverse SDE; every g keeps the path's marginals.

    x' = x - (u - g^2 score / 2) d + g sqrt(d) noise with d the time from `then` to `now`
    (Kim et al. 2503.19385, proposition 1; Song et al. 2011.13456).
    """
    duration = now.time - then.time
    if duration < 0.0:
        raise ValueError(f"time must not increase, got {now.time} and then {then.time}")
    if not 0.0 <= g < math.inf:
        raise ValueError(f"g must be finite and not negative, got {g}")
    drifted = x - duration * to_velocity(parts, now)
    if g == 0.0:
        return drifted
    drift = (0.5 * g * g * duration) * to_score(parts, now)
    return drifted + drift + (g * math.sqrt(duration)) * noise


class Evidence(NamedTuple, Generic[Array]):
    """All that several observations say of x0: `(a / s) x0` plus unit noise, and that a / s."""

    statistic: Array
    snr: float


@dataclass(frozen=True, slots=True)
class Glass:
    """A transition from `now` to a cleaner level whose two noises have a given correlation.

    GLASS (2509.25170) draws x' given x by solving an inner ODE with the pretrained denoiser.
    Given x0 the rest x' - carry x is independent of x; it follows a path of its own from
    Level(0, 1), pure noise, to `goal`. The correlation of DDPM is `ddpm_correlation`; with one
    inner step, GLASS is the DDIM step of the same correlation.
    """

    now: Level
    then: Level
    correlation: float

    def __post_init__(self) -> None:
        """Reject transitions that do not exist."""
        if self.now.s == 0.0 or self.then.is_noisier_than(self.now):
            raise ValueError("a transition leads from a noisy level to a cleaner one")
        if not -1.0 <= self.correlation <= 1.0:
            raise ValueError(f"correlation must lie in [-1, 1], got {self.correlation}")
        if self.correlation == 1.0 and not self.now.is_noisier_than(self.then):
            raise ValueError("at an unchanged a / s a correlation of 1 leaves x as it is")

    @property
    def carry(self) -> float:
        """The share rho s'/s of x that x' contains whatever x0 is."""
        return self.correlation * self.then.s / self.now.s

    def inner(self, progress: float) -> Level:
        """Return the level of x' - carry x at `progress` from 0 (pure noise) to 1 (the goal)."""
        a = max(0.0, self.then.a - self.carry * self.now.a)
        s = self.then.s * math.sqrt((1.0 - self.correlation) * (1.0 + self.correlation))
        return Level(progress * a, (1.0 - progress) + progress * s)

    def evidence(self, x: Array, rest: Array, level: Level) -> Evidence[Array]:
        """Join x at `now` and the rest at `level` into the sufficient statistic of x0.

        Squared signal-to-noise ratios add: snr^2 = (a/s)^2 + (a_rest/s_rest)^2.
        """
        own, more = self.now.snr, level.snr
        snr = math.hypot(own, more)
        if snr == 0.0:
            return Evidence(x / self.now.s, 0.0)
        return Evidence((own / (snr * self.now.s)) * x + (more / (snr * level.s)) * rest, snr)


def ddpm_correlation(now: Level, then: Level) -> float:
    """Return the correlation rho = a s' / (s a') for which a transition is that of DDPM."""
    if then.is_noisier_than(now) or now.s == 0.0:
        raise ValueError("a transition leads from a noisy level to a cleaner one")
    return min(1.0, now.a * then.s / (now.s * then.a)) if then.a > 0.0 else 1.0


def glass_step(
    denoise: Denoiser[Array],
    x: Array,
    transition: Glass,
    noise: Array,
    steps: int,
    family: Family = linear_at_snr,
) -> Array:
    """Draw x' given x by `steps` Euler steps of the inner ODE; each is one evaluation.

    `denoise(x, level)` returns the posterior mean of x0, and is asked at levels of `family`,
    a function of the signal-to-noise ratio: the family that the model was trained on.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    level, rest = transition.inner(0.0), noise
    for i in range(steps):
        known = transition.evidence(x, rest, level)
        asked = family(known.snr)
        x0 = denoise(asked.s * known.statistic, asked)
        following = transition.inner((i + 1) / steps)
        rest = ddim_step(from_x0(rest, x0, level), level, following)
        level = following
    return rest + transition.carry * x

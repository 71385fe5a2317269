"""DDIM steps, their inversion and the DDPM transition, on any path x_t = a x0 + s eps.

On the linear path a step with eta = 0 is the Euler step of a flow model.
Samples, parts and noises share one shape; noises are unit Gaussians made by the caller.
"""

import math

from noise_search.samplers.convert import Parts
from noise_search.samplers.path import Array, Level


def ddim_deviation(now: Level, then: Level, eta: float) -> float:
    """Return the standard deviation of the noise that a DDIM step adds at `then`.

    sg^2 = eta^2 s'^2 (1 - a^2 s'^2 / (a'^2 s^2)): on variance-preserving levels eq. 16 of
    Song et al. (2010.02502), on any path the posterior deviation when eta = 1.
    """
    if not 0.0 <= eta <= 1.0:
        raise ValueError(f"eta must lie in [0, 1], got {eta}")
    if eta == 0.0:
        return 0.0
    if then.is_noisier_than(now):
        raise ValueError("a step with eta > 0 must lead to a cleaner level")
    here, there = now.a * then.s, then.a * now.s
    if here >= there:
        return 0.0
    return eta * then.s * math.sqrt((there - here) * (there + here)) / there


def ddim_step(
    parts: Parts[Array], now: Level, then: Level, eta: float = 0.0, noise: Array | None = None
) -> Array:
    """Step from `now` to a cleaner level (Song et al. 2010.02502, eq. 12).

    x' = a' x0 + sqrt(s'^2 - sg^2) eps + sg noise; no noise is needed where sg = 0.
    """
    if then.is_noisier_than(now):
        raise ValueError("ddim_step leads to a cleaner level; see ddim_inversion_step and renoise")
    deviation = ddim_deviation(now, then, eta)
    if deviation == 0.0:
        return then.mix(parts.x0, parts.eps)
    if noise is None:
        raise ValueError(f"a step with eta = {eta} to s = {then.s} needs noise")
    kept = math.sqrt(max(0.0, (then.s - deviation) * (then.s + deviation)))
    return then.a * parts.x0 + kept * parts.eps + deviation * noise


def ddim_inversion_step(parts: Parts[Array], now: Level, then: Level) -> Array:
    """Step from `now` to a noisier level along the ODE, with the parts predicted at `now`."""
    if now.is_noisier_than(then):
        raise ValueError("ddim_inversion_step leads to a noisier level; see ddim_step")
    return then.mix(parts.x0, parts.eps)


def ddpm_step(parts: Parts[Array], now: Level, then: Level, noise: Array | None = None) -> Array:
    """Draw from the posterior q(x' | x, x0) of Ho et al. (2006.11239, eq. 6-7): eta = 1."""
    return ddim_step(parts, now, then, 1.0, noise)

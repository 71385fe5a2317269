"""Fixed-step solvers of the probability-flow ODE dx/dt = u(x, t).

Samples have any one shape; time is that of the path's family, for flow models t = 1 at pure
noise and t = 0 at data. One velocity is one denoiser evaluation.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal, TypeAlias

from noise_search.samplers.path import Array

Velocity: TypeAlias = Callable[[Array, float], Array]


def euler_step(x: Array, u: Array, now: float, then: float) -> Array:
    """Follow the velocity `u` found at `now` in a straight line until `then`: order 1."""
    return x + (then - now) * u


def heun_step(velocity: Velocity[Array], x: Array, now: float, then: float) -> Array:
    """Average the velocities at both ends of an Euler step: order 2, two evaluations.

    Algorithm 1 of Karras et al. (2206.00364). Where the velocity is infinite at `then`, as on
    variance-preserving paths at time 0, finish with an Euler step instead.
    """
    first = velocity(x, now)
    second = velocity(euler_step(x, first, now, then), then)
    return euler_step(x, 0.5 * (first + second), now, then)


def integrate(
    velocity: Velocity[Array], x: Array, times: Sequence[float], order: Literal[1, 2] = 1
) -> Array:
    """Solve from the first to the last of `times` by Euler (order 1) or Heun (order 2) steps."""
    for now, then in pairwise(times):
        if order == 1:
            x = euler_step(x, velocity(x, now), now, then)
        else:
            x = heun_step(velocity, x, now, then)
    return x

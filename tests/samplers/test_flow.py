import math
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest

from noise_search.pipelines.analytic.distributions import Mixture
from noise_search.samplers import (
    Point,
    continuous_variance_preserving,
    ddim_step,
    euler_step,
    heun_step,
    integrate,
    linear,
    linger_at_noise,
    shift,
    times,
    to_velocity,
    variance_exploding,
)

if TYPE_CHECKING:
    from tests.samplers.conftest import Normal

PATHS: dict[str, Callable[[float], Point]] = {
    "linear": linear,
    "continuous": continuous_variance_preserving,
    "exploding": variance_exploding,
}


def velocity_of(normal: "Normal", path: str) -> Callable[[float, float], float]:
    family = PATHS[path]
    return lambda x, time: to_velocity(normal.parts(x, family(time)), family(time))


def test_euler_on_the_linear_path_is_ddim_without_noise() -> None:
    data = Mixture([0.3, 0.7], [[-2.0, 0.5], [1.0, 1.5]], [0.3, 0.6])
    x = y = np.random.default_rng(0).standard_normal((5, 2))
    for now, then in pairwise(shift(t, 3.0) for t in times(8)):
        x = euler_step(x, to_velocity(data.parts(x, linear(now)), linear(now)), now, then)
        y = ddim_step(data.parts(y, linear(now)), linear(now), linear(then))
        np.testing.assert_allclose(x, y, rtol=0, atol=5e-15)


@pytest.mark.parametrize("grid", [lambda t: t, linger_at_noise, lambda t: shift(t, 3.0)])
@pytest.mark.parametrize("steps", [1, 4, 25])
def test_euler_on_a_gaussian_shrinks_by_the_product_of_cosines(
    normal: "Normal", steps: int, grid: Callable[[float], float]
) -> None:
    moments = [grid(t) for t in times(steps)]
    x = integrate(velocity_of(normal, "linear"), 0.37, moments)
    kept = normal.cosines([linear(t) for t in moments])
    exact = normal.ode(0.37, linear(1.0), linear(0.0))
    assert x - normal.mean == pytest.approx((exact - normal.mean) * kept, rel=1e-12)


@pytest.mark.parametrize(("order", "tolerance"), [(1, 0.03), (2, 0.06)])
@pytest.mark.parametrize("path", PATHS)
def test_solvers_converge_with_their_order(
    normal: "Normal", path: str, order: Literal[1, 2], tolerance: float
) -> None:
    ends = 0.95, 0.2
    exact = normal.ode(1.0, PATHS[path](ends[0]), PATHS[path](ends[1]))
    errors = [
        abs(integrate(velocity_of(normal, path), 1.0, times(steps, *ends), order) - exact)
        for steps in (50, 100, 200)
    ]
    assert errors[-1] > 1e-9  # far from rounding, so the orders mean something
    for coarse, fine in pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(order, abs=tolerance)


def test_heun_reaches_data_and_needs_fewer_evaluations_than_euler(normal: "Normal") -> None:
    exact = normal.ode(0.37, linear(1.0), linear(0.0))
    velocity = velocity_of(normal, "linear")
    heun = integrate(velocity, 0.37, times(25), order=2)
    euler = integrate(velocity, 0.37, times(50), order=1)
    assert abs(heun - exact) < 0.1 * abs(euler - exact)


@pytest.mark.parametrize("order", [1, 2])
def test_evaluations_are_the_order_times_the_steps(order: Literal[1, 2]) -> None:
    asked: list[float] = []

    def velocity(x: float, time: float) -> float:
        asked.append(time)
        return -x

    integrate(velocity, 1.0, times(5), order)
    assert len(asked) == 5 * order


def test_heun_step_averages_the_velocities_at_both_ends() -> None:
    assert heun_step(lambda x, time: time * time, 0.0, 0.0, 1.0) == 0.5
    assert heun_step(lambda x, time: x, 1.0, 0.0, 1.0) == 2.5


@pytest.mark.parametrize("order", [1, 2])
def test_a_straight_flow_is_solved_exactly_in_one_step(order: Literal[1, 2]) -> None:
    assert integrate(lambda x, time: 0.25, 1.0, [1.0, 0.0], order) == 0.75


def test_a_grid_of_one_time_leaves_the_sample_alone() -> None:
    assert integrate(lambda x, time: x, 0.3, [0.5]) == 0.3

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noise_search.samplers import (
    Level,
    Parts,
    continuous_variance_preserving,
    ddim_deviation,
    ddim_inversion_step,
    ddim_step,
    ddpm_step,
    linear,
    renoise,
    times,
    variance_exploding,
    variance_preserving,
)

if TYPE_CHECKING:
    from tests.samplers.conftest import Normal


def cosine(time: float) -> Level:
    """The variance-preserving path whose angle grows evenly."""
    return Level(math.cos(math.pi / 2 * time), math.sin(math.pi / 2 * time))


PATHS: dict[str, Callable[[float], Level]] = {
    "linear": linear,
    "continuous": continuous_variance_preserving,
    "exploding": lambda time: variance_exploding(80.0 * time),
    "cosine": cosine,
}


def drawing(data: "Normal", now: Level, then: Level, eta: float) -> Callable[[float, float], float]:
    return lambda x, noise: ddim_step(data.parts(x, now), now, then, eta, noise)


@pytest.mark.parametrize("steps", [1, 2, 5, 50])
@pytest.mark.parametrize("path", PATHS)
def test_ddim_on_a_gaussian_shrinks_by_the_product_of_cosines(
    normal: "Normal", path: str, steps: int
) -> None:
    levels = [PATHS[path](t) for t in times(steps)]
    x = start = 0.37
    for now, then in pairwise(levels):
        x = ddim_step(normal.parts(x, now), now, then)
    exact = normal.ode(start, levels[0], levels[-1])
    mean = normal.at(levels[-1]).mean
    assert x - mean == pytest.approx((exact - mean) * normal.cosines(levels), rel=1e-11)


@pytest.mark.parametrize("steps", [10, 100, 1000])
def test_ddim_converges_with_order_one(normal: "Normal", steps: int) -> None:
    whole = math.pi / 2
    levels = [Level(math.cos(whole * t) / normal.scale, math.sin(whole * t)) for t in times(steps)]
    x = 1.0
    for now, then in pairwise(levels):
        x = ddim_step(normal.parts(x, now), now, then)
    kept = (x - normal.at(levels[-1]).mean) / (
        normal.ode(1.0, levels[0], levels[-1]) - normal.at(levels[-1]).mean
    )
    assert kept == pytest.approx(math.cos(whole / steps) ** steps, rel=1e-11)
    assert steps * (1.0 - kept) == pytest.approx(whole**2 / 2, rel=0.8 / steps)


def test_inversion_and_back_keeps_the_product_of_squared_cosines(normal: "Normal") -> None:
    levels = [cosine(t) for t in times(50, 0.999, 0.0)]
    start = x = 0.37
    for now, then in pairwise(reversed(levels)):
        x = ddim_inversion_step(normal.parts(x, now), now, then)
    for now, then in pairwise(levels):
        x = ddim_step(normal.parts(x, now), now, then)
    kept = (x - normal.mean) / (start - normal.mean)
    assert kept == pytest.approx(normal.cosines(levels) ** 2, rel=1e-11)
    assert kept == pytest.approx(0.945665, abs=5e-7)


@pytest.mark.parametrize("path", PATHS)
def test_inversion_is_exact_on_a_point_mass(normal: "Normal", path: str) -> None:
    point = replace(normal, scale=0.0)
    levels = [PATHS[path](t) for t in times(7, 0.9, 0.1)]
    start = x = -0.8
    for now, then in pairwise(levels):
        x = ddim_step(point.parts(x, now), now, then)
    for now, then in pairwise(reversed(levels)):
        x = ddim_inversion_step(point.parts(x, now), now, then)
    assert x == pytest.approx(start, abs=1e-12)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("steps", [1, 3, 20])
@pytest.mark.parametrize("path", PATHS)
def test_point_mass_keeps_the_variance_of_the_path_for_every_eta(
    normal: "Normal", path: str, steps: int, eta: float
) -> None:
    point = replace(normal, scale=0.0)
    levels = [PATHS[path](t) for t in times(steps, 1.0, 0.02)]
    moments = point.at(levels[0])
    for now, then in pairwise(levels):
        moments = point.through(drawing(point, now, then, eta), moments)
        assert moments.mean == pytest.approx(then.a * point.mean, rel=1e-11, abs=1e-13)
        assert moments.variance == pytest.approx(then.s**2, rel=1e-11)


@pytest.mark.parametrize(("eta", "variance"), [(0.0, 0.2724), (0.5, 0.2628), (1.0, 0.2216)])
def test_more_eta_loses_more_variance_in_ten_steps(
    normal: "Normal", eta: float, variance: float
) -> None:
    levels = [linear(t) for t in times(10, 0.999, 0.0)]
    moments = normal.at(levels[0])
    for now, then in pairwise(levels):
        moments = normal.through(drawing(normal, now, then, eta), moments)
    assert moments.mean == pytest.approx(normal.mean, rel=1e-12)
    assert moments.variance == pytest.approx(variance, abs=6e-5)


@given(alpha=st.floats(0.05, 0.999), bar=st.floats(0.01, 0.999))
@settings(deadline=None, max_examples=50)
def test_eta_one_is_the_posterior_of_ddpm(alpha: float, bar: float) -> None:
    before, beta = alpha * bar, 1.0 - alpha
    now, then = variance_preserving(before), variance_preserving(bar)
    x0, x = 0.4, -1.1
    parts = Parts(x0, (x - now.a * x0) / now.s)
    mean = (math.sqrt(bar) * beta * x0 + math.sqrt(alpha) * (1.0 - bar) * x) / (1.0 - before)
    deviation = math.sqrt((1.0 - bar) / (1.0 - before) * beta)
    assert ddpm_step(parts, now, then, 0.0) == pytest.approx(mean, rel=1e-9, abs=1e-9)
    assert ddim_deviation(now, then, 1.0) == pytest.approx(deviation, rel=1e-9)


@pytest.mark.parametrize("path", PATHS)
def test_eta_one_is_the_posterior_of_the_forward_kernel_on_any_path(path: str) -> None:
    now, then = PATHS[path](0.8), PATHS[path](0.3)
    x0, x = 0.4, -1.1
    kept, added = renoise(1.0, then, now, 0.0), renoise(0.0, then, now, 1.0)
    precision = 1.0 / then.s**2 + kept**2 / added**2
    mean = (then.a * x0 / then.s**2 + kept * x / added**2) / precision
    parts = Parts(x0, (x - now.a * x0) / now.s)
    assert ddpm_step(parts, now, then, 0.0) == pytest.approx(mean, rel=1e-12)
    assert ddim_deviation(now, then, 1.0) == pytest.approx(precision**-0.5, rel=1e-12)


@given(eta=st.floats(0.0, 1.0), now=st.floats(0.1, 1.0), share=st.floats(0.0, 1.0))
@settings(deadline=None, max_examples=50)
def test_noise_kept_and_added_fill_the_level(eta: float, now: float, share: float) -> None:
    here, there = linear(now), linear(now * share)
    kept = ddim_step(Parts(0.0, 1.0), here, there, eta, 0.0)
    added = ddim_deviation(here, there, eta)
    assert math.hypot(kept, added) == pytest.approx(there.s, abs=1e-15)


def test_last_step_returns_the_prediction_untouched_by_noise() -> None:
    now, clean = linear(0.02), Level(1.0, 0.0)
    for eta in (0.0, 0.5, 1.0):
        assert ddim_step(Parts(0.3, math.inf), now, clean, eta) == 0.3
        assert ddim_step(Parts(0.3, math.nan), now, clean, eta, math.nan) == 0.3


def test_step_from_pure_noise_draws_around_the_prediction() -> None:
    noise, then = linear(1.0), linear(0.4)
    assert ddim_deviation(noise, then, 1.0) == then.s
    assert ddpm_step(Parts(0.5, 9.0), noise, then, -2.0) == pytest.approx(0.6 * 0.5 - 0.4 * 2.0)


def test_inversion_to_pure_noise_keeps_nothing_of_the_data() -> None:
    assert ddim_inversion_step(Parts(math.inf, 0.7), linear(0.9), linear(1.0)) == 0.7


def test_step_to_the_same_level_changes_nothing() -> None:
    here = linear(0.3)
    assert ddim_deviation(here, here, 1.0) == 0.0
    assert ddpm_step(Parts(0.2, 0.9), here, here) == here.mix(0.2, 0.9)


@pytest.mark.parametrize("eta", [-0.1, 1.1, math.nan])
def test_eta_outside_the_unit_interval_is_refused(eta: float) -> None:
    with pytest.raises(ValueError, match=r"eta must lie in \[0, 1\]"):
        ddim_step(Parts(0.0, 0.0), linear(0.5), linear(0.4), eta, 0.0)


def test_random_step_without_noise_is_refused() -> None:
    with pytest.raises(ValueError, match="needs noise"):
        ddim_step(Parts(0.0, 0.0), linear(0.5), linear(0.4), 0.5)


def test_steps_in_the_wrong_direction_are_refused() -> None:
    clean, noisy = linear(0.4), linear(0.5)
    with pytest.raises(ValueError, match="cleaner level"):
        ddim_step(Parts(0.0, 0.0), clean, noisy)
    with pytest.raises(ValueError, match="cleaner level"):
        ddim_deviation(clean, noisy, 0.5)
    with pytest.raises(ValueError, match="noisier level"):
        ddim_inversion_step(Parts(0.0, 0.0), noisy, clean)

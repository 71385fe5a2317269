import math
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noise_search.samplers import (
    Level,
    Parts,
    Point,
    change_family,
    continuous_variance_preserving,
    euler_step,
    from_flow,
    linear,
    linear_equivalent,
    memoryless_diffusion,
    renoise,
    reverse_sde_step,
    square_diffusion,
    times,
    to_flow,
    to_sample,
    to_score,
    to_velocity,
    variance_exploding,
    variance_preserving,
    velocity_from_linear,
)

if TYPE_CHECKING:
    from tests.samplers.conftest import Moments, Normal

DIFFUSIONS: dict[str, Callable[[Point], float]] = {
    "none": lambda point: 0.0,
    "square": lambda point: square_diffusion(point.time),
    "root": lambda point: math.sqrt(point.time),
    "constant": lambda point: 1.0,
}
LEVELS = st.one_of(
    st.floats(0.0, 1.0).map(linear),
    st.floats(0.0, 1.0).map(variance_preserving),
    st.floats(0.0, 100.0).map(variance_exploding),
)


def reverse(normal: "Normal", now: Point, then: Point, g: float) -> Callable[[float, float], float]:
    return lambda x, noise: reverse_sde_step(x, normal.parts(x, now), now, then, g, noise)


def solve(normal: "Normal", steps: int, diffusion: Callable[[Point], float]) -> "Moments":
    points = [linear(t) for t in times(steps, 1.0, 0.001)]
    moments = normal.at(points[0])
    for now, then in pairwise(points):
        moments = normal.through(reverse(normal, now, then, diffusion(now)), moments)
    return moments


class TestRenoise:
    @given(levels=st.tuples(LEVELS, LEVELS))
    @settings(deadline=None)
    def test_data_and_noise_end_in_the_amounts_of_the_level(
        self, levels: tuple[Level, Level]
    ) -> None:
        now, then = sorted(levels, key=lambda level: level.snr, reverse=True)
        kept, added = renoise(1.0, now, then, 0.0), renoise(0.0, now, then, 1.0)
        assert kept * now.a == pytest.approx(then.a, rel=1e-11, abs=1e-14)
        assert math.hypot(kept * now.s, added) == pytest.approx(then.s, rel=1e-11, abs=1e-14)

    @given(levels=st.tuples(LEVELS, LEVELS, LEVELS))
    @settings(deadline=None)
    def test_two_steps_compose_to_one(self, levels: tuple[Level, Level, Level]) -> None:
        first, second, third = sorted(levels, key=lambda level: level.snr, reverse=True)
        kept = renoise(renoise(1.0, first, second, 0.0), second, third, 0.0)
        early = renoise(renoise(0.0, first, second, 1.0), second, third, 0.0)
        late = renoise(0.0, second, third, 1.0)
        assert kept == pytest.approx(renoise(1.0, first, third, 0.0), rel=1e-9, abs=1e-12)
        assert math.hypot(early, late) == pytest.approx(
            renoise(0.0, first, third, 1.0), rel=1e-6, abs=2e-6 * max(1.0, third.s)
        )

    @pytest.mark.parametrize("now", [0.0, 0.1, 0.5, 0.9])
    def test_gaussian_data_keep_their_marginal(self, normal: "Normal", now: float) -> None:
        here, there = linear(now), linear(0.95)
        moments = normal.through(lambda x, z: renoise(x, here, there, z), normal.at(here))
        assert moments.mean == pytest.approx(normal.at(there).mean, rel=1e-13)
        assert moments.variance == pytest.approx(normal.at(there).variance, rel=1e-13)

    def test_adding_noise_without_rescaling_would_miss_the_marginal(self, normal: "Normal") -> None:
        here, there = linear(0.11), linear(0.89)
        added = normal.at(here).variance + (there.s - here.s) ** 2
        kept = normal.through(lambda x, z: renoise(x, here, there, z), normal.at(here))
        assert abs(added - kept.variance) > 0.1

    def test_pure_noise_forgets_the_sample(self) -> None:
        assert renoise(math.nan, linear(0.5), linear(1.0), 0.7) == 0.7
        assert renoise(math.nan, linear(0.0), Level(0.0, 3.0), 0.5) == 1.5

    @pytest.mark.parametrize("level", [linear(0.0), linear(0.3), linear(1.0)])
    def test_the_same_level_keeps_the_sample(self, level: Level) -> None:
        assert renoise(0.7, level, level, math.nan) == 0.7

    def test_from_clean_data_is_the_definition_of_the_path(self) -> None:
        assert renoise(0.7, Level(1, 0), Level(0.6, 0.8), -0.5) == 0.6 * 0.7 - 0.8 * 0.5

    @pytest.mark.parametrize(("now", "then"), [(0.5, 0.4), (1.0, 0.999), (0.1, 0.0)])
    def test_a_cleaner_level_is_refused(self, now: float, then: float) -> None:
        with pytest.raises(ValueError, match="noisier level"):
            renoise(0.0, linear(now), linear(then), 0.0)


class TestChangeOfFamily:
    def test_known_time_and_scale(self) -> None:
        same = linear_equivalent(continuous_variance_preserving(0.35))
        assert same.time == pytest.approx(0.6128, abs=5e-5)
        assert same.scale == pytest.approx(1.3796, abs=5e-5)

    @given(time=st.floats(0.0, 1.0))
    @settings(deadline=None, max_examples=50)
    def test_equivalent_level_has_the_same_ratio_and_scale(self, time: float) -> None:
        point = continuous_variance_preserving(time)
        same = linear_equivalent(point)
        assert same.scale * linear(same.time).a == pytest.approx(point.a, abs=1e-15)
        assert same.scale * linear(same.time).s == pytest.approx(point.s, abs=1e-15)

    @pytest.mark.parametrize("time", [0.05, 0.35, 0.9])
    def test_rates_are_derivatives(self, time: float) -> None:
        step = 1e-5
        before, here, after = (
            linear_equivalent(continuous_variance_preserving(t))
            for t in (time - step, time, time + step)
        )
        assert here.time_rate == pytest.approx((after.time - before.time) / (2 * step), rel=1e-6)
        assert here.scale_rate == pytest.approx((after.scale - before.scale) / (2 * step), rel=1e-6)

    @pytest.mark.parametrize("family", [continuous_variance_preserving, variance_exploding, linear])
    @pytest.mark.parametrize("time", [0.01, 0.35, 0.7, 1.0])
    def test_converted_velocity_is_the_analytic_velocity(
        self, normal: "Normal", family: Callable[[float], Point], time: float
    ) -> None:
        point, x = family(time), -0.4
        same = linear_equivalent(point)
        v = to_flow(normal.parts(x / same.scale, linear(same.time)))
        here = normal.at(point)
        spread = point.a * point.a_rate * normal.scale**2 + point.s * point.s_rate
        exact = point.a_rate * normal.mean + spread / here.variance * (x - here.mean)
        assert velocity_from_linear(x, v, point) == pytest.approx(exact, abs=1e-10)

    def test_parts_do_not_depend_on_the_family(self, normal: "Normal") -> None:
        point, x = continuous_variance_preserving(0.35), -0.4
        same = linear_equivalent(point)
        time = linear(same.time)
        v = to_flow(normal.parts(x / same.scale, time))
        parts = from_flow(x / same.scale, v, time)
        assert parts == pytest.approx(normal.parts(x, point), abs=1e-13)
        assert velocity_from_linear(x, v, point) == pytest.approx(to_velocity(parts, point))

    @pytest.mark.parametrize("time", [0.0, 0.2, 0.8])
    def test_there_and_back_returns_the_sample(self, time: float) -> None:
        point = continuous_variance_preserving(time)
        flow = linear(linear_equivalent(point).time)
        moved = change_family(0.7, point, flow)
        assert moved * linear_equivalent(point).scale == pytest.approx(0.7, rel=1e-14)
        assert change_family(moved, flow, point) == pytest.approx(0.7, rel=1e-14)

    def test_pure_noise_rescales_by_its_deviation(self) -> None:
        assert change_family(0.7, Level(0.0, 1.0), Level(0.0, 80.0)) == 56.0

    def test_levels_of_different_ratio_are_refused(self) -> None:
        with pytest.raises(ValueError, match="one ratio"):
            change_family(0.7, linear(0.5), linear(0.4))

    def test_infinite_velocity_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no finite velocity"):
            velocity_from_linear(0.7, 0.1, continuous_variance_preserving(0.0))


class TestReverseSde:
    @pytest.mark.parametrize("diffusion", DIFFUSIONS)
    def test_variance_follows_the_recursion(self, normal: "Normal", diffusion: str) -> None:
        now, then = linear(0.6), linear(0.5)
        g, v = DIFFUSIONS[diffusion](now), normal.at(now).variance
        growth = (now.s * now.s_rate + now.a * now.a_rate * normal.scale**2) / v
        kept = 1 - 0.1 * (growth + g**2 / (2 * v))
        moments = normal.through(reverse(normal, now, then, g), normal.at(now))
        assert moments.variance == pytest.approx(kept**2 * v + g**2 * 0.1, rel=1e-12)

    @pytest.mark.parametrize(
        ("steps", "diffusion", "variance"),
        [
            (10, "none", 0.272),
            (10, "square", 0.352),
            (1000, "none", 0.3583),
            (1000, "square", 0.3591),
            (10000, "none", 0.3592),
            (10000, "square", 0.3593),
        ],
    )
    def test_known_variances_of_the_linear_flow(
        self, normal: "Normal", steps: int, diffusion: str, variance: float
    ) -> None:
        digits = 3 if steps == 10 else 4
        found = solve(normal, steps, DIFFUSIONS[diffusion]).variance
        assert found == pytest.approx(variance, abs=0.51 * 10**-digits)

    @pytest.mark.parametrize("diffusion", DIFFUSIONS)
    def test_every_diffusion_converges_to_the_marginal_with_order_one(
        self, normal: "Normal", diffusion: str
    ) -> None:
        target = normal.at(linear(0.001)).variance
        coarse, fine = (
            solve(normal, steps, DIFFUSIONS[diffusion]).variance - target for steps in (1000, 2000)
        )
        assert abs(fine) < 6e-4
        assert coarse / fine == pytest.approx(2.0, abs=0.1)

    @pytest.mark.parametrize("diffusion", DIFFUSIONS)
    def test_mean_of_the_linear_path_is_exact(self, normal: "Normal", diffusion: str) -> None:
        found = solve(normal, 7, DIFFUSIONS[diffusion]).mean
        assert found == pytest.approx(0.999 * normal.mean, rel=1e-12)

    def test_without_diffusion_it_is_the_euler_step(self) -> None:
        now, then, parts = linear(0.6), linear(0.5), Parts(0.4, -0.3)
        x = to_sample(parts, now)
        stepped = reverse_sde_step(x, parts, now, then, 0.0, math.nan)
        assert stepped == euler_step(x, to_velocity(parts, now), 0.6, 0.5)

    def test_first_step_from_pure_noise_is_finite(self) -> None:
        now, then = linear(1.0), linear(0.9)
        found = reverse_sde_step(0.5, Parts(0.2, 0.5), now, then, 3.0, 1.0)
        assert found == pytest.approx(0.5 - 0.1 * (0.3 + 4.5 * 0.5) + 3.0 * math.sqrt(0.1))

    @pytest.mark.parametrize("family", [linear, continuous_variance_preserving, variance_exploding])
    def test_memoryless_diffusion_removes_the_score_from_the_forward_drift(
        self, family: Callable[[float], Point]
    ) -> None:
        point, parts = family(0.4), Parts(0.7, -1.2)
        half = 0.5 * memoryless_diffusion(point) ** 2
        drift = to_velocity(parts, point) + half * to_score(parts, point)
        assert drift == pytest.approx(point.a_rate / point.a * to_sample(parts, point), abs=1e-12)

    def test_memoryless_diffusion_vanishes_on_clean_data_of_a_flow(self) -> None:
        assert memoryless_diffusion(linear(0.0)) == 0.0

    @pytest.mark.parametrize("point", [linear(1.0), continuous_variance_preserving(0.0)])
    def test_infinite_memoryless_diffusion_is_refused(self, point: Point) -> None:
        with pytest.raises(ValueError, match=r"^the [^\n]+$"):
            memoryless_diffusion(point)

    @pytest.mark.parametrize("g", [-1.0, math.inf, math.nan])
    def test_impossible_diffusion_is_refused(self, g: float) -> None:
        with pytest.raises(ValueError, match="g must be finite"):
            reverse_sde_step(0.0, Parts(0.0, 0.0), linear(0.5), linear(0.4), g, 0.0)

    def test_time_running_backwards_is_refused(self) -> None:
        with pytest.raises(ValueError, match="time must not increase"):
            reverse_sde_step(0.0, Parts(0.0, 0.0), linear(0.4), linear(0.5), 1.0, 0.0)

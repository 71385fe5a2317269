import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noise_search import samplers
from noise_search.samplers import (
    Level,
    Point,
    continuous_variance_preserving,
    continuous_variance_preserving_at_snr,
    discrete_levels,
    linear,
    linear_at_snr,
    linger_at_noise,
    shift,
    times,
    timesteps,
    variance_exploding,
    variance_exploding_at_snr,
    variance_preserving,
    variance_preserving_at_snr,
)

FAMILIES = {
    "linear": linear_at_snr,
    "variance preserving": variance_preserving_at_snr,
    "variance exploding": variance_exploding_at_snr,
    "continuous": continuous_variance_preserving_at_snr,
}


def test_all_lists_every_public_name() -> None:
    modules = {"convert", "ddim", "flow", "path", "stochastic"}
    public = {name for name in vars(samplers) if not name.startswith("_")} - modules
    assert public == set(samplers.__all__)


def test_linear_path_runs_from_data_to_noise() -> None:
    assert (linear(0.0).a, linear(0.0).s, linear(0.0).snr) == (1.0, 0.0, math.inf)
    assert (linear(1.0).a, linear(1.0).s, linear(1.0).snr) == (0.0, 1.0, 0.0)


def test_variance_preserving_ends_are_exact() -> None:
    assert variance_preserving(1.0) == Level(1.0, 0.0)
    assert variance_preserving(0.0) == Level(0.0, 1.0)


@given(st.floats(0.0, 1.0))
@settings(deadline=None)
def test_variance_preserving_levels_have_unit_power(alpha_bar: float) -> None:
    level = variance_preserving(alpha_bar)
    assert level.a**2 + level.s**2 == pytest.approx(1.0, abs=1e-15)
    assert level.a**2 == pytest.approx(alpha_bar, abs=1e-15)


def test_continuous_schedule_follows_its_rate() -> None:
    point = continuous_variance_preserving(0.35)
    integral = 0.5 * 0.35**2 * 19.9 + 0.35 * 0.1
    assert point.a == pytest.approx(math.exp(-integral / 2), rel=1e-15)
    assert point.s == pytest.approx(math.sqrt(1 - math.exp(-integral)), rel=1e-14)


def test_continuous_schedule_starts_clean_with_infinite_rate() -> None:
    point = continuous_variance_preserving(0.0)
    assert (point.a, point.s, point.s_rate) == (1.0, 0.0, math.inf)


@pytest.mark.parametrize("family", [linear, continuous_variance_preserving, variance_exploding])
@pytest.mark.parametrize("time", [0.05, 0.35, 0.9])
def test_rates_are_the_derivatives_of_the_level(
    family: Callable[[float], Point], time: float
) -> None:
    step = 1e-5
    before, here, after = family(time - step), family(time), family(time + step)
    assert here.time == time
    assert here.a_rate == pytest.approx((after.a - before.a) / (2 * step), rel=1e-7, abs=1e-9)
    assert here.s_rate == pytest.approx((after.s - before.s) / (2 * step), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", FAMILIES)
@given(snr=st.floats(1e-2, 1e3))
@settings(deadline=None, max_examples=30)
def test_level_at_a_signal_to_noise_ratio_has_it(name: str, snr: float) -> None:
    assert FAMILIES[name](snr).snr == pytest.approx(snr, rel=1e-9)


@pytest.mark.parametrize("time", [0.02, 0.35, 1.0])
def test_continuous_schedule_is_found_again_from_its_ratio(time: float) -> None:
    point = continuous_variance_preserving(time)
    found = continuous_variance_preserving_at_snr(point.snr)
    assert found.time == pytest.approx(time, rel=1e-11)
    assert found.a_rate == pytest.approx(point.a_rate, rel=1e-10)


def test_levels_at_the_extreme_ratios_are_exact() -> None:
    for family in (linear_at_snr, variance_preserving_at_snr):
        assert (family(0.0).a, family(0.0).s) == (0.0, 1.0)
        assert (family(math.inf).a, family(math.inf).s) == (1.0, 0.0)
    for family in (variance_exploding_at_snr, continuous_variance_preserving_at_snr):
        assert (family(math.inf).a, family(math.inf).s) == (1.0, 0.0)


def test_mix_ignores_a_part_that_the_level_does_not_hold() -> None:
    assert Level(1.0, 0.0).mix(0.3, math.nan) == 0.3
    assert Level(0.0, 2.0).mix(math.inf, 0.3) == 0.6
    assert Level(0.5, 2.0).mix(0.3, 0.1) == pytest.approx(0.35)


def test_level_holds_python_floats_whatever_it_is_given() -> None:
    level = Level(np.float64(0.5), np.float64(0.5))
    assert type(level.a) is float
    assert type(level.s) is float


@pytest.mark.parametrize(
    ("a", "s"), [(0.0, 0.0), (-0.1, 1.0), (1.0, -0.1), (math.nan, 1.0), (1.0, math.inf)]
)
def test_level_without_meaning_is_refused(a: float, s: float) -> None:
    with pytest.raises(ValueError, match="got"):
        Level(a, s)


def test_noisier_compares_ratios_at_both_ends() -> None:
    clean, middle, noise = Level(1, 0), Level(0.5, 0.5), Level(0, 1)
    assert noise.is_noisier_than(middle)
    assert middle.is_noisier_than(clean)
    assert noise.is_noisier_than(clean)
    assert not clean.is_noisier_than(noise)
    assert not middle.is_noisier_than(Level(3.0, 3.0))
    assert not clean.is_noisier_than(Level(7.0, 0.0))
    assert not noise.is_noisier_than(Level(0.0, 7.0))


def test_rounding_does_not_make_one_level_noisier_than_itself() -> None:
    third = Level(1 / 3, 0.7)
    scaled = Level(third.a * 0.1, third.s * 0.1)
    assert not third.is_noisier_than(scaled)
    assert not scaled.is_noisier_than(third)


def test_times_include_both_ends_exactly() -> None:
    grid = times(7, 0.9, 0.001)
    assert (grid[0], grid[-1], len(grid)) == (0.9, 0.001, 8)
    assert [a - b for a, b in pairwise(grid)] == pytest.approx([0.899 / 7] * 7)


def test_shift_of_one_keeps_time_and_ends_stay() -> None:
    assert shift(0.37, 1.0) == 0.37
    assert (shift(0.0, 3.0), shift(1.0, 3.0)) == (0.0, 1.0)


def test_shift_multiplies_the_noise_to_signal_ratio() -> None:
    moved = linear(shift(0.37, 3.0))
    assert moved.snr == pytest.approx(linear(0.37).snr / 3.0)


def test_linger_at_noise_is_its_formula_and_keeps_the_ends() -> None:
    assert linger_at_noise(0.3) == pytest.approx(math.sqrt(1 - 0.7**2), rel=1e-15)
    assert (linger_at_noise(0.0), linger_at_noise(1.0)) == (0.0, 1.0)


def test_spacings_of_ten_timesteps_are_those_of_the_paper() -> None:
    assert timesteps(10, spacing="leading", offset=1) == tuple(range(901, 0, -100))
    assert timesteps(10, spacing="trailing") == tuple(range(999, 0, -100))
    assert timesteps(10, spacing="linspace") == tuple(range(999, -1, -111))
    assert timesteps(1, spacing="linspace") == (0,)


def test_discrete_levels_end_at_the_final_alpha() -> None:
    bars = [0.9, 0.5, 0.1]
    assert discrete_levels(bars, [2, 0]) == (
        variance_preserving(0.1),
        variance_preserving(0.9),
        Level(1.0, 0.0),
    )
    assert discrete_levels(bars, [2], final=bars[0])[-1] == variance_preserving(0.9)


@pytest.mark.parametrize(
    "call",
    [
        lambda: linear(-0.1),
        lambda: linear(1.1),
        lambda: linear(math.nan),
        lambda: variance_preserving(1.1),
        lambda: continuous_variance_preserving(0.5, low=0.0),
        lambda: continuous_variance_preserving(0.5, low=2.0, high=1.0),
        lambda: linear_at_snr(-1.0),
        lambda: variance_preserving_at_snr(math.nan),
        lambda: variance_exploding_at_snr(0.0),
        lambda: continuous_variance_preserving_at_snr(0.0),
        lambda: times(0),
        lambda: shift(0.5, 0.0),
        lambda: linger_at_noise(2.0),
        lambda: timesteps(0),
        lambda: timesteps(11, total=10),
        lambda: timesteps(10, total=10, offset=1),
    ],
)
def test_arguments_outside_their_range_are_refused_in_one_line(
    call: Callable[[], object],
) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        call()

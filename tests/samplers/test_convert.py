import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noise_search.samplers import (
    Level,
    Parts,
    Point,
    continuous_variance_preserving,
    from_eps,
    from_flow,
    from_score,
    from_v,
    from_velocity,
    from_x0,
    linear,
    to_flow,
    to_sample,
    to_score,
    to_v,
    to_velocity,
    variance_exploding,
    variance_preserving,
)

NUMBERS = st.floats(-10.0, 10.0)
FAMILIES: dict[str, Callable[[float], Point]] = {
    "linear": linear,
    "variance preserving": continuous_variance_preserving,
    "variance exploding": variance_exploding,
}
PREDICTIONS: dict[str, Callable[[float, Parts[float], Point], Parts[float]]] = {
    "eps": lambda x, parts, point: from_eps(x, parts.eps, point),
    "x0": lambda x, parts, point: from_x0(x, parts.x0, point),
    "v": lambda x, parts, point: from_v(x, to_v(parts, point), point),
    "flow": lambda x, parts, point: from_flow(x, to_flow(parts), point),
    "velocity": lambda x, parts, point: from_velocity(x, to_velocity(parts, point), point),
    "score": lambda x, parts, point: from_score(x, to_score(parts, point), point),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("prediction", PREDICTIONS)
@given(time=st.floats(0.05, 0.95), x0=NUMBERS, eps=NUMBERS)
@settings(deadline=None, max_examples=25)
def test_prediction_and_sample_give_back_the_parts(
    prediction: str, family: str, time: float, x0: float, eps: float
) -> None:
    point = FAMILIES[family](time)
    parts = Parts(x0, eps)
    found = PREDICTIONS[prediction](to_sample(parts, point), parts, point)
    # At time .95 the continuous schedule has a = .011, which divides the rounding error.
    assert found.x0 == pytest.approx(x0, abs=1e-11)
    assert found.eps == pytest.approx(eps, abs=1e-11)


@given(alpha_bar=st.floats(0.0, 1.0), x=NUMBERS, v=NUMBERS)
@settings(deadline=None, max_examples=50)
def test_v_prediction_has_the_variance_preserving_formulas(
    alpha_bar: float, x: float, v: float
) -> None:
    level = variance_preserving(alpha_bar)
    parts = from_v(x, v, level)
    assert parts.x0 == pytest.approx(level.a * x - level.s * v, abs=1e-14)
    assert parts.eps == pytest.approx(level.a * v + level.s * x, abs=1e-14)


@given(time=st.floats(0.001, 1.0), x=NUMBERS, v=NUMBERS)
@settings(deadline=None, max_examples=50)
def test_flow_prediction_has_the_linear_formulas(time: float, x: float, v: float) -> None:
    point = linear(time)
    parts = from_flow(x, v, point)
    assert parts.x0 == pytest.approx(x - time * v, abs=1e-14)
    assert parts.eps == pytest.approx(x + (1 - time) * v, abs=1e-14)
    assert to_score(parts, point) == pytest.approx(-(x + (1 - time) * v) / time, rel=1e-12)


@given(time=st.floats(0.0, 1.0), x=NUMBERS, v=NUMBERS)
@settings(deadline=None, max_examples=50)
def test_velocity_of_the_linear_path_is_the_flow_prediction(
    time: float, x: float, v: float
) -> None:
    point = linear(time)
    assert from_velocity(x, v, point) == pytest.approx(from_flow(x, v, point), abs=1e-14)
    assert to_velocity(from_flow(x, v, point), point) == pytest.approx(v, abs=1e-14)


@given(time=st.floats(0.05, 0.95), x=NUMBERS, u=NUMBERS)
@settings(deadline=None, max_examples=50)
def test_score_follows_from_the_velocity(time: float, x: float, u: float) -> None:
    point = continuous_variance_preserving(time)
    turn = point.a_rate * point.s - point.a * point.s_rate
    score = (point.a * u - point.a_rate * x) / (point.s * turn)
    assert to_score(from_velocity(x, u, point), point) == pytest.approx(score, abs=1e-12)


def test_pure_noise_is_split_by_every_prediction_but_eps() -> None:
    noise = linear(1.0)
    assert from_x0(0.7, 0.2, noise) == (0.2, 0.7)
    assert from_v(0.7, -0.2, noise) == (0.2, 0.7)
    assert from_flow(0.7, 0.5, noise) == pytest.approx((0.2, 0.7), abs=1e-16)
    with pytest.raises(ValueError, match="pure noise"):
        from_eps(0.7, 0.7, noise)
    with pytest.raises(ValueError, match="pure noise"):
        from_score(0.7, -0.7, noise)


def test_clean_data_are_split_by_every_prediction_but_x0() -> None:
    clean = linear(0.0)
    assert from_eps(0.7, 0.1, clean) == (0.7, 0.1)
    assert from_v(0.7, 0.1, clean) == (0.7, 0.1)
    assert from_flow(0.7, -0.6, clean) == pytest.approx((0.7, 0.1), abs=1e-16)
    with pytest.raises(ValueError, match="clean"):
        from_x0(0.7, 0.7, clean)
    with pytest.raises(ValueError, match="clean"):
        to_score(Parts(0.7, 0.1), clean)


def test_clipped_data_get_the_noise_that_fits_the_sample() -> None:
    level = variance_preserving(0.3)
    parts = from_x0(1.4, 1.0, level)
    assert to_sample(parts, level) == pytest.approx(1.4)
    assert parts.eps > from_eps(1.4, 0.9, level).eps


def test_infinite_velocity_is_refused() -> None:
    start = continuous_variance_preserving(0.0)
    with pytest.raises(ValueError, match="no finite velocity"):
        to_velocity(Parts(1.0, 1.0), start)
    with pytest.raises(ValueError, match="no finite velocity"):
        from_velocity(1.0, 1.0, start)


def test_velocity_of_a_path_that_only_rescales_is_refused() -> None:
    still = Point(0.5, 0.5, time=0.0, a_rate=1.0, s_rate=1.0)
    with pytest.raises(ValueError, match="stands still"):
        from_velocity(1.0, 1.0, still)


def test_sample_at_a_level_is_data_plus_noise() -> None:
    assert to_sample(Parts(2.0, -1.0), Level(0.25, 3.0)) == -2.5
    assert math.isclose(to_flow(Parts(2.0, -1.0)), -3.0)

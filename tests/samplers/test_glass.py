import math
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from noise_search.pipelines.analytic.distributions import Mixture
from noise_search.samplers import (
    Family,
    Glass,
    Level,
    Parts,
    ddim_step,
    ddpm_correlation,
    ddpm_step,
    glass_step,
    linear,
    linear_at_snr,
    renoise,
    variance_exploding,
    variance_preserving,
    variance_preserving_at_snr,
)

if TYPE_CHECKING:
    from tests.samplers.conftest import Moments, Normal

TRANSITIONS = {
    "middle": Glass(linear(0.7), linear(0.4), 0.4),
    "from pure noise": Glass(linear(1.0), linear(0.5), 0.4),
    "to data": Glass(linear(0.3), linear(0.0), 0.4),
    "ddpm": Glass(linear(0.7), linear(0.4), ddpm_correlation(linear(0.7), linear(0.4))),
    "opposed": Glass(linear(0.8), linear(0.6), -0.5),
    "same level": Glass(linear(0.5), linear(0.5), 0.4),
    "variance preserving": Glass(variance_preserving(0.2), variance_preserving(0.6), 0.7),
    "exploding": Glass(variance_exploding(3.0), variance_exploding(0.8), 0.4),
}


def draw(
    normal: "Normal", transition: Glass, steps: int, family: Family = linear_at_snr
) -> Callable[[float, float], float]:
    return lambda x, noise: glass_step(normal.denoise, x, transition, noise, steps, family)


def exact(normal: "Normal", transition: Glass, x: float) -> tuple[float, float]:
    """The mean and the variance of x' given x, from the joint Gaussian of the two."""
    now, then = transition.now, transition.then
    here, there = normal.at(now), normal.at(then)
    covariance = (
        now.a * then.a * normal.scale**2 + transition.correlation * now.s * then.s
    ) / here.variance
    mean = there.mean + covariance * (x - here.mean)
    return mean, there.variance - covariance**2 * here.variance


def given_x(step: Callable[[float, float], float], x: float) -> tuple[float, float]:
    return step(x, 0.0), (step(x, 1.0) - step(x, 0.0)) ** 2


@pytest.mark.parametrize("name", TRANSITIONS)
@pytest.mark.parametrize("steps", [1, 4, 200])
def test_mean_given_the_sample_is_exact_at_any_number_of_steps(
    normal: "Normal", name: str, steps: int
) -> None:
    transition = TRANSITIONS[name]
    for x in (-0.7, 0.9):
        mean, _ = given_x(draw(normal, transition, steps), x)
        assert mean == pytest.approx(exact(normal, transition, x)[0], abs=1e-12)


@pytest.mark.parametrize("name", TRANSITIONS)
def test_variance_given_the_sample_converges_with_order_one(normal: "Normal", name: str) -> None:
    transition = TRANSITIONS[name]
    target = exact(normal, transition, 0.9)[1]
    errors = [target - given_x(draw(normal, transition, steps), 0.9)[1] for steps in (200, 400)]
    assert 0.0 < errors[1] < 0.01 * target
    assert errors[0] / errors[1] == pytest.approx(2.0, abs=0.05)


def test_two_hundred_steps_reach_the_variance_and_four_lose_a_seventh(normal: "Normal") -> None:
    transition = TRANSITIONS["middle"]
    target = exact(normal, transition, 0.9)[1]
    assert given_x(draw(normal, transition, 200), 0.9)[1] == pytest.approx(target, abs=0.002)
    assert given_x(draw(normal, transition, 4), 0.9)[1] / target == pytest.approx(0.86, abs=0.01)


@pytest.mark.parametrize("name", TRANSITIONS)
def test_one_step_is_the_ddim_family_of_the_same_correlation(normal: "Normal", name: str) -> None:
    transition = TRANSITIONS[name]
    then, rho, x = transition.then, transition.correlation, 0.9
    parts = normal.parts(x, transition.now)
    added = then.s * math.sqrt(1.0 - rho**2)
    mean, variance = given_x(draw(normal, transition, 1), x)
    assert mean == pytest.approx(then.a * parts.x0 + rho * then.s * parts.eps, abs=1e-13)
    assert variance == pytest.approx(added**2, abs=1e-13)


def test_one_step_of_the_ddpm_correlation_is_the_ddpm_step(normal: "Normal") -> None:
    for name in ("ddpm", "from pure noise"):
        now, then = TRANSITIONS[name].now, TRANSITIONS[name].then
        step = draw(normal, Glass(now, then, ddpm_correlation(now, then)), 1)
        for noise in (0.0, 1.3):
            direct = ddpm_step(normal.parts(0.9, now), now, then, noise)
            assert step(0.9, noise) == pytest.approx(direct, abs=1e-13)


def test_one_step_of_correlation_one_is_the_ode_step(normal: "Normal") -> None:
    now, then = linear(0.7), linear(0.4)
    step = draw(normal, Glass(now, then, 1.0), 1)
    ode = ddim_step(normal.parts(0.9, now), now, then)
    assert step(0.9, -2.0) == pytest.approx(ode, abs=1e-13)


@pytest.mark.parametrize(("now", "then"), [(0.9, 0.1), (0.7, 0.4), (0.3, 0.0)])
def test_ddpm_correlation_is_that_of_the_forward_kernel(now: float, then: float) -> None:
    here, there = linear(now), linear(then)
    kept = renoise(1.0, there, here, 0.0)
    # The noise of x contains the noise of x' times what the forward kernel keeps of it.
    correlation = kept * there.s / here.s
    assert ddpm_correlation(here, there) == pytest.approx(correlation, rel=1e-14)


@pytest.mark.parametrize("name", TRANSITIONS)
def test_transitions_keep_the_marginal(normal: "Normal", name: str) -> None:
    transition = TRANSITIONS[name]
    after: Moments = normal.through(draw(normal, transition, 400), normal.at(transition.now))
    target = normal.at(transition.then)
    assert after.mean == pytest.approx(target.mean, abs=1e-12)
    assert after.variance == pytest.approx(target.variance, rel=0.01)


def test_answer_does_not_depend_on_the_family_of_the_model(normal: "Normal") -> None:
    transition = TRANSITIONS["middle"]
    as_flow = draw(normal, transition, 6)(0.9, -0.4)
    as_diffusion = draw(normal, transition, 6, variance_preserving_at_snr)(0.9, -0.4)
    assert as_flow == pytest.approx(as_diffusion, abs=1e-13)


@pytest.mark.parametrize("name", TRANSITIONS)
@pytest.mark.parametrize("progress", [0.2, 0.8])
def test_evidence_is_the_sufficient_statistic_of_the_joint_gaussian(
    name: str, progress: float
) -> None:
    transition = TRANSITIONS[name]
    now, level = transition.now, transition.inner(progress)
    x, rest, carry = 0.9, -0.3, transition.carry
    joint = rest + carry * x
    means = np.array([now.a, level.a + carry * now.a])
    cross = carry * now.s**2
    covariance = np.array([[now.s**2, cross], [cross, carry * cross + level.s**2]])
    weights = np.linalg.solve(covariance, means)
    precision = float(means @ weights)
    statistic = float(np.array([x, joint]) @ weights) / precision
    found = transition.evidence(x, rest, level)
    assert found.snr == pytest.approx(math.sqrt(precision), rel=1e-12)
    assert found.statistic == pytest.approx(math.sqrt(precision) * statistic, rel=1e-12)


def test_steps_follow_the_velocity_with_the_carried_share_taken_out(normal: "Normal") -> None:
    transition, x, noise, steps = TRANSITIONS["middle"], 0.9, -0.4, 5
    now, then, rho = transition.now, transition.then, transition.correlation
    carry = rho * then.s / now.s
    goal_a, goal_s = then.a - carry * now.a, then.s * math.sqrt(1 - rho**2)
    inside = noise + carry * x
    for i in range(steps):
        u = i / steps
        a, s = u * goal_a, 1 - u + u * goal_s
        precision = (now.a / now.s) ** 2 + (a / s) ** 2
        center = (now.a * x / now.s**2 + a * (inside - carry * x) / s**2) / precision
        asked = linear_at_snr(math.sqrt(precision))
        x0 = normal.denoise(asked.a * center, asked)
        w1 = (goal_s - 1) / s
        w2 = goal_a - a * w1
        inside += (w1 * (inside - carry * x) + w2 * x0) / steps
    found = glass_step(normal.denoise, x, transition, noise, steps)
    assert found == pytest.approx(inside, abs=1e-13)


def test_transitions_of_two_modes_keep_the_marginal_where_a_ddpm_step_does_not() -> None:
    data = Mixture([0.3, 0.7], [[-2.0], [1.0]], [0.2, 0.3])
    now, then = linear(0.9), linear(0.1)
    generator = np.random.default_rng(0)
    x = data.marginal(now).sample(2000, generator)
    noise = generator.standard_normal(x.shape)
    ddpm = Glass(now, then, ddpm_correlation(now, then))

    def denoise(x: NDArray[np.float64], level: Level) -> NDArray[np.float64]:
        return data.parts(x, level).x0

    drawn = glass_step(denoise, x, ddpm, noise, 40)
    jumped = ddpm_step(data.parts(x, now), now, then, noise)
    between = -0.5 * then.a
    share_drawn, share_jumped = (float(np.mean(y < between)) for y in (drawn, jumped))
    assert share_drawn == pytest.approx(0.3, abs=0.05)
    assert abs(share_jumped - 0.3) > 0.1
    spread = data.marginal(then).sample(2000, generator).std()
    assert drawn.std() == pytest.approx(spread, rel=0.05)
    assert jumped.std() < 0.5 * spread


def test_transition_to_data_ends_on_the_last_prediction() -> None:
    asked: list[Level] = []

    def denoise(x: float, level: Level) -> float:
        asked.append(level)
        return 0.1 * len(asked)

    found = glass_step(denoise, 0.9, TRANSITIONS["to data"], 1.7, 3)
    assert found == pytest.approx(0.3, abs=1e-16)
    assert len(asked) == 3
    assert asked[0].snr == pytest.approx(TRANSITIONS["to data"].now.snr)
    assert all(b.snr > a.snr for a, b in pairwise(asked))


def test_model_is_asked_about_pure_noise_first_when_nothing_is_known() -> None:
    asked: list[tuple[float, Level]] = []

    def denoise(x: float, level: Level) -> float:
        asked.append((x, level))
        return 0.2

    glass_step(denoise, 0.9, TRANSITIONS["from pure noise"], 1.7, 2)
    x, level = asked[0]
    assert (x, level.a, level.s) == (0.9, 0.0, 1.0)


def test_impossible_transitions_are_refused() -> None:
    with pytest.raises(ValueError, match="noisy level to a cleaner"):
        Glass(linear(0.4), linear(0.5), 0.0)
    with pytest.raises(ValueError, match="noisy level to a cleaner"):
        Glass(linear(0.0), linear(0.0), 0.0)
    with pytest.raises(ValueError, match=r"correlation must lie in \[-1, 1\]"):
        Glass(linear(0.5), linear(0.4), 1.1)
    with pytest.raises(ValueError, match="leaves x as it is"):
        Glass(linear(0.5), linear(0.5), 1.0)
    with pytest.raises(ValueError, match="noisy level to a cleaner"):
        ddpm_correlation(linear(0.4), linear(0.5))
    with pytest.raises(ValueError, match="steps must be at least 1"):
        glass_step(lambda x, level: x, 0.0, TRANSITIONS["middle"], 0.0, 0)


def test_parts_and_evidence_agree_when_only_the_sample_is_known(normal: "Normal") -> None:
    transition = TRANSITIONS["middle"]
    known = transition.evidence(0.9, 5.0, transition.inner(0.0))
    level = linear_at_snr(known.snr)
    found: Parts[float] = normal.parts(level.s * known.statistic, level)
    assert found.x0 == pytest.approx(normal.parts(0.9, transition.now).x0, abs=1e-14)

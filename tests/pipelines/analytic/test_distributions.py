import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from noise_search.pipelines.analytic.distributions import (
    Distribution,
    Gaussian,
    LinearReward,
    Mixture,
    QuadraticReward,
    Reward,
)
from noise_search.samplers import (
    Level,
    continuous_variance_preserving,
    linear,
    to_sample,
    to_score,
    variance_exploding,
)

GAUSSIAN = Gaussian([1.3, -0.4], [0.6, 1.5])
MIXTURES = {
    "isotropic": Mixture([0.3, 0.7], [[-2.0, 0.5], [1.0, 1.5]], [0.3, 0.6]),
    "diagonal": Mixture(
        [2.0, 1.0, 1.0],
        [[-2.0, 0.0], [1.0, 1.0], [0.0, -1.0]],
        [[1.0, 2.0], [0.5, 1.0], [1.0, 0.2]],
    ),
    "one scale": Mixture([0.5, 0.5], [[-1.0, 0.0], [1.0, 0.0]], 0.4),
}
DATA: dict[str, Distribution] = {"gaussian": GAUSSIAN, **MIXTURES}
LEVELS: dict[str, Level] = {
    "clean": Level(1.0, 0.0),
    "flow": linear(0.4),
    "pure noise": linear(1.0),
    "variance preserving": continuous_variance_preserving(0.3),
    "exploding": variance_exploding(5.0),
}
REWARDS: dict[str, Reward] = {
    "linear": LinearReward([0.7, -0.3], offset=0.2),
    "quadratic": QuadraticReward([0.5, 1.0], [1.0, 0.4]),
}
X = np.array([[0.3, -0.7], [1.5, 2.0], [-2.5, 0.1]])

every_data = pytest.mark.parametrize("name", DATA)
every_level = pytest.mark.parametrize("where", LEVELS)
every_noisy_level = pytest.mark.parametrize("where", [w for w in LEVELS if w != "clean"])


def gradient(
    function: Callable[[NDArray[np.float64]], NDArray[np.float64]], x: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Central differences of (n, d) -> (n,), (n, d)."""
    step = 1e-5
    columns = [
        (function(x + step * axis) - function(x - step * axis)) / (2 * step)
        for axis in np.eye(x.shape[1])
    ]
    return np.stack(columns, axis=1)


def lattice(width: float = 12.0, count: int = 241) -> tuple[NDArray[np.float64], float]:
    """Points of a square lattice, (count^2, 2), and the area of a cell."""
    axis = np.linspace(-width, width, count)
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    return points, float((axis[1] - axis[0]) ** 2)


@every_data
@every_level
def test_score_is_the_gradient_of_the_log_density(name: str, where: str) -> None:
    data, level = DATA[name], LEVELS[where]
    numerical = gradient(lambda x: data.log_density(x, level), X)
    np.testing.assert_allclose(data.score(X, level), numerical, rtol=1e-7, atol=1e-7)


@every_data
@every_noisy_level
def test_noise_prediction_is_minus_s_times_the_score(name: str, where: str) -> None:
    data, level = DATA[name], LEVELS[where]
    scores = to_score(data.parts(X, level), level)
    np.testing.assert_allclose(scores, data.score(X, level), rtol=1e-12, atol=1e-13)


@every_data
@every_level
def test_predicted_parts_make_up_the_sample(name: str, where: str) -> None:
    level = LEVELS[where]
    made = to_sample(DATA[name].parts(X, level), level)
    np.testing.assert_allclose(made, X, rtol=1e-12, atol=1e-13)


@every_data
@every_noisy_level
def test_posterior_moments_are_those_of_bayes_rule(name: str, where: str) -> None:
    data, level = DATA[name], LEVELS[where]
    points, _ = lattice()
    prior = data.log_density(points)
    means, covariances = data.parts(X, level).x0, data.posterior_covariance(X, level)
    for x, mean, covariance in zip(X, means, covariances, strict=True):
        logs = prior - 0.5 * np.sum((x - level.a * points) ** 2, axis=1) / level.s**2
        shares = np.exp(logs - logs.max())
        shares /= shares.sum()
        np.testing.assert_allclose(shares @ points, mean, atol=1e-8)
        apart = points - mean
        np.testing.assert_allclose((apart * shares[:, np.newaxis]).T @ apart, covariance, atol=1e-8)


@every_data
@every_noisy_level
def test_posterior_covariance_is_the_slope_of_the_posterior_mean(name: str, where: str) -> None:
    data, level = DATA[name], LEVELS[where]
    for axis in range(2):
        slopes = gradient(lambda x, i=axis: data.parts(x, level).x0[:, i], X)  # type: ignore[misc]
        covariance = data.posterior_covariance(X, level)[:, axis]
        np.testing.assert_allclose(level.a / level.s**2 * covariance, slopes, atol=1e-7)


@every_data
@every_level
def test_density_at_a_level_is_that_of_the_marginal_and_sums_to_one(name: str, where: str) -> None:
    data, level = DATA[name], LEVELS[where]
    direct = data.log_density(X, level)
    np.testing.assert_allclose(data.marginal(level).log_density(X), direct, rtol=1e-12)
    points, cell = lattice(width=40.0, count=501)
    assert cell * np.exp(data.log_density(points, level)).sum() == pytest.approx(1.0, abs=1e-7)


@every_data
def test_marginals_compose(name: str) -> None:
    data = DATA[name]
    first, then = linear(0.3), Level(0.5, 0.8)
    both = Level(then.a * first.a, math.hypot(then.a * first.s, then.s))
    twice = data.marginal(first).marginal(then)
    np.testing.assert_allclose(twice.log_density(X), data.log_density(X, both), rtol=1e-12)


@every_data
def test_samples_have_the_moments_of_the_density(name: str) -> None:
    data = DATA[name]
    drawn = data.sample(20000, np.random.default_rng(0))
    points, cell = lattice()
    shares = cell * np.exp(data.log_density(points))
    mean = shares @ points
    covariance = ((points - mean) * shares[:, np.newaxis]).T @ (points - mean)
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=0.05)
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=0.12)


@every_data
def test_samples_follow_from_the_generator_alone(name: str) -> None:
    first, again, other = (DATA[name].sample(3, np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.shape == (3, 2)


@every_data
@pytest.mark.parametrize("weight", [-0.2, 0.0, 1.0, 3.0])
@pytest.mark.parametrize("kind", REWARDS)
def test_tilted_density_is_the_reward_weighted_density(name: str, kind: str, weight: float) -> None:
    data, reward = DATA[name], REWARDS[kind]
    tilted = data.tilt(reward, weight)
    logs = data.log_density(X) + weight * reward(X) - tilted.log_normalizer
    np.testing.assert_allclose(tilted.distribution.log_density(X), logs, rtol=1e-11, atol=1e-11)


@every_data
@pytest.mark.parametrize("kind", REWARDS)
def test_log_normalizer_is_the_integral_of_the_weighted_density(name: str, kind: str) -> None:
    data, reward = DATA[name], REWARDS[kind]
    points, cell = lattice(width=15.0, count=301)
    total = cell * np.exp(data.log_density(points) + 1.5 * reward(points)).sum()
    assert data.tilt(reward, 1.5).log_normalizer == pytest.approx(math.log(total), abs=1e-8)


def test_rewards_have_their_values_at_known_samples() -> None:
    x = [[1.0, 2.0], [0.0, 0.0]]
    np.testing.assert_allclose(LinearReward([0.7, -0.3], offset=0.2)(x), [0.3, 0.2])
    quadratic = QuadraticReward([0.5, 1.0], [1.0, 0.4])
    np.testing.assert_allclose(quadratic(x), [-0.5 * (0.25 + 0.4), -0.5 * (0.25 + 0.4)])
    np.testing.assert_allclose(quadratic([[0.5, 2.0]]), [-0.2])


@every_data
def test_weight_of_a_tilt_is_one_unless_given(name: str) -> None:
    data, reward = DATA[name], REWARDS["linear"]
    assert data.tilt(reward).log_normalizer == data.tilt(reward, 1.0).log_normalizer


def test_linear_tilt_of_a_gaussian_moves_its_mean() -> None:
    slope, weight = np.array([0.7, -0.3]), 2.0
    tilted = GAUSSIAN.tilt(LinearReward(slope), weight)
    moved = GAUSSIAN.mean + weight * slope * GAUSSIAN.scale**2
    np.testing.assert_allclose(tilted.distribution.mean, moved)
    np.testing.assert_array_equal(tilted.distribution.scale, GAUSSIAN.scale)
    squares = float(np.sum((weight * slope * GAUSSIAN.scale) ** 2))
    assert tilted.log_normalizer == pytest.approx(weight * slope @ GAUSSIAN.mean + squares / 2)


def test_quadratic_tilt_of_a_gaussian_adds_precision() -> None:
    tilted = GAUSSIAN.tilt(QuadraticReward([0.0, 0.0]), 2.0).distribution
    np.testing.assert_allclose(tilted.scale**-2, GAUSSIAN.scale**-2 + 2.0)


def test_tilt_leaves_a_point_mass_where_it_is() -> None:
    point = Gaussian([1.0, 2.0], 0.0)
    for reward in REWARDS.values():
        tilted = point.tilt(reward, 3.0)
        np.testing.assert_array_equal(tilted.distribution.mean, point.mean)
        assert tilted.log_normalizer == pytest.approx(3.0 * float(reward([[1.0, 2.0]])[0]))


def test_steep_tilt_keeps_one_component() -> None:
    tilted = MIXTURES["isotropic"].tilt(LinearReward([1000.0, 0.0])).distribution
    np.testing.assert_array_equal(tilted.weights, [0.0, 1.0])
    assert np.all(np.isfinite(tilted.score(X)))
    assert tilted.sample(2, np.random.default_rng(0)).shape == (2, 2)


def test_tilt_without_finite_mass_is_refused() -> None:
    for data in (GAUSSIAN, MIXTURES["isotropic"]):
        with pytest.raises(ValueError, match="no finite mass"):
            data.tilt(QuadraticReward([0.0, 0.0]), -10.0)
    with pytest.raises(ValueError, match="no finite mass"):
        Gaussian(0.0, 1.0).tilt(QuadraticReward([0.0]), -1.0)  # flat, the limit itself


def test_a_mixture_of_one_is_its_gaussian() -> None:
    mixture = Mixture([1.0], [GAUSSIAN.mean], [GAUSSIAN.scale])
    level = linear(0.4)
    for found, expected in (
        (mixture.log_density(X, level), GAUSSIAN.log_density(X, level)),
        (mixture.score(X, level), GAUSSIAN.score(X, level)),
        (mixture.parts(X, level).x0, GAUSSIAN.parts(X, level).x0),
        (mixture.parts(X, level).eps, GAUSSIAN.parts(X, level).eps),
        (mixture.posterior_covariance(X, level), GAUSSIAN.posterior_covariance(X, level)),
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("scale", [0.6, 0.01])
@pytest.mark.parametrize("time", [0.4, 0.02])
def test_gaussian_has_the_textbook_denoiser(scale: float, time: float) -> None:
    data, level, x = Gaussian(1.3, scale), linear(time), 0.2
    a, prior = 1.0 - time, scale**2
    variance = a**2 * prior + time**2
    offset = x - a * 1.3
    parts = data.parts([[x]], level)
    assert parts.x0[0, 0] == pytest.approx(1.3 + a * prior * offset / variance)
    assert parts.eps[0, 0] == pytest.approx(time * offset / variance)
    assert data.score([[x]], level)[0, 0] == pytest.approx(-offset / variance)
    covariance = data.posterior_covariance([[x]], level)
    assert covariance[0, 0, 0] == pytest.approx(prior * time**2 / variance)


def test_pure_noise_says_nothing_of_the_data() -> None:
    noise = linear(1.0)
    np.testing.assert_array_equal(GAUSSIAN.parts(X, noise).x0, np.tile(GAUSSIAN.mean, (3, 1)))
    np.testing.assert_allclose(GAUSSIAN.parts(X, noise).eps, X)
    mixture = MIXTURES["isotropic"]
    np.testing.assert_allclose(mixture.responsibilities(X, noise), [[0.3, 0.7]] * 3)


def test_point_mass_is_predicted_exactly_at_every_level() -> None:
    point = Gaussian([1.0, 2.0], 0.0)
    for level in LEVELS.values():
        np.testing.assert_array_equal(point.parts(X, level).x0, np.tile(point.mean, (3, 1)))
        np.testing.assert_array_equal(point.posterior_covariance(X, level), np.zeros((3, 2, 2)))
    np.testing.assert_array_equal(point.parts(X, Level(1, 0)).eps, np.zeros((3, 2)))


def test_point_mass_without_noise_has_no_density() -> None:
    mixture = Mixture([1.0], [[1.0, 2.0]], 0.0)
    for call in (
        lambda: Gaussian([1.0, 2.0], 0.0).log_density(X),
        lambda: Gaussian([1.0, 2.0], 0.0).score(X),
        lambda: mixture.log_density(X),
        lambda: mixture.parts(X, Level(1, 0)),
    ):
        with pytest.raises(ValueError, match="no density"):
            call()


def test_far_samples_stay_finite() -> None:
    far = np.full((1, 2), 1e6)
    for mixture in MIXTURES.values():
        assert np.all(np.isfinite(mixture.parts(far, linear(0.01)).x0))
        assert np.isfinite(mixture.log_density(far, linear(0.01))).all()


def test_distributions_cannot_be_changed_from_outside() -> None:
    mean = np.array([1.0, 2.0])
    data = Gaussian(mean, 0.5)
    mean[0] = 9.0
    assert data.mean[0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        data.mean[0] = 9.0


def test_weights_are_scaled_to_sum_to_one() -> None:
    np.testing.assert_allclose(MIXTURES["diagonal"].weights, [0.5, 0.25, 0.25])


@pytest.mark.parametrize(
    "make",
    [
        lambda: Gaussian([0.0, 1.0], -1.0),
        lambda: Gaussian([[0.0, 1.0]], 1.0),
        lambda: Gaussian([0.0, 1.0], [1.0, 1.0, 1.0]),
        lambda: Gaussian([0.0, math.nan], 1.0),
        lambda: Gaussian([], 1.0),
        lambda: Mixture([0.5], [[0.0], [1.0]], 1.0),
        lambda: Mixture([0.5, -0.5], [[0.0], [1.0]], 1.0),
        lambda: Mixture([0.0, 0.0], [[0.0], [1.0]], 1.0),
        lambda: Mixture([0.5, 0.5], [0.0, 1.0], 1.0),
        lambda: Mixture([0.5, 0.5], [[0.0], [1.0]], [1.0, 1.0, 1.0]),
        lambda: Mixture([0.5, 0.5], [[0.0], [1.0]], [1.0, -1.0]),
        lambda: GAUSSIAN.score([1.0, 2.0]),
        lambda: GAUSSIAN.score([[1.0, 2.0, 3.0]]),
        lambda: LinearReward([1.0, 2.0])([[1.0]]),
        lambda: QuadraticReward([1.0, 2.0], [1.0, 2.0, 3.0]),
    ],
)
def test_shapes_and_values_without_meaning_are_refused_in_one_line(
    make: Callable[[], object],
) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        make()

"""Data distributions whose denoisers, scores and reward tilts are known in closed form.

A sample of noise level (a, s) is x = a x0 + s eps with x0 from the data and eps a unit
Gaussian. Samples have shape (n, d) and dtype float64 throughout; there is no approximation.
"""

import math
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noise_search.samplers.convert import Parts
from noise_search.samplers.path import Level

Array = NDArray[np.float64]

CLEAN = Level(1.0, 0.0)


class Distribution(Protocol):
    """What every data distribution of this module offers."""

    @property
    def dimension(self) -> int:
        """Number of coordinates d."""
        ...

    def sample(self, count: int, generator: np.random.Generator) -> Array:
        """Draw clean samples, (count, d)."""
        ...

    def marginal(self, level: Level) -> Self:
        """Return the distribution of x at a noise level."""
        ...

    def log_density(self, x: ArrayLike, level: Level = CLEAN) -> Array:
        """Return log p(x) at a noise level, (n,)."""
        ...

    def score(self, x: ArrayLike, level: Level = CLEAN) -> Array:
        """Return grad log p(x) at a noise level, (n, d)."""
        ...

    def parts(self, x: ArrayLike, level: Level) -> Parts[Array]:
        """Return the posterior means of x0 and eps given x, each (n, d)."""
        ...

    def posterior_covariance(self, x: ArrayLike, level: Level) -> Array:
        """Return the covariance of x0 given x, (n, d, d)."""
        ...

    def tilt(self, reward: "Reward", weight: float = 1.0) -> "Tilted[Self]":
        """Return the distribution tilted by exp(weight r(x)), normalised."""
        ...


DistributionT = TypeVar("DistributionT", bound=Distribution)


@dataclass(frozen=True)
class Tilted(Generic[DistributionT]):
    """The distribution p(x) exp(weight r(x)) / Z and the logarithm of its normaliser Z."""

    distribution: DistributionT
    log_normalizer: float


class LinearReward:
    """The reward r(x) = slope . x + offset; its tilts exist for every weight."""

    def __init__(self, slope: ArrayLike, offset: float = 0.0) -> None:
        """Take the slope, (d,), and the offset, which changes log Z and nothing else."""
        self.slope = _vector("slope", slope)
        self.offset = float(offset)

    def __call__(self, x: ArrayLike) -> Array:
        """Return the rewards, (n,), of samples, (n, d)."""
        return _samples(x, self.slope.size) @ self.slope + self.offset


class QuadraticReward:
    """The reward r(x) = -sum(precision (x - center)^2) / 2, greatest at `center`."""

    def __init__(self, center: ArrayLike, precision: ArrayLike = 1.0) -> None:
        """Take the center, (d,), and the curvatures, (d,) or one number for all."""
        self.center = _vector("center", center)
        self.precision = _spread("precision", precision, self.center.shape)

    def __call__(self, x: ArrayLike) -> Array:
        """Return the rewards, (n,), of samples, (n, d)."""
        offset = _samples(x, self.center.size) - self.center
        return np.asarray(-0.5 * (offset**2 @ self.precision))


Reward = LinearReward | QuadraticReward


class Gaussian:
    """The distribution N(mean, diag(scale^2)); a scale of zero is a point mass.

    >>> data = Gaussian(mean=[1.0, -1.0], scale=0.5)
    >>> data.parts([[1.0, 0.0]], Level(0.5, 0.5)).x0
    array([[ 1.2, -0.8]])
    """

    def __init__(self, mean: ArrayLike, scale: ArrayLike) -> None:
        """Take the mean, (d,) or a number for d = 1, and deviations, (d,) or one number."""
        self.mean = _vector("mean", mean)
        self.scale = _spread("scale", scale, self.mean.shape)
        if np.any(self.scale < 0.0):
            raise ValueError("scale must not be negative")

    @property
    def dimension(self) -> int:
        """Number of coordinates d."""
        return self.mean.size

    def sample(self, count: int, generator: np.random.Generator) -> Array:
        """Draw clean samples, (count, d): mean + scale z."""
        return self.mean + self.scale * generator.standard_normal((count, self.dimension))

    def marginal(self, level: Level) -> "Gaussian":
        """Return N(a mean, V) with V = a^2 scale^2 + s^2, the distribution of x at a level."""
        return Gaussian(level.a * self.mean, np.sqrt(self._variance(level)))

    def log_density(self, x: ArrayLike, level: Level = CLEAN) -> Array:
        """Return -sum((x - a mean)^2 / V + log(2 pi V)) / 2, (n,)."""
        variance = _positive(self._variance(level))
        squares = self._offset(x, level) ** 2 / variance
        return np.asarray(-0.5 * np.sum(squares + np.log(2.0 * math.pi * variance), axis=1))

    def score(self, x: ArrayLike, level: Level = CLEAN) -> Array:
        """Return -(x - a mean) / V, (n, d)."""
        return -self._offset(x, level) / _positive(self._variance(level))

    def parts(self, x: ArrayLike, level: Level) -> Parts[Array]:
        """Return x0* = mean + a scale^2 (x - a mean) / V and eps* = s (x - a mean) / V.

        Each (n, d); finite at every level, pure noise and clean data included.
        """
        offset = self._offset(x, level) / _or_one(self._variance(level))
        return Parts(self.mean + level.a * self.scale**2 * offset, level.s * offset)

    def posterior_covariance(self, x: ArrayLike, level: Level) -> Array:
        """Return diag(scale^2 s^2 / V), (n, d, d): the same for every x."""
        variance = (self.scale * level.s) ** 2 / _or_one(self._variance(level))
        count = _samples(x, self.dimension).shape[0]
        return np.repeat(np.diag(variance)[np.newaxis], count, axis=0)

    def tilt(self, reward: Reward, weight: float = 1.0) -> "Tilted[Gaussian]":
        """Return the tilt by exp(weight r(x)).

        Linear r: mean + weight slope scale^2, log Z = weight r(mean) + sum((weight slope
        scale)^2) / 2. Quadratic r: with q = 1 + weight precision scale^2 > 0, variance
        scale^2 / q, mean (mean + (q - 1) center) / q, log Z = -sum(log q + weight precision
        (mean - center)^2 / q) / 2.
        """
        if isinstance(reward, LinearReward):
            pull = weight * reward.slope * self.scale
            log_normalizer = weight * float(reward(self.mean[np.newaxis])[0]) + 0.5 * pull @ pull
            return Tilted(
                Gaussian(self.mean + pull * self.scale, self.scale), float(log_normalizer)
            )
        pull = weight * reward.precision * self.scale**2
        growth = 1.0 + pull
        if np.any(growth <= 0.0):
            raise ValueError("the tilted density has no finite mass: the weight is too negative")
        squares = weight * reward.precision * (self.mean - reward.center) ** 2 / growth
        tilted = Gaussian((self.mean + pull * reward.center) / growth, self.scale / np.sqrt(growth))
        return Tilted(tilted, float(-0.5 * np.sum(np.log(growth) + squares)))

    def _variance(self, level: Level) -> Array:
        return np.asarray((level.a * self.scale) ** 2 + level.s**2)

    def _offset(self, x: ArrayLike, level: Level) -> Array:
        return _samples(x, self.dimension) - level.a * self.mean


class Mixture:
    """The distribution sum_k weights_k N(means_k, diag(scales_k^2)).

    >>> data = Mixture(weights=[0.5, 0.5], means=[[-1.0], [1.0]], scales=0.1)
    >>> data.parts([[0.0]], Level(0.5, 0.5)).x0
    array([[0.]])
    """

    def __init__(self, weights: ArrayLike, means: ArrayLike, scales: ArrayLike) -> None:
        """Take weights, (k,), scaled to sum to 1; means, (k, d); and deviations.

        Deviations are (k, d), or (k,) for isotropic components, or one number for all.
        """
        self.means = _frozen("means", means)
        if self.means.ndim != 2 or self.means.size == 0:
            raise ValueError(f"means must have shape (k, d), got {self.means.shape}")
        raw = _vector("weights", weights)
        if raw.size != self.means.shape[0] or np.any(raw < 0.0) or not np.any(raw > 0.0):
            raise ValueError(f"weights must be {self.means.shape[0]} numbers >= 0, not all zero")
        self.weights = _frozen("weights", raw / raw.sum())
        deviations = np.asarray(scales, dtype=np.float64)
        per_component = deviations[:, np.newaxis] if deviations.ndim == 1 else deviations
        self.scales = _spread("scales", per_component, self.means.shape)
        if np.any(self.scales < 0.0):
            raise ValueError("scales must not be negative")

    @property
    def dimension(self) -> int:
        """Number of coordinates d."""
        return int(self.means.shape[1])

    def sample(self, count: int, generator: np.random.Generator) -> Array:
        """Draw clean samples, (count, d): a component by its weight, then its Gaussian."""
        chosen = generator.choice(self.weights.size, size=count, p=self.weights)
        noise = generator.standard_normal((count, self.dimension))
        return self.means[chosen] + self.scales[chosen] * noise

    def marginal(self, level: Level) -> "Mixture":
        """Return the mixture of N(a means_k, V_k), V_k = a^2 scales_k^2 + s^2."""
        return Mixture(self.weights, level.a * self.means, np.sqrt(self._variances(level)))

    def log_density(self, x: ArrayLike, level: Level = CLEAN) -> Array:
        """Return log sum_k weights_k N(x; a means_k, V_k), (n,)."""
        return _log_sum(self._log_joint(x, level))

    def responsibilities(self, x: ArrayLike, level: Level = CLEAN) -> Array:
        """Return the probability of each component given x, (n, k)."""
        joint = self._log_joint(x, level)
        return np.exp(joint - _log_sum(joint)[:, np.newaxis])

    def score(self, x: ArrayLike, level: Level = CLEAN) -> Array:
        """Return -sum_k w_k(x) (x - a means_k) / V_k, (n, d), w_k the responsibilities."""
        pulls = self._offsets(x, level) / _positive(self._variances(level))
        return -self._average(pulls, self.responsibilities(x, level))

    def parts(self, x: ArrayLike, level: Level) -> Parts[Array]:
        """Return the responsibility-weighted means of the components' x0* and eps*.

        Each (n, d); x0*_k = means_k + a scales_k^2 (x - a means_k) / V_k and
        eps*_k = s (x - a means_k) / V_k.
        """
        shares = self.responsibilities(x, level)
        offsets = self._offsets(x, level) / _positive(self._variances(level))
        x0 = self._average(self.means + level.a * self.scales**2 * offsets, shares)
        return Parts(x0, level.s * self._average(offsets, shares))

    def posterior_covariance(self, x: ArrayLike, level: Level) -> Array:
        """Return sum_k w_k (C_k + (x0*_k - x0*)(x0*_k - x0*)^T), (n, d, d).

        C_k = diag(scales_k^2 s^2 / V_k) is the covariance within a component.
        """
        shares = self.responsibilities(x, level)
        variances = _positive(self._variances(level))
        offsets = self._offsets(x, level) / variances
        centers = self.means + level.a * self.scales**2 * offsets
        apart = centers - self._average(centers, shares)[:, np.newaxis]
        between = np.einsum("nk,nki,nkj->nij", shares, apart, apart)
        within = shares @ ((self.scales * level.s) ** 2 / variances)
        return np.asarray(between + within[:, :, np.newaxis] * np.eye(self.dimension))

    def tilt(self, reward: Reward, weight: float = 1.0) -> "Tilted[Mixture]":
        """Return the tilt by exp(weight r(x)): each component's, reweighted by its own Z_k.

        weights_k Z_k / Z with Z = sum_k weights_k Z_k; means, scales and Z_k of `Gaussian.tilt`.
        """
        tilts = [
            Gaussian(mean, scale).tilt(reward, weight)
            for mean, scale in zip(self.means, self.scales, strict=True)
        ]
        joint = self._log_weights() + np.array([tilted.log_normalizer for tilted in tilts])
        log_normalizer = float(_log_sum(joint[np.newaxis])[0])
        means = np.stack([tilted.distribution.mean for tilted in tilts])
        scales = np.stack([tilted.distribution.scale for tilted in tilts])
        return Tilted(Mixture(np.exp(joint - log_normalizer), means, scales), log_normalizer)

    def _variances(self, level: Level) -> Array:
        return np.asarray((level.a * self.scales) ** 2 + level.s**2)

    def _offsets(self, x: ArrayLike, level: Level) -> Array:
        return _samples(x, self.dimension)[:, np.newaxis] - level.a * self.means

    def _log_joint(self, x: ArrayLike, level: Level) -> Array:
        variances = _positive(self._variances(level))
        squares = self._offsets(x, level) ** 2 / variances
        logs = np.sum(squares + np.log(2.0 * math.pi * variances), axis=2)
        return np.asarray(self._log_weights() - 0.5 * logs)

    def _log_weights(self) -> Array:
        with np.errstate(divide="ignore"):  # a steep tilt leaves components with weight zero
            return np.asarray(np.log(self.weights))

    @staticmethod
    def _average(values: Array, shares: Array) -> Array:
        return np.asarray(np.einsum("nk,nki->ni", shares, values))


def _log_sum(values: Array) -> Array:
    top = values.max(axis=1, keepdims=True)
    return np.asarray(top[:, 0] + np.log(np.exp(values - top).sum(axis=1)))


def _frozen(name: str, values: ArrayLike) -> Array:
    array = np.array(values, dtype=np.float64)
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} must be finite")
    array.setflags(write=False)
    return array


def _vector(name: str, values: ArrayLike) -> Array:
    array = _frozen(name, np.atleast_1d(np.asarray(values, dtype=np.float64)))
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} must have shape (d,), got {array.shape}")
    return array


def _spread(name: str, values: ArrayLike, shape: tuple[int, ...]) -> Array:
    array = np.asarray(values, dtype=np.float64)
    try:
        return _frozen(name, np.broadcast_to(array, shape))
    except ValueError as error:
        raise ValueError(f"{name} of shape {array.shape} does not fit {shape}") from error


def _samples(x: ArrayLike, dimension: int) -> Array:
    array = np.asarray(x, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != dimension:
        raise ValueError(f"samples must have shape (n, {dimension}), got {array.shape}")
    return array


def _positive(variance: Array) -> Array:
    if np.any(variance <= 0.0):
        raise ValueError("a point mass without noise has no density")
    return variance


def _or_one(variance: Array) -> Array:
    # Zero variance means x = a mean exactly; any divisor then gives the right zero offset.
    return np.where(variance > 0.0, variance, 1.0)

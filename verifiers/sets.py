"""What is said of a whole set of pictures: Fréchet distance of features, and inception score.

FID is Heusel et al. 2017 (arXiv:1706.08500), the inception score Salimans et al. 2016
(arXiv:1606.03498).  Both are bound to what makes features and classes of a picture: figures by
different models, and published ones by Inception, are not comparable.  Sets are summed up as they
stream by, and sums of parts add up.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noise_search.errors import UserError

__all__ = ["Classes", "Statistics", "frechet"]

Array = NDArray[np.float64]
FORMAT = "noise-search statistics 1"


@dataclass(frozen=True, eq=False)
class Statistics:
    """Mean and spread of the features of a set.

    Attributes:
        count: how many pictures.
        mean: (D,).
        scatter: (D, D), the sum of outer products of what differs from the mean.
        extractor: what has made the features; statistics of different ones cannot be compared.
    """

    count: int
    mean: Array
    scatter: Array
    extractor: str = "unknown"

    @classmethod
    def of(cls, rows: ArrayLike, extractor: str = "unknown") -> Self:
        """The statistics of some features.

        Args:
            rows: (N, D).
            extractor: what has made them.
        """
        values = np.asarray(rows, np.float64)
        if values.ndim != 2 or len(values) == 0 or not np.isfinite(values).all():
            raise ValueError(
                f"features of shape {values.shape}: finite rows are needed, one or more"
            )
        mean = values.mean(0)
        apart = values - mean
        return cls(len(values), mean, apart.T @ apart, extractor)

    def __add__(self, other: Statistics) -> Statistics:
        """The statistics of both sets together (Chan et al. 1979).

        Raises:
            UserError: another extractor has made the other's.
        """
        check_same(self, other)
        count = self.count + other.count
        apart = other.mean - self.mean
        shift = np.outer(apart, apart) * (self.count * other.count / count)
        mean = self.mean + apart * (other.count / count)
        return Statistics(count, mean, self.scatter + other.scatter + shift, self.extractor)

    @property
    def covariance(self) -> Array:
        """(D, D), without bias; zeros of one picture."""
        return self.scatter / max(self.count - 1, 1)

    def save(self, path: str | Path) -> None:
        """Write them as safetensors."""
        from safetensors.numpy import save_file

        about = {"format": FORMAT, "count": str(self.count), "extractor": self.extractor}
        arrays = {"mean": self.mean, "covariance": self.covariance}
        save_file(arrays, Path(path), metadata=about)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            UserError: it is no such file.
        """
        from safetensors import SafetensorError, safe_open

        where = Path(path).expanduser()
        if not where.is_file():
            raise UserError(f"reference={where}: no such file")
        try:
            with safe_open(where, framework="numpy") as file:
                about = file.metadata() or {}
                if about.get("format") != FORMAT:
                    raise UserError(f"reference={where}: no statistics that noise-search wrote")
                mean = np.asarray(file.get_tensor("mean"), np.float64)
                covariance = np.asarray(file.get_tensor("covariance"), np.float64)
            count = int(about["count"])
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, UserError):
                raise
            said = " ".join(str(error).split())[:160]
            raise UserError(f"reference={where}: the file is damaged: {said}") from None
        sound = np.isfinite(mean).all() and np.isfinite(covariance).all() and count > 0
        if mean.ndim != 1 or covariance.shape != 2 * mean.shape or not sound:
            raise UserError(f"reference={where}: the file is damaged: mean {mean.shape}")
        return cls(count, mean, covariance * max(count - 1, 1), about["extractor"])


def check_same(one: Statistics, other: Statistics) -> None:
    """Refuse statistics of features that different extractors have made.

    Raises:
        UserError: they have.
    """
    if one.extractor != other.extractor or one.mean.shape != other.mean.shape:
        raise UserError(
            f"features by {one.extractor[:100]!r} ({len(one.mean)}) cannot be compared with "
            f"those by {other.extractor[:100]!r} ({len(other.mean)})"
        )


def frechet(one: Statistics, other: Statistics) -> float:
    """The squared Fréchet distance of two normal distributions with these means and covariances.

    ``|m1 - m2|^2 + tr C1 + tr C2 - 2 tr (C1 C2)^(1/2)``. The last trace is the sum of the singular
    values of ``C1^(1/2) C2^(1/2)``: real and not negative for any covariances, singular ones too,
    where the root of the product ``C1 C2`` itself comes out complex.

    Raises:
        UserError: different extractors have made the features.
    """
    check_same(one, other)
    apart = one.mean - other.mean
    product = _root(one.covariance) @ _root(other.covariance)
    common = np.linalg.svd(product, compute_uv=False).sum()
    spread = np.trace(one.covariance) + np.trace(other.covariance) - 2 * common
    return max(float(apart @ apart + spread), 0.0)


def _root(covariance: Array) -> Array:
    """The symmetric root of a covariance; what rounding has made negative is zero."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    found: Array = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return found


@dataclass(frozen=True, eq=False)
class Classes:
    """What a set's class probabilities come to.

    Attributes:
        count: how many pictures.
        mean: the mean probability of each class, (K,).
        certainty: the mean over pictures of ``sum p log p``, 0 where every picture is sure.
    """

    count: int
    mean: Array
    certainty: float

    @classmethod
    def of(cls, rows: ArrayLike) -> Self:
        """Of probabilities (N, K), each row with the sum 1."""
        values = np.asarray(rows, np.float64)
        if values.ndim != 2 or len(values) == 0 or not np.allclose(values.sum(1), 1, atol=1e-4):
            raise ValueError(
                f"probabilities of shape {values.shape}: rows with the sum 1 are needed"
            )
        return cls(len(values), values.mean(0), float(_entropies(values).mean()))

    def __add__(self, other: Classes) -> Classes:
        """Of both sets together."""
        count = self.count + other.count
        share = other.count / count
        mean = self.mean + (other.mean - self.mean) * share
        return Classes(count, mean, self.certainty + (other.certainty - self.certainty) * share)

    @property
    def score(self) -> float:
        """The inception score, 1 to K: the exponential of the mean KL from the set's classes."""
        return float(np.exp(self.certainty - _entropies(self.mean[None])[0]))


def _entropies(rows: Array) -> Array:
    """``sum p log p`` of each row, where 0 log 0 is 0."""
    found: Array = (rows * np.log(np.where(rows > 0, rows, 1))).sum(1)
    return found

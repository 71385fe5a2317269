"""Means with 95 % bands, where prompts are what was sampled and seeds of a prompt belong together.

Two samples of one prompt are alike, so they are never counted as two independent ones: every
band is made of one mean a prompt. A band of numbers is Student's t interval on those means. A
band of a share (every value 0 or 1) is Wilson's interval at the effective sample size and with
the t quantile of Korn & Graubard (1998): it stays within [0, 1], and ten successes of ten are
not taken for certainty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import fsum, sqrt
from typing import NamedTuple, TypeVar

CONFIDENCE = 0.95
METHOD = (
    "95 % bands over prompts; seeds of a prompt count as one cluster. Student's t on prompt means; "
    "for shares (every value 0 or 1) Wilson's interval at the effective sample size of Korn and "
    "Graubard (1998)."
)

K = TypeVar("K")
Clusters = Sequence[Sequence[float]]
"""Values by cluster: those of one prompt together."""


class Band(NamedTuple):
    """A mean and where it may lie.

    Attributes:
        mean: of the prompts' means.
        low: the lower end of the 95 % band, or None if there is one cluster alone.
        high: the upper end, likewise.
        n: values in it.
        clusters: prompts in it.
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    clusters: int

    @property
    def resolved(self) -> bool:
        """Whether 0 lies outside of the band."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


def band(clusters: Clusters, *, share: bool = False) -> Band | None:
    """The mean of clusters with its band; None if they hold no value.

    Values of a single cluster are taken for clusters of their own: a band over its seeds.

    Args:
        clusters: values by prompt.
        share: every value is 0 or 1, and the mean a share.

    >>> ten_of_ten = band([[1.0]] * 10, share=True)
    >>> f"{ten_of_ten.mean:.2f} [{ten_of_ten.low:.2f}, {ten_of_ten.high:.2f}]"
    '1.00 [0.66, 1.00]'
    """
    filled = [list(values) for values in clusters if values]
    if len(filled) == 1:
        filled = [[value] for value in filled[0]]
    if not filled:
        return None
    every = [value for values in filled for value in values]
    means = [fsum(values) / len(values) for values in filled]
    mean = fsum(means) / len(means)
    if len(means) == 1:
        return Band(mean, None, None, len(every), 1)
    error = sqrt(fsum((m - mean) ** 2 for m in means) / (len(means) - 1) / len(means))
    if share:
        low, high = _share(mean, error, len(every), len(means))
    else:
        reach = _quantile(len(means) - 1) * error
        low, high = mean - reach, mean + reach
    return Band(mean, low, high, len(every), len(means))


def differences(
    ours: Mapping[K, Sequence[float | None]], theirs: Mapping[K, Sequence[float | None]]
) -> Band | None:
    """The mean difference of values by prompt and seed, ours less theirs, with its band.

    The band is Student's t, for shares too: their differences may be -1. A pair of which one value
    is missing is left out, which `n` tells.
    """
    clusters: list[list[float]] = [
        [a - b for a, b in zip(ours[key], theirs[key], strict=True) if not (a is None or b is None)]
        for key in ours
    ]
    return band(clusters)


def _quantile(freedom: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.5 + CONFIDENCE / 2))


def _share(mean: float, error: float, n: int, clusters: int) -> tuple[float, float]:
    """Wilson's interval at the effective sample size, with the t quantile of the clusters."""
    spread = mean * (1 - mean)
    # prompts that all agree tell nothing of how alike seeds are: each prompt counts once
    effective = min(float(n), spread / error**2) if spread and error else float(clusters)
    t2 = _quantile(clusters - 1) ** 2 / effective
    centre, reach = mean + t2 / 2, sqrt(t2 * (spread + t2 / 4))
    return max(0.0, (centre - reach) / (1 + t2)), min(1.0, (centre + reach) / (1 + t2))

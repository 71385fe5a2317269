"""Bands cover what they claim to, and say so where they cannot."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from noise_search.study.statistics import Band, band, differences

Draw = Callable[[np.random.Generator, int, int], NDArray[np.float64]]


def shares(mean: float, likeness: float) -> Draw:
    """Right or wrong, (prompts, seeds): seeds of a prompt share its difficulty."""
    total = (1 - likeness) / likeness

    def draw(rng: np.random.Generator, prompts: int, seeds: int) -> NDArray[np.float64]:
        chance = rng.beta(mean * total, (1 - mean) * total, size=(prompts, 1))
        return np.asarray(rng.random((prompts, seeds)) < chance, dtype=np.float64)

    return draw


def numbers(mean: float, likeness: float) -> Draw:
    """Scores, (prompts, seeds): seeds of a prompt share its level."""

    def draw(rng: np.random.Generator, prompts: int, seeds: int) -> NDArray[np.float64]:
        level = mean + np.sqrt(likeness) * rng.standard_normal((prompts, 1))
        own = np.sqrt(1 - likeness) * rng.standard_normal((prompts, seeds))
        scores: NDArray[np.float64] = level + own
        return scores

    return draw


def gains(mean: float, likeness: float) -> Draw:
    """Differences of two shares whose searches see the same prompts: -1, 0 or 1."""
    ours, theirs = shares(0.5 + mean / 2, likeness), shares(0.5 - mean / 2, likeness)
    return lambda rng, prompts, seeds: ours(rng, prompts, seeds) - theirs(rng, prompts, seeds)


def coverage(draw: Draw, truth: float, studies: int, *, share: bool) -> float:
    """How many of so many studies of 60 prompts x 2 seeds have the truth in their band."""
    rng = np.random.default_rng(20250116)
    held = 0
    for _ in range(studies):
        found = band(draw(rng, 60, 2).tolist(), share=share)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        held += found.low <= truth <= found.high
    return held / studies


CASES = [
    pytest.param(shares(0.45, 0.4), 0.45, True, id="share 45 %"),
    pytest.param(shares(0.80, 0.4), 0.80, True, id="share 80 %"),
    pytest.param(shares(0.90, 0.4), 0.90, True, id="share 90 %"),
    pytest.param(numbers(3.0, 0.5), 3.0, False, id="score"),
    pytest.param(gains(0.1, 0.3), 0.1, False, id="paired gain of 10 points"),
]


@pytest.mark.parametrize(("draw", "truth", "share"), CASES)
def test_bands_cover_93_to_97_percent_of_1000_studies(
    draw: Draw, truth: float, share: bool
) -> None:
    assert 0.93 <= coverage(draw, truth, 1000, share=share) <= 0.97


def test_a_band_that_took_seeds_for_independent_would_be_too_narrow() -> None:
    rng = np.random.default_rng(1)
    alike = numbers(0.0, 0.9)(rng, 30, 4)
    together = band(alike.tolist())
    apart = band([[value] for value in alike.ravel().tolist()])
    assert together is not None
    assert apart is not None
    assert _width(together) > 1.5 * _width(apart)


def test_shares_stay_within_0_and_1_and_are_never_certain() -> None:
    for right in range(11):
        found = band([[1.0]] * right + [[0.0]] * (10 - right), share=True)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        assert 0 <= found.low <= found.mean <= found.high <= 1
        assert found.high - found.low > 0.25


def test_the_t_interval_is_the_textbook_one() -> None:
    found = band([[1.0], [2.0], [3.0], [6.0]])
    assert found is not None
    # s = 2.160, s / sqrt(4) = 1.080, t(3) = 3.182
    assert found.mean == 3.0
    assert found.low == pytest.approx(3.0 - 3.437, abs=1e-3)
    assert found.high == pytest.approx(3.0 + 3.437, abs=1e-3)


def test_one_prompt_has_a_band_over_its_seeds_and_one_value_has_none() -> None:
    assert band([[1.0, 2.0, 3.0]]) == band([[1.0], [2.0], [3.0]])
    assert band([[1.0]]) == Band(1.0, None, None, 1, 1)
    assert band([]) is None
    assert band([[], []]) is None


def test_every_prompt_weighs_the_same_whatever_it_has_of_values() -> None:
    found = band([[0.0], [1.0, 1.0, 1.0]])
    assert found is not None
    assert found.mean == 0.5
    assert found.n == 4


def test_differences_are_paired_and_missing_ones_are_counted_out() -> None:
    ours: dict[str, list[float | None]] = {"a": [3.0, None], "b": [5.0, 6.0], "c": [None, None]}
    theirs: dict[str, list[float | None]] = {"a": [1.0, 9.0], "b": [2.0, 3.0], "c": [0.0, 0.0]}
    found = differences(ours, theirs)
    assert found is not None
    assert (found.mean, found.n, found.clusters) == (2.5, 3, 2)


def test_a_difference_is_resolved_when_its_band_leaves_0_out() -> None:
    assert Band(1.0, 0.1, 1.9, 9, 9).resolved
    assert not Band(1.0, -0.1, 2.1, 9, 9).resolved
    assert not Band(1.0, None, None, 1, 1).resolved


def _width(found: Band) -> float:
    assert found.low is not None
    assert found.high is not None
    return found.high - found.low

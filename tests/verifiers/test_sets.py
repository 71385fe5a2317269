"""The arithmetic of measures of sets: closed forms, other computations, parts that add up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
from numpy.typing import NDArray

from noise_search.errors import UserError
from noise_search.verifiers.sets import Classes, Statistics, frechet

Array = NDArray[np.float64]


def normal(mean: Array, covariance: Array) -> Statistics:
    return Statistics(1001, mean, covariance * 1000)


def rows(seed: int, count: int, width: int) -> Array:
    numbers = np.random.default_rng(seed)
    mixing = numbers.normal(size=(width, width))
    return np.asarray(numbers.normal(size=(count, width)) @ mixing + numbers.normal(size=width))


def random_covariance(seed: int, width: int) -> Array:
    root = np.random.default_rng(seed).normal(size=(width, width))
    return np.asarray(root @ root.T)


def test_equal_covariances_leave_the_distance_of_the_means() -> None:
    covariance = random_covariance(0, 6)
    shift = np.arange(6.0)
    found = frechet(normal(shift, covariance), normal(np.zeros(6), covariance))
    assert found == pytest.approx(55.0, rel=1e-10)


def test_variances_along_the_axes_differ_by_their_roots() -> None:
    one, other = np.array([4.0, 9.0, 0.0]), np.array([1.0, 16.0, 25.0])
    found = frechet(normal(np.zeros(3), np.diag(one)), normal(np.zeros(3), np.diag(other)))
    assert found == pytest.approx(1 + 1 + 25, rel=1e-12)


def test_turning_both_changes_nothing() -> None:
    one, other = np.diag([4.0, 9.0, 1.0]), np.diag([1.0, 16.0, 25.0])
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    found = frechet(
        normal(np.zeros(3), turn @ one @ turn.T), normal(np.zeros(3), turn @ other @ turn.T)
    )
    assert found == pytest.approx(1 + 1 + 16, rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_formula_of_the_paper(seed: int) -> None:
    """Straight from Heusel et al., with the root of the product that scipy finds."""
    one, other = rows(seed, 200, 12), rows(seed + 50, 150, 12)
    means = one.mean(0), other.mean(0)
    first, second = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    root = scipy.linalg.sqrtm(first @ second)
    expected = ((means[0] - means[1]) ** 2).sum() + np.trace(first + second - 2 * root.real)
    assert frechet(Statistics.of(one), Statistics.of(other)) == pytest.approx(expected, rel=1e-9)


def test_fewer_pictures_than_features_give_a_real_and_symmetric_distance() -> None:
    one, other = Statistics.of(rows(0, 10, 64)), Statistics.of(rows(1, 12, 64))
    assert frechet(one, other) == pytest.approx(frechet(other, one), rel=1e-10)
    assert frechet(one, other) > 0
    assert frechet(one, one) == pytest.approx(0, abs=1e-9 * np.trace(one.covariance))


def test_one_picture_has_no_spread() -> None:
    one = Statistics.of([[1.0, 2.0]])
    assert frechet(one, normal(np.zeros(2), np.eye(2))) == pytest.approx(5 + 2)


@pytest.mark.parametrize("cuts", [(1,), (50,), (3, 4, 77), tuple(range(1, 100))])
def test_parts_add_up_to_the_whole(cuts: tuple[int, ...]) -> None:
    values = rows(2, 100, 5) + 1e4  # a large mean, where sums of squares would lose digits
    first, *rest = (Statistics.of(part) for part in np.split(values, cuts))
    whole = first
    for part in rest:
        whole = whole + part
    assert whole.count == 100
    assert whole.mean == pytest.approx(values.mean(0), rel=1e-12)
    assert whole.covariance == pytest.approx(np.cov(values, rowvar=False), rel=1e-7)


def test_statistics_are_kept_with_the_name_of_their_extractor(tmp_path: Path) -> None:
    one = Statistics.of(rows(0, 30, 4), "clip 1")
    one.save(tmp_path / "a.safetensors")
    again = Statistics.load(tmp_path / "a.safetensors")
    assert (again.count, again.extractor) == (30, "clip 1")
    assert frechet(one, again) == pytest.approx(0, abs=1e-12)
    for other in (Statistics.of(rows(0, 30, 4), "clip 2"), Statistics.of(rows(0, 30, 5), "clip 1")):
        with pytest.raises(UserError, match="cannot be compared"):
            frechet(one, other)
        with pytest.raises(UserError, match="cannot be compared"):
            _ = one + other


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (b"", "damaged"),
        (b"\xff" * 64, "damaged"),
        (None, "no such file"),
    ],
)
def test_a_file_that_is_none_is_told_in_one_line(
    tmp_path: Path, spoil: bytes | None, said: str
) -> None:
    path = tmp_path / "a.safetensors"
    if spoil is not None:
        path.write_bytes(spoil)
    with pytest.raises(UserError, match=f"reference=.*a.safetensors: .*{said}"):
        Statistics.load(path)


def test_files_of_others_and_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    about = {"format": "noise-search statistics 1", "count": "9", "extractor": "x"}
    arrays = {"mean": np.zeros(3), "covariance": np.zeros((4, 4))}
    save_file(arrays, tmp_path / "a", about)
    with pytest.raises(UserError, match="damaged"):
        Statistics.load(tmp_path / "a")
    save_file(arrays, tmp_path / "b")
    with pytest.raises(UserError, match="no statistics that noise-search wrote"):
        Statistics.load(tmp_path / "b")
    save_file({"mean": np.full(3, np.nan), "covariance": np.eye(3)}, tmp_path / "c", about)
    with pytest.raises(UserError, match="damaged"):
        Statistics.load(tmp_path / "c")


def test_features_that_are_none_are_refused() -> None:
    for broken in (np.zeros((0, 3)), np.zeros(3), np.array([[1.0, np.inf]])):
        with pytest.raises(ValueError, match="finite rows are needed"):
            Statistics.of(broken)


@pytest.mark.parametrize("classes", [1, 2, 10, 1000])
def test_sure_and_evenly_spread_classes_score_their_number(classes: int) -> None:
    assert Classes.of(np.eye(classes)).score == pytest.approx(classes)


def test_the_least_score_is_one() -> None:
    assert Classes.of(np.full((9, 4), 0.25)).score == pytest.approx(1)  # nothing is sure
    assert Classes.of(np.eye(4)[[2] * 9]).score == pytest.approx(1)  # nothing varies


def test_the_score_is_the_formula_of_the_paper_and_parts_add_up() -> None:
    logits = np.random.default_rng(3).normal(size=(40, 7)) * 3
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    divergences = [sum(row[k] * np.log(row[k] / p[:, k].mean()) for k in range(7)) for row in p]
    assert Classes.of(p).score == pytest.approx(np.exp(np.mean(divergences)), rel=1e-12)
    parts = Classes.of(p[:3]) + Classes.of(p[3:20]) + Classes.of(p[20:])
    assert parts.count == 40
    assert parts.score == pytest.approx(Classes.of(p).score, rel=1e-12)
    with pytest.raises(ValueError, match="rows with the sum 1"):
        Classes.of(logits)

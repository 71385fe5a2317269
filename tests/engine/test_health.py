"""What is broken is told apart from what is only dark or early."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from noise_search.health import image_problem, vector_problem


def picture(value: float = 0.5) -> np.ndarray:
    image = np.full((8, 8, 3), value)
    image[2, 3, 0] = 0.9
    return image


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("finished", [True, False])
def test_pixels_that_are_no_numbers(bad: float, finished: bool) -> None:
    image = picture()
    image[7, 7, 2] = bad
    assert image_problem(image, finished) == "pixels are not finite"


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 4), (0, 8, 3), (2, 8, 8, 3)])
def test_shapes_that_are_no_picture(shape: tuple[int, ...]) -> None:
    reason = image_problem(np.ones(shape), finished=True)
    assert reason is not None
    assert str(shape) in reason
    assert image_problem(picture(), finished=True, shape=(4, 4, 3)) is not None
    assert image_problem(picture(), finished=True, shape=(8, 8, 3)) is None


@pytest.mark.parametrize("kind", [float, np.uint8])
def test_finished_pictures_show_something(kind: Any) -> None:
    unit = 255 if kind is np.uint8 else 1

    def of(value: float) -> np.ndarray:
        return np.full((8, 8, 3), value * unit).astype(kind)

    assert image_problem(of(0.0), finished=True) == "the picture is black"
    assert image_problem(of(0.004), finished=True) == "the picture is black"
    for value in (0.5, 1.0):
        assert "flat" in (image_problem(of(value), finished=True) or "")
    stripe = of(0.5)
    stripe[0] = of(0.004)[0]
    assert image_problem(stripe, finished=True) is None
    speck = of(0.0)
    speck[3, 3, 1] = kind(unit)
    assert image_problem(speck, finished=True) is None


def test_one_colour_in_all_channels_is_flat_too() -> None:
    image = np.zeros((8, 8, 3))
    image[..., 0] = 1.0
    assert "flat" in (image_problem(image, finished=True) or "")


def test_early_predictions_may_be_dark() -> None:
    assert image_problem(np.zeros((8, 8, 3)), finished=False) is None


def test_vectors() -> None:
    assert vector_problem(np.zeros(3), (3,)) is None
    assert vector_problem(np.array([0.0, np.nan, 0.0]), (3,)) == "the sample is not finite"
    assert "shape (2,)" in (vector_problem(np.zeros(2), (3,)) or "")

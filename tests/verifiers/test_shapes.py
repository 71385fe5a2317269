"""The classical evaluator of shapes against pictures whose truth is known."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from noise_search.pipelines.shapes.scenes import (
    CATEGORIES,
    COLORS,
    RELATIONS,
    SHAPES,
    Group,
    Scene,
    caption,
    captions,
    parse,
    render,
    render_batch,
)
from noise_search.verifiers.shapes import is_correct, read_scene

OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}


def of_category(category: str, count: int, rng: np.random.Generator) -> list[str]:
    texts = [text for text in captions() if parse(text).category == category]
    return [texts[i] for i in rng.integers(len(texts), size=count)]


def same_meaning(one: Scene, other: Scene) -> bool:
    if one == other:
        return True
    swapped = (one.first, one.second) == (other.second, other.first)
    mirrored = OPPOSITE.get(one.relation) if one.relation else None
    return swapped and mirrored == other.relation


def rates(category: str, count: int) -> tuple[float, float]:
    """Accuracy on true captions and false accepts on shuffled ones of the same category."""
    rng = np.random.default_rng(17)
    texts = of_category(category, count, rng)
    images = render_batch([parse(text) for text in texts], rng)
    right = sum(map(is_correct, images, texts))
    others = of_category(category, count, rng)
    wrong = [
        is_correct(image, other)
        for image, text, other in zip(images, texts, others, strict=True)
        if not same_meaning(parse(text), parse(other))
    ]
    return right / count, sum(wrong) / len(wrong)


@pytest.mark.parametrize("category", CATEGORIES)
def test_true_captions_pass_and_shuffled_ones_fail(category: str) -> None:
    accuracy, false_accepts = rates(category, 200)
    assert accuracy >= 0.985
    assert false_accepts <= 0.005


@pytest.mark.nightly
@pytest.mark.parametrize("category", CATEGORIES)
def test_the_floor_on_many_pictures(category: str) -> None:
    accuracy, false_accepts = rates(category, 2000)
    assert accuracy >= 0.985
    assert false_accepts <= 0.005


def near_misses(scene: Scene) -> Iterator[Scene]:
    """Scenes that differ in one thing: a count, a colour, an outline, a relation."""
    first, second, link = scene.first, scene.second, scene.relation
    shape = SHAPES[(SHAPES.index(first.shape) + 1) % 3]
    taken = {first.color, second.color if second else ""}
    color = next(name for name in COLORS if name not in taken)
    most = 4 if second is None else 2
    others = [
        Group(first.count % most + 1, first.color, first.shape),
        Group(first.count, color, first.shape),
        Group(first.count, first.color, shape),
    ]
    changed = [Scene(scene.category, other, link, second) for other in others]
    if link is not None:
        changed += [
            Scene(scene.category, first, word, second) for word in RELATIONS if word != link
        ]
    for item in changed:
        yield parse(caption(item))


@pytest.mark.parametrize("category", CATEGORIES)
def test_near_misses_fail(category: str) -> None:
    rng = np.random.default_rng(5)
    for text in of_category(category, 40, rng):
        image = render(parse(text), rng)
        assert not any(is_correct(image, caption(miss)) for miss in near_misses(parse(text)))


def test_a_scene_is_read_back() -> None:
    found = read_scene(
        render(parse("a red circle left of a blue square"), np.random.default_rng(1))
    )
    by_color = {item.color: item for item in found}
    assert {(item.color, item.shape) for item in found} == {("red", "circle"), ("blue", "square")}
    assert by_color["red"].centre[0] < by_color["blue"].centre[0]
    assert all(30 < item.area < 100 for item in found)


GARBAGE: list[NDArray[np.generic]] = [
    np.zeros((32, 32, 3), dtype=np.uint8),
    np.full((32, 32, 3), 255, dtype=np.uint8),
    np.full((32, 32, 3), np.nan),
    np.full((32, 32, 3), np.inf, dtype=np.float32),
    np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8),
    np.full((32, 32, 3), -1e30),
    np.tile(np.array([255, 0, 0], dtype=np.uint8), (32, 32, 1)),
]


@pytest.mark.parametrize("image", GARBAGE)
def test_garbage_shows_nothing(image: NDArray[np.generic]) -> None:
    for text in ("a red circle", "two red circles and a blue square", "a red square"):
        assert not is_correct(image, text)


def test_a_bright_colourless_object_counts_as_one_too_many() -> None:
    image = render(parse("a red circle"), np.random.default_rng(2))
    assert is_correct(image, "a red circle")
    x, y = read_scene(image)[0].centre
    top, left = (2 if y > 16 else 22), (2 if x > 16 else 22)
    image[top : top + 8, left : left + 8] = 230
    assert not is_correct(image, "a red circle")


def test_wrong_shapes_and_sentences_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(32, 32, 3\)"):
        read_scene(np.zeros((3, 32, 32), dtype=np.uint8))
    with pytest.raises(ValueError, match="'dog'"):
        is_correct(np.zeros((32, 32, 3), dtype=np.uint8), "a red dog")

"""The language of shapes and its renderer."""

from __future__ import annotations

import copy
import pickle
import time
import zlib

import numpy as np
import pytest

from noise_search.pipelines.shapes.scenes import (
    CATEGORIES,
    COLORS,
    RELATIONS,
    SHAPES,
    WORDS,
    Group,
    Scene,
    UnknownWord,
    caption,
    captions,
    held_out,
    held_out_captions,
    parse,
    render,
    render_batch,
    training_captions,
)


def test_every_caption_round_trips() -> None:
    texts = captions()
    assert len(texts) == len(set(texts)) == 3042
    assert [caption(parse(text)) for text in texts] == texts
    assert {parse(text).category for text in texts} == set(CATEGORIES)


def test_the_vocabulary_is_closed_and_sorted() -> None:
    assert list(WORDS) == sorted(set(WORDS))
    assert {word for text in captions() for word in text.split()} | {"an", "one"} == set(WORDS)


@pytest.mark.parametrize(
    ("text", "scene"),
    [
        ("a red circle", Scene("single", Group(1, "red", "circle"))),
        ("  One  RED circle. ", Scene("single", Group(1, "red", "circle"))),
        ("four cyan triangles", Scene("count", Group(4, "cyan", "triangle"))),
        (
            "an green square and one blue circle",
            Scene("pair", Group(1, "green", "square"), None, Group(1, "blue", "circle")),
        ),
        (
            "a red circle left of a blue square",
            Scene("position", Group(1, "red", "circle"), "left of", Group(1, "blue", "square")),
        ),
        (
            "two red circles left of a blue square",
            Scene("mixed", Group(2, "red", "circle"), "left of", Group(1, "blue", "square")),
        ),
    ],
)
def test_parse_reads_tolerantly(text: str, scene: Scene) -> None:
    assert parse(text) == scene


def test_an_unknown_word_is_named() -> None:
    with pytest.raises(UnknownWord, match=r"'purple'.*yellow") as caught:
        parse("a purple circle")
    assert caught.value.word == "purple"
    assert caught.value.known == WORDS
    assert "\n" not in str(caught.value)


def test_the_error_survives_pickle_and_copy() -> None:
    for error in (
        pickle.loads(pickle.dumps(UnknownWord("dog"))),  # noqa: S301
        copy.copy(UnknownWord("dog")),
    ):
        assert (error.word, str(error)) == ("dog", str(UnknownWord("dog")))


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "red circle",
        "a red",
        "a red circles",
        "two red circle",
        "circle red a",
        "a red circle left a blue square",
        "a red circle and",
        "and a red circle",
        "a red circle and a red square",
        "a red circle and two blue squares",
        "four red circles and a blue square",
        "three red circles left of a blue square",
        "a red circle and a blue square and a green square",
        "a red circle left of above a blue square",
    ],
)
def test_known_words_that_make_no_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="not a sentence of the shapes language") as caught:
        parse(text)
    assert not isinstance(caught.value, UnknownWord)
    assert "\n" not in str(caught.value)


def test_the_split_is_stable() -> None:
    kept, out = training_captions(), held_out_captions()
    assert sorted(kept + out) == sorted(captions())
    assert len(out) == 359
    assert zlib.crc32("\n".join(out).encode()) == 1145592038
    assert held_out(out[0].upper() + " .") == held_out(out[0]) is True
    shares = [
        sum(parse(text).category == name for text in out)
        / sum(parse(text).category == name for text in captions())
        for name in CATEGORIES
    ]
    assert all(0.08 < share < 0.2 for share in shares)


def test_the_same_generator_draws_the_same_picture() -> None:
    scene = parse("two red circles left of a blue square")
    first = render(scene, np.random.default_rng(3))
    assert first.shape == (32, 32, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, render(scene, np.random.default_rng(3)))
    assert not np.array_equal(first, render(scene, np.random.default_rng(4)))


def test_colours_are_pure_and_the_ground_dark() -> None:
    for index, color in enumerate(COLORS):
        image = render(parse(f"a {color} square"), np.random.default_rng(index)).astype(int)
        strongest = image.reshape(-1, 3)[image.max(axis=2).argmax()]
        bright = {"red": 1, "yellow": 3, "green": 2, "cyan": 6, "blue": 4, "magenta": 5}[color]
        assert [int(value > 200) for value in strongest] == [bright >> k & 1 for k in range(3)]
        assert np.median(image) < 30


def test_a_batch_of_every_kind() -> None:
    scenes = [parse(text) for text in captions()[::20]]
    images = render_batch(scenes, np.random.default_rng(0))
    assert images.shape == (len(scenes), 32, 32, 3)
    objects = [sum(group.count for group in scene.groups) for scene in scenes]
    lit = (images.max(axis=3) > 128).sum(axis=(1, 2))
    assert all(20 * n < area < 110 * n for n, area in zip(objects, lit, strict=True))


@pytest.mark.nightly
def test_thousands_of_pictures_a_second() -> None:
    scenes = [parse(text) for text in captions()[:1920]]
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    for k in range(0, len(scenes), 64):
        render_batch(scenes[k : k + 64], rng)
    assert len(scenes) / (time.perf_counter() - start) > 1000


def test_relations_shapes_and_colours_are_the_documented_ones() -> None:
    assert COLORS == ("red", "yellow", "green", "cyan", "blue", "magenta")
    assert SHAPES == ("circle", "square", "triangle")
    assert RELATIONS == ("left of", "right of", "above", "below")

"""Recipes are names: equal content, equal name; arrays depend on name and step alone."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from noise_search.noise import Book, Gaussian, Neighbor, Recipe, Segment, Splice, Tensors

seeds = st.integers(0, 2**32 - 1)


def draw(seed: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal((3, 4, 4))


def chain(length: int) -> Book:
    book = Book([Gaussian(0)])
    last: Recipe = Gaussian(0)
    for seed in range(1, length):
        last = Neighbor(last.name, seed, 0.9)
        book.add(last)
    book.add(Gaussian(999_999_999))
    return book


@given(seeds, seeds, st.floats(-1, 1))
def test_a_record_read_back_is_the_same_recipe(a: int, b: int, cosine: float) -> None:
    pivot = Gaussian(a)
    for recipe in (
        pivot,
        Neighbor(pivot.name, b, cosine),
        Splice(pivot.name, Gaussian(b).name, 4, 2),
    ):
        assert Recipe.read(recipe.line()) == recipe


def test_a_changed_record_does_not_match_its_name() -> None:
    line = Gaussian(7).line()
    with pytest.raises(ValueError, match="does not match"):
        Recipe.read({**line, "seed": 8})


@pytest.mark.parametrize("line", [{"kind": "pink"}, {"kind": "neighbor", "of": "x"}, {}])
def test_a_record_of_no_recipe_is_refused(line: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="noise"):
        Recipe.read(line)


@given(seeds, seeds, st.floats(-0.999, 0.999), st.integers(0, 9))
def test_a_neighbor_has_the_same_norm_and_the_exact_cosine(
    a: int, b: int, cosine: float, step: int
) -> None:
    book = Book([Gaussian(a), Neighbor(Gaussian(a).name, b + 2**32, cosine)])
    tensors = Tensors(book, draw)
    x = tensors.tensor(Gaussian(a).name, step).ravel()
    y = tensors.tensor(Neighbor(Gaussian(a).name, b + 2**32, cosine).name, step).ravel()
    assert np.linalg.norm(y) == pytest.approx(np.linalg.norm(x), rel=1e-12)
    assert x @ y / (x @ x) == pytest.approx(cosine, abs=1e-12)


def test_a_recipe_needs_its_parents_in_the_book() -> None:
    with pytest.raises(ValueError, match="unknown parent"):
        Book([Neighbor(Gaussian(1).name, 2, 0.9)])


def test_a_chain_of_ten_thousand_neighbors_needs_no_recursion() -> None:
    book = chain(10_000)
    [*_, last] = book.closure([Neighbor(list_names(book)[-2], 9_999, 0.9).name])
    copied = pickle.loads(pickle.dumps(copy.deepcopy(last)))  # noqa: S301 - our own bytes
    assert copied == last
    assert np.isfinite(Tensors(book, draw).tensor(last.name, 0)).all()


def list_names(book: Book) -> list[str]:
    names, last = [Gaussian(0).name], Gaussian(0).name
    for seed in range(1, 10_000):
        last = Neighbor(last, seed, 0.9).name
        names.append(last)
    return names


def test_an_array_does_not_depend_on_what_was_made_before_or_is_still_kept() -> None:
    book = chain(50)
    name = book.closure([n.name for n in [Gaussian(0)]])[0].name
    for seed in range(1, 50):
        name = Neighbor(name, seed, 0.9).name
    at_once = Tensors(book, draw, keep=1).tensor(name, 3)
    warmed = Tensors(book, draw, keep=1000)
    for recipe in book.closure([name]):
        warmed.tensor(recipe.name, 3)
    assert np.array_equal(at_once, warmed.tensor(name, 3))


def test_a_splice_is_its_head_before_the_cut_and_its_tail_after() -> None:
    head, tail = Gaussian(1), Gaussian(2)
    splice = Splice(head.name, tail.name, 4, 1)
    tensors = Tensors(Book([head, tail, splice]), draw)
    for step in range(3):
        assert np.array_equal(tensors.tensor(splice.name, step), tensors.tensor(head.name, step))
    for step in (3, 4, 9, -3):
        assert np.array_equal(tensors.tensor(splice.name, step), tensors.tensor(tail.name, step))


def test_the_segments_of_a_path_lead_from_nothing_to_its_stage() -> None:
    a, b, c = Gaussian(1), Gaussian(2), Gaussian(3)
    first = Splice(a.name, b.name, 4, 2)
    second = Splice(first.name, c.name, 5, 1)
    book = Book([a, b, c, first, second])
    parts = [Segment(a, 0, 4), Segment(b, 2, 5, a.name), Segment(c, 1, 8, first.name)]
    assert book.segments(second, 8) == parts
    assert book.segments(a, 3) == [Segment(a, 0, 3)]


def test_names_differ_wherever_content_differs() -> None:
    a = Gaussian(1)
    near = Neighbor(a.name, 5, 0.9)
    others = [replace(near, seed=6), replace(near, cosine=0.8), replace(near, of="f" * 16), a]
    assert len({near, *others}) == 5
    assert len({recipe.name for recipe in [near, *others]}) == 5

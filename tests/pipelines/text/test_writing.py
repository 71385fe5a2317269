"""A text under way: where steps and texts end, and which numbers decide its tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noise_search.noise import seed_from
from noise_search.pipelines.text.writing import Limits, Writing

LINE, STOP = 0, 1
"""Tokens that end a step, and the text."""
LIMITS = Limits(lambda tokens: tokens[-1] == LINE, frozenset({STOP}), step=4)
WHOLE = 1 << 20


def writing(
    steps: Sequence[tuple[int, ...]] = (),
    *,
    until: int = 3,
    lookahead: int = 0,
    most: int = WHOLE,
    seed_of: Callable[[int], int] = lambda step: 7,
    limits: Limits = LIMITS,
) -> Writing:
    return Writing([9], steps, seed_of, until, lookahead, most, limits)


def write(text: Writing, tokens: Sequence[int]) -> int:
    """Give it tokens until it wants no more; how many it took."""
    for count, token in enumerate(tokens, 1):
        if not text.take(token):
            return count
    return len(tokens)


def numbers(seed: int, step: int, count: int) -> list[float]:
    """The stream of a step, drawn at once."""
    found: list[float] = np.random.default_rng(seed_from("step", seed, step)).random(count).tolist()
    return found


@pytest.mark.parametrize(
    ("tokens", "steps", "ending"),
    [
        ([5, LINE, 6, LINE, 5, LINE, 8], [(5, LINE), (6, LINE), (5, LINE)], ""),
        ([5, LINE, 6, STOP, 8], [(5, LINE), (6, STOP)], "stop"),
        ([5, 5, 5, 5, 5, LINE, STOP], [(5, 5, 5, 5), (5, LINE), (STOP,)], "stop"),
        ([5, 5, 5, LINE, 6, 6, 6, 6, 6, 6], [(5, 5, 5, LINE), (6, 6, 6, 6), (6, 6)], "length"),
        ([5, 5, 5, 5, 6, 6, 6, 6, 7, STOP], [(5,) * 4, (6,) * 4, (7, STOP)], "stop"),
    ],
    ids=["steps", "stop", "cut in two", "length", "stop at the very end"],
)
def test_where_steps_and_texts_end(
    tokens: list[int], steps: list[tuple[int, ...]], ending: str
) -> None:
    text = writing(until=3, most=10)
    taken = write(text, tokens)
    assert text.steps == steps
    assert text.ending == ending
    assert taken == text.written == sum(map(len, steps))


def test_it_goes_on_from_steps_that_are_there_and_counts_only_what_is_new() -> None:
    text = writing([(5, LINE), (6, 7, LINE)], until=3, most=8)
    assert list(text.tokens) == [5, LINE, 6, 7, LINE]
    assert write(text, [8, 8, 8, 8]) == text.written == 3
    assert text.steps == [(5, LINE), (6, 7, LINE), (8, 8, 8)]
    assert text.ending == "length"


def test_a_lookahead_is_greedy_and_ends_as_many_steps_later() -> None:
    text = writing(until=1, lookahead=2)
    decided: list[bool] = []
    for token in [5, LINE, 5, 5, LINE, LINE]:
        decided.append(text.uniform() is not None)
        more = text.take(token)
    assert decided == [True, True, False, False, False, False]
    assert not more
    assert text.steps == [(5, LINE), (5, 5, LINE), (LINE,)]


@given(st.lists(st.integers(0, 2**32), min_size=3, max_size=3), st.integers(1, 70))
def test_every_step_has_a_stream_of_its_own_by_seed_and_step(seeds: list[int], size: int) -> None:
    long = Limits(lambda tokens: len(tokens) >= size, frozenset({STOP}), step=WHOLE)
    text = writing(until=3, seed_of=seeds.__getitem__, limits=long)
    for step, seed in enumerate(seeds):
        found: list[float | None] = []
        for _ in range(size):
            found.append(text.uniform())
            assert text.uniform() == found[-1]  # to ask twice draws nothing
            text.take(5)
        assert found == numbers(seed, step, size)


@given(st.lists(st.integers(2, 9).map(lambda n: (n, LINE)), min_size=1, max_size=5))
def test_numbers_do_not_depend_on_where_a_text_was_interrupted(
    steps: list[tuple[int, ...]],
) -> None:
    again = writing(steps, until=9)
    straight = writing(until=9)
    write(straight, [token for step in steps for token in step])
    assert again.uniform() == straight.uniform()
    assert again.steps == straight.steps

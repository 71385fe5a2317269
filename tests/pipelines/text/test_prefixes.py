"""The tree of prefixes, with keys and values that are the tokens themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from hypothesis import given
from hypothesis import strategies as st

from noise_search.pipelines.text.prefixes import Past, Prefixes

CONTEXTS = ((7,), (7, 8), (7, 8, 9))
BYTES = 8 * 2  # Of one position.

texts = st.tuples(st.sampled_from(CONTEXTS), st.lists(st.integers(0, 1), max_size=8).map(tuple))


def past_of(context: Sequence[int], written: Sequence[int]) -> Past:
    positions = torch.tensor([*context[:-1], *written], dtype=torch.int64)[None, :, None]
    return (positions, positions + 100)


def cutter(context: Sequence[int], written: Sequence[int]) -> Callable[[int, int], Past]:
    whole = past_of(context, written)
    return lambda begin, end: tuple(part[:, begin:end] for part in whole)


def joined(pieces: Sequence[Past]) -> Past:
    return tuple(torch.cat(parts, dim=-2) for parts in zip(*pieces, strict=True))


def common(a: Sequence[int], b: Sequence[int]) -> int:
    return next(
        (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )


@given(st.lists(texts, max_size=12), texts)
def test_the_longest_known_beginning_is_found(
    kept: list[tuple[tuple[int, ...], tuple[int, ...]]],
    wanted: tuple[tuple[int, ...], tuple[int, ...]],
) -> None:
    prefixes = Prefixes(1 << 20)
    for context, written in kept:
        prefixes.put(context, written, cutter(context, written))
    context, written = wanted
    found = prefixes.find(context, written)
    known = [common(w, written) for c, w in kept if c == context]
    if not known:
        assert found is None
        return
    assert found is not None
    for part, right in zip(joined(found), past_of(context, written[: max(known)]), strict=True):
        assert torch.equal(part, right)
    positions = {(c, w[:n]) for c, w in kept for n in range(1, len(w) + 1)}
    assert prefixes.size == BYTES * (len(positions) + sum(len(c) - 1 for c in {c for c, _ in kept}))


@given(st.lists(texts, min_size=1, max_size=20), st.integers(0, 20 * BYTES))
def test_what_is_kept_is_right_and_within_its_limit(
    kept: list[tuple[tuple[int, ...], tuple[int, ...]]], keep: int
) -> None:
    prefixes = Prefixes(keep)
    for context, written in kept:
        prefixes.put(context, written, cutter(context, written))
        assert prefixes.size <= keep
        for c, w in kept:
            found = prefixes.find(c, w)
            if found is None:
                continue
            parts = joined(found)
            right = past_of(c, w[: parts[0].shape[-2] - len(c) + 1])
            assert all(torch.equal(part, want) for part, want in zip(parts, right, strict=True))


def test_what_was_not_used_for_longest_goes_first() -> None:
    prefixes = Prefixes(6 * BYTES)
    a, b = (1, 1, 1), (0, 0, 0)
    prefixes.put((7,), a, cutter((7,), a))
    prefixes.put((7,), b, cutter((7,), b))
    prefixes.find((7,), a)
    prefixes.put((7,), (*a, 0), cutter((7,), (*a, 0)))
    assert len(joined(prefixes.find((7,), (*a, 0)) or [])[0][0]) == 4
    assert len(joined(prefixes.find((7,), b) or [])[0][0]) == 0

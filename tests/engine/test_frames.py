"""Key frames: evenly spread, distinct, first and last among them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noise_search.frames import key_frames


@given(count=st.integers(1, 500), wanted=st.integers(2, 12))
def test_they_are_distinct_in_order_and_evenly_spread(count: int, wanted: int) -> None:
    frames = key_frames(count, wanted)
    assert (frames[0], frames[-1]) == (0, count - 1)
    assert len(frames) == min(count, wanted)
    gaps = [b - a for a, b in pairwise(frames)]
    assert all(gap >= 1 for gap in gaps)
    assert not gaps or max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize(("count", "wanted"), [(0, 4), (4, 0), (-1, 1)])
def test_no_frames_are_refused(count: int, wanted: int) -> None:
    with pytest.raises(ValueError, match="key frames of"):
        key_frames(count, wanted)

"""Which frames stand for a video: those that a picture verifier judges and a strip shows."""

from __future__ import annotations

__all__ = ["key_frames"]


def key_frames(count: int, wanted: int = 4) -> tuple[int, ...]:
    """Indices of evenly spread frames, the first and the last among them; all, if there are few.

    >>> key_frames(16)
    (0, 5, 10, 15)
    >>> key_frames(3)
    (0, 1, 2)
    >>> key_frames(9, wanted=1)
    (4,)

    Args:
        count: frames of the video.
        wanted: how many are shown at most; a single one is the middle frame.

    Raises:
        ValueError: there is no frame, or none is wanted.
    """
    if count < 1 or wanted < 1:
        raise ValueError(f"{wanted} key frames of {count} frames")
    if wanted == 1:
        return (count // 2,)
    if count <= wanted:
        return tuple(range(count))
    # whole numbers alone, rounded to the nearest: the same frames on every machine
    gaps = wanted - 1
    return tuple((2 * i * (count - 1) + gaps) // (2 * gaps) for i in range(wanted))

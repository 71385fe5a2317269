"""Which earlier preview of its path a sample is compared with, and which a path carries along.

A share of the stages says where the preview is taken. A path that is cut anywhere must carry
those that may still be asked for. Of all stages these would be many; so previews are taken on the
rungs of a ladder alone, each at the share of the one above it, and a path carries at most two.
"""

from __future__ import annotations

from functools import lru_cache

__all__ = ["carried", "preview_stage", "rungs"]


def preview_stage(share: float, stage: int, steps: int) -> int | None:
    """The stage whose preview a sample is compared with; None where no path has one.

    The first prediction of a path has none before it, and is its own.

    Args:
        share: after which share of the stages that it has, in (0, 1).
        stage: of the sample.
        steps: of the whole path.

    >>> [preview_stage(0.5, stage, 8) for stage in range(1, 9)]
    [1, 1, 2, 2, 2, 2, 4, 4]
    >>> preview_stage(0.8, 50, 50), preview_stage(0.8, 1, 1)
    (40, None)
    """
    found = rungs(share, steps)
    if not found:
        return None
    below = _below(share, stage) if stage > 1 else 1
    return max(rung for rung in found if rung <= below)


def carried(share: float, stage: int, steps: int) -> tuple[int, ...]:
    """The stages whose previews a path at `stage` carries, for all that may come of it.

    >>> carried(0.8, 25, 50), carried(0.8, 45, 50), carried(0.8, 50, 50)
    ((17, 21), (32, 40), (40,))
    """
    least = preview_stage(share, stage, steps)
    if least is None:
        return ()
    return tuple(sorted(rung for rung in rungs(share, steps) if least <= rung <= stage))


@lru_cache(maxsize=64)
def rungs(share: float, steps: int) -> tuple[int, ...]:
    """The stages of which previews are taken, the first ones last.

    >>> rungs(0.8, 50)
    (40, 32, 26, 21, 17, 14, 11, 9, 7, 6, 5, 4, 3, 2, 1)
    """
    found: list[int] = []
    while steps > 1:
        steps = _below(share, steps)
        found.append(steps)
    return tuple(found)


def _below(share: float, stage: int) -> int:
    return min(max(1, round(share * stage)), stage - 1)

"""How many rows share a call: fewer where memory, or the pipeline, allows no more."""

from __future__ import annotations

import warnings

from noise_search.budget import ZERO, Cost
from noise_search.errors import Notice

__all__ = ["Alone", "Full", "tell"]


class Alone(Exception):  # noqa: N818 - a wish, not an error
    """The first batch has failed at its first evaluation: to be tried row by row."""

    def __init__(self, why: Exception, spent: Cost = ZERO) -> None:
        super().__init__(" ".join(f"{type(why).__name__}: {why}".split())[:200])
        self.spent = spent


class Full(Exception):  # noqa: N818 - told to the loop above it alone
    """The memory did not suffice; what had been spent by then."""

    def __init__(self, spent: Cost) -> None:
        super().__init__("out of memory")
        self.spent = spent


def tell(what: str) -> None:
    """Tell the user that a run goes on otherwise than it was asked to."""
    warnings.warn(what, Notice, stacklevel=4)

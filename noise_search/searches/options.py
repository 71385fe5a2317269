"""Types of options, with their bounds; a search's signature says what it takes."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Gt, Interval, Le, MinLen

Count = Annotated[int, Ge(1), Le(1_000_000)]
Cosine = Annotated[float, Interval(ge=-1, le=1)]
Share = Annotated[float, Gt(0), Le(1)]
Within = Annotated[float, Interval(gt=0, lt=1)]
Shares = Annotated[tuple[Within, ...], MinLen(1)]

"""What a verifier declares of its scores: their range, what decides them, what it needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Card", "Need"]

Need = Literal["prompt", "pixels", "preview", "text", "answer"]


@dataclass(frozen=True, kw_only=True)
class Card:
    """A verifier's declaration. Scores are always such that higher is better.

    Attributes:
        version: what decides the scores, in one line: weights hash, revision, preprocessing, dtype.
        low: the least possible score, or None where there is no bound.
        high: the greatest possible score, or None.
        needs: what of a sample it looks at; "preview" is an earlier preview of the same path.
        flops: floating point operations of one sample, or None where they are not known.
        licence: of the weights.
        source: where the weights come from.
        costly: whether a score takes so long, or costs so much, that it is kept in the score cache.
    """

    version: str
    low: float | None = None
    high: float | None = None
    needs: frozenset[Need] = frozenset({"prompt", "pixels"})
    flops: int | None = None
    licence: str = "unknown"
    source: str = "unknown"
    costly: bool = False

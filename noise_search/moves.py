"""What a search may ask for: begin from a noise, or continue a candidate."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from noise_search.candidate import Candidate
from noise_search.noise import Recipe

if TYPE_CHECKING:
    from noise_search.task import Task

END = 1 << 30
"""The last stage, whatever its number: stages clamp and compare, so `stage + 1` may overshoot."""


@dataclass(frozen=True, slots=True)
class Start:
    """Begin from a noise.

    Attributes:
        noise: the path's noise.
        until: the stage to stop at (stage s = s denoiser evaluations on the path).
        steps: evaluations of the whole schedule; 0 is the task's own.
        lookahead: score after so many deterministic (on text: greedy) stages more.
        look: False makes a waypoint, not judged unless finished.
    """

    noise: Recipe
    until: int = END
    steps: int = 0
    lookahead: int = 0
    look: bool = True


@dataclass(frozen=True, slots=True)
class Continue:
    """Go on from a candidate, after going back by `rewind` stages.

    A failed candidate, and a finished one with rewind 0, leads to itself at no cost. Going back
    is renoising by the exact forward kernel; it costs `rewind + until - stage` evaluations.

    Attributes:
        candidate: where to go on from.
        noise: the noise of the steps from here on.
        until: the stage to stop at.
        rewind: stages to go back first.
        lookahead: score after so many deterministic (on text: greedy) stages more.
        look: False makes a waypoint, not judged unless finished.
    """

    candidate: Candidate
    noise: Recipe
    until: int = END
    rewind: int = 0
    lookahead: int = 0
    look: bool = True


Move = Start | Continue
Search = Generator[list[Move], list[Candidate], list[Candidate]]
"""Yields moves, is sent the candidates they led to, returns what it hands on, best first."""
Plan = Callable[["Task"], Search]
"""A search waiting for its task."""


class Spent(Exception):  # noqa: N818 - a verdict, not an error
    """Thrown into a search when the budget cannot pay for its next move.

    Attributes:
        found: the part of the last batch that was paid for.
        reason: why it ends, in words.
    """

    def __init__(self, found: list[Candidate], reason: str) -> None:
        super().__init__(reason)
        self.found = found
        self.reason = reason

"""One text under way: what the decoder asks of it, token by token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from noise_search.noise import seed_from
from noise_search.pipelines.text.steps import Ends

__all__ = ["Limits", "Writing"]

_BLOCK = 32  # Numbers drawn at a time.


@dataclass(frozen=True)
class Limits:
    """Where texts and steps end.

    Attributes:
        ends: whether a step ends, by the tokens it has.
        stops: tokens by which the model ends a text.
        step: tokens of a step; a longer one is cut in two.
    """

    ends: Ends
    stops: frozenset[int]
    step: int


class Writing:
    """A text that goes on from some steps to a later stage, then greedily by a lookahead.

    The token drawn i-th in step s is decided by the i-th number of the stream of (seed, s), so a
    text does not depend on where it was interrupted.

    Args:
        context: tokens of the prompt.
        steps: tokens of the steps that are there already.
        seed_of: the seed of the noise of a step, by its index.
        until: steps to write in all; those that follow are the lookahead.
        lookahead: steps to write greedily after that.
        most: tokens of the whole text.
        limits: where things end.
    """

    def __init__(
        self,
        context: Sequence[int],
        steps: Sequence[tuple[int, ...]],
        seed_of: Callable[[int], int],
        until: int,
        lookahead: int,
        most: int,
        limits: Limits,
    ) -> None:
        self.context = context
        self.tokens = [token for step in steps for token in step]
        self.steps = list(steps)
        self.ending = ""
        self._until = until
        self._last = until + lookahead
        self._most = most
        self._limits = limits
        self._seed_of = seed_of
        self._count = len(self.tokens)
        self._step: list[int] = []
        self._numbers: list[float] = []
        self._stream: np.random.Generator | None = None

    def uniform(self) -> float | None:
        """The number in [0, 1) that decides the next token, or None for the likeliest."""
        if len(self.steps) >= self._until:
            return None
        if len(self._step) >= len(self._numbers):
            if self._stream is None:
                seed = seed_from("step", self._seed_of(len(self.steps)), len(self.steps))
                self._stream = np.random.Generator(np.random.PCG64(seed))
            self._numbers += self._stream.random(_BLOCK).tolist()
        return self._numbers[len(self._step)]

    def take(self, token: int) -> bool:
        """Write a token; False when there is nothing more to write."""
        self._step.append(token)
        self._count += 1
        if token in self._limits.stops:
            self.ending = "stop"
        elif self._count >= self._most:
            self.ending = "length"
        long = len(self._step) >= self._limits.step
        if self.ending or long or self._limits.ends(self._step):
            self.steps.append(tuple(self._step))
            self._step, self._numbers, self._stream = [], [], None
        return not self.ending and len(self.steps) < self._last

    @property
    def written(self) -> int:
        """Tokens written here."""
        return self._count - len(self.tokens)

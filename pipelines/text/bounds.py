"""What an ask goes on from, and at most what it writes: known without a model."""

from __future__ import annotations

from noise_search.ask import Ask
from noise_search.text import Text

__all__ = ["bound", "kept_of"]


def bound(ask: Ask, most: int, step: int) -> int:
    """An upper bound of the tokens that an ask writes.

    Args:
        ask: what is asked.
        most: tokens of a whole text.
        step: tokens of a step.
    """
    steps = min(ask.until + ask.lookahead, ask.steps) - ask.begin
    return max(1, min(most - len(kept_of(ask).tokens), steps * step))


def kept_of(ask: Ask) -> Text:
    """What an ask goes on from."""
    if ask.parent is None or ask.parent.text is None:
        return Text()
    return ask.parent.text.until(ask.begin)

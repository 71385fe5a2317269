"""How a run wants its texts."""

from __future__ import annotations

from dataclasses import dataclass

from noise_search.answers import Rule

__all__ = ["TextOptions"]


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """How texts are written, split and read.

    Attributes:
        temperature: of the softmax; 0 takes the likeliest token.
        top_p: tokens are drawn from the smallest set that has so much mass.
        max_tokens: of a whole text.
        step_tokens: of a step; a longer one is cut in two.
        split: where a step ends, as in `newline`.
        answers: how a final answer is found.
        system: the system's line of a chat, or None.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 1024
    step_tokens: int = 256
    split: str = "newline"
    answers: Rule = "auto"
    system: str | None = None

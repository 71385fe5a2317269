"""A text under way: reasoning steps, the answer it came to, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

DATE = "26 Jul 2024"
"""Today, to chat templates that ask."""


def timeless(template: str) -> str:
    """A chat template that does not read the clock: a context must be the same tomorrow."""
    return f"{{%- macro strftime_now(format) -%}}{DATE}{{%- endmacro -%}}{template}"


class Step(NamedTuple):
    """One reasoning step: its words and the tokens that spell them."""

    words: str
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class Text:
    """What a language model has written so far.

    Attributes:
        steps: the reasoning steps, in order; together they are the whole text.
        answer: the final answer in its normal form, or None if there is none (yet).
        ending: "stop" where the model ended it, "length" where it ran out of room, "" before.
    """

    steps: tuple[Step, ...] = ()
    answer: str | None = None
    ending: str = ""

    @property
    def words(self) -> str:
        """The whole text."""
        return "".join(step.words for step in self.steps)

    @property
    def tokens(self) -> tuple[int, ...]:
        """All tokens, in order."""
        return tuple(token for step in self.steps for token in step.tokens)

    def until(self, stage: int) -> Text:
        """The first steps alone; an answer in one that is left out is no longer there."""
        if stage >= len(self.steps):
            return self
        return replace(self, steps=self.steps[:stage], answer=None, ending="")


def text_record(text: Text, parent: Text | None) -> dict[str, Any]:
    """A text for a record: what it shares with its parent's is told by a number of steps."""
    before = () if parent is None else parent.steps
    kept = 0
    while kept < min(len(before), len(text.steps)) and before[kept] == text.steps[kept]:
        kept += 1
    return {
        **({"kept": kept} if kept else {}),
        "steps": [[step.words, list(step.tokens)] for step in text.steps[kept:]],
        **({"answer": text.answer} if text.answer is not None else {}),
        **({"ending": text.ending} if text.ending else {}),
    }


def read_text(record: Mapping[str, Any], parent: Text | None) -> Text:
    """The text of a record, given its parent's.

    Raises:
        ValueError: the parent's text is shorter than what is to be kept of it.
    """
    kept = record.get("kept", 0)
    before = () if parent is None else parent.steps[:kept]
    if len(before) != kept:
        raise ValueError(f"a text goes on from {kept} steps, of which {len(before)} are known")
    new = tuple(Step(words, tuple(tokens)) for words, tokens in record["steps"])
    return Text((*before, *new), record.get("answer"), record.get("ending", ""))

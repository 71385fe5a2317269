"""Where a reasoning step ends: the rules that split a text."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from noise_search.errors import UserError, nearest

__all__ = ["RULES", "Ends", "Rule", "parse_rule", "splitter"]

RULES = ("newline", "blank-line", "regex", "tokens")
MOST_PATTERN = 500
"""Characters of a pattern."""

Rule = tuple[str, str]
"""A rule's name and what stands after its colon."""


class Ends(Protocol):
    """Whether a step ends with its newest token."""

    def __call__(self, tokens: Sequence[int], /) -> bool:
        """Told of all tokens of the step so far."""
        ...


def parse_rule(text: str) -> Rule:
    r"""A rule as it is written: `newline`, `blank-line`, `regex:PATTERN` or `tokens:N`.

    >>> parse_rule("tokens:64")
    ('tokens', '64')

    Raises:
        UserError: there is no such rule.
    """
    name, colon, rest = text.partition(":")
    if name not in RULES:
        raise UserError(f"split: unknown rule {name[:60]!r}{nearest(name, RULES)}")
    if bool(rest) != (name in ("regex", "tokens")) or (colon and not rest):
        needs = {"regex": "a pattern, regex:\\. ", "tokens": "a number, tokens:64"}
        said = f"needs {needs[name]}" if name in needs else "takes nothing after it"
        raise UserError(f"split={text[:60]}: {name} {said}")
    if name == "tokens" and not re.fullmatch(r"[1-9][0-9]{0,5}", rest):
        raise UserError(f"split={text[:60]}: tokens needs a whole number above 0, tokens:64")
    if name == "regex":
        _pattern(rest)
    return name, rest


def _pattern(text: str) -> re.Pattern[str]:
    if len(text) > MOST_PATTERN:
        raise UserError(f"split: a pattern of more than {MOST_PATTERN} characters")
    try:
        found = re.compile(text)
    except re.error as error:
        raise UserError(f"split=regex:{text[:60]}: {error}") from None
    if found.match(""):
        raise UserError(f"split=regex:{text[:60]}: it matches where nothing is written")
    return found


def splitter(rule: Rule, tokenizer: Any) -> Ends:
    """What tells where steps end, for texts of one tokenizer.

    A step that is blank so far does not end: two line ends in a row make no step of their own.

    Args:
        rule: of `parse_rule`.
        tokenizer: of transformers.
    """
    name, rest = rule
    if name == "tokens":
        most = int(rest)
        return lambda tokens: len(tokens) >= most
    if name == "regex":
        pattern = _pattern(rest)

        def matched(words: str) -> bool:
            found = pattern.search(words, len(words) - len(words.lstrip()))
            return found is not None

        return lambda tokens: matched(tokenizer.decode(list(tokens), skip_special_tokens=True))
    return _Lines(tokenizer, blank=name == "blank-line")


class _Lines:
    """Steps end with a line, or with a blank line; only tokens that hold a line end are decoded."""

    def __init__(self, tokenizer: Any, *, blank: bool) -> None:
        pieces: list[str] = tokenizer.batch_decode([[i] for i in range(len(tokenizer))])
        self._decode: Callable[..., str] = tokenizer.decode
        self._breaks = {i for i, piece in enumerate(pieces) if "\n" in piece}
        self._mark = "\n\n" if blank else "\n"

    def __call__(self, tokens: Sequence[int], /) -> bool:
        if tokens[-1] not in self._breaks:
            return False
        words = self._decode(list(tokens), skip_special_tokens=True).lstrip()
        return self._mark in words

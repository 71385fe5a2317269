"""Errors a user can mend: one line that names the key, and the nearest right spelling."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Something the user asked for cannot be done as asked; the text is one line."""

    def __init__(self, text: str) -> None:
        super().__init__(" ".join(text.split()))


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of an error line for a misspelt word: the nearest known word, or all of them.

    >>> nearest("zero-ordr", ["random", "zero-order"])
    "; did you mean 'zero-order'?"
    >>> nearest("q", ["random", "zero-order"])
    '; known: random, zero-order'
    """
    names = sorted(known)
    close = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(names)}"

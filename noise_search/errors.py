"""Errors a user can mend, in one line that names the key; and what else ends a run early."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Something the user asked for cannot be done as asked; the text is one line."""

    def __init__(self, text: str) -> None:
        super().__init__(" ".join(text.split()))


class Stop(Exception):  # noqa: N818 - a wish, not an error
    """Raised by a listener or a callback to end the run; what was found so far is kept."""


class Notice(RuntimeWarning):
    """What a user should know of a run that goes on; the command line tells it in one line."""


_SAID = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a smaller batch might fit; torch need not be loaded to ask.

    >>> out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    True
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(said in str(error) for said in _SAID)


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

"""Stopping from outside: what was stopped, and how to go on with it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from noise_search.errors import UserError

INTERRUPTED, TERMINATED = 130, 143


class Terminated(KeyboardInterrupt):
    """The process was asked to end by SIGTERM."""


class Halted(Exception):  # noqa: N818 - a wish, not an error
    """The run was stopped; the text says how to go on.

    Attributes:
        code: the exit code.
    """

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


@contextmanager
def resumable(out: Path, again: str | None = None) -> Iterator[None]:
    """A stretch of work in a folder that can be gone on with after it was stopped.

    Args:
        out: the folder.
        again: the command that goes on with it, if it is not `resume`.

    Raises:
        Halted: it was stopped.
    """
    goes_on = f"go on with: {again or f'noise-search resume {shlex.quote(str(out))}'}"
    try:
        yield
    except KeyboardInterrupt as stop:
        code = TERMINATED if isinstance(stop, Terminated) else INTERRUPTED
        how = goes_on if (out / "journal").exists() else "nothing was made yet"
        raise Halted(f"stopped; {how}", code) from None
    except Exception as error:
        if not isinstance(error, UserError) and (out / "journal").exists():
            error.add_note(goes_on)
        raise

"""Stopping from outside: what was stopped, and how to go on with it."""

from __future__ import annotations

import fcntl
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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

    Where it fails before anything was made, the folder is left as it was found.

    Args:
        out: the folder.
        again: the command that goes on with it, if it is not `resume`.

    Raises:
        Halted: it was stopped.
    """
    goes_on = f"go on with: {again or f'noise-search resume {shlex.quote(str(out))}'}"
    fresh = not (out / "journal").exists()
    made = next((p for p in (*reversed(out.parents), out) if not p.exists()), None)
    try:
        yield
    except KeyboardInterrupt as stop:
        code = TERMINATED if isinstance(stop, Terminated) else INTERRUPTED
        kept = not (fresh and _forget(out, made))
        raise Halted(f"stopped; {goes_on if kept else 'nothing was made yet'}", code) from None
    except Exception as error:
        kept = not (fresh and _forget(out, made))
        if kept and not isinstance(error, UserError):
            error.add_note(goes_on)
        raise


def _forget_latents(out: Path) -> None:
    from noise_search.study.generate import forget_latents  # only here: it takes its time

    forget_latents(out)


def _forget(out: Path, made: Path | None) -> bool:
    """Remove a journal that holds no candidates, and the empty folders around it."""
    journal = out / "journal"
    if journal.is_file():
        with journal.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:  # another process is at work here
                return False
            if b"candidate" in file.read().partition(b"\n")[2]:
                return False
            journal.unlink(missing_ok=True)
        _forget_latents(out)  # of what was made, and never judged
    with suppress(OSError):  # what is not empty stays
        if (out / "live").is_dir():
            (out / "live").rmdir()
        for folder in (out, *out.parents):
            if made is None or not folder.is_relative_to(made):
                break
            folder.rmdir()
    return True

"""The entry point: whatever goes wrong comes out as one line and an exit code."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from noise_search.cli.halt import INTERRUPTED, TERMINATED, Halted, Terminated
from noise_search.cli.text import printable
from noise_search.errors import Notice, UserError, nearest

OK, FAILED, USAGE = 0, 1, 2
LONGEST = 600
"""Characters of an error line that are shown."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code.

    Args:
        argv: words after the program's name; those of this process by default.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words or os.environ.get("NOISE_SEARCH_DEBUG", "") not in ("", "0")
    words = [word for word in words if word != "--debug"]  # it may stand anywhere
    try:
        with _terminable(), noticed():
            return _call(words)
    except UserError as error:
        return _say(str(error), USAGE)
    except Halted as halt:
        return _say(str(halt), halt.code)
    except KeyboardInterrupt as stop:
        return _say("stopped", TERMINATED if isinstance(stop, Terminated) else INTERRUPTED)
    except BrokenPipeError:
        # whoever read our output has seen enough; nothing may be flushed to it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        if debug:
            raise
        return _say(_unexpected(error), FAILED)


def _call(words: list[str]) -> int:
    """Let typer parse and call, without its own usage boxes and handling of signals."""
    import typer

    from noise_search.cli.app import app

    command = typer.main.get_command(app)
    try:
        with command.make_context("noise-search", words) as context:
            command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    except Exception as error:
        # what typer refuses is a ClickException, but typer does not export that class
        if not hasattr(error, "format_message"):
            raise
        raise UserError(_usage_line(error)) from None
    return OK


def _unexpected(error: Exception) -> str:
    """One line for what nobody foresaw, with what its notes say of going on."""
    ending = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}{ending}"
    what = f"{type(error).__name__}: {error}"[:300]
    return f"unexpected {what}{ending} (noise-search --debug shows where)"


def _usage_line(error: Any) -> str:
    """What typer has to say, with the nearest spelling of an unknown option."""
    option = getattr(error, "option_name", None)
    context = getattr(error, "ctx", None)
    if option is not None and context is not None and type(error).__name__ == "NoSuchOption":
        known = [o for p in context.command.params for o in (*p.opts, *p.secondary_opts)]
        hint = nearest(option, known)
        if not hint.startswith("; did"):
            hint = f"; {context.command_path} --help lists all"
        return f"unknown option {option!r}{hint}"
    said = str(error.format_message())
    return said[:1].lower() + said[1:].rstrip(".")


def _say(text: str, code: int) -> int:
    """One line on stderr."""
    line = printable(text)
    if len(line) > LONGEST:
        line = f"{line[: LONGEST - 100]} ... {line[-90:]}"
    sys.stderr.write(f"noise-search: {line}\n")
    return code


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends the run as Ctrl-C does, with an exit code of its own."""

    def stop(_: int, __: FrameType | None) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def noticed() -> Iterator[None]:
    """What a user should know comes out in one line, and other warnings as they do."""
    before = warnings.showwarning

    def show(message: Warning | str, *more: Any, **named: Any) -> None:
        if isinstance(message, Notice):
            _say(f"note: {message}", OK)
        else:
            before(message, *more, **named)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before


if __name__ == "__main__":
    sys.exit(main())

"""Whether two mathematical expressions are equal, by math-verify in a process of its own.

Computer algebra may take forever on what a model writes: 9^{9^{9}} is enough. The timeouts of
math-verify are alarm signals, which reach the main thread alone, take away other alarms, and wait
for an operation on large numbers to end. A process that is killed when its time is up has none of
these faults, from whatever thread it is asked.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import weakref
from importlib.util import find_spec
from threading import Lock, Timer

from noise_search.errors import UserError

__all__ = ["LIMIT", "Equivalence", "check_installed"]

LIMIT = 5.0
"""Seconds for one verdict: math-verify's own default for each of its steps."""

_BRACE = re.compile(r"\\.|([{}])", re.DOTALL)


def check_installed(asked: str) -> None:
    """Refuse what needs math-verify where it is not there.

    Args:
        asked: the setting that needs it, for the error.

    Raises:
        UserError: it is not installed.
    """
    if find_spec("math_verify") is None:
        raise UserError(f"{asked}: needs math-verify; pip install 'noise-search[math]'")


class Equivalence:
    """Whether an answer equals the right one as mathematics; may be called from any thread.

    Args:
        limit: seconds for one verdict.
    """

    def __init__(self, limit: float = LIMIT) -> None:
        self.limit = limit
        self._lock = Lock()
        self._helper: subprocess.Popen[str] | None = None

    def __call__(self, answer: str, right: str) -> bool:
        """The verdict.

        Raises:
            ValueError: there is none within the limit, or the process died of the question.
        """
        if not (_balanced(answer) and _balanced(right)):
            return False
        with self._lock:
            said, late = self._ask(json.dumps([right, answer]))
        if late:
            raise ValueError(f"no verdict on {answer[:60]!r} within {self.limit:g} s")
        if not said:
            raise ValueError(f"math-verify ended on {answer[:60]!r}")
        return bool(json.loads(said))

    def _ask(self, question: str) -> tuple[str, bool]:
        """The helper's line, and whether it was killed because its time was up."""
        if self._helper is None:
            self._helper = _start()
            self._stop = weakref.finalize(self, _end, self._helper)
        helper, said, late = self._helper, "", False

        def stop() -> None:
            nonlocal late
            late = True
            helper.kill()

        timer = Timer(self.limit, stop)
        timer.start()
        try:
            said = _exchange(helper, question)
        finally:
            timer.cancel()
            timer.join()  # from here on it is known whether it was late
            if late or not said:
                self._stop()  # after an interrupt too: no verdict may answer the next question
                self._helper = None
        return said, late and not said


def _start() -> subprocess.Popen[str]:
    """A helper that has imported what it needs, from where this process imports."""
    code = f"import sys; sys.path[:] = {sys.path!r}; import {__name__} as it; it.serve()"
    helper = subprocess.Popen(  # noqa: S603 - this very interpreter
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="ascii",
    )
    if not _exchange(helper, None):
        _end(helper)
        raise ValueError("math-verify cannot be imported")
    return helper


def _exchange(helper: subprocess.Popen[str], question: str | None) -> str:
    """Send a line, if any, and wait for one; empty if the helper has ended."""
    if helper.stdin is None or helper.stdout is None:
        return ""
    try:
        if question is not None:
            helper.stdin.write(question + "\n")
            helper.stdin.flush()
        return helper.stdout.readline()
    except OSError:  # the helper ended between two questions
        return ""


def _end(helper: subprocess.Popen[str]) -> None:
    helper.kill()
    helper.wait()
    for stream in (helper.stdin, helper.stdout):
        if stream is not None:
            try:
                stream.close()
            except OSError:  # what was not flushed is for nobody
                continue


def _balanced(text: str) -> bool:
    """Whether every brace has its partner: no answer may break out of the box it is put in."""
    depth = 0
    for match in _BRACE.finditer(text):
        depth += {"{": 1, "}": -1}.get(match[1] or "", 0)
        if depth < 0:
            return False
    return depth == 0


def serve() -> None:
    """The life of a helper: a verdict for every line, until there are no more."""
    import logging

    from math_verify import parse, verify

    logging.disable()
    replies = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # what a library prints must not get between the verdicts
    print("ready", file=replies, flush=True)
    for line in sys.stdin:
        right, answer = (
            parse(rf"\boxed{{{text}}}", parsing_timeout=0) for text in json.loads(line)
        )
        verdict = verify(right, answer, timeout_seconds=0)
        print(json.dumps(bool(verdict)), file=replies, flush=True)

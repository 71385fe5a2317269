"""Many questions at once: turns at a steady rate, and threads that end together."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from threading import Event, Lock, Thread
from typing import TypeVar

__all__ = ["Pace", "Stopped", "in_threads", "sleep"]

T = TypeVar("T")


class Stopped(Exception):  # noqa: N818 - not an error of this question
    """Another question has ended it all."""


class Pace:
    """Turns at a steady rate, for several threads; all rest when one is told to.

    Args:
        rate: turns a second, or None.
    """

    def __init__(self, rate: float | None) -> None:
        self._every = 0.0 if rate is None else 1.0 / rate
        self._next = 0.0
        self._lock = Lock()

    def turn(self) -> float:
        """Take the next turn; the seconds until then."""
        with self._lock:
            now = time.monotonic()
            at = max(now, self._next)
            self._next = at + self._every
            return at - now

    def rest(self, seconds: float) -> None:
        """Let no turn be sooner than this."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)


def sleep(seconds: float, stop: Event) -> None:
    """Wait, unless it is all over.

    Raises:
        Stopped: it is.
    """
    if stop.wait(seconds) if seconds > 0 else stop.is_set():
        raise Stopped


def in_threads(items: Sequence[T], work: Callable[[T, Event], object], width: int) -> None:
    """Work on all items, so many at once; the first error ends it and is raised.

    What is under way when one fails is finished, as it may be paid for already.

    Args:
        items: what to work on, begun in order.
        work: is given one, and an event that is set on the first error: who waits gives up then.
        width: threads.
    """
    rest, lock, stop, errors = iter(items), Lock(), Event(), list[BaseException]()

    def serve() -> None:
        while not stop.is_set():
            with lock:
                item = next(rest, None)
            if item is None:
                return
            try:
                work(item, stop)
            except Stopped:
                return
            except BaseException as error:  # handed to the thread that waits
                errors.append(error)
                stop.set()

    # daemons: a process that is told to end does not wait for a slow server
    threads = [Thread(target=serve, daemon=True) for _ in range(min(width, len(items)))]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        stop.set()
    if errors:
        raise errors[0]

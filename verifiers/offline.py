"""Libraries that would fetch what they miss, kept from the network for the time of a call."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["NotFetched", "unconnected"]

_EVENTS = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname")


class NotFetched(OSError):  # noqa: N818 - it names what is the case
    """Something is not on the disk, and would have been fetched."""


_tries: ContextVar[list[str] | None] = ContextVar("tries", default=None)
_hooked: list[bool] = []


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event in _EVENTS and (tries := _tries.get()) is not None:
        tries.append(event)
        raise NotFetched("a run never downloads")


@contextmanager
def unconnected() -> Iterator[None]:
    """Refuse connections that are made in this context; other threads keep theirs.

    Raises:
        NotFetched: there was a try, and what tried it could not go on without.
    """
    if not _hooked:  # an audit hook (PEP 578) stays for good, and replaces nothing of others
        sys.addaudithook(_refuse)
        _hooked.append(True)
    token = _tries.set([])
    try:
        yield
    except Exception as error:
        if _tries.get():
            raise NotFetched(str(error)) from error
        raise
    finally:
        _tries.reset(token)

"""What a server's response says, whatever it is made of; nothing here raises at bytes of others."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

__all__ = ["Reply", "advice", "reason_in", "reply_of", "seconds_in", "sound"]

MOST_TOKENS = 1 << 40
"""A count above this is none."""
MOST_SECONDS = 1e9
"""A wait above this is this."""
ASKED_TO_CHANGE = {
    "max_tokens": "length=max_completion_tokens",
    "max_completion_tokens": "length=max_tokens",
    "temperature": "temperature=none",
    "response_format": "another answers=: schema, object or free",
}
"""Fields of a request that some servers refuse, and what to write in the spec then."""

STRUCTURAL = ("unsupported", "not support", "unrecognized", "unknown", "extra")
"""Words of a refusal that is meant for the field, whatever its value."""


@dataclass(frozen=True)
class Reply:
    """What a response with status 200 holds.

    Attributes:
        text: what the model said, or what is wrong with the response.
        usage: tokens read and written, or None where the server does not tell.
        cut: whether the model was stopped at its most tokens.
        error: what the server says of an error in place of an answer; empty of none.
    """

    text: str = ""
    usage: tuple[int, int] | None = None
    cut: bool = False
    error: str = ""


def reply_of(body: bytes) -> Reply:
    """The reply that a body holds; one of another form says nothing."""
    record = _record(body)
    choice = _first(record.get("choices"))
    message = _mapping(choice.get("message"))
    # a model that will not answer says so under a key of its own
    said = next((t for key in ("content", "refusal") if isinstance(t := message.get(key), str)), "")
    usage = _mapping(record.get("usage"))
    read, written = (_count(usage.get(key)) for key in ("prompt_tokens", "completion_tokens"))
    return Reply(
        sound(said),
        None if read is None or written is None else (read, written),
        choice.get("finish_reason") == "length",
        "" if choice else reason_in(body),
    )


def reason_in(body: bytes) -> str:
    """What a server says of an error, in few words; nothing of a page of HTML."""
    record = _record(body)
    said = record.get("error", record.get("detail", record.get("message", "")))
    if isinstance(said, dict):
        said = said.get("message", "")
    return sound(" ".join(str(said or "").split())[:200])


def advice(question: Mapping[str, Any], body: bytes) -> str | None:
    """What to write in the spec where a server refuses a field that every question has.

    >>> refused = b'{"error": {"message": "Unsupported parameter: max_tokens."}}'
    >>> advice({"max_tokens": 9}, refused)
    'length=max_completion_tokens'

    Args:
        question: what was sent.
        body: of the response that refuses it.
    """
    record = _record(body)
    error = _mapping(record.get("error"))
    said = f"{reason_in(body)} {error.get('code')}".lower()
    at = str(error.get("param"))
    for key, change in ASKED_TO_CHANGE.items():
        if key not in question:
            continue
        named = at.split(".")[0] == key or key in said
        # values are refused for being too great, too
        structural = any(word in said for word in STRUCTURAL)
        if named and (structural or key == "response_format"):
            return change
    return None


def seconds_in(headers: Mapping[str, str]) -> float | None:
    """What Retry-After asks for: seconds, or the time until a date by the server's own clock."""
    text = headers.get("Retry-After")
    if text is None:
        return None
    try:
        wait = float(text)
    except ValueError:
        until, now = _moment(text), _moment(headers.get("Date"))
        if until is None:
            return None
        wait = until - (time.time() if now is None else now)
    return min(max(wait, 0.0), MOST_SECONDS) if wait == wait else None


def sound(text: str) -> str:
    """A text that can be written as UTF-8: halves of characters become question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _moment(text: str | None) -> float | None:
    try:
        return None if text is None else parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _record(body: bytes) -> dict[str, Any]:
    try:
        return _mapping(json.loads(body))
    except (ValueError, RecursionError):
        return {}


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _first(value: object) -> dict[str, Any]:
    return _mapping(value[0]) if isinstance(value, list) and value else {}


def _count(value: object) -> int | None:
    # True is no count, although Python takes it for 1
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else None

"""Addresses and keys of servers: an address may be told to anyone, a key to nobody."""

from __future__ import annotations

import logging
import os
import re
from urllib.parse import urlsplit

from pydantic import SecretStr

from noise_search.errors import UserError

__all__ = ["KEY", "LEAST_SECRET", "address", "censor", "is_near", "key_for"]

KEY = "OPENAI_API_KEY"
"""The variable that holds a key, where none is named."""
LEAST_SECRET = 8
"""Characters; what is shorter, as the "EMPTY" of servers that want no key, is no secret."""


class _Censor(logging.Filter):
    """Keeps a key out of the debug log of the HTTP libraries, which tells headers of responses."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage()
        if self.key in said:
            record.msg, record.args = said.replace(self.key, "[key]"), None
        return True


_CENSORED: set[str] = set()


def censor(key: str) -> None:
    """Keep a key out of what the HTTP libraries log from now on."""
    if key in _CENSORED or len(key) < LEAST_SECRET:
        return
    _CENSORED.add(key)
    for name in ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy"):
        logging.getLogger(name).addFilter(_Censor(key))


def address(text: str) -> str:
    """The address of an API, without what some write behind it.

    Raises:
        UserError: it is none, or has something in it that may be secret, as specs are recorded.
    """
    try:
        parts = urlsplit(text)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise UserError("verifier judge: the URL cannot be read") from None
    if not sound:
        raise UserError("verifier judge: that is no URL; write judge:http://HOST:PORT/v1#MODEL")
    if parts.username or parts.password or parts.query:
        raise UserError(
            "verifier judge: leave user, password and query out of the URL, as it is recorded; "
            "name the variable that holds a key: api_key_env=NAME"
        )
    return text.rstrip("/").removesuffix("/chat/completions")


def is_near(url: str) -> bool:
    """Whether an address is of this machine."""
    return urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")


def key_for(variable: str | None, url: str) -> SecretStr | None:
    """The key of a server, from the environment alone.

    Raises:
        UserError: the variable that is named has none, or nothing that could be one.
    """
    if variable is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", variable):
        raise UserError("verifier judge: api_key_env is the name of a variable, not a key")
    key = os.environ.get(variable or KEY, "").strip()
    if variable is not None and not key:
        raise UserError(f"verifier judge: the variable {variable} (api_key_env) is not set")
    safe = urlsplit(url).scheme == "https" or is_near(url)
    if not key or (variable is None and not safe):
        return None  # what was not asked for is not sent where others can read it
    if not re.fullmatch(r"[!-~]+", key):
        raise UserError(f"verifier judge: what {variable or KEY} holds cannot be a key")
    return SecretStr(key)

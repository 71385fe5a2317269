"""Fixtures of all tests: no test may reach the network."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def loopback() -> bool:
    """Whether a test may reach ports of this machine; a file that starts a server overrides it."""
    return False


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep scores of tests out of the user's cache, and apart from one test to the next."""
    monkeypatch.setenv(
        "NOISE_SEARCH_CACHE", str(tmp_path_factory.getbasetemp() / os.urandom(8).hex())
    )


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, loopback: bool) -> Iterator[list[Any]]:
    """Refuse every connection but those between processes of this machine; count attempts."""
    attempts: list[Any] = []
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family == socket.AF_UNIX or (loopback and address[0] in ("127.0.0.1", "::1")):
            return connect(self, address)
        attempts.append(address)
        raise ConnectionRefusedError(f"a test tried to reach {address}")

    monkeypatch.setattr(socket.socket, "connect", guarded)
    yield attempts
    assert attempts == [], "a test tried to reach the network"

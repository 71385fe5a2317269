"""A server on this machine with the API of OpenAI, that grades pictures and can do so badly."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import socket
import struct
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from noise_search.noise import seed_from

Grader = Callable[[list[NDArray[Any]], str], dict[str, Any]]
"""The honest answer about some pictures and the words of the question."""

Response = tuple[int, dict[str, str], bytes]
"""Status, headers and body."""

SILENT = ("timeout", "reset", "429", "429-after", "500", "503")
"""Faults that give no answer,"""
WRONG = ("empty", "html", "cut", "type", "nan", "range", "long", "missing")
"""those that give one of no use,"""
HARMLESS = ("fenced", "thought", "strings", "escaped")
"""and those that a good parser forgives."""
FAULTS = (
    "timeout",
    "reset",
    "429",
    "500",
    "503",
    "empty",
    "html",
    "cut",
    "fenced",
    "thought",
    "type",
    "nan",
    "range",
    "long",
)
"""The fourteen kinds; 429 comes with Retry-After and without."""


def digest(*pictures: NDArray[Any]) -> str:
    """What a question is counted under."""
    return hashlib.sha256(b"".join(pixels.tobytes() for pixels in pictures)).hexdigest()


def grade(pixels: NDArray[Any]) -> float:
    """What the server thinks of a picture: different for every picture, 0 to 100."""
    return round(int(digest(pixels)[:8], 16) / 2**32 * 100, 4)


def grades(pictures: list[NDArray[Any]], _: str) -> dict[str, Any]:
    """The honest answer about one picture, or about two."""
    marks = [grade(pixels) for pixels in pictures]
    if len(marks) == 2:
        better = "first" if marks[0] > marks[1] else "second"
        return {"reason": f"{marks[0]} and {marks[1]}", "better": better}
    aspects = ("accuracy", "originality", "quality", "consistency", "emotion")
    return {
        "reason": f"it is worth {marks[0]}",
        **{aspect: round(marks[0] / 10, 3) for aspect in aspects},
        "overall": marks[0],
    }


@dataclass
class Asked:
    """One request as it came in."""

    head: dict[str, str]
    body: dict[str, Any]
    pictures: list[NDArray[Any]]
    name: str
    at: float


@dataclass
class Judging:
    """What the server does, and what it has seen.

    Attributes:
        grader: the honest answer.
        fault: the fault of the n-th request about a picture, by its digest; None for none.
        tokens: what it says that an answer took; None for nothing.
        limit: requests in a window of `window` seconds; more are refused.
        delay: seconds before an answer, by the digest of a picture.
        patience: seconds that a time-out takes.
        after: what it says in Retry-After, where it does.
        instead: status, headers and body of what is sent in place of a grade, by the body of a
            request; None for a grade.
    """

    grader: Grader = grades
    fault: Callable[[str, int], str | None] = lambda name, count: None
    tokens: tuple[int, int] | None = (100, 20)
    limit: int | None = None
    window: float = 1.0
    delay: Callable[[str], float] = lambda name: 0.0
    patience: float = 0.8
    after: str = "0"
    instead: Callable[[dict[str, Any]], Response | None] = lambda body: None
    asked: list[Asked] = field(default_factory=list[Asked])
    counts: Counter[str] = field(default_factory=Counter[str])
    answered: Counter[str] = field(default_factory=Counter[str])
    faults: Counter[str] = field(default_factory=Counter[str])
    recent: deque[float] = field(default_factory=deque[float])
    most_at_once: int = 0
    at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    url: str = ""

    def spec(self, **options: object) -> str:
        """The spec of this judge, patient and quick by default."""
        quick = {"wait": 0.001, "timeout": 10, **options}
        return f"judge:{self.url}#some/model({','.join(f'{k}={v}' for k, v in quick.items())})"


def some_faults(salt: int, share: float, kinds: tuple[str, ...] = FAULTS) -> Any:
    """Faults of all kinds at random, always the same for the same salt."""

    def fault(name: str, count: int) -> str | None:
        if seed_from(salt, name, count) >= share * 2**63:
            return None
        kind = kinds[seed_from("kind", salt, name, count) % len(kinds)]
        return "429-after" if kind == "429" and count % 2 else kind

    return fault


@contextmanager
def judge_server(judging: Judging, host: str = "127.0.0.1") -> Iterator[Judging]:
    """Serve until it is left."""

    class Handler(_Handler):
        state = judging

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        daemon_threads = True
        request_queue_size = 64

    server = Server((host, 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients go away
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    shown = f"[{host}]" if ":" in host else host
    judging.url = f"http://{shown}:{server.server_port}/v1"
    try:
        yield judging
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: Judging

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - its own name
        """Say nothing."""

    def do_POST(self) -> None:
        state = self.state
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        pictures = _pictures(body)
        name = digest(*pictures)
        with state.lock:
            state.asked.append(Asked(dict(self.headers), body, pictures, name, time.monotonic()))
            count = state.counts[name]
            state.counts[name] += 1
            fault = self._limited() or state.fault(name, count)
            if fault is not None:
                state.faults[fault] += 1
            state.at_once += 1
            state.most_at_once = max(state.most_at_once, state.at_once)
        try:
            time.sleep(state.delay(name))
            self._respond(fault, body, pictures, name)
        finally:
            with state.lock:
                state.at_once -= 1

    def _limited(self) -> str | None:
        state, now = self.state, time.monotonic()
        if state.limit is None:
            return None
        while state.recent and state.recent[0] <= now - state.window:
            state.recent.popleft()
        if len(state.recent) >= state.limit:
            return "429"
        state.recent.append(now)
        return None

    def _respond(
        self, fault: str | None, body: dict[str, Any], pictures: list[NDArray[Any]], name: str
    ) -> None:
        if fault == "timeout":
            time.sleep(self.state.patience)
            self.close_connection = True
            return
        if fault == "reset":
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            os.close(self.connection.detach())  # at once, whoever else holds it
            self.close_connection = True
            return
        if fault in ("429", "429-after", "500", "503") or (fault or "").startswith("status-"):
            status = int((fault or "").removeprefix("status-").removesuffix("-after"))
            after = {"Retry-After": self.state.after} if fault == "429-after" else {}
            self._send(status, json.dumps({"error": {"message": f"a {status}"}}).encode(), after)
            return
        if (instead := self.state.instead(body)) is not None:
            status, head, data = instead
            self._send(status, data, head)
            return
        question = str(body["messages"][-1]["content"][0]["text"])
        answer = self.state.grader(pictures, question)
        if fault in _BODIES:
            self._send(200, _BODIES[fault])
            return
        content = _spoiled(fault, answer)
        if fault is None or fault in HARMLESS:
            with self.state.lock:
                self.state.answered[name] += 1
        record: dict[str, Any] = {"choices": [{"message": {"content": content}}]}
        if self.state.tokens is not None:
            read, written = self.state.tokens
            record["usage"] = {"prompt_tokens": read, "completion_tokens": written}
        self._send(200, json.dumps(record).encode())

    def _send(self, status: int, body: bytes, head: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **(head or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)


_BODIES = {
    "empty": b"",
    "html": b"<html><body>Bad gateway</body></html>",
    "long": b'{"choices": "' + b"x" * 10_000_000 + b'"}',
}


def _spoiled(fault: str | None, answer: dict[str, Any]) -> str:
    plain = json.dumps(answer)
    first = next(key for key in answer if key != "reason")
    if fault == "fenced":
        return f"Here you are:\n```json\n{plain}\n```\nAnything else?"
    if fault == "thought":
        return f"<think>Perhaps {{not}} so good. 3 of 10?</think>\n\n{plain}"
    if fault == "escaped":
        return plain.replace("-", "\\u002d")
    if fault == "strings":
        return json.dumps({k: v if k == "reason" else str(v) for k, v in answer.items()})
    if fault == "cut":
        return plain[: len(plain) * 2 // 3]
    if fault == "type":
        return json.dumps({**answer, first: ["very", "good"]})
    if fault == "nan":
        return json.dumps({**answer, first: float("nan")})
    if fault == "range":
        return json.dumps({**answer, first: 1000})
    if fault == "missing":
        return json.dumps({k: v for k, v in answer.items() if k != first})
    return plain


def _pictures(body: dict[str, Any]) -> list[NDArray[Any]]:
    parts = body["messages"][-1]["content"]
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    found = []
    for url in urls:
        head, _, data = url.partition(",")
        assert head == "data:image/png;base64"
        found.append(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))))
    return found

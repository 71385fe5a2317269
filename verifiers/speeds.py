"""How long verifiers take for a picture, measured on the user's own machine while they work.

It is told by `noise-search list verifiers`, decides nothing, and stands in no record of a run. It
lies in a SQLite file beside the score cache, which many processes may share; where that cannot be
written, nothing is kept and nothing is said.
"""

from __future__ import annotations

import os
import platform
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noise_search.errors import UserError
from noise_search.specs import parse

if TYPE_CHECKING:
    from noise_search.problem import Verifier

__all__ = ["Speed", "Stopwatch", "cache_folder", "speed_of", "speeds_file", "timed"]

FORMAT = 1
"""Of the file's table; each has a file of its own."""
LEAST = 4
"""Pictures that a call has to have: short batches are padded, and take as long as whole ones."""
WAIT = 10.0
"""Seconds between two times that a process writes down what it has measured."""
MOST = 1_000
"""Measures that are kept; the oldest are let go."""
_PATIENCE = 2.0  # Seconds to wait for another process: a measure is worth no more.
_TABLE = (
    "CREATE TABLE IF NOT EXISTS speeds (spec TEXT, version TEXT, device TEXT, pictures INTEGER, "
    "nanoseconds INTEGER, last REAL, PRIMARY KEY (spec, version, device))"
)
_ADD = (
    "INSERT INTO speeds VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET last = excluded.last, "
    "pictures = pictures + excluded.pictures, nanoseconds = nanoseconds + excluded.nanoseconds"
)
_TRIM = "DELETE FROM speeds WHERE rowid <= (SELECT max(rowid) FROM speeds) - ?"


def cache_folder() -> Path:
    """The user's folder of caches: ``NOISE_SEARCH_CACHE``, or the usual place."""
    own = os.environ.get("NOISE_SEARCH_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return (Path(own) if own else Path(base) / "noise-search").expanduser()


def speeds_file() -> Path:
    """Where it is written down how fast verifiers are."""
    return cache_folder() / f"speeds-{FORMAT}.sqlite"


@dataclass(frozen=True)
class Speed:
    """How fast a verifier was.

    Attributes:
        spec: of the verifier.
        device: where it was computed.
        milliseconds: an image, in the mean of all that was measured.
        pictures: how many those were.
    """

    spec: str
    device: str
    milliseconds: float
    pictures: int


class Stopwatch:
    """Takes the time of one verifier's calls in this process; its first call warms it up.

    Args:
        spec: of the verifier.
        version: of the verifier.
        device: where it computes, in words.
        path: where it is written down.
    """

    def __init__(self, spec: str, version: str, device: str, path: Path) -> None:
        self._about = (spec, version, device)
        self._path = path
        self._warm = False
        self._pictures = self._nanoseconds = 0
        self._written = float("-inf")

    def __call__(self, pictures: Sequence[Any], nanoseconds: int) -> None:
        """Note a call.

        Args:
            pictures: arrays (height, width, 3); some verifiers are quicker where two are the same.
            nanoseconds: what it took.
        """
        warm, self._warm = self._warm, True
        different = {picture[::8, ::8].tobytes() for picture in pictures}
        if not warm or len(pictures) < LEAST or len(different) < len(pictures):
            return
        self._pictures += len(pictures)
        self._nanoseconds += nanoseconds
        now = time.monotonic()
        if now - self._written >= WAIT:
            self._written = now
            self._write()
            self._pictures = self._nanoseconds = 0

    def _write(self) -> None:
        row = (*self._about, self._pictures, self._nanoseconds, time.time())
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with _open(str(self._path)) as file:
                file.execute("BEGIN IMMEDIATE")
                file.execute(_TABLE)
                file.execute(_ADD, row)
                file.execute(_TRIM, (MOST,))
                file.execute("COMMIT")
        except (OSError, sqlite3.Error):
            return  # what cannot be written down is measured again another time


@contextmanager
def _open(path: str, *, uri: bool = False) -> Iterator[sqlite3.Connection]:
    with closing(
        sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, uri=uri)
    ) as connection:
        yield connection


def timed(verifier: Verifier, device: str, path: Path) -> Verifier:
    """The verifier itself, with a stopwatch if it judges pictures by a model or rule of its own.

    The parts of a ranking are not timed: those that share a tower would seem to cost nothing.

    Args:
        verifier: any.
        device: where models run whose spec names no device.
        path: where it is written down.
    """
    card: Any = getattr(verifier, "card", None)
    if card is not None and hasattr(verifier, "stopwatch"):
        try:
            own = parse(verifier.name).options.get("device", device)
        except UserError:  # the name of an object
            return verifier
        watched: Any = verifier
        watched.stopwatch = Stopwatch(verifier.name, card.version, _machine(str(own)), path)
    return verifier


def _machine(device: str) -> str:
    """What computes, as a person would tell it."""
    torch: Any = sys.modules.get("torch")
    if torch is not None and device.startswith("cuda") and torch.cuda.is_available():
        return str(torch.cuda.get_device_name(device))
    if device != "cpu":
        return device
    threads = 1 if torch is None else int(torch.get_num_threads())
    return f"{platform.machine()} CPU, {threads} thread{'' if threads == 1 else 's'}"


def speed_of(name: str) -> Speed | None:
    """What was measured last of a verifier's specs, or None.

    Args:
        name: as it stands before the first colon of a spec.
    """
    known = "SELECT spec, device, nanoseconds, pictures FROM speeds"
    where = "WHERE spec = ? OR spec GLOB ? OR spec GLOB ? ORDER BY last DESC LIMIT 1"
    path = speeds_file()
    if not path.is_file():
        return None
    try:
        with _open(f"{path.as_uri()}?mode=ro", uri=True) as file:
            row = file.execute(f"{known} {where}", (name, f"{name}:*", f"{name}(*")).fetchone()
    except (ValueError, sqlite3.Error):
        return None
    if row is None or not row[3]:
        return None
    spec, device, nanoseconds, pictures = row
    return Speed(str(spec), str(device), nanoseconds / pictures / 1e6, int(pictures))

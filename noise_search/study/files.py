"""Files that are whole or absent: written beside their place, synced, and moved into it."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from noise_search.errors import UserError

MOST_BYTES = 1 << 32
"""Files of a run that are larger than this are not read."""
_NO_WAIT: int = getattr(os, "O_NONBLOCK", 0)  # Windows has neither it nor pipes among its files


def write_bytes(path: Path, data: bytes) -> None:
    """Put a file in its place, whole and on the disk before this returns.

    What a killed process left of it half-written is overwritten.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Put a JSON file in its place, for people to read."""
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    write_bytes(path, text.encode() + b"\n")


def write_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Put a JSON-lines file in its place."""
    lines = (json.dumps(r, ensure_ascii=False, allow_nan=False) + "\n" for r in records)
    write_bytes(path, "".join(lines).encode())


def read_json(path: Path) -> Any:
    """What a JSON file of a run holds.

    Raises:
        UserError: it cannot be read, or is no JSON.
    """
    data = read_bytes(path, "run", MOST_BYTES, "4 GiB")
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise UserError(f"run {path}: no JSON") from None


def read_bytes(path: Path, what: str, most: int, spelled: str) -> bytes:
    """The bytes of a plain file that is not too large.

    Args:
        path: the file.
        what: what it is, for errors.
        most: so many bytes are read.
        spelled: as many, in words.

    Raises:
        UserError: it cannot be read.
    """
    data, problem = b"", ""
    try:
        # opened without waiting, then asked what it is: a device or a pipe may never end
        with open(path, "rb", opener=_without_waiting) as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                data = file.read(most + 1)
            else:
                problem = "not a file"
    except IsADirectoryError:
        problem = "not a file"
    except OSError as error:
        problem = error.strerror or str(error)
    except ValueError as error:
        problem = str(error)
    if len(data) > most:
        problem = f"larger than {spelled}"
    if problem:
        raise UserError(f"{what} {path}: {problem}")
    return data


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | _NO_WAIT)

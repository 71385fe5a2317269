"""The journal is the checkpoint: append-only lines, each with a checksum and its number.

A line is written after the artefact it speaks of is in place. To resume is to run the same
search again and answer from the journal first. A torn last line is dropped; a line that was
changed, swapped or doubled is named; a journal of another run is refused.
"""

from __future__ import annotations

import fcntl
import json
import os
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from noise_search.budget import ZERO, Cost
from noise_search.candidate import Candidate
from noise_search.errors import UserError
from noise_search.noise import Book, Name, Recipe
from noise_search.problem import Batch
from noise_search.text import read_text, text_record

Json = Mapping[str, Any]
FORMAT = 1


def encode(record: Json) -> bytes:
    """One line: checksum, a blank, the record as canonical JSON, a line end."""
    body = json.dumps(
        record, separators=(",", ":"), ensure_ascii=False, allow_nan=False, sort_keys=True
    ).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def decode(line: bytes) -> Json | None:
    """The record of a whole line, or None if it is not exactly as it was written."""
    try:
        record: Json = json.loads(line[9:])
        return record if encode(record) == line else None
    except ValueError:
        return None


def candidate_record(candidate: Candidate, parent: Candidate | None = None) -> dict[str, Any]:
    """The fields of a candidate, for a record; recipes go by name.

    Args:
        candidate: the candidate.
        parent: where it was continued from, if that is in the same record: of a text only what
            is new is told then.
    """
    before = None if parent is None else parent.text
    return {
        "candidate": candidate.name,
        "prompt": candidate.prompt,
        "parent": candidate.parent,
        "stage": candidate.stage,
        "stages": candidate.steps,
        "noise": candidate.noise.name,
        "scores": dict(candidate.scores),
        "failure": candidate.failure,
        "cost": candidate.cost.record(),
        **({"ended": True} if candidate.ended else {}),
        **({"lookahead": candidate.lookahead} if candidate.lookahead else {}),
        **({"sha256": candidate.sha256} if candidate.sha256 else {}),
        **({"detail": dict(candidate.detail)} if candidate.detail else {}),
        **({} if candidate.text is None else {"text": text_record(candidate.text, before)}),
    }


def read_candidate(record: Json, book: Book, parent: Candidate | None = None) -> Candidate:
    """The candidate of a record; its noise must be in the book.

    Args:
        record: as `candidate_record` made it.
        book: the recipes.
        parent: the one that was given there.
    """
    before = None if parent is None else parent.text
    return Candidate(
        name=record["candidate"],
        prompt=record["prompt"],
        noise=book[record["noise"]],
        steps=record["stages"],
        stage=record["stage"],
        parent=record["parent"],
        scores=record["scores"],
        failure=record["failure"],
        cost=Cost(**record["cost"]),
        ended=record.get("ended", False),
        lookahead=record.get("lookahead", 0),
        detail=record.get("detail", {}),
        sha256=record.get("sha256"),
        text=read_text(record["text"], before) if "text" in record else None,
    )


class Journal:
    """The journal of one run, locked for one process at a time.

    Args:
        path: the file; made if absent.
        run: what identifies the run: resuming under another is refused.
        book: filled with the recipes found.

    Attributes:
        overhead: what was spent again, in this life of the run and those before.

    Raises:
        UserError: the file is another run's, damaged, or in use.
    """

    def __init__(self, path: Path, run: Json, book: Book) -> None:
        self.path = path
        self.book = book
        self.overhead = ZERO
        self._identity: Json | None = None
        self._played: dict[Name, Candidate] = {}
        self._known: set[Name] = set()
        self._lines = 0
        if path.exists() and not path.is_file():
            raise UserError(f"{path}: not a file")
        self._file = path.open("a+b", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise UserError(f"{path.parent} is in use by another process") from None
        try:
            self._load(run)
        except BaseException:
            self._file.close()
            raise

    def _load(self, run: Json) -> None:
        self._file.seek(0)
        whole = self._file.read()
        end = whole.rfind(b"\n") + 1
        lines = whole[:end].splitlines(keepends=True)
        for number, line in enumerate(lines):
            record = decode(line)
            if record is None or record.get("n") != number:
                what = "was changed" if record is None else f"is out of place ({record.get('n')})"
                raise UserError(
                    f"{self.path}: line {number + 1} {what}; remove it and all after it to go on"
                )
            if number == 0:
                _same_run(self.path, record, run)
            else:
                self._take(record)
        self._lines = len(lines)
        if end < len(whole):
            self._file.truncate(end)
        if not lines:
            self._append([{"journal": FORMAT, "run": run}])

    def _take(self, record: Json) -> None:
        for line in record.get("recipes", []):
            self.book.add(Recipe.read(line))
            self._known.add(line["name"])
        if "candidate" in record:
            parent = self._played.get(record["parent"])
            candidate = read_candidate(record, self.book, parent)
            self._played[candidate.name] = candidate
        if "identity" in record:
            self._identity = record["identity"]
        if "overhead" in record:
            self.overhead += Cost(**record["overhead"])

    def identify(self, identity: Json) -> None:
        """Say what decides samples and scores, once it is loaded: weights and versions.

        It is the second line of a journal; one that was begun without it has nothing to compare.

        Args:
            identity: by kind: weights, verifier, evaluators.

        Raises:
            UserError: the run was begun with others.
        """
        now: Json = json.loads(json.dumps(identity))
        if self._identity is not None:
            _same_identity(self.path, self._identity, now)
        elif self._lines == 1:
            self._append([{"identity": now}])

    def recall(self, name: Name) -> Candidate | None:
        """A candidate played before."""
        return self._played.get(name)

    def keep(self, batch: Batch) -> None:
        """Append a batch: one write, on the disk before this returns."""
        records: list[dict[str, Any]] = []
        for candidate in batch.candidates:
            new = self.book.closure([candidate.noise.name], self._known.__contains__)
            self._known.update(recipe.name for recipe in new)
            recipes = {"recipes": [recipe.line() for recipe in new]} if new else {}
            parent = self._played.get(candidate.parent or "")
            records.append({**candidate_record(candidate, parent), **recipes})
            self._played[candidate.name] = candidate
        if batch.overhead:
            self.overhead += batch.overhead
            # first, so that a torn batch never keeps what was made and loses what that has cost
            records.insert(0, {"overhead": batch.overhead.record()})
        self._append(records)

    def _append(self, records: list[dict[str, Any]]) -> None:
        lines = [encode({"n": self._lines + i, **r}) for i, r in enumerate(records)]
        data = b"".join(lines)
        end = self._file.seek(0, os.SEEK_END)
        try:
            while data:
                data = data[self._file.write(data) or 0 :]
            os.fsync(self._file.fileno())
        except OSError:
            with suppress(OSError):  # a full disk must not leave half a batch in the middle
                self._file.truncate(end)
            raise
        self._lines += len(lines)

    def close(self) -> None:
        """Let go of the file and its lock."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def header(path: Path) -> Json:
    """What identifies the run of a journal.

    Raises:
        UserError: there is no journal, or its first line is damaged.
    """
    if path.exists() and not path.is_file():  # a pipe may never end
        raise UserError(f"{path}: not a file")
    try:
        with path.open("rb") as file:
            record = decode(file.readline())
    except OSError as error:
        raise UserError(f"{path.parent} holds no run: {error.strerror}") from None
    if record is None or "journal" not in record:
        raise UserError(f"{path}: line 1 was changed; this run cannot be resumed")
    run: Json = record["run"]
    return run


def _same_run(path: Path, record: Json, run: Json) -> None:
    if record.get("journal") != FORMAT:
        raise UserError(f"{path} is in format {record.get('journal')}; this version reads {FORMAT}")
    was = record["run"]
    now = json.loads(json.dumps(run))
    for key in [*was, *now]:
        if was.get(key) == now.get(key):
            continue
        if key == "prompts":
            raise UserError(f"{path.parent} holds a run of other prompts; choose another folder")
        raise UserError(
            f"{path.parent} holds a run with {key}={was.get(key)!r}, not {now.get(key)!r}; "
            "choose another folder"
        )


def _same_identity(path: Path, was: Json, now: Json) -> None:
    for key in [*was, *now]:
        old, new = was.get(key), now.get(key)
        if old == new:
            continue
        if key not in was:
            raise UserError(
                f"{path.parent} was begun by a version that keeps no {key}; choose another folder"
            )
        what, (gone, come) = key, _apart(str(old), str(new))
        if isinstance(old, dict) and isinstance(new, dict):
            one, other = cast("dict[str, object]", old), cast("dict[str, object]", new)
            name = next(name for name in [*one, *other] if one.get(name) != other.get(name))
            what = f"{key} {name}"
            gone, come = _apart(str(one.get(name)), str(other.get(name)))
        raise UserError(
            f"{path.parent} was begun with another {what}: {gone}, not {come}; "
            "choose another folder"
        )


def _apart(one: str, other: str) -> tuple[str, str]:
    """The words of each that the other has not; both whole where that tells nothing."""
    ours, theirs = one.split(), other.split()
    gone = " ".join(word for word in ours if word not in theirs)
    come = " ".join(word for word in theirs if word not in ours)
    return (gone, come) if gone and come else (one, other)

"""The score cache: what a costly verifier has said of a picture is kept, for every later run.

A score is found again by all that decides it: the pixels (or words), the prompt, the verifier's
name and version, and where it was computed.  So a run gives the same with a full cache, an empty
one and none: what is charged never depends on it, and answers from it are counted apart.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sqlite3
import warnings
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from noise_search.budget import ZERO, Cost
from noise_search.errors import Notice, UserError
from noise_search.judged import most_of_judging
from noise_search.problem import LostVerifierError, Sample, Score, Verifier
from noise_search.verifiers.card import Card
from noise_search.verifiers.composite import Several
from noise_search.verifiers.speeds import cache_folder

__all__ = ["Cached", "ScoreCache", "cache_file", "cached", "computed_on", "key_of"]

FORMAT = 1
"""Of keys and payloads; each has a file of its own."""
MARK = 0x6E736331
"""SQLite's `application_id` of a score cache: "nsc1"."""
PATIENCE = 30.0
"""Seconds to wait for another process that is writing."""
MOST = 1_000_000
"""Scores that are kept; the oldest are let go."""
AT_ONCE = 500
"""Keys a statement; SQLite allows no more than 999 in its older versions."""


def cache_file() -> Path:
    """Where scores are kept: in ``NOISE_SEARCH_CACHE``, or in the user's folder of caches."""
    return cache_folder() / f"scores-{FORMAT}.sqlite"


class ScoreCache:
    """Scores by key, in a SQLite file that many processes may share.

    A connection lives for one call: nothing has to be closed, and a forked process or another
    thread may go on with it.

    Args:
        path: the file; made if absent.

    Attributes:
        trouble: why it was given up in the midst of a run, or None. A run goes on without it.

    Raises:
        UserError: it cannot be written, or another kind of file is there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trouble: str | None = None
        way_out = "NOISE_SEARCH_CACHE names another folder; --no-cache does without"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with self._open() as file:
                mine = self._prepare(file)
        except sqlite3.OperationalError as error:
            raise UserError(f"cache: {path}: {error}; {way_out}") from None
        except OSError as error:
            raise UserError(f"cache: {path.parent}: {error.strerror}; {way_out}") from None
        except sqlite3.DatabaseError:
            mine = False
        if not mine:
            raise UserError(f"cache: {path} is broken or no score cache; remove it. {way_out}")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None)) as file:
            file.execute("PRAGMA synchronous=NORMAL")  # a lost score is computed again
            yield file

    def _prepare(self, file: sqlite3.Connection) -> bool:
        """Make the table, or let go of what is too much; False if this is another's file."""
        file.execute("BEGIN IMMEDIATE")
        [(mark,)] = file.execute("PRAGMA application_id")
        [(tables,)] = file.execute("SELECT count(*) FROM sqlite_master")
        if mark != MARK and (mark or tables):
            file.execute("ROLLBACK")
            return False
        if not tables:
            file.execute(f"PRAGMA application_id={MARK}")
            file.execute("CREATE TABLE scores (key BLOB PRIMARY KEY, said BLOB, sum INTEGER)")
        file.execute(
            "DELETE FROM scores WHERE rowid <= (SELECT max(rowid) FROM scores) - ?", (MOST,)
        )
        file.execute("COMMIT")
        with suppress(sqlite3.OperationalError):  # another process is just doing the same
            file.execute("PRAGMA journal_mode=WAL")
        return True

    def recall(self, keys: Collection[bytes]) -> dict[bytes, Score]:
        """The scores that are known, by key; a damaged one is not."""
        wanted = list(keys)
        found: dict[bytes, Score] = {}
        if not wanted or self.trouble is not None:
            return found
        try:
            with self._open() as file:
                for begin in range(0, len(wanted), AT_ONCE):
                    some = wanted[begin : begin + AT_ONCE]
                    marks = ",".join("?" * len(some))
                    # only question marks are put into the statement
                    what = "SELECT key, CAST(said AS BLOB), sum FROM scores WHERE key"
                    query = f"{what} IN ({marks})"
                    for key, said, checksum in file.execute(query, some):
                        if checksum == zlib.crc32(key + said):
                            found[key] = _read(said)
        except sqlite3.Error as error:
            self._give_up(error)
        return found

    def _give_up(self, error: sqlite3.Error) -> None:
        self.trouble = str(error)
        said = f"cache: {self.path} is not used any more: {error}"
        warnings.warn(said, Notice, stacklevel=3)

    def keep(self, scores: Mapping[bytes, Score]) -> None:
        """Keep scores; one that is there already stays. Failures are never kept."""
        rows = [(key, said, zlib.crc32(key + said)) for key, said in _written(scores)]
        if not rows or self.trouble is not None:
            return
        try:
            with self._open() as file:
                file.execute("BEGIN IMMEDIATE")
                file.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?, ?)", rows)
                file.execute("COMMIT")
        except sqlite3.Error as error:
            self._give_up(error)


def _written(scores: Mapping[bytes, Score]) -> Iterator[tuple[bytes, bytes]]:
    for key, score in scores.items():
        if score.failure is None and score.values and all(map(isfinite, score.values.values())):
            record = {
                "values": dict(score.values),
                "detail": dict(score.detail),
                "cost": score.cost.record(),
            }
            yield key, json.dumps(record, ensure_ascii=False).encode()


def _read(said: bytes) -> Score:
    record = json.loads(said)
    return Score(record["values"], None, record["detail"], Cost(**record["cost"]), cached=True)


class Cached:
    """A verifier that is asked only about what the cache does not know.

    Args:
        verifier: what is asked.
        card: its own.
        cache: what is known.
        place: where it computes, see `computed_on`.
    """

    def __init__(self, verifier: Verifier, card: Card, cache: ScoreCache, place: str) -> None:
        self.verifier = verifier
        self.card = card
        self.cache = cache
        self._about = (verifier.name, card.version, place)

    @property
    def name(self) -> str:
        """The verifier's own."""
        return self.verifier.name

    @property
    def earlier(self) -> float | None:
        """The verifier's own: which earlier preview it is shown, if any."""
        found: float | None = getattr(self.verifier, "earlier", None)
        return found

    def most(self, moving: bool) -> Cost:
        """The verifier's own: what is charged does not depend on the cache."""
        return most_of_judging(self.verifier, moving=moving)

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """One score a sample, in order; of equal samples the first alone is asked about.

        Raises:
            LostVerifierError: the verifier cannot go on; what it has scored is kept.
        """
        keys = [key_of(sample, *self._about) for sample in samples]
        known = self.cache.recall(set(keys))
        due: dict[bytes, Sample] = {}
        for key, sample in zip(keys, samples, strict=True):
            if key not in known:
                due.setdefault(key, sample)
        lost, vain = None, ZERO
        answers: Sequence[Score | None] = []
        try:
            answers = self.verifier.score(list(due.values())) if due else []
        except LostVerifierError as error:
            lost, answers, vain = str(error), error.scores, error.cost
        if len(answers) != len(due):
            raise ValueError(f"{len(answers)} scores for {len(due)} samples")
        new = {k: score for k, score in zip(due, answers, strict=True) if score is not None}
        self.cache.keep(new)
        if lost is not None:
            raise LostVerifierError(lost, [known.get(key) or new.get(key) for key in keys], vain)
        given: list[Score] = []
        for key in keys:
            given.append(known[key] if key in known else new[key])
            if key in new:
                known[key] = replace(new[key], cached=True)
        return given


def cached(verifier: Verifier, cache: Callable[[], ScoreCache], place: str) -> Verifier:
    """The verifier, or each part of a ranking, behind the cache where it is worth that.

    Worth it is what says in its card that it is costly. To look a score up and to keep it takes
    0.2 ms, and 0.5 ms more for the digest of a picture of 512 x 512: a tenth of a small model's
    time, and nothing beside that of a large one.

    Args:
        verifier: any.
        cache: gives what is known; asked where there is something to keep.
        place: where it computes, see `computed_on`.
    """
    if isinstance(verifier, Several):
        parts = [cached(part, cache, place) for part in verifier.parts]
        return Several(parts, verifier.name, verifier.ranking)
    card: object = getattr(verifier, "card", None)
    if isinstance(card, Card) and card.costly:
        return Cached(verifier, card, cache(), place)
    return verifier


def computed_on(device: str, threads: int) -> str:
    """What decides the last bits of a score beside the verifier's version."""
    return f"{device} threads:{threads} torch:{version('torch')} {platform.machine()}"


def key_of(sample: Sample, name: str, version: str, place: str) -> bytes:
    """A digest of all that decides a score: no two that may differ share one.

    Args:
        sample: its pixels with their shape and type, or its words; those of an earlier preview;
            its prompt; and whether it is whole, as a preview may rightly be dark.
        name: of the verifier, with its options.
        version: of the verifier.
        place: where it is computed.
    """
    prompt = sample.prompt
    head = [
        FORMAT,
        [name, version, place],
        [prompt.text, prompt.negative, prompt.answer],
        sample.stage >= sample.steps,
    ]
    digest = hashlib.sha256()
    if sample.text is not None:
        told = [[step.words for step in sample.text.steps], sample.text.answer]
        digest.update(json.dumps([*head, "text", told]).encode())
        return digest.digest()
    digest.update(json.dumps([*head, "pixels"]).encode())
    for shown in (sample.pixels, sample.earlier):
        if shown is None:
            digest.update(b"\nnone")
            continue
        pixels = np.asarray(cast("NDArray[Any]", shown), order="C")
        digest.update(f"\n{pixels.dtype} {pixels.shape}\n".encode())
        digest.update(pixels.data if pixels.size else b"")
    return digest.digest()

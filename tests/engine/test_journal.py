"""The journal: cut anywhere it resumes to the same end; damage is named, never believed."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from noise_search.candidate import Candidate
from noise_search.errors import UserError
from noise_search.journal import Journal, decode, encode, header
from noise_search.noise import Book
from noise_search.run import Run
from tests.engine.toy import BY_SCORE, Toy, job

RUN = {"seed": 0, "search": "toy", "budget": "48nfe"}
SPECS = ["random", "zero-order", "paths", "prune"]


def play(path: Path, spec: str = "paths", toy: Toy | None = None) -> list[Candidate]:
    book = Book()
    with Journal(path, RUN, book) as journal:
        run = Run(toy or Toy(), BY_SCORE, width=4, book=book, memory=journal)
        [found] = run.drive([job(spec, 48)])
    return found.candidates


def essence(candidates: list[Candidate]) -> list[object]:
    return [(c.name, c.noise.name, c.scores, c.failure, c.cost, c.parent) for c in candidates]


@pytest.mark.parametrize("spec", SPECS)
def test_cut_anywhere_it_resumes_to_the_same_candidates(spec: str, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    whole = play(path, spec)
    data = path.read_bytes()
    assert data.count(b"\n") == len(whole) + 1
    for cut in range(0, len(data) + 1, 5 if spec == "random" else 29):
        path.write_bytes(data[:cut])
        toy = Toy()
        assert essence(play(path, spec, toy)) == essence(whole)
        lost = len(whole) - max(0, data[:cut].count(b"\n") - 1)
        assert sum(map(len, toy.calls)) == min(lost, len(whole))
    assert path.read_bytes() == data


def test_nothing_is_played_twice(tmp_path: Path) -> None:
    toy = Toy()
    play(tmp_path / "journal", toy=toy)
    again = Toy()
    play(tmp_path / "journal", toy=again)
    assert toy.calls
    assert not again.calls


def flipped(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]


def swapped(data: bytes, rng: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    i, j = rng.sample(range(len(lines)), 2)
    lines[i], lines[j] = lines[j], lines[i]
    return b"".join(lines)


def doubled(data: bytes, rng: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    i = rng.randrange(len(lines))
    return b"".join([*lines[: i + 1], *lines[i:]])


@pytest.mark.parametrize(
    ("damage", "times"),
    [(flipped, 500), (swapped, 100), (doubled, 100)],
    ids=["flipped bits", "swapped lines", "doubled lines"],
)
def test_damage_is_named_or_repaired(
    damage: Callable[[bytes, random.Random], bytes], times: int, tmp_path: Path
) -> None:
    path = tmp_path / "journal"
    whole = essence(play(path))
    data = path.read_bytes()
    rng, named = random.Random(0), list[str]()
    for _ in range(times):
        path.write_bytes(damage(data, rng))
        try:
            assert essence(play(path)) == whole
        except UserError as error:
            named.append(str(error))
    assert all("journal: line" in said for said in named)
    assert len(named) > 0.9 * times


def test_a_journal_of_another_run_is_refused_and_names_the_key(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    play(path)
    with pytest.raises(UserError, match=r"seed=0, not 1"):
        Journal(path, {**RUN, "seed": 1}, Book())


def test_a_journal_in_use_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path, RUN, Book()), pytest.raises(UserError, match="in use"):
        Journal(path, RUN, Book())
    Journal(path, RUN, Book()).close()


def test_the_header_tells_which_run_it_is(tmp_path: Path) -> None:
    play(tmp_path / "journal")
    assert header(tmp_path / "journal") == RUN
    with pytest.raises(UserError, match="holds no run"):
        header(tmp_path / "nothing" / "journal")


def test_a_line_survives_only_exactly_as_written() -> None:
    line = encode({"n": 1, "text": "ü\n"})
    assert decode(line) == {"n": 1, "text": "ü\n"}
    assert decode(line.replace(b'"n":1', b'"n": 1')) is None
    assert decode(line[:-1]) is None
    assert decode(line.upper()) is None
    assert decode(b"\n") is None

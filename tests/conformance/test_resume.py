"""A run that was cut off anywhere goes on to the very same files."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from noise_search.candidate import Candidate
from noise_search.journal import Journal, candidate_record
from noise_search.noise import Book
from noise_search.run import Run
from noise_search.study.bench import build
from noise_search.study.generate import LIVE, jobs_of
from noise_search.study.settings import Settings
from tests.conformance.conftest import Place
from tests.conformance.faults import Fault, faulty
from tests.conformance.folders import broken_off, files, lines, play, record, total
from tests.conformance.searches import Listed, each
from tests.conformance.worlds import ANALYTIC, SHAPES, SHIPPED, TEXT, VOTES, Tally, World

pytestmark = pytest.mark.timeout(300)
STAGES = 26
NEVER = Fault("score", "nan", rate=0)


@dataclass(frozen=True)
class Broken:
    """A whole run, and the same run cut off the moment before it was concluded."""

    world: World
    settings: Settings
    whole: Path
    broken: Path
    fault: Fault

    @classmethod
    def of(cls, world: World, search: str, scratch: Path, fault: Fault = NEVER) -> Broken:
        settings = world.settings(search, world.budget(STAGES))
        made = cls(world, settings, scratch / "whole", scratch / "broken", fault)
        play(made.whole, world.prompts, settings, bench_of=faulty(fault))
        count = record(made.whole)["candidates"]
        broken_off(made.broken, world.prompts, settings, count, bench_of=faulty(fault))
        assert made.journal == (made.whole / "journal").read_bytes()
        assert count > 1
        return made

    @property
    def journal(self) -> bytes:
        return (self.broken / "journal").read_bytes()

    def cut(self, at: int, out: Path, *, live: bool = True) -> Tally:
        """Go on after a cut at a byte, with or without the latents of the time before it."""
        shutil.copytree(self.broken, out)
        (out / "journal").write_bytes(self.journal[:at])
        if not live:
            shutil.rmtree(out / LIVE)
        with Tally() as tally:
            bench_of = faulty(self.fault, tally.bench)
            play(out, self.world.prompts, self.settings, bench_of=bench_of)
        return tally

    def lost(self, at: int) -> int:
        """Evaluations, or tokens, whose record is gone with a cut at a byte."""
        kept = max(0, self.journal[:at].count(b"\n") - HEAD)
        return total(costs(self.journal)[kept:]).get(self.world.unit, 0)

    def check(self, at: int, out: Path) -> None:
        """Nothing differs after a cut, and nothing but what was lost is made again."""
        tally = self.cut(at, out)
        assert files(out) == files(self.whole), f"cut at byte {at}"
        assert tally.work == self.lost(at), f"cut at byte {at}"
        shutil.rmtree(out)


HEAD = 2
"""Lines of a journal that come before its candidates."""


def costs(journal: bytes) -> list[dict[str, int]]:
    """What the candidates of a journal cost, in order."""
    return [json.loads(line[9:])["cost"] for line in journal.splitlines()[HEAD:]]


def ends_of_lines(data: bytes) -> list[int]:
    return [0, *(i + 1 for i, byte in enumerate(data) if byte == ord("\n"))]


@each([*ANALYTIC, TEXT])
def test_cut_after_any_line_it_goes_on_to_the_same_files(
    world: World, search: Listed, placed: Place, scratch: Path
) -> None:
    if world.writes:  # one prompt: a model is loaded for each cut
        world = replace(world, texts=world.texts[:1])
    run = Broken.of(placed(world), search.spec, scratch)
    for cut in ends_of_lines(run.journal):
        run.check(cut, scratch / "resumed")


@each(ANALYTIC[:1])
def test_prompts_that_went_different_ways_go_on_in_the_same_order(
    world: World, search: Listed, scratch: Path
) -> None:
    world = replace(world, texts=("a", "b", "c"))
    run = Broken.of(world, search.spec, scratch, Fault("score", "nan"))
    for cut in ends_of_lines(run.journal):
        run.check(cut, scratch / "resumed")


@each(SHAPES[:1], nightly=(SHAPES[1], *SHIPPED))
def test_cut_at_random_bytes_pictures_too_go_on_to_the_same_files(
    world: World, search: Listed, placed: Place, scratch: Path
) -> None:
    run = Broken.of(placed(world), search.spec, scratch)
    rng = random.Random(search.spec)
    for cut in [len(run.journal), *(rng.randrange(len(run.journal)) for _ in range(20))]:
        run.check(cut, scratch / "resumed")


@each([VOTES], nightly=[TEXT])
def test_cut_at_random_bytes_texts_go_on_to_the_same_files(
    world: World, search: Listed, placed: Place, scratch: Path
) -> None:
    run = Broken.of(placed(world), search.spec, scratch)
    rng = random.Random(search.spec)
    for cut in [len(run.journal), *(rng.randrange(len(run.journal)) for _ in range(6))]:
        run.check(cut, scratch / "resumed")


@each([*ANALYTIC, SHAPES[0]])
def test_latents_that_were_lost_cost_overhead_and_change_nothing_else(
    world: World, search: Listed, placed: Place, scratch: Path
) -> None:
    run = Broken.of(placed(world), search.spec, scratch)
    ends = ends_of_lines(run.journal)
    for i, cut in enumerate((ends[-1], ends[len(ends) // 2])):
        out = scratch / f"resumed-{i}"
        tally = run.cut(cut, out, live=False)
        whole, again = record(run.whole), record(out)
        assert lines(out) == lines(run.whole)
        assert again["results"] == whole["results"]
        assert again["spent"] == total([whole["spent"], again["overhead"]])
        made = run.lost(cut) + again["overhead"].get("nfe", 0)
        # siblings walk what they have in common side by side: equal rows, that count as one
        assert tally.work <= made if "beam" in search.spec else tally.work == made


def drive(world: World, settings: Settings, folder: Path) -> list[Candidate]:
    """A run of one prompt with a journal of short lines and latents beside it."""
    book = Book()
    with Journal(folder / "journal", {}, book) as journal:
        bench = build(settings, book, folder / LIVE)
        run = Run(
            bench.problem, bench.ranking, width=settings.batch or 1, book=book, memory=journal
        )
        [outcome] = run.drive(jobs_of(world.prompts[:1], settings))
    return outcome.candidates


def check_bytes(world: World, search: Listed, scratch: Path, every: int) -> None:
    """Cut a small run at every so many bytes; at about a thousand places of a longer one."""

    def essence(candidates: list[Candidate]) -> list[Any]:
        return [candidate_record(c) for c in candidates]

    settings = world.settings(search.spec, "4nfe", steps=2)
    whole = essence(drive(world, settings, scratch))
    data = (scratch / "journal").read_bytes()
    assert data.count(b"\n") == len(whole) + 1
    for cut in range(0, len(data), max(every, len(data) // 1000)):
        (scratch / "journal").write_bytes(data[:cut])
        assert essence(drive(world, settings, scratch)) == whole
        assert (scratch / "journal").read_bytes() == data


@each(ANALYTIC[:2])
def test_cut_at_any_byte_it_goes_on_to_the_same_candidates(
    world: World, search: Listed, scratch: Path
) -> None:
    check_bytes(world, search, scratch, every=1 if world == ANALYTIC[0] else 3)


@each([], nightly=ANALYTIC)
def test_cut_at_every_byte_it_goes_on_to_the_same_candidates(
    world: World, search: Listed, scratch: Path
) -> None:
    check_bytes(world, search, scratch, 1)

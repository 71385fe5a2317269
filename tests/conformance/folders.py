"""Runs in folders: made, broken off, and compared file by file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from noise_search.ask import Prompt
from noise_search.budget import ZERO, Cost
from noise_search.candidate import Candidate
from noise_search.noise import Book
from noise_search.run import Run
from noise_search.study.bench import Bench, build
from noise_search.study.generate import Driven, jobs_of, run_folder, run_header
from noise_search.study.result import Result
from noise_search.study.settings import Settings
from noise_search.study.watch import Silent, Watcher

BenchOf = Callable[[Settings, Book, Path | None], Bench]


def play(
    out: Path,
    prompts: Sequence[Prompt],
    settings: Settings,
    *,
    watch: Watcher | None = None,
    bench_of: BenchOf = build,
) -> list[Result]:
    """What `generate` does with completed settings, on a bench of one's own."""
    return run_folder(
        settings,
        out,
        run_header(prompts, settings),
        jobs_of(prompts, settings),
        workers=1,
        watch=watch or Silent(),
        bench_of=bench_of,
    )


def driven(prompts: Sequence[Prompt], settings: Settings, bench_of: BenchOf = build) -> Driven:
    """The same search without a folder, and without a look at whether it pays for anything."""
    bench, overhead = bench_of(settings, Book(), None), list[Cost]()
    run = Run(
        bench.problem,
        bench.ranking,
        width=settings.batch or 1,
        book=bench.book,
        overhead=overhead.append,
    )
    outcomes = run.drive(jobs_of(prompts, settings))
    return Driven(outcomes, sum(overhead, ZERO))


def reusing() -> BenchOf:
    """A bench whose model is loaded for the first run and used for all; it takes the longest."""
    kept: list[Bench] = []

    def bench_of(settings: Settings, book: Book, folder: Path | None) -> Bench:
        if not kept:
            kept.append(build(settings, book, folder))
        return replace(kept[0], settings=settings)

    return bench_of


class PowerCut(BaseException):
    """What ends a run as if the machine had gone: nothing is concluded and nothing cleaned up."""


class CutAfter(Silent):
    """A watcher under which a run breaks off once so many candidates are filed."""

    def __init__(self, candidates: int) -> None:
        self.candidates = candidates

    def candidate(self, candidate: Candidate) -> None:
        """Count down."""
        self.candidates -= 1
        if self.candidates <= 0:
            raise PowerCut


def broken_off(
    out: Path,
    prompts: Sequence[Prompt],
    settings: Settings,
    candidates: int,
    bench_of: BenchOf = build,
) -> None:
    """Leave a folder as a run does that was cut off when so many candidates were filed."""
    try:
        play(out, prompts, settings, watch=CutAfter(candidates), bench_of=bench_of)
    except PowerCut:
        return
    raise AssertionError(f"the run came to its end before {candidates} candidates")


def files(out: Path) -> dict[str, str]:
    """The digest of every file of a folder, by its path within it."""
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def results(out: Path) -> dict[str, str]:
    """The same without the journal, whose lines stand in the order they arrived in."""
    return {name: digest for name, digest in files(out).items() if name != "journal"}


def lines(out: Path) -> list[dict[str, Any]]:
    """The records of `candidates.jsonl`."""
    return [json.loads(line) for line in (out / "candidates.jsonl").read_text().splitlines()]


def record(out: Path) -> Mapping[str, Any]:
    """The record of `run.json`."""
    found: Mapping[str, Any] = json.loads((out / "run.json").read_text())
    return found


def by_prompt(out: Path) -> dict[str, Any]:
    """What a folder says of each prompt, whatever the order of prompts: lines, result, pictures."""
    found = {result["prompt"]["name"]: [result] for result in record(out)["results"]}
    recipes: list[Any] = []
    for line in lines(out):
        recipes += line.pop("recipes", [])
        found[line["prompt"]].append(line)
    pictures = {n: digest for n, digest in files(out).items() if n.startswith("images/")}
    return {**found, "recipes": sorted(recipes, key=str), "pictures": pictures}


def total(costs: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """The sum of costs, by kind; kinds that are 0 are left out."""
    kinds = sorted({kind for cost in costs for kind in cost})
    summed = {kind: sum(cost.get(kind, 0) for cost in costs) for kind in kinds}
    return {kind: number for kind, number in summed.items() if number}

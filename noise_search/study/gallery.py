"""The pictures of a comparison: written as they are judged, so that few are ever in memory."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from noise_search.ask import Prompt
from noise_search.budget import read_limits
from noise_search.candidate import Candidate
from noise_search.noise import Name
from noise_search.study.bench import Bench
from noise_search.study.folder import recipe_of
from noise_search.study.settings import Settings
from noise_search.study.sheet import Cell, write_sheet
from noise_search.study.tables import SINGLE, Entry, spelt
from noise_search.study.video import is_drawn, still, write_drawn

MOST_PICTURED = 12
"""Prompts whose winners' pictures are kept; of the others only the verdicts are."""
TITLES = {SINGLE: "one sample", "random": "best of N", "steps": "more steps"}
"""How a sheet calls what has a plainer name."""


@dataclass(frozen=True)
class Lineup:
    """What is compared.

    Attributes:
        settings: completed; `search` and `budget` mean nothing here.
        prompts: what is generated for.
        entries: pairs of search and budget.
        seeds: repetitions of each, with roots that count up from the settings' seed.
    """

    settings: Settings
    prompts: Sequence[Prompt]
    entries: Sequence[Entry]
    seeds: int

    def root(self, prompt: Prompt, index: int) -> int:
        """The root of one repetition's random numbers."""
        return (self.settings.seed if prompt.seed is None else prompt.seed) + index

    def places(self) -> Iterator[tuple[Prompt, int, Entry]]:
        """Prompt, repetition and entry of every search, in the order they are told."""
        for prompt in self.prompts:
            for index in range(self.seeds):
                for entry in self.entries:
                    yield prompt, index, entry


class Gallery:
    """Pictures of the first repetition's winners, for the first few prompts.

    Args:
        out: the comparison's folder.
        bench: what it works with.
        lineup: what is compared.
        winners: by prompt and entry, those of the first repetition.
    """

    def __init__(
        self,
        out: Path,
        bench: Bench,
        lineup: Lineup,
        winners: Mapping[tuple[Name, Entry], Candidate],
    ) -> None:
        self._out = out
        self._bench = bench
        self._lineup = lineup
        self._names = file_names(lineup.entries)
        self._columns = sheet_entries(lineup.entries)
        self._cells: dict[tuple[Name, Entry], Cell] = {}
        self._places: dict[Name, list[tuple[Prompt, Entry]]] = defaultdict(list)
        for prompt in lineup.prompts[:MOST_PICTURED]:
            for entry in lineup.entries:
                winner = winners.get((prompt.name, entry))
                if winner is not None:
                    self._places[winner.name].append((prompt, entry))
        self.images: dict[tuple[Name, Entry], str] = {}

    def wants(self, name: Name) -> bool:
        """Whether a candidate is to be shown."""
        return name in self._places

    def show(self, candidate: Candidate, pixels: Any, evaluation: Mapping[str, float]) -> None:
        """Write a winner's pictures, and keep it if it is on the sheet."""
        if not is_drawn(pixels):
            return
        for prompt, entry in self._places[candidate.name]:
            place = (prompt.name, entry)
            self.images[place] = f"images/{prompt.name}/{self._names[entry]}"
            record = self._record(prompt, entry, candidate, evaluation)
            write_drawn(self._out / self.images[place], pixels, record, self._bench.rate)
            if entry in self._columns:
                score = f"{self._bench.score_of(candidate):.4g}"
                self._cells[place] = Cell.judged(still(pixels), score, evaluation)

    def write_sheet(self, note: str) -> None:
        """Winners side by side: a column a search, all at one budget, a row a prompt."""
        if not self._cells:
            return
        blank = Cell(None, "nothing finished")
        rows = [
            (prompt.text, [self._cells.get((prompt.name, e), blank) for e in self._columns])
            for prompt in self._lineup.prompts[:MOST_PICTURED]
        ]
        titles = [f"{TITLES.get(e.search, e.search)}, {spelt(e.budget)}" for e in self._columns]
        write_sheet(self._out / "sheet.png", titles, rows, note)

    def _record(
        self, prompt: Prompt, entry: Entry, candidate: Candidate, evaluation: Mapping[str, float]
    ) -> dict[str, Any] | None:
        if not self._bench.settings.metadata:
            return None
        own = {"budget": entry.budget, "seed": self._lineup.root(prompt, 0)}
        search = {} if entry.search == SINGLE else {"search": entry.search}
        settings = self._bench.settings.model_copy(update={**own, **search})
        record = recipe_of(replace(self._bench, settings=settings), prompt, candidate)
        return {**record, **({"evaluation": dict(evaluation)} if evaluation else {})}


def file_names(entries: Sequence[Entry]) -> dict[Entry, str]:
    """A safe and distinct file name an entry.

    >>> list(file_names([Entry("prune(at=0.25+0.5)", "64nfe")]).values())
    ['prune-at-0.25-0.5-64nfe.png']
    """
    slugs = [re.sub(r"[^A-Za-z0-9.]+", "-", "-".join(e)).strip("-.")[:80] for e in entries]
    count = Counter(slug.lower() for slug in slugs)
    return {
        entry: f"{slug}.png" if count[slug.lower()] == 1 else f"{slug}-{i}.png"
        for i, (entry, slug) in enumerate(zip(entries, slugs, strict=True), 1)
    }


def sheet_entries(entries: Sequence[Entry]) -> list[Entry]:
    """The columns of a sheet: one sample, and every search at one budget.

    It is the budget that most searches have; of several the largest.
    """
    searched = [entry for entry in entries if entry.search != SINGLE]
    count = Counter(entry.budget for entry in searched)
    chosen = max(count, key=lambda b: (count[b], read_limits(b).get("nfe", 0)))
    single = [entry for entry in entries if entry.search == SINGLE]
    return single + [entry for entry in searched if entry.budget == chosen]

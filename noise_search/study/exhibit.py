"""What a comparison leaves behind: verdicts of a held-out evaluator, and files that show them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from noise_search.budget import ZERO, Cost, read_limits
from noise_search.candidate import Candidate
from noise_search.noise import Name
from noise_search.problem import Prompt, Sample
from noise_search.run import Outcome
from noise_search.study.bench import Bench
from noise_search.study.curves import curve_png
from noise_search.study.files import write_bytes, write_json, write_lines
from noise_search.study.folder import candidate_lines, prompt_record, recipe_of, run_facts
from noise_search.study.generate import Driven
from noise_search.study.png import write_png
from noise_search.study.settings import Settings
from noise_search.study.sheet import Cell, write_sheet
from noise_search.study.tables import (
    SINGLE,
    Entry,
    Tables,
    Verdict,
    csv_text,
    spelt,
    summary_of,
)
from noise_search.study.watch import Watcher

MOST_PICTURED = 12
"""Prompts whose winners' pictures are kept; of the others only the verdicts are."""
JUDGED_AT_ONCE = 32
"""Pictures shown to the evaluator in one call."""
STOPPED = "stopped"
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


@dataclass
class Judged:
    """What the evaluator said of winners, by name, and the pixels that will be shown."""

    evaluation: dict[Name, dict[str, float]] = field(default_factory=dict[Name, dict[str, float]])
    pixels: dict[Name, Any] = field(default_factory=dict[Name, Any])
    overhead: Cost = ZERO


@dataclass(frozen=True)
class Exhibit:
    """A comparison, ready to be written.

    Attributes:
        lineup: what was compared.
        tables: its verdicts.
        candidates: all of them, each once.
        shown: the winners to picture, by prompt and entry.
        pixels: of the winners to picture, by name.
        overhead: what was spent beside the candidates.
        whole: False if it was stopped before its end.
    """

    lineup: Lineup
    tables: Tables
    candidates: Sequence[Candidate]
    shown: Mapping[tuple[Name, Entry], Candidate]
    pixels: Mapping[Name, Any]
    overhead: Cost
    whole: bool


def conclude(lineup: Lineup, bench: Bench, driven: Driven, watch: Watcher) -> Exhibit:
    """Judge the winners by the evaluator; of the first repetition, keep the pictures to show."""
    told = list(zip(lineup.places(), driven.outcomes, strict=True))
    pictured = {prompt.name for prompt in lineup.prompts[:MOST_PICTURED]}
    shown = {
        (prompt.name, entry): outcome.best
        for (prompt, index, entry), outcome in told
        if index == 0 and prompt.name in pictured and outcome.best is not None
    }
    winners = {o.best.name: (o.best, o.prompt) for o in driven.outcomes if o.best is not None}
    watch.begin(f"judging {len(winners)} winners", None)
    try:
        judged = judge(bench, list(winners.values()), {c.name for c in shown.values()})
    finally:
        watch.end()
    verifiers = _names(bench.verifier.name, (c.scores for c, _ in winners.values()))
    evaluators: list[str] = []
    if bench.evaluator is not None:
        evaluators = _names(bench.evaluator.name, judged.evaluation.values())
    verdicts = [
        _verdict(lineup.root(prompt, index), entry, outcome, judged)
        for (prompt, index, entry), outcome in told
    ]
    return Exhibit(
        lineup,
        Tables(verdicts, verifiers, evaluators, bench.pipeline.most_steps),
        list({c.name: c for o in driven.outcomes for c in o.candidates}.values()),
        shown,
        judged.pixels,
        driven.overhead + judged.overhead,
        all(outcome.reason != STOPPED for outcome in driven.outcomes),
    )


def judge(bench: Bench, winners: Sequence[tuple[Candidate, Prompt]], keep: set[Name]) -> Judged:
    """Show winners to the evaluator, some at a time, and keep no picture but those asked for."""
    judged = Judged()
    for begin in range(0, len(winners), JUDGED_AT_ONCE):
        some = winners[begin : begin + JUDGED_AT_ONCE]
        if bench.evaluator is None:
            some = [(c, prompt) for c, prompt in some if c.name in keep]
        samples: list[Sample] = []
        for candidate, prompt in some:
            pixels, _, extra = bench.pipeline.picture(candidate, prompt)
            judged.overhead += extra
            samples.append(Sample(prompt, pixels, candidate.stage, candidate.steps))
            if candidate.name in keep:
                judged.pixels[candidate.name] = pixels
        if bench.evaluator is not None:
            for (candidate, _), score in zip(some, bench.evaluator.score(samples), strict=True):
                judged.evaluation[candidate.name] = dict(score.values)
    return judged


def _names(own: str, scores: Iterable[Mapping[str, float]]) -> list[str]:
    """All names of scores, the verifier's own first."""
    known = {name: None for values in scores for name in values}
    return (
        [own, *(name for name in known if name != own)]
        if own in known or not known
        else list(known)
    )


def _verdict(root: int, entry: Entry, outcome: Outcome, judged: Judged) -> Verdict:
    best = outcome.best
    return Verdict(
        prompt=outcome.prompt.name,
        seed=root,
        entry=entry,
        winner=None if best is None else best.name,
        scores={} if best is None else dict(best.scores),
        evaluation={} if best is None else judged.evaluation.get(best.name, {}),
        steps=0 if best is None else best.steps,
        spent=outcome.spent,
        candidates=len(outcome.candidates),
        ended=outcome.reason,
    )


def write_exhibit(out: Path, bench: Bench, exhibit: Exhibit, head: Mapping[str, Any]) -> None:
    """Write everything but the journal; `run.json` comes last, so it tells a whole comparison."""
    tables, lineup = exhibit.tables, exhibit.lineup
    write_lines(out / "candidates.jsonl", candidate_lines(exhibit.candidates, bench.book))
    names = _write_pictures(out, bench, exhibit)
    rows = tables.rows()
    write_bytes(out / "curve.csv", csv_text(rows).encode())
    write_bytes(out / "curve.png", curve_png(tables, len(lineup.prompts), lineup.seeds))
    summary = summary_of(tables, len(lineup.prompts), lineup.seeds)
    if not exhibit.whole:
        summary["lines"].insert(
            0, "stopped before its end: unfinished searches count as they stood"
        )
    write_json(out / "summary.json", summary)
    facts = run_facts(bench, exhibit.candidates, exhibit.overhead)
    compared = {key: head[key] for key in ("searches", "budgets", "seeds", "also") if key in head}
    write_json(
        out / "run.json",
        {
            **facts,
            "settings": _without_search(facts["settings"]),
            **compared,
            "complete": exhibit.whole,
            "verifiers": list(tables.verifiers),
            "evaluators": list(tables.evaluators),
            "most_steps": tables.most_steps,
            "results": list(_result_records(exhibit, names)),
        },
    )


def read_tables(out: Path) -> Tables | None:
    """The tables of a comparison that was finished in a folder, or None."""
    try:
        record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    except OSError:
        return None
    if not record.get("complete"):
        return None
    verdicts = [Verdict.read({**r, "prompt": r["prompt"]["name"]}) for r in record["results"]]
    return Tables(verdicts, record["verifiers"], record["evaluators"], record["most_steps"])


def _without_search(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without what each entry has its own of."""
    return {key: value for key, value in settings.items() if key not in ("search", "budget")}


def _result_records(exhibit: Exhibit, images: Mapping[Entry, str]) -> Iterator[dict[str, Any]]:
    """One record a verdict, with where its winner's picture lies."""
    by_name = {c.name: c for c in exhibit.candidates}
    prompts = {prompt.name: prompt_record(prompt) for prompt in exhibit.lineup.prompts}
    for (prompt, index, entry), verdict in zip(
        exhibit.lineup.places(), exhibit.tables.verdicts, strict=True
    ):
        best = None
        if verdict.winner is not None:
            winner = by_name[verdict.winner]
            best = {"candidate": winner.name, "noise": winner.noise.line(), "sha256": winner.sha256}
            if index == 0 and (prompt.name, entry) in exhibit.shown and entry in images:
                best["image"] = f"images/{prompt.name}/{images[entry]}"
        yield {**verdict.record(), "prompt": prompts[prompt.name], "best": best}


def _write_pictures(out: Path, bench: Bench, exhibit: Exhibit) -> dict[Entry, str]:
    """Write the winners of the first repetition and the sheet; a file name an entry, if any."""
    if not any(pixels.ndim == 3 for pixels in exhibit.pixels.values()):
        return {}
    names = file_names(exhibit.lineup.entries)
    prompts = {prompt.name: prompt for prompt in exhibit.lineup.prompts}
    evaluations = {v.winner: dict(v.evaluation) for v in exhibit.tables.verdicts}
    for (name, entry), candidate in exhibit.shown.items():
        own = {"budget": entry.budget}
        if entry.search != SINGLE:
            own["search"] = entry.search
        root = exhibit.lineup.root(prompts[name], 0)
        settings = bench.settings.model_copy(update={**own, "seed": root})
        record = recipe_of(replace(bench, settings=settings), prompts[name], candidate)
        if evaluations[candidate.name]:
            record["evaluation"] = evaluations[candidate.name]
        path = out / "images" / name / names[entry]
        kept = record if bench.settings.metadata else None
        write_png(path, exhibit.pixels[candidate.name], kept)
    _write_sheet(out / "sheet.png", bench, exhibit, evaluations)
    return names


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


def _write_sheet(
    path: Path, bench: Bench, exhibit: Exhibit, evaluations: Mapping[Name | None, dict[str, float]]
) -> None:
    """Winners side by side: a column a search, all at one budget, a row a prompt."""
    columns = sheet_entries(exhibit.lineup.entries)
    rows: list[tuple[str, list[Cell]]] = []
    for prompt in exhibit.lineup.prompts[:MOST_PICTURED]:
        cells: list[Cell] = []
        for entry in columns:
            winner = exhibit.shown.get((prompt.name, entry))
            if winner is None:
                cells.append(Cell(None, "nothing finished"))
                continue
            said = list(evaluations[winner.name].values())
            mark = bool(said[0]) if said and said[0] in (0.0, 1.0) else None
            cells.append(Cell(exhibit.pixels[winner.name], f"{bench.score_of(winner):.4g}", mark))
        rows.append((prompt.text, cells))
    titles = [f"{TITLES.get(e.search, e.search)}, {spelt(e.budget)}" for e in columns]
    write_sheet(path, titles, rows, _note(exhibit.tables))


def _note(tables: Tables) -> str:
    """What frames and numbers of the sheet mean."""
    note = f"Number: score of {tables.verifiers[0]}, which guides the searches."
    if tables.evaluators and tables.is_share(tables.evaluators[0]):
        held_out = f"the verdict of {tables.evaluators[0]}, which no search sees"
        note += f" Frame: {held_out}; green is right, red is wrong."
    return note

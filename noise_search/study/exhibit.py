"""What a comparison leaves behind: verdicts of a held-out evaluator, and files that show them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import fsum
from pathlib import Path
from typing import Any

from noise_search.ask import Prompt
from noise_search.budget import ZERO, Cost
from noise_search.candidate import Candidate
from noise_search.errors import UserError
from noise_search.judged import judge as asked
from noise_search.noise import Name
from noise_search.problem import Sample
from noise_search.run import STOPPED, Outcome
from noise_search.study.bench import Bench
from noise_search.study.curves import curve_png
from noise_search.study.diversity import Eye, Vector
from noise_search.study.files import read_json, write_bytes, write_json, write_lines
from noise_search.study.folder import candidate_lines, prompt_record, run_facts
from noise_search.study.gains import csv_text, sight_lines, sight_records, told
from noise_search.study.gallery import Gallery, Lineup
from noise_search.study.generate import Driven
from noise_search.study.showing import spent_on
from noise_search.study.tables import Entry, Tables, Verdict, name_of, summary_of
from noise_search.study.watch import Watcher

JUDGED_AT_ONCE = 32
"""Pictures shown to the evaluator in one call."""


@dataclass
class Judged:
    """What the evaluators said of winners, and what making them again has cost.

    Attributes:
        evaluation: scores by the winner's name.
        said: the same by the evaluator's name.
        overhead: what making them again has cost.
        spent: what the evaluators have spent, which is in no budget.
        vectors: features by the winner's name, where there are several seeds to compare.
    """

    evaluation: dict[Name, dict[str, float]] = field(default_factory=dict[Name, dict[str, float]])
    said: dict[Name, list[Mapping[str, float]]] = field(
        default_factory=lambda: defaultdict[Name, list[Mapping[str, float]]](list)
    )
    overhead: Cost = ZERO
    spent: Cost = ZERO
    vectors: dict[Name, Vector | None] = field(default_factory=dict[Name, "Vector | None"])


@dataclass(frozen=True)
class Exhibit:
    """A comparison whose winners are judged.

    Attributes:
        lineup: what was compared.
        tables: its verdicts.
        candidates: all of them, each once.
        images: where pictures of winners lie, by prompt and entry.
        overhead: what was spent beside the candidates.
        whole: False if it was stopped before its end.
        judging: what the evaluators have spent, which is in no budget.
    """

    lineup: Lineup
    tables: Tables
    candidates: Sequence[Candidate]
    images: Mapping[tuple[Name, Entry], str]
    overhead: Cost
    whole: bool
    judging: Cost = ZERO


def conclude(lineup: Lineup, bench: Bench, driven: Driven, out: Path, watch: Watcher) -> Exhibit:
    """Judge the winners by the evaluators; write the pictures of the first repetition's."""
    told = list(zip(lineup.places(), driven.outcomes, strict=True))
    firsts = {
        (prompt.name, entry): outcome.best
        for (prompt, index, entry), outcome in told
        if index == 0 and outcome.best is not None
    }
    gallery = Gallery(out, bench, lineup, firsts)
    winners = {o.best.name: (o.best, o.prompt) for o in driven.outcomes if o.best is not None}
    watch.begin(f"judging {len(winners)} winners", None)
    try:
        eye = Eye.of(bench.verifier) if lineup.seeds > 1 else None
        judged = judge(bench, list(winners.values()), gallery, eye)
    finally:
        watch.end()
    verifiers = _names(bench.verifier.name, (c.scores for c, _ in winners.values()))
    evaluators: list[str] = []
    for evaluator in bench.evaluators:
        evaluators += _names(evaluator.name, judged.said[evaluator.name])
    verdicts = [
        _verdict(lineup.root(prompt, index), entry, outcome, judged)
        for (prompt, index, entry), outcome in told
    ]
    tables = Tables(verdicts, verifiers, evaluators, bench.pipeline.most_steps, bench.unit)
    if eye is not None:
        tables = replace(tables, diversity=_diversity(tables, judged, eye), features=eye.name)
    gallery.write_sheet(_note(tables))
    return Exhibit(
        lineup,
        tables,
        list({c.name: c for o in driven.outcomes for c in o.candidates}.values()),
        gallery.images,
        driven.overhead + judged.overhead,
        all(outcome.reason != STOPPED for outcome in driven.outcomes),
        judged.spent,
    )


def _diversity(tables: Tables, judged: Judged, eye: Eye) -> dict[Entry, float]:
    """How far the winners of different seeds are from each other, by entry."""
    entries: dict[Entry, float] = {}
    for entry, verdicts in tables.entries.items():
        groups: dict[Name, list[Vector | None]] = defaultdict(list)
        for verdict in verdicts:
            if verdict.winner is not None:
                groups[verdict.prompt].append(judged.vectors.get(verdict.winner))
        found = [value for g in groups.values() if (value := eye.diversity(g)) is not None]
        if found:
            entries[entry] = fsum(found) / len(found)
    return entries


def judge(
    bench: Bench,
    winners: Sequence[tuple[Candidate, Prompt]],
    gallery: Gallery,
    eye: Eye | None = None,
) -> Judged:
    """Show winners to the evaluators, some at a time, and then to the gallery."""
    judged = Judged()
    if not bench.evaluators and eye is None:
        winners = [(c, prompt) for c, prompt in winners if gallery.wants(c.name)]
    for begin in range(0, len(winners), JUDGED_AT_ONCE):
        some = winners[begin : begin + JUDGED_AT_ONCE]
        samples: list[Sample] = []
        for candidate, prompt in some:
            pixels, _, extra = bench.shown(candidate, prompt)
            judged.overhead += extra
            samples.append(Sample(prompt, pixels, candidate.stage, candidate.steps, candidate.text))
        if eye is not None:
            looks = (
                (candidate.name, eye.look(s.pixels))
                for (candidate, _), s in zip(some, samples, strict=True)
            )
            judged.vectors.update(looks)
        for evaluator in bench.evaluators:
            scores = asked(evaluator, samples)
            judged.spent += spent_on([scores])
            for (candidate, _), score in zip(some, scores, strict=True):
                judged.evaluation.setdefault(candidate.name, {}).update(score.values)
                judged.said[evaluator.name].append(score.values)
        for (candidate, _), sample in zip(some, samples, strict=True):
            if gallery.wants(candidate.name):
                said = judged.evaluation.get(candidate.name, {})
                gallery.show(candidate, sample.pixels, said)
    return judged


def _names(own: str, scores: Iterable[Mapping[str, float]]) -> list[str]:
    """All names of scores, the judge's own first; that alone if it has given none."""
    known = {name: None for values in scores for name in values}
    return sorted(known or {own: None}, key=lambda name: name != own)


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


def _note(tables: Tables) -> str:
    """What frames and numbers of the sheet mean."""
    note = f"Number: score of {tables.verifiers[0]}, which guides the searches."
    named = told(tables)
    if named and tables.is_share(named[0]):
        held_out = f"the verdict of {named.pop(0)}, which no search sees"
        note += f" Frame: {held_out}; green is right, red is wrong."
    return note + (" Below: what no search sees either." if named else "")


def write_exhibit(out: Path, bench: Bench, exhibit: Exhibit, head: Mapping[str, Any]) -> None:
    """Write all tables; `run.json` comes last, so it tells a whole comparison."""
    tables, lineup = exhibit.tables, exhibit.lineup
    write_lines(out / "candidates.jsonl", candidate_lines(exhibit.candidates, bench.book))
    write_bytes(out / "curve.csv", csv_text(tables).encode())
    write_bytes(out / "curve.png", curve_png(tables, len(lineup.prompts), lineup.seeds))
    summary = summary_of(tables, len(lineup.prompts), lineup.seeds)
    for said in summary["entries"]:
        entry = Entry(said["search"], said["budget"])
        said["sights"] = sight_records(tables, entry)
        summary["lines"] += sight_lines(tables, entry, name_of(entry))
    diversity = _diversity_record(tables)
    summary |= diversity
    if not exhibit.whole:
        stopped = "stopped before its end: unfinished searches count as they stood"
        summary["lines"].insert(0, stopped)
    write_json(out / "summary.json", summary)
    facts = run_facts(bench, exhibit.candidates, exhibit.overhead)
    own = ("search", "budget")  # every entry has one of its own
    settings = {key: value for key, value in facts["settings"].items() if key not in own}
    compared = {key: head[key] for key in ("searches", "budgets", "seeds", "also") if key in head}
    record = {
        **facts,
        "settings": settings,
        **compared,
        **({"judging": exhibit.judging.record()} if exhibit.judging else {}),
        **diversity,
        "complete": exhibit.whole,
        "verifiers": list(tables.verifiers),
        "evaluators": list(tables.evaluators),
        "most_steps": tables.most_steps,
        "unit": tables.unit,
        "results": list(_result_records(exhibit)),
    }
    write_json(out / "run.json", record)


def read_tables(out: Path) -> Tables | None:
    """The tables of a comparison that was finished in a folder, or None."""
    try:
        record = read_json(out / "run.json")
    except UserError:
        return None
    if not record.get("complete"):
        return None
    verdicts = [Verdict.read({**r, "prompt": r["prompt"]["name"]}) for r in record["results"]]
    alike = record.get("diversity", {"features": "", "entries": []})
    return Tables(
        verdicts,
        record["verifiers"],
        record["evaluators"],
        record["most_steps"],
        record.get("unit", "nfe"),
        {Entry(found["search"], found["budget"]): found["mean"] for found in alike["entries"]},
        alike["features"],
    )


def _diversity_record(tables: Tables) -> dict[str, Any]:
    if not tables.diversity:
        return {}
    entries = [{**entry._asdict(), "mean": mean} for entry, mean in tables.diversity.items()]
    return {"diversity": {"features": tables.features, "entries": entries}}


def _result_records(exhibit: Exhibit) -> Iterator[dict[str, Any]]:
    """One record a verdict, with where its winner's picture lies."""
    by_name = {c.name: c for c in exhibit.candidates}
    places = zip(exhibit.lineup.places(), exhibit.tables.verdicts, strict=True)
    for (prompt, index, entry), verdict in places:
        best = None
        if verdict.winner is not None:
            winner = by_name[verdict.winner]
            best = {"candidate": winner.name, "noise": winner.noise.line(), "sha256": winner.sha256}
            image = exhibit.images.get((prompt.name, entry))
            if index == 0 and image is not None:
                best["image"] = image
            if winner.text is not None:
                best["answer"] = winner.answer
        yield {**verdict.record(), "prompt": prompt_record(prompt), "best": best}

"""The folder of a run: `run.json`, `candidates.jsonl`, `images/`, `sheet.png`, `journal`."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import noise_search
from noise_search.ask import Prompt
from noise_search.budget import ZERO, Cost
from noise_search.candidate import Candidate
from noise_search.journal import candidate_record
from noise_search.noise import Book, Name
from noise_search.study.agreement import Agreement, summary
from noise_search.study.bench import Bench
from noise_search.study.files import write_bytes, write_json, write_lines
from noise_search.study.inputs import save_inputs
from noise_search.study.result import Result, Winner
from noise_search.study.sheet import Cell, write_sheet
from noise_search.study.video import is_drawn, still, video_name, write_drawn

FORMAT = 1
PACKAGES = ("torch", "diffusers", "transformers", "numpy")


def prompt_record(prompt: Prompt) -> dict[str, Any]:
    """A prompt's fields, for a record."""
    return {
        "name": prompt.name,
        "text": prompt.text,
        "negative": prompt.negative,
        "seed": prompt.seed,
        **({} if prompt.answer is None else {"answer": prompt.answer}),
    }


def recipe_of(bench: Bench, prompt: Prompt, candidate: Candidate) -> dict[str, Any]:
    """All that is needed to make one candidate again."""
    return {
        "format": FORMAT,
        "settings": bench.settings.model_dump(),
        "model": dict(bench.pipeline.describe()),
        "prompt": prompt_record(prompt),
        "candidate": candidate_record(candidate),
        "recipes": [recipe.line() for recipe in bench.book.closure([candidate.noise.name])],
    }


def candidate_lines(candidates: Sequence[Candidate], book: Book) -> Iterator[dict[str, Any]]:
    """One line a candidate; a recipe stands in the first line that needs it."""
    written: set[Name] = set()
    told: dict[Name, Candidate] = {}
    for candidate in candidates:
        record = candidate_record(candidate, told.get(candidate.parent or ""))
        told[candidate.name] = candidate
        new = book.closure([candidate.noise.name], written.__contains__)
        written.update(recipe.name for recipe in new)
        order = ("prompt", "candidate", "parent", "stage", "stages")
        others = [r.line() for r in new if r != candidate.noise]
        yield {
            **{key: record.pop(key) for key in order},
            **record,
            "noise": candidate.noise.line(),
            **({"recipes": others} if others else {}),
        }


def write_folder(out: Path, bench: Bench, results: Sequence[Result], overhead: Cost) -> None:
    """Write everything but the journal; `run.json` comes last, so it tells a whole run."""
    unique = {c.name: c for result in results for c in result.candidates}
    save_inputs(out, bench.arguments)
    write_lines(out / "candidates.jsonl", candidate_lines(list(unique.values()), bench.book))
    write_texts(out, results)
    pictured = [r for r in results if r.best is not None and is_drawn(r.best.pixels)]
    for result in pictured:
        write_images(out, bench, result, alone=len(results) == 1)
    if pictured:
        _write_overview(out / "sheet.png", bench, pictured)
    write_json(out / "run.json", run_record(bench, results, unique, overhead))


def write_texts(out: Path, results: Sequence[Result]) -> None:
    """Write `answers.jsonl`, a line a question, and the best text of each as it was written."""
    written = [r for r in results if r.unit == "tokens_out"]
    if not written:
        return
    write_lines(out / "answers.jsonl", (_answer_line(result) for result in written))
    for result in written:
        if result.best is not None:
            path = out / text_name(result.prompt, alone=len(results) == 1)
            write_bytes(path, f"{result.best.text or ''}\n".encode())


def text_name(prompt: Prompt, *, alone: bool) -> str:
    """Where in the folder a winner's text lies."""
    return "best.txt" if alone else f"texts/{prompt.name}.txt"


def _answer_line(result: Result) -> dict[str, Any]:
    """What there is to say of one question: its answer, and how the samples agreed."""
    ends = [c for c in result.candidates if c.finished]
    best = result.best
    return {
        "question": result.prompt.text,
        "prompt": result.prompt.name,
        "answer": None if best is None else best.answer,
        "votes": dict(Counter(c.answer for c in ends if c.answer is not None).most_common()),
        "finished": len(ends),
        "scores": {} if best is None else dict(best.scores),
        **({} if best is None else {"evaluation": dict(best.evaluation)}),
        **({} if result.prompt.answer is None else {"right": result.prompt.answer}),
        "candidate": None if best is None else best.candidate.name,
        "text": None if best is None else best.text,
    }


def write_images(out: Path, bench: Bench, result: Result, *, alone: bool) -> None:
    """Write the winners of one prompt as `best.png`, `top-2.png`, ...; videos as MP4 beside."""
    for rank, winner in enumerate(result.winners, 1):
        path = out / image_name(result.prompt, rank, alone=alone)
        record = recipe_of(bench, result.prompt, winner.candidate)
        if winner.evaluation:
            record["evaluation"] = dict(winner.evaluation)
        shown = record if bench.settings.metadata else None
        write_drawn(path, winner.pixels, shown, bench.rate)


def image_name(prompt: Prompt, rank: int, *, alone: bool) -> str:
    """Where in the folder a winner's picture lies."""
    file = "best.png" if rank == 1 else f"top-{rank}.png"
    return f"images/{file}" if alone else f"images/{prompt.name}/{file}"


def _write_overview(path: Path, bench: Bench, results: Sequence[Result]) -> None:
    """The first sample of each search beside its winners."""
    most = max(len(r.winners) for r in results)
    columns = ["first sample", "best", *(f"top {k}" for k in range(2, most + 1))]
    rows: list[tuple[str, list[Cell]]] = []
    for result in results:
        cells = [_first_cell(bench, result), *(_cell(bench, w) for w in result.winners)]
        rows.append((result.prompt.text, cells))
    write_sheet(path, columns, rows)


def _first_cell(bench: Bench, result: Result) -> Cell:
    shown = next((w for w in result.winners if w.candidate == result.first), None)
    if shown is not None:
        return _cell(bench, shown)
    if result.first is None or result.first_pixels is None:
        return Cell(None, "not finished")
    return Cell(still(result.first_pixels), f"{bench.score_of(result.first):.4g}")


def _cell(bench: Bench, winner: Winner) -> Cell:
    doubted = ", doubted" if winner.doubted else ""
    score = f"{bench.score_of(winner.candidate):.4g}{doubted}"
    return Cell.judged(still(winner.pixels), score, winner.evaluation)


def run_record(
    bench: Bench, results: Sequence[Result], unique: Mapping[Name, Candidate], overhead: Cost
) -> dict[str, Any]:
    """The contents of `run.json`."""
    return {
        **run_facts(bench, list(unique.values()), overhead),
        "budget": bench.settings.limits,
        **({"agreement": summary(found)} if (found := agreements(results)) else {}),
        "results": [_result_record(r, alone=len(results) == 1) for r in results],
    }


def agreements(results: Sequence[Result]) -> list[Agreement]:
    """How evaluators agree with the verifier, by search, where they were asked."""
    return [result.agreement for result in results if result.agreement is not None]


def run_facts(bench: Bench, unique: Sequence[Candidate], overhead: Cost) -> dict[str, Any]:
    """What `run.json` says of every kind of run: with what it was made, and what that cost."""
    spent = sum((c.cost for c in unique), ZERO)
    return {
        "format": FORMAT,
        "settings": bench.settings.model_dump(),
        "spent": (spent + overhead).record(),
        "overhead": overhead.record(),
        "candidates": len(unique),
        "failures": sum(c.failure is not None for c in unique),
        "exact": not bench.settings.fast,
        "model": dict(bench.pipeline.describe()),
        "judges": {key: bench.identity[key] for key in ("verifier", "evaluators")},
        "versions": versions(),
    }


def _result_record(result: Result, *, alone: bool) -> dict[str, Any]:
    winners = [
        {
            "candidate": w.candidate.name,
            "scores": dict(w.scores),
            "evaluation": dict(w.evaluation),
            **({"unjudged": w.unjudged} if w.unjudged else {}),
            **({"doubted": list(w.doubted)} if w.doubted else {}),
            "noise": w.noise.line(),
            **_place(result.prompt, w, rank, alone=alone),
            "sha256": w.candidate.sha256,
        }
        for rank, w in enumerate(result.winners, 1)
    ]
    return {
        "prompt": prompt_record(result.prompt),
        "best": winners[0] if winners else None,
        "top": winners,
        "spent": result.spent.record(),
        "candidates": len(result.candidates),
        "ended": result.outcome.reason,
        **_reference(result),
        **({"agreement": summary([result.agreement])} if result.agreement else {}),
    }


def _reference(result: Result) -> dict[str, Any]:
    """What scores were standardised by, where they were."""
    ranking = result.outcome.ranking
    if ranking is None or not ranking.reference:
        return {}
    return {"reference": {name: by._asdict() for name, by in ranking.reference.items()}}


def _place(prompt: Prompt, winner: Winner, rank: int, *, alone: bool) -> dict[str, Any]:
    """What a record says of where a winner is."""
    if winner.text is None:
        image = image_name(prompt, rank, alone=alone)
        moving = getattr(winner.pixels, "ndim", 0) == 4
        return {"image": image, **({"video": video_name(image)} if moving else {})}
    return {"answer": winner.answer, "text": winner.text}


def versions() -> dict[str, str]:
    """What the run was made with."""
    found = {"noise-search": noise_search.__version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return {**found, "machine": platform.machine()}

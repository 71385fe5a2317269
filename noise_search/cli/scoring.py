"""The command ``score``: pictures of any origin, judged without a search."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import typer

from noise_search.cli.text import printable
from noise_search.errors import UserError
from noise_search.problem import Score, Verifier
from noise_search.registry import check_name, names
from noise_search.specs import parse
from noise_search.study.judges import leaves
from noise_search.study.prompts import read_prompts
from noise_search.study.score import expanded, joined, judged, opened

OK, FAILED = 0, 1
MOST_PROMPT = 40
"""Characters of a prompt in a table."""


class Asked(NamedTuple):
    """What the pictures were asked to show: one text for all, or a file of as many.

    Attributes:
        text: the text.
        file: the file.
        column: its column, if that is not `prompt`.
    """

    text: str | None = None
    file: Path | None = None
    column: str | None = None

    def pairs(self, files: Sequence[Path]) -> tuple[Sequence[Path], list[str]]:
        """Pictures and as many texts; a single picture is asked about by all prompts of a file.

        Raises:
            UserError: there are other texts than there are pictures.
        """
        if self.file is None:
            return files, [self.text or ""] * len(files)
        if self.text is not None:
            raise UserError("prompt: --prompt and --prompts exclude each other")
        found = [prompt.text for prompt in read_prompts(self.file, self.column)]
        if len(files) == 1:
            files = [*files] * len(found)
        if len(found) != len(files):
            raise UserError(
                f"prompts {self.file}: {len(found):,} prompts for {len(files):,} pictures"
            )
        return files, found


class Row(NamedTuple):
    """A picture that was judged.

    Attributes:
        file: where it lies.
        text: what it was asked to show.
        score: what was said of it.
        joined: what a ranking makes of that, if it was asked and the picture has not failed.
    """

    file: Path
    text: str
    score: Score
    joined: float | None = None


def run_score(
    verifier: str,
    images: Sequence[Path],
    asked: Asked,
    *,
    device: str | None,
    cache: bool | None,
    as_json: bool,
) -> int:
    """Judge pictures and print a line each; the exit code is 1 if one of them has no score."""
    whole = parse(verifier).name in names("measure")
    for leaf in () if whole else leaves(str(check_name("verifier", verifier))):
        check_name("verifier", leaf)
    found, reports = expanded(images)
    if reports:
        typer.echo(f"note: {len(reports):,} reports of runs are no pictures to judge", err=True)
    if whole:
        return _print_measured(verifier, found, device or "cpu", as_json=as_json)
    files, texts = asked.pairs(found)
    judge = opened(verifier, texts, cache=cache is not False, device=device or "cpu")
    scores = judged(files, texts, judge)
    failed = 0
    if as_json:
        for row in _rows(files, texts, scores, judge):
            _print_line(row)
            failed += row.score.failure is not None
    else:
        rows = list(_rows(files, texts, scores, judge))
        _print_table(rows, parse(verifier).name)
        failed = sum(row.score.failure is not None for row in rows)
    return _ended(failed, len(files))


def _rows(
    files: Sequence[Path], texts: Sequence[str], scores: Iterator[Score], judge: Verifier
) -> Iterator[Row]:
    """One a picture, while they are made; a ranking compares them when all are there."""
    if not hasattr(judge, "ranking"):
        yield from map(Row, files, texts, scores)
        return
    known = list(scores)
    yield from map(Row, files, texts, known, joined(judge, texts, known) or ())


def _ended(failed: int, count: int) -> int:
    """The exit code; how many have failed is said where there are any."""
    if failed:
        typer.echo(f"{failed:,} of {count:,} pictures could not be judged", err=True)
    return FAILED if failed else OK


def _print_measured(spec: str, files: Sequence[Path], device: str, *, as_json: bool) -> int:
    """What a measure says of all pictures together, and which of them are not among them."""
    from noise_search.study.sets import measure

    found = measure(files, spec, device=device)
    failures = {str(files[number]): said for number, said in found.failures.items()}
    if as_json:
        line: dict[str, object] = {"measure": spec, "value": found.value}
        line |= {"pictures": found.pictures, "failures": failures, "notes": found.notes}
        typer.echo(json.dumps(line, ensure_ascii=False, allow_nan=False))
        return _ended(len(failures), len(files))
    typer.echo(f"{printable(spec)}  {found.value:.6g}  ({found.pictures:,} pictures)")
    for file, said in failures.items():
        typer.echo(f"{printable(file)}  failed: {printable(said)}")
    for note in found.notes:
        typer.echo(f"note: {note}")
    return _ended(len(failures), len(files))


def _print_line(row: Row) -> None:
    line: dict[str, object] = {"image": str(row.file), "scores": dict(row.score.values)}
    line |= {"joined": row.joined} if row.joined is not None else {}
    line |= {"prompt": row.text} if row.text else {}
    line |= {"failure": row.score.failure} if row.score.failure is not None else {}
    line |= {"detail": dict(row.score.detail)} if row.score.detail else {}
    typer.echo(json.dumps(line, ensure_ascii=False, allow_nan=False))


def _print_table(rows: Sequence[Row], ranking: str) -> None:
    """A line a picture; with its prompt where there are several, and what a ranking joins."""
    metrics = list(dict.fromkeys(name for row in rows for name in row.score.values))
    ranked = any(row.joined is not None for row in rows)
    several = len({row.text for row in rows}) > 1
    heads = [ranking, *metrics] if ranked else metrics
    labels = [["image", "prompt"] if several else ["image"]]
    labels += [_labels(row, several=several) for row in rows]
    figures = [heads, *(_figures(row, metrics, ranked=ranked) for row in rows)]
    left = [max(map(len, column)) for column in zip(*labels, strict=True)]
    right = [max(map(len, column)) for column in zip(*figures, strict=True)]
    failures = [None, *(row.score.failure for row in rows)]
    for label, cells, failure in zip(labels, figures, failures, strict=True):
        line = [f"{cell:<{width}}" for cell, width in zip(label, left, strict=True)]
        if failure is None:
            line += [f"{cell:>{width}}" for cell, width in zip(cells, right, strict=True)]
        else:
            line.append(f"failed: {printable(failure)}")
        typer.echo("  ".join(line).rstrip())


def _labels(row: Row, *, several: bool) -> list[str]:
    file = printable(str(row.file))
    return [file, printable(row.text[:MOST_PROMPT])] if several else [file]


def _figures(row: Row, metrics: Sequence[str], *, ranked: bool) -> list[str]:
    values = [row.joined] if ranked else []
    return [_figure(value) for value in (*values, *map(row.score.values.get, metrics))]


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"

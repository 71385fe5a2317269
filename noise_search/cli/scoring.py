"""The command ``score``: pictures of any origin, judged without a search."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import typer

from noise_search.cli.text import printable
from noise_search.errors import UserError
from noise_search.problem import Score
from noise_search.registry import check_name, names
from noise_search.specs import parse
from noise_search.study.judges import leaves
from noise_search.study.prompts import read_prompts
from noise_search.study.score import expanded, judged

OK, FAILED = 0, 1


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

    def texts(self, count: int) -> list[str]:
        """One text a picture.

        Raises:
            UserError: there are others than there are pictures.
        """
        if self.file is None:
            return [self.text or ""] * count
        if self.text is not None:
            raise UserError("prompt: --prompt and --prompts exclude each other")
        found = [prompt.text for prompt in read_prompts(self.file, self.column)]
        if len(found) != count:
            raise UserError(f"prompts {self.file}: {len(found):,} prompts for {count:,} pictures")
        return found


def run_score(
    verifier: str,
    images: Sequence[Path],
    asked: Asked,
    *,
    device: str | None,
    cache: bool | None,
    as_json: bool,
) -> int:
    """Judge pictures and print a line each; the exit code is 1 if no picture has a score."""
    if parse(verifier).name in names("measure"):
        return _print_measured(verifier, expanded(images), device or "cpu", as_json=as_json)
    for leaf in leaves(str(check_name("verifier", verifier))):
        check_name("verifier", leaf)
    files = expanded(images)
    texts = asked.texts(len(files))
    scores = judged(files, texts, verifier, cache=cache is not False, device=device or "cpu")
    if as_json:
        return _print_lines(files, texts, scores)
    return _print_table(files, list(scores))


def _print_measured(spec: str, files: Sequence[Path], device: str, *, as_json: bool) -> int:
    """What a measure says of all pictures together, and which of them are not among them."""
    from noise_search.study.sets import measure

    found = measure(files, spec, device=device)
    failures = {str(files[number]): said for number, said in found.failures.items()}
    if as_json:
        line: dict[str, object] = {"measure": spec, "value": found.value}
        line |= {"pictures": found.pictures, "failures": failures, "notes": found.notes}
        typer.echo(json.dumps(line, ensure_ascii=False, allow_nan=False))
        return OK
    typer.echo(f"{printable(spec)}  {found.value:.6g}  ({found.pictures:,} pictures)")
    for file, said in failures.items():
        typer.echo(f"{printable(file)}  failed: {printable(said)}")
    for note in found.notes:
        typer.echo(f"note: {note}")
    return OK


def _print_lines(files: Sequence[Path], texts: Sequence[str], scores: Iterator[Score]) -> int:
    good = False
    for file, text, score in zip(files, texts, scores, strict=True):
        good |= score.failure is None
        line: dict[str, object] = {"image": str(file), "scores": dict(score.values)}
        line |= {"prompt": text} if text else {}
        line |= {"failure": score.failure} if score.failure is not None else {}
        line |= {"detail": dict(score.detail)} if score.detail else {}
        typer.echo(json.dumps(line, ensure_ascii=False, allow_nan=False))
    return OK if good else FAILED


def _print_table(files: Sequence[Path], scores: Sequence[Score]) -> int:
    names = list(dict.fromkeys(name for score in scores for name in score.values))
    rows = [[_figure(score.values.get(name)) for name in names] for score in scores]
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    shown = ["image", *(printable(str(file)) for file in files)]
    first = max(map(len, shown))
    for label, row, score in zip(shown, [names, *rows], [None, *scores], strict=True):
        if score is None or score.failure is None:
            cells = [f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)]
        else:
            cells = [f"failed: {printable(score.failure)}"]
        typer.echo("  ".join([f"{label:<{first}}", *cells]).rstrip())
    return OK if any(score.failure is None for score in scores) else FAILED


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
